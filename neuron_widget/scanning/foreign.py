"""Items of somebody else's data set: read one at a time, and the same each time where that can be.

A score and the map shown beside it come from two readings of a photo. Where reading it draws
random numbers (``RandomResizedCrop``, ``RandomHorizontalFlip``), the generators that transforms
draw from are seeded with the item's number for the time of reading, and put back after it.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from neuron_widget.scanning.image_dataset import ImageDataset, PicklableLock

__all__ = ["ItemReader", "inside_an_item"]

_log = logging.getLogger("neuron_widget.scanning")

_inside = threading.local()

# The generators are the process's own. Always taken before a data set's own lock.
_generators = threading.RLock()

_SEEDED = "its photos change at random as they are read; each is read with its own fixed seed here"
_UNSTEADY = (
    "its photos change at random as they are read, by generators of its own: scores and maps are "
    "of different readings. Give the data set without random transforms"
)


class ItemReader:
    """Turns at reading a data set: nothing promises that several threads may do it at once.

    The lock is the data set's alone, and no other lock of ours is held by who waits for it. The
    user's code may read further items in its turn, of this and of other data sets, and look at
    scans of them.
    """

    def __init__(self) -> None:
        self._lock = PicklableLock()
        self._seeded = False

    @contextmanager
    def reading(self, i: int) -> Generator[None, None, None]:
        """Be the only one to read; draws of item ``i`` are the same each time, if they have to."""
        with _seeded(i) if self._seeded else nullcontext(), self._lock, _marked():
            yield

    @contextmanager
    def looking(self) -> Generator[None, None, None]:
        """Be the only one to read something else of the data set, such as its labels."""
        with self._lock, _marked():
            yield

    def settle(self, dataset: ImageDataset) -> str:
        """Read two photos twice to learn whether they come out the same; return what to note.

        Transforms that flip now and then are found too: by the random numbers they draw.
        """
        places = sorted({0, len(dataset) // 2})
        with _kept_generators():
            checks = [_changes(dataset.load, i) for i in places]
            differ = any(pixels for pixels, _ in checks)
            if not differ and not all(draws for _, draws in checks):
                return ""
            self._seeded = True
            steady = not any(_changes(dataset.load, i)[0] for i in places)
        note = _SEEDED if steady else _UNSTEADY
        _log.warning("%s: %s", dataset.name, note)
        return note


def inside_an_item() -> bool:
    """Whether this thread runs the code of somebody's data set, and has the turn to read it.

    What that code asks us for must be read in this thread: any other would wait for the turn.
    """
    return getattr(_inside, "depth", 0) > 0


@contextmanager
def _marked() -> Generator[None, None, None]:
    _inside.depth = getattr(_inside, "depth", 0) + 1
    try:
        yield
    finally:
        _inside.depth -= 1


def _changes(load: Callable[[int], Any], i: int) -> tuple[bool, bool]:
    """Whether two readings of a photo differ, and whether reading it draws random numbers."""
    before = _state()
    first = _pixels(load, i)
    drawn = _state() != before
    return _pixels(load, i) != first, drawn


def _pixels(load: Callable[[int], Any], i: int) -> bytes:
    try:
        return bytes(load(i).tobytes())
    except Exception as error:  # noqa: BLE001  (a scan skips what cannot be read)
        return type(error).__name__.encode()


def _state() -> tuple[Any, ...]:
    import torch

    numpy_state: Any = np.random.get_state()
    return (
        random.getstate(),
        numpy_state[1].tobytes(),
        numpy_state[2:],
        torch.get_rng_state().numpy().tobytes(),
    )


@contextmanager
def _kept_generators() -> Generator[None, None, None]:
    """Leave the generators of Python, numpy and torch (on the CPU) as they are now."""
    import torch

    with _generators:
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])


@contextmanager
def _seeded(seed: int) -> Generator[None, None, None]:
    import torch

    with _kept_generators():
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)  # not those of GPUs
        yield
