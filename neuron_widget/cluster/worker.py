"""One worker: it opens network and photos once, and makes one piece after the other.

It is an ordinary class: Ray runs it in a process of its own.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from neuron_widget.cluster.recipes import NetworkRecipe, PhotosRecipe, check_versions
from neuron_widget.errors import StoreError

if TYPE_CHECKING:
    from neuron_widget.networks import VisionModel
    from neuron_widget.scanning import ImageDataset
    from neuron_widget.store import Store

__all__ = ["Piece", "Said", "Setup", "Worker"]

_EVERY_S = 0.5  # between two words on how far a piece is


@dataclass(frozen=True)
class Setup:
    """What all workers know before their first piece.

    Attributes
    ----------
    network, photos, layer
        What the work is about.
    stores
        Folders of the store; the last is written to, and seen by all machines.
    sign
        A lock that whoever sends the work holds in that store: a worker that does not find it
        would write to another folder.
    versions
        Of whoever sends the work.
    """

    network: NetworkRecipe
    photos: PhotosRecipe | None
    layer: str
    stores: tuple[str, ...]
    sign: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Piece:
    """A piece of work, whose files are in the store when it is done.

    Attributes
    ----------
    task
        ``"scan"``: the ``shard`` of the photos. ``"images"``: those of ``neurons``. ``"rest"``:
        what needs all of them (tiles, activation maps).
    how
        Settings.
    """

    task: str
    shard: tuple[int, int] = (0, 1)
    neurons: tuple[int, ...] = ()
    how: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Said:
    """What a worker says of a piece: how far it is, and at its end what it gave.

    ``found`` of what is ``done`` had been there before. ``ended`` without a ``result``: it was
    stopped.
    """

    done: float
    found: float = 0
    ended: bool = False
    result: Any = None


class Worker:
    """Opens network and photos, and makes pieces.

    Parameters
    ----------
    threads
        Of PyTorch, and those that decode photos. None: as many as usual.
    """

    def __init__(self, threads: int | None = None):
        self._threads = threads
        self._stopped = threading.Event()
        self._model: VisionModel
        self._photos: ImageDataset | None = None
        self._store: Store
        self._layer = ""

    def open(self, setup: Setup) -> str:
        """Open everything, and return the name of this machine.

        Raises what opening raises, and ClusterError, ModelError, DatasetError or StoreError if
        something here is not what it is where the work comes from.
        """
        from neuron_widget.openmp import short_look_out
        from neuron_widget.store import open_store

        with short_look_out():
            import torch  # noqa: F401
        check_versions(setup.versions)
        self._set_threads()
        store = open_store(list(setup.stores))
        assert store is not None
        if setup.sign and store.locks.mark(setup.sign) is None:
            raise StoreError(
                f"machine {socket.gethostname()} sees another folder under {setup.stores[-1]!r} "
                "than the one that sends the work; expected a store that all machines see: "
                "--store on a common disk"
            )
        self._store = store
        self._model = setup.network.open()
        self._layer = self._model.layer(setup.layer).name
        if setup.photos is not None:
            self._photos = setup.photos.open()
        return socket.gethostname()

    def stop(self) -> None:
        """Let the present piece end after this step; what it has is kept, to go on from."""
        self._stopped.set()

    def pid(self) -> int:
        """The number of this process."""
        return os.getpid()

    def work(self, piece: Piece) -> Generator[Said, None, None]:
        """Make a piece; the last word has its result."""
        self._set_threads()
        make: dict[str, Callable[[Piece], Generator[float, None, Said]]] = {
            "scan": self._scan,
            "images": self._images,
            "rest": self._rest,
        }
        due = time.monotonic() + _EVERY_S
        with closing(make[piece.task](piece)) as steps:
            while True:
                try:
                    done = next(steps)
                except StopIteration as end:
                    yield end.value
                    return
                if self._stopped.is_set():
                    steps.close()
                    yield Said(done, ended=True)
                    return
                if time.monotonic() >= due:
                    due = time.monotonic() + _EVERY_S
                    yield Said(done)

    def _set_threads(self) -> None:
        """OpenMP counts threads for each thread that calls it, and Ray calls from several."""
        import torch

        if self._threads is not None:
            torch.set_num_threads(self._threads)

    def _scan(self, piece: Piece) -> Generator[float, None, Said]:
        from neuron_widget.scanning import ScanResult
        from neuron_widget.store.reuse import scan_steps

        photos = self._photos
        assert photos is not None
        steps = scan_steps(
            self._store,
            self._model,
            self._layer,
            photos,
            shard=piece.shard,
            workers=self._decoders(),
            **piece.how,
        )
        moved = False
        with closing(steps):
            while True:
                try:
                    step = next(steps)
                except StopIteration as end:
                    result: ScanResult = end.value
                    break
                moved = True
                yield float(step.done)
        if self._store.failure is not None:
            raise self._store.failure
        how = {name: piece.how[name] for name in ("top_k", "num_samples", "seed", "precision")}
        name = self._store.part_name(
            self._model,
            self._layer,
            photos,
            piece.shard,
            batch_size=piece.how["batch_size"],
            **how,
        )
        done = result.scanned + len(result.skipped)
        return Said(done, 0 if moved else done, ended=True, result=name)

    def _decoders(self) -> int | None:
        """Threads that decode photos: with one processor none but the worker's own."""
        return None if self._threads is None else self._threads if self._threads > 1 else 0

    def _images(self, piece: Piece) -> Generator[float, None, Said]:
        from neuron_widget.store.fill import fill_images

        # As a shard: what needs all images, the layer's tiles, comes later.
        work = fill_images(
            self._store, self._model, self._layer, piece.neurons, shard=(0, 1), **piece.how
        )
        with closing(work):
            while True:
                try:
                    now = next(work)
                except StopIteration as end:
                    made: int = end.value
                    break
                yield now.done + now.part
        count = len(piece.neurons)
        return Said(count, count - made, ended=True, result=made)

    def _rest(self, piece: Piece) -> Generator[float, None, Said]:
        from neuron_widget.store.fill import fill_images, fill_photos

        images, photos = piece.how["images"], piece.how["photos"]
        yield from _steps(
            fill_images(self._store, self._model, self._layer, piece.neurons, **images)
        )
        if self._photos is not None:
            yield from _steps(
                fill_photos(
                    self._store,
                    self._model,
                    self._layer,
                    self._photos,
                    workers=self._decoders(),
                    **photos,
                )
            )
        return Said(1, ended=True, result=True)


def _steps(work: Generator[Any, None, Any]) -> Generator[float, None, None]:
    """The same steps, each of which is a share of one piece."""
    with closing(work):
        for now in work:
            yield now.done / max(1, now.total)
