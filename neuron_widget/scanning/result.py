"""What a scan found."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuron_widget.durable import Damaged
from neuron_widget.errors import StoreError, TargetError
from neuron_widget.names import as_path, check_neuron
from neuron_widget.scanning.absent import AbsentModel, AbsentPhotos, facts_beyond
from neuron_widget.scanning.datasets import open_dataset
from neuron_widget.scanning.examples import Example
from neuron_widget.scanning.files import (
    check_model,
    check_photos,
    read_scan,
    save_scan,
    whole_file,
)
from neuron_widget.scanning.found import occupied
from neuron_widget.scanning.groups import group_numbers, within_groups
from neuron_widget.scanning.image_dataset import ImageDataset
from neuron_widget.scanning.lookup import Lookup, NeuronCache, measured_row, rows_of
from neuron_widget.scanning.reading import PhotoReader
from neuron_widget.scanning.receptive import ReceptiveFields
from neuron_widget.scanning.tables import ScanTables, scan_frame
from neuron_widget.setting import check_int
from neuron_widget.targets import Target, TargetLike, as_neuron

if TYPE_CHECKING:
    from torch import Tensor

    from neuron_widget.networks.model import VisionModel
    from neuron_widget.scanning.loading import Batch

__all__ = ["ScanResult"]


StoredMaps = Callable[[int, list[int]], dict[int, NDArray[np.float32]] | None]


class ScanResult:
    """The photos that fire each neuron of a layer most and least, and how it fires on the rest.

    Attributes
    ----------
    model_identity : str
        Name of the model and hash of its weights.
    layer : str
        The layer.
    dataset : str
        Name of the data set.
    scanned : int
        Photos looked at.
    skipped : list of (path, reason)
        Photos that could not be read.
    settings : dict
        What the scan was asked for.
    tables : ScanTables
        All numbers.

    Examples
    --------
    >>> from neuron_widget import scan
    >>> found = scan(
    ...     "efficientnet_lite0", "blocks.0", "samples", top_k=3, num_samples=16, progress=False
    ... )
    >>> best = found.top(5)[0]
    >>> best.neuron, best.image().size, best.activation_map().shape
    (5, (224, 224), (112, 112))
    """

    def __init__(
        self,
        model: VisionModel,
        layer: str,
        dataset: ImageDataset,
        tables: ScanTables,
        *,
        scanned: int,
        skipped: list[tuple[str, str]],
        settings: dict[str, Any],
        model_identity: str,
        batch_size: int = 32,
        groups: Mapping[int, int] | NDArray[np.int64] | None = None,
        reader: PhotoReader | None = None,
    ):
        self.layer = layer
        self.dataset = dataset.name
        self.tables = tables
        self.scanned = scanned
        self.skipped = skipped
        self.settings = settings
        self.model_identity = model_identity
        self._model = model
        self._photos = dataset
        self._batch_size = batch_size
        # By photo; a file knows those of its own photos.
        self._groups = groups if groups is not None else group_numbers(dataset)
        # Results of one running scan share theirs.
        self._reader = reader or PhotoReader(model, layer, dataset, model_identity, batch_size)
        self._looked_up = NeuronCache(self._look)
        # Maps made before, by (neuron, photos); None where they are not at hand.
        self.stored_maps: StoredMaps | None = None

    def __repr__(self) -> str:
        return (
            f"<ScanResult {self.layer} of {self._model.name}: {len(self.mean)} neurons over "
            f"{self.scanned} photos of {self.dataset!r}, {len(self.skipped)} skipped>"
        )

    def save(self, path: str | Path) -> Path:
        """Write everything to a ``.safetensors`` file with a JSON manifest, and return its path.

        Raises ``StoreError`` for another ending or a disk error.
        """
        return save_scan(path, self.tables.arrays(), self.manifest())

    def manifest(self, *, photos: bool = True) -> dict[str, Any]:
        """Return all that is no array, as JSON holds it; see :meth:`from_manifest`.

        ``photos``: with paths and labels of the photos that any neuron names.
        """
        info = self._model.layer(self.layer)
        named = self.tables.photos() if photos else []
        return {
            "layer": self.layer,
            "shape": (info.channels, info.height, info.width),
            **facts_beyond(info, self._model.dictionary(self.layer)),
            "model": {
                "identity": self.model_identity,
                "name": self._model.name,
                "title": self._model.title,
                "input_size": self._model.input_size,
            },
            "dataset": {
                "name": self.dataset,
                "fingerprint": self.fingerprint,
                "photos": len(self._photos),
            },
            "scanned": self.scanned,
            "skipped": self.skipped,
            "settings": self.settings,
            "batch_size": self._batch_size,
            "photos": {str(i): (self._photos.path(i), self._photos.label(i)) for i in named},
            **self._grouped(named),
        }

    def _grouped(self, photos: list[int]) -> dict[str, Any]:
        """The manifest's groups of some photos; nothing where there are none."""
        known = self._groups
        return {} if known is None else {"groups": {str(i): int(known[i]) for i in photos}}

    @classmethod
    def from_manifest(
        cls,
        saved: tuple[dict[str, Any], dict[str, NDArray[Any]]],
        model: VisionModel | None = None,
        dataset: ImageDataset | None = None,
    ) -> ScanResult:
        """Rebuild a scan from manifest and arrays; without model or data set, stand-ins answer.

        Raises ``Damaged`` for what is no scan.
        """
        manifest, arrays = saved
        try:
            layer = str(manifest["layer"])
            absent = AbsentModel(manifest["model"], layer, manifest)
            photos = AbsentPhotos(manifest["dataset"], manifest["photos"])
            tables = ScanTables.from_arrays(arrays)
            tables.check(absent.layer(layer).channels, len(photos))
            batch_size = int(manifest["batch_size"])
            if batch_size < 1:
                raise ValueError(f"batch_size {batch_size}")
            groups = None
            if dataset is None and "groups" in manifest:
                groups = {i: int(manifest["groups"][str(i)]) for i in tables.photos()}
            return cls(
                model if model is not None else cast("VisionModel", absent),
                layer,
                dataset if dataset is not None else photos,
                tables,
                scanned=int(manifest["scanned"]),
                skipped=[(str(path), str(reason)) for path, reason in manifest["skipped"]],
                settings=dict(manifest["settings"]),
                model_identity=str(manifest["model"]["identity"]),
                batch_size=batch_size,
                groups=groups,
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise Damaged(f"not a scan ({error!r})") from error

    @classmethod
    def load(cls, path: str | Path, model: Any = None, dataset: Any = None) -> ScanResult:
        """Return a saved scan.

        Parameters
        ----------
        path
            What :meth:`save` wrote.
        model, dataset
            The network and the photos of the scan (what ``load_model`` and ``open_dataset`` take).
            Without them all numbers, paths and labels are there; images are where the files still
            are; activation maps need both.

        Raises
        ------
        StoreError
            A missing, torn or foreign file; another network or other photos than the scan's.
        """
        from neuron_widget.networks.zoo import load_model

        path = as_path(path, "the scan's file", StoreError, example="scan.safetensors")
        opened = load_model(model) if model is not None else None
        manifest, arrays = read_scan(path)
        with whole_file(path):
            found = cls.from_manifest((manifest, arrays), opened)
        if opened is not None:
            check_model(path, manifest, opened.identity, opened.dictionary(found.layer))
        if dataset is None:
            return found
        photos = open_dataset(dataset, split=found.settings["split"])
        check_photos(path, manifest, photos.name, photos.fingerprint)
        return cls.from_manifest((manifest, arrays), opened, photos)

    def to_frame(self, kind: str = "neurons") -> Any:
        """Return a pandas table with a row for each neuron, or of its ``"photos"``.

        See :func:`.tables.scan_frame`. Raises ``PandasMissing`` without pandas.
        """
        names = self._model.layer(self.layer).names
        return scan_frame(kind, self.tables, self.dead, self.examples(), names)

    def examples(self) -> Iterator[tuple[str, Example]]:
        """Yield every neuron's photos, each with its group: ``"most"`` or ``"least"``."""
        for neuron in range(len(self.mean)):
            yield from (("most", example) for example in self.top(neuron))
            yield from (("least", example) for example in self.bottom(neuron))

    def attach(self, model: VisionModel) -> None:
        """Read with this network from now on: it was not open when the scan was found."""
        self._model = model
        self._reader.attach(model)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the data set."""
        return self._photos.fingerprint

    @property
    def note(self) -> str:
        """What is to be known of the data set: files left out, its groups; ``""`` for nothing."""
        return self._photos.remarks

    @property
    def mean(self) -> NDArray[np.float32]:
        """Mean score of each neuron, ``(C,)``."""
        return self.tables.mean

    @property
    def std(self) -> NDArray[np.float32]:
        """Standard deviation of each neuron's scores, ``(C,)``."""
        return self.tables.std

    @property
    def peak(self) -> NDArray[np.float32]:
        """Largest activation of each neuron at any position of any photo, ``(C,)``."""
        return self.tables.peak

    @property
    def best(self) -> NDArray[np.float32]:
        """Score of each neuron's best photo, ``(C,)``; 0 before the first photo."""
        return self.tables.best

    @property
    def dead(self) -> tuple[int, ...]:
        """Neurons that were 0 at every position of every photo.

        None of a layer whose values below 0 are answers too (classes, features of PCA). Where a
        layer gives negative values (tokens, convolutions without ReLU), one that is never above 0
        is not dead: it tells photos apart.
        """
        # Nothing above 0, and a mean of 0 where it is lowest: there is nothing below, either.
        silent = (self.peak <= 0) & (self.tables.worst >= 0)
        return () if self.signed or not self.scanned else tuple(np.flatnonzero(silent).tolist())

    def histogram(self, neuron: int | TargetLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return counts (n,) and edges (n + 1,) of a neuron's scores, at most 40 equal bars."""
        neuron = self._check(neuron)
        return occupied(self.tables.counts[neuron], self.tables.edges[neuron])

    def quantile(self, neuron: int | TargetLike) -> float:
        """Return what 99 % of all positions of all photos lie below, within 1.6 % of its value.

        See :class:`~neuron_widget.scanning.extremes.QuantileSketch`.
        """
        return float(self.tables.quantile[self._check(neuron)])

    def top(self, neuron: int | TargetLike, k: int | None = None) -> list[Example]:
        """Return the photos that fire the neuron most, best first (at most the scan's ``top_k``).

        Raises ``NeuronOutOfRange`` with the valid range.
        """
        return self._examples(neuron, "top", k)

    def bottom(self, neuron: int | TargetLike, k: int | None = None) -> list[Example]:
        """Return the photos that fire the neuron least, lowest first."""
        return self._examples(neuron, "bottom", k)

    def top_labels(self, k: int) -> list[list[str]]:
        """Return the classes of every neuron's ``k`` best photos, best first; no pass is made.

        With ``precision="fast"`` the order is that of the scan, before the winners are measured.
        """
        k = check_int("k", k, 0)
        return [
            [self._photos.label(int(index)) for index in row]
            for row in self.tables.top.index[:, :k]
        ]

    def maps(self, neuron: int | TargetLike) -> dict[int, NDArray[np.float32]]:
        """Return the activation maps ``(h, w)`` of the neuron's photos by their numbers.

        One forward pass over its photos; kept for the neurons looked at last.
        """
        return self._looked_up(self._check(neuron)).maps

    @property
    def signed(self) -> bool:
        """Whether a value below 0 is an answer as one above it."""
        return self._model.layer(self.layer).signed

    def scale(self, neuron: int | TargetLike) -> float:
        """Return what maps of a neuron are drawn up to: its largest activation in the data set.

        Of a signed layer the largest in size, also of the maps of its photos.
        """
        neuron = self._check(neuron)
        peak = float(self.peak[neuron])
        if not self.signed:
            return peak
        maps = self.maps(neuron).values()
        return max([abs(peak), *(float(np.abs(found).max(initial=0)) for found in maps)])

    def square(self, index: int) -> Image.Image:
        """Return the square of a photo that the network saw."""
        index = check_int("index", index, 0, len(self._photos) - 1)
        return self._reader.square(index)

    @cached_property
    def receptive_fields(self) -> ReceptiveFields:
        """Receptive fields of the layer's units, probed once."""
        return self._reader.receptive_fields

    def _check(self, neuron: int | TargetLike) -> int:
        """The number of a neuron of this layer that a number or a target names."""
        if isinstance(neuron, (Target, str, tuple)):
            target = as_neuron(neuron)
            if self._model.layer(target.layer).name != self.layer:
                raise TargetError(
                    f"{target} is of another layer; expected a neuron of {self.layer}"
                )
            if target.position is not None:
                raise TargetError(
                    f"{target} is a single unit, and a scan ranks photos by whole neurons; its "
                    f"neuron is {target.channel}"
                )
            neuron = target.check(self._model).neuron
        return check_neuron(neuron, self._model.layer(self.layer).channels, self.layer)

    def _examples(self, neuron: int | TargetLike, side: str, k: int | None) -> list[Example]:
        neuron = self._check(neuron)
        if k is not None:
            k = check_int("k", k, 0)
        if self.settings["precision"] == "fast":
            rows = getattr(self._looked_up(neuron), side)
        else:
            rows = rows_of(getattr(self.tables, side), neuron)
        wanted = self.settings["top_k"] if k is None else min(k, self.settings["top_k"])
        width = self._model.layer(self.layer).width
        return [
            Example(
                neuron=neuron,
                index=index,
                path=self._photos.path(index),
                label=self._photos.label(index),
                rank=rank,
                score=score,
                peak=peak,
                position=(position // width, position % width),
                _source=self,
            )
            for rank, (index, score, peak, position) in enumerate(rows[:wanted])
        ]

    def _look(self, neuron: int) -> Lookup:
        """Maps of a neuron's candidates in float32, and their exact order."""
        top, bottom = (rows_of(side, neuron) for side in (self.tables.top, self.tables.bottom))
        photos = sorted({row[0] for row in (*top, *bottom)})
        known = self.stored_maps(neuron, photos) if self.stored_maps is not None else None
        maps = known if known is not None else self._reader.maps(neuron, photos)
        if self.settings["precision"] == "fast":
            top, bottom = ([measured_row(i, maps[i]) for i, *_ in side] for side in (top, bottom))
            top.sort(key=lambda row: (-row[1], row[0]))
            bottom.sort(key=lambda row: (row[1], row[0]))
            if self._groups is not None:
                top, bottom = (within_groups(side, self._groups) for side in (top, bottom))
        return Lookup(top, bottom, maps)

    def activations(self, index: Sequence[int]) -> Generator[tuple[Batch, Tensor], None, None]:
        """Yield the photos ``index`` in batches; see :meth:`.PhotoReader.activations`."""
        return self._reader.activations(index)
