"""The exact photos and maps of one neuron: made when it is looked at, kept for the last few."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neuron_widget.errors import TargetError
from neuron_widget.names import check_neuron
from neuron_widget.scanning.found import TopKResult
from neuron_widget.targets import Target, TargetLike, as_neuron

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel

__all__ = ["Lookup", "NeuronCache", "Row", "measured_row", "neuron_of", "rows_of"]

Row = tuple[int, float, float, int]
"""Number of a photo, score, peak, and the peak's flat place in the map."""

_KEPT = 32  # neurons


@dataclass(frozen=True)
class Lookup:
    """Exact photos of one neuron (best first) and the maps of them all, by photo number."""

    top: list[Row]
    bottom: list[Row]
    maps: dict[int, NDArray[np.float32]]


class NeuronCache:
    """Lookups of the neurons asked for last.

    A cell may ask for a neuron that the widget's worker is looking at: one pass serves both.
    No lock is held while ``make`` runs, since the code of a user's data set runs in it.
    """

    def __init__(self, make: Callable[[int], Lookup]):
        self._make = make
        self._lock = threading.Lock()
        self._known: OrderedDict[int, Future[Lookup]] = OrderedDict()

    def __call__(self, neuron: int) -> Lookup:
        """Return what ``make`` returns; its error is raised for all who wait, and not kept."""
        while True:
            found, ours = self._future(neuron)
            if ours:
                return self._fill(neuron, found)
            try:
                return found.result()
            except CancelledError:
                continue  # whoever was at it has been interrupted

    def _future(self, neuron: int) -> tuple[Future[Lookup], bool]:
        """The lookup of a neuron, and whether it is the caller's to make."""
        with self._lock:
            ours = neuron not in self._known
            found = self._known.setdefault(neuron, Future())
            self._known.move_to_end(neuron)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
            return found, ours

    def _fill(self, neuron: int, future: Future[Lookup]) -> Lookup:
        try:
            made = self._make(neuron)
        except BaseException as error:
            with self._lock:
                if self._known.get(neuron) is future:
                    del self._known[neuron]
            if isinstance(error, Exception):
                future.set_exception(error)
            else:
                future.cancel()
            raise
        future.set_result(made)
        return made


def neuron_of(neuron: int | TargetLike, layer: str, model: VisionModel) -> int:
    """Return the number of a neuron of this layer that a number or a target names."""
    if isinstance(neuron, (Target, str, tuple)):
        target = as_neuron(neuron)
        if model.layer(target.layer).name != layer:
            raise TargetError(f"{target} is of another layer; expected a neuron of {layer}")
        if target.position is not None:
            raise TargetError(
                f"{target} is a single unit, and a scan ranks photos by whole neurons; its "
                f"neuron is {target.channel}"
            )
        neuron = target.check(model).neuron
    return check_neuron(neuron, model.layer(layer).channels, layer)


def rows_of(photos: TopKResult, neuron: int) -> list[Row]:
    """The photos of one neuron as the scan ranked them."""
    columns = (photos.index, photos.score, photos.peak, photos.position)
    return list(zip(*(column[neuron].tolist() for column in columns), strict=True))


def measured_row(index: int, activation: NDArray[np.float32]) -> Row:
    """A photo as its map ``(h, w)`` measures it."""
    place = int(activation.argmax())
    return index, float(activation.mean()), float(activation.flat[place]), place
