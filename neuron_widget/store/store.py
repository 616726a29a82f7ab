"""The store: results looked up by what makes them, in several folders, written to the last."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import StoreError
from neuron_widget.store.checkpoints import EVERY_S, FileCheckpoint, checkpoint_name
from neuron_widget.store.files import read_arrays, read_facts
from neuron_widget.store.folder import Entry, Folder, Pruned, Verified
from neuron_widget.store.images import (
    image_bytes,
    read_image,
    read_state,
    state_bytes,
    state_size,
    with_state,
)
from neuron_widget.store.keys import Recipes, image_family, scan_family

if TYPE_CHECKING:
    from neuron_widget.models import VisionModel
    from neuron_widget.rendering import RenderResult
    from neuron_widget.scanning import ImageDataset, ScanResult

__all__ = [
    "DEFAULT_LIMIT",
    "ENVIRONMENT_VARIABLE",
    "Store",
    "StoreLike",
    "default_folder",
    "open_store",
]

ENVIRONMENT_VARIABLE = "NEURON_WIDGET_STORE"
OFF = ("off", "none", "0", "false")

DEFAULT_LIMIT = 4 * 2**30
"""Bytes in the writable folder; the least recently used results go first."""

# A state serves nothing but more steps of one image and is twenty pictures large: those of single
# images up to 330 px are kept, those of whole layers are not (508 at 224 px: 0.9 GB).
LARGEST_STATE = 4 * 2**20
MOST_STATES = 8

PRECISIONS = ("float32", "bfloat16")

# The folder is measured when so much of the limit has been written since the last time.
_MEASURE_EVERY = 1 / 32

StoreLike = Any  # a Store, a folder, a list of folders, None for the default, False for none

_log = logging.getLogger("neuron_widget.store")


def default_folder() -> Path:
    """The platform's cache folder for this package."""
    from platformdirs import user_cache_path

    return user_cache_path("neuron-widget", appauthor=False) / "store"


def open_store(where: StoreLike = None) -> Store | None:
    """Return the store that ``where`` means.

    ``None``: what ``NEURON_WIDGET_STORE`` names (``off`` for none), else the platform's cache
    folder. ``False``: none. A folder, or folders of which all but the last are only read; the
    variable may name several too, separated like ``PATH``.

    Opening reads nothing and makes nothing.
    """
    if isinstance(where, Store) or where is False:
        return where or None
    if where is None:
        named = os.environ.get(ENVIRONMENT_VARIABLE, "")
        if named.lower() in OFF:
            return None
        where = [part for part in named.split(os.pathsep) if part] or default_folder()
    if isinstance(where, str | os.PathLike):
        where = [where]
    if not isinstance(where, Sequence) or not all(isinstance(w, str | os.PathLike) for w in where):
        raise StoreError(
            f"store must be a folder, a list of folders (the last one is written to), None for the "
            f"default or False for none; got {where!r}"
        )
    if not where:
        raise StoreError("store is an empty list; expected folders, None, or False for no store")
    *others, own = where
    return Store(own, read_only=others)


class Store:
    """Rendered images, scans and checkpoints on disk.

    Parameters
    ----------
    folder
        Where results are written. It is made when there is something to write.
    read_only
        Folders looked into before it; never written to, touched or removed from.
    limit
        Bytes in ``folder``; when they are exceeded, what was used least recently is removed.
    report
        Called with one line for what goes wrong beside the work: torn files, a full disk. Each is
        reported once. Default: the log ``neuron_widget.store``.

    Notes
    -----
    A look-up opens one file by its name, in each folder in turn. Any number of processes may use
    one store: files appear whole, and two that make the same result write the same file.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        read_only: Sequence[str | os.PathLike[str]] = (),
        limit: int = DEFAULT_LIMIT,
        report: Callable[[str], None] = _log.warning,
    ):
        self._report = report
        self._failing = False
        self._lock = threading.Lock()
        self.limit = limit
        self.own = Folder(Path(folder).expanduser(), writable=True, report=report)
        self.folders = [
            *(Folder(Path(f).expanduser(), writable=False, report=report) for f in read_only),
            self.own,
        ]
        self._recipes = Recipes()
        self._unmeasured = float("inf")

    def __repr__(self) -> str:
        others = "".join(f", {str(f.root)!r} read only" for f in self.folders[:-1])
        return f"<Store {str(self.own.root)!r}{others}>"

    # -------------------------------------------------------------- any result

    def keep(self, model: VisionModel, result: RenderResult | ScanResult, **how: Any) -> bool:
        """Write a result if that is possible; else report why and return False.

        Reported once, until writing works again.
        """
        from neuron_widget.scanning import ScanResult

        try:
            if isinstance(result, ScanResult):
                self.put_scan(model, result, **how)
            else:
                self.put_render(model, result, **how)
        except StoreError as error:
            self.fail(error)
            return False
        self._failing = False
        return True

    def fail(self, error: StoreError) -> None:
        """Report that writing failed, once until it works again."""
        if not self._failing:
            self._report(f"results are not kept on disk: {error}")
        self._failing = True

    def write(self, room: str, name: str, data: bytes) -> None:
        """Write a file into the writable folder, and keep to the limit; raises StoreError."""
        self.own.write(room, name, data)
        with self._lock:
            self._unmeasured += len(data)
            due = self._unmeasured > self.limit * _MEASURE_EVERY
            if due:
                self._unmeasured = 0.0
        if due:
            self.own.prune(self.limit)

    def find(self, room: str, name: str, reader: Callable[[Path], Any]) -> Any:
        """Return what ``reader`` makes of a file of this name, from the first folder that has it.

        None if no folder has it whole.
        """
        for folder in self.folders:
            found = folder.read(room, name, reader)
            if found is not None:
                return found
        return None

    def names(self, room: str, family: str) -> set[str]:
        """Return the names of a family's files in all folders."""
        return {name for folder in self.folders for name in folder.names(room, family)}

    # -------------------------------------------------------------- images

    def find_render(
        self, model: VisionModel, layer: str, neuron: int, **settings: Any
    ) -> RenderResult | None:
        """Return the stored image of a neuron, or None.

        ``settings`` are those of :func:`neuron_widget.render`. Without a ``precision`` named, an
        image of either will do. The result carries no optimiser state.
        """
        for family, wanted in self._families(model, layer, neuron, settings):
            name = f"{family}-s{wanted['steps']}.webp"
            found: RenderResult | None = self.find("images", name, read_image)
            if found is not None:
                return found
        return None

    def has_render(self, model: VisionModel, layer: str, neuron: int, **settings: Any) -> bool:
        """Return whether an image is stored, without decoding it."""
        return any(
            self.find("images", f"{family}-s{wanted['steps']}.webp", read_facts) is not None
            for family, wanted in self._families(model, layer, neuron, settings)
        )

    def find_resumable(
        self, model: VisionModel, layer: str, neuron: int, **settings: Any
    ) -> RenderResult | None:
        """Return the stored image with the most steps below ``steps`` that can be gone on from.

        With its optimiser state, and of the very settings, device and precision: going on gives
        what an uninterrupted rendering gives.
        """
        wanted = _checked(model, layer, neuron, settings)
        if wanted.engine != "fast":
            return None
        plain = wanted.as_dict()
        family = image_family(self._recipes(model), plain, neuron)
        if family is None:
            return None
        had = sorted((_number(name, "s") for name in self.names("states", family)), reverse=True)
        for steps in had:
            if steps >= wanted.steps:
                continue
            result = self.find("images", f"{family}-s{steps}.webp", read_image)
            state = self.find("states", f"{family}-s{steps}.safetensors", read_state)
            if result and state and not wanted.differences(result.settings):
                return with_state(result, state)
        return None

    def put_render(
        self, model: VisionModel, result: RenderResult, *, keep_state: bool | None = None
    ) -> None:
        """Write the images of a result, each to its own file, under the steps it has had.

        Parameters
        ----------
        keep_state
            Whether to write the optimiser's state too, which more steps later need. Default: of
            at most 8 images of at most 4 MB each (330 px).

        Raises
        ------
        StoreError
        """
        size = state_size(result)
        if keep_state is None:
            keep_state = 0 < size <= LARGEST_STATE and len(result) <= MOST_STATES
        recipe = self._recipes(model)
        for i, neuron in enumerate(result.neurons):
            family = image_family(recipe, result.settings, neuron)
            steps = result.state.steps[i] if result.state is not None else result.steps
            if family is None or steps < 1:
                continue
            if self.find("images", f"{family}-s{steps}.webp", read_facts) is None:
                self.write("images", f"{family}-s{steps}.webp", image_bytes(result, i))
            name = f"{family}-s{steps}.safetensors"
            if keep_state and size and self.find("states", name, read_facts) is None:
                self.write("states", name, state_bytes(result, i))

    def _families(
        self, model: VisionModel, layer: str, neuron: int, settings: dict[str, Any]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Names that will do, the best first, each with all settings."""
        wanted = _checked(model, layer, neuron, settings).as_dict()
        recipe = self._recipes(model)
        named = settings.get("precision") is not None
        for precision in dict.fromkeys([wanted["precision"], *(() if named else PRECISIONS)]):
            chosen = {**wanted, "precision": precision}
            family = image_family(recipe, chosen, neuron)
            if family is not None:
                yield family, chosen

    # -------------------------------------------------------------- scans

    def find_scan(
        self,
        model: VisionModel,
        layer: str,
        dataset: ImageDataset,
        *,
        top_k: int = 9,
        num_samples: int | None = None,
        seed: int = 0,
        precision: str = "exact",
    ) -> ScanResult | None:
        """Return the stored scan of a layer over a data set, or None; no photo is read.

        One with a larger ``top_k`` serves a smaller one.
        """
        from neuron_widget.store.scans import read_scan

        photos = len(dataset) if num_samples is None else min(num_samples, len(dataset))
        settings = {"seed": seed, "precision": precision, "input_size": model.input_size}
        family = self.scan_family(model, layer, dataset, settings)
        names = [n for n in self.names("scans", family) if _number(n, "n") == photos]
        for name in sorted(names, key=lambda name: _number(name, "k")):
            if _number(name, "k") < top_k:
                continue
            found: ScanResult | None = self.find(
                "scans", name, lambda path: read_scan(path, model, dataset)
            )
            if found is not None:
                found.settings |= {"top_k": top_k, "num_samples": num_samples}
                return found
        return None

    def put_scan(self, model: VisionModel, result: ScanResult) -> None:
        """Write a complete scan; one that was stopped is not kept. Raises StoreError."""
        from neuron_widget.store.scans import scan_bytes

        dataset, settings = result._photos, result.settings
        wanted = settings["num_samples"]
        photos = len(dataset) if wanted is None else min(wanted, len(dataset))
        if result.scanned + len(result.skipped) != photos:
            return
        family = self.scan_family(model, result.layer, dataset, settings)
        name = f"{family}-n{photos}-k{settings['top_k']}.safetensors"
        if self.find("scans", name, read_facts) is None:
            self.write("scans", name, scan_bytes(result, photos=False))

    def checkpoint(
        self,
        model: VisionModel,
        layer: str,
        dataset: ImageDataset,
        *,
        top_k: int = 9,
        seed: int = 0,
        batch_size: int = 32,
        precision: str = "exact",
        every_s: float = EVERY_S,
        every_photos: int | None = None,
    ) -> FileCheckpoint:
        """Return the checkpoint of a scan, for :func:`neuron_widget.scan_steps`."""
        import torch

        settings = {"seed": seed, "precision": precision, "input_size": model.input_size}
        name = checkpoint_name(
            self.scan_family(model, layer, dataset, settings),
            top_k=top_k,
            batch_size=batch_size,
            device=model.device.type,
            torch_version=str(torch.__version__),
        )
        return FileCheckpoint(self, name, every_s, every_photos)

    def scan_family(
        self, model: VisionModel, layer: str, dataset: ImageDataset, settings: dict[str, Any]
    ) -> str:
        """Return the name of a layer's scans over a data set."""
        layer = model.layer(layer).name
        recipe = self._recipes(model)
        return scan_family(recipe, layer, dataset.fingerprint, len(dataset), settings)

    # -------------------------------------------------------------- the whole store

    def entries(self) -> Iterator[tuple[Folder, Entry]]:
        """Every file of every folder."""
        for folder in self.folders:
            for entry in folder.entries():
                yield folder, entry

    def verify(self) -> dict[Folder, Verified]:
        """Read every file of every folder whole."""
        return {folder: folder.verify(_check) for folder in self.folders}

    def prune(self, limit: int | None = None) -> Pruned:
        """Keep the writable folder to ``limit`` bytes (default: the store's)."""
        return self.own.prune(self.limit if limit is None else limit)


def _checked(model: VisionModel, layer: str, neuron: int, settings: dict[str, Any]) -> Any:
    from neuron_widget.rendering.settings import check_settings

    usual: dict[str, Any] = {
        "steps": 512,
        "size": 224,
        "lr": 0.05,
        "seed": 0,
        "objective": "channel",
        "engine": "fast",
        "redirect_relu": None,
        "precision": None,
    }
    return check_settings(model, layer, neuron, **{**usual, **settings})


def _number(name: str, letter: str) -> int:
    found = re.search(rf"-{letter}(\d+)", name)
    return int(found[1]) if found else -1


def _check(path: Path) -> None:
    if path.suffix == ".webp":
        read_image(path)
    else:
        read_arrays(path)
