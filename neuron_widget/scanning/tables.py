"""The numbers of a scan: as numpy arrays, and as pandas tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuron_widget.errors import NeuronWidgetError, WrongValue, nearest
from neuron_widget.scanning.examples import Example
from neuron_widget.scanning.found import TopKResult

__all__ = ["QUANTILE", "PandasMissing", "Ranks", "ScanTables", "photo_rows", "scan_frame"]

QUANTILE = 0.99
KINDS = ("neurons", "photos")

_SIDES = ("top", "bottom")
_FURTHER = "further_"


class PandasMissing(NeuronWidgetError, ImportError):
    """A table was asked for and pandas is not installed."""


@dataclass(frozen=True)
class Ranks:
    """Numbers and scores of photos at one end, the most extreme first; arrays ``(C, n)``."""

    index: NDArray[np.int64]
    score: NDArray[np.float32]


@dataclass(frozen=True)
class ScanTables:
    """The numbers of a scan as numpy arrays, one row a neuron.

    ``further_top`` and ``further_bottom`` go on where ``top`` and ``bottom`` end: photos that are
    asked about (:mod:`.pairs`), not shown. None in files of scans that did not keep them.
    """

    top: TopKResult
    bottom: TopKResult
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    peak: NDArray[np.float32]
    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    quantile: NDArray[np.float32]
    further_top: Ranks | None = None
    further_bottom: Ranks | None = None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all arrays by name, for a file; :meth:`from_arrays` is the way back."""
        plain: dict[str, NDArray[Any]] = {}
        for name, value in vars(self).items():
            if isinstance(value, TopKResult | Ranks):
                plain |= {f"{name}_{column}": array for column, array in vars(value).items()}
            elif value is not None:
                plain[name] = value
        return plain

    def ranked(self, side: str) -> Ranks:
        """Return all photos that are known of one end, ``"top"`` or ``"bottom"``."""
        first, further = getattr(self, side), getattr(self, _FURTHER + side)
        if further is None:
            return Ranks(first.index, first.score)
        return Ranks(
            np.concatenate([first.index, further.index], axis=1),
            np.concatenate([first.score, further.score], axis=1),
        )

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> ScanTables:
        """Rebuild the tables from what :meth:`arrays` gave."""
        values: dict[str, Any] = {
            side: TopKResult(
                **{name: arrays[f"{side}_{name}"] for name in TopKResult.__annotations__}
            )
            for side in _SIDES
        }
        for name in (_FURTHER + side for side in _SIDES):
            known = f"{name}_index" in arrays
            values[name] = _ranks(arrays, name) if known else None
        values |= {name: arrays[name] for name in cls.__annotations__ if name not in values}
        return cls(**values)

    def check(self, channels: int, photos: int) -> None:
        """Raise ValueError unless these can be the numbers of so many neurons and photos.

        Files may come from anybody.
        """
        for name, array in self.arrays().items():
            kind = "i" if name.endswith(("index", "position")) or name == "counts" else "f"
            axes = 1 if name in ("mean", "std", "peak", "quantile") else 2
            if array.dtype.kind != kind or array.ndim != axes or len(array) != channels:
                raise ValueError(f"{name} is {array.dtype} {array.shape} of {channels} neurons")
        if self.edges.shape[1] != self.counts.shape[1] + 1:
            raise ValueError(f"{self.counts.shape[1]} bars between {self.edges.shape[1]} edges")
        for side in (self.top, self.bottom, self.further_top, self.further_bottom):
            if side is None:
                continue
            if len({array.shape for array in vars(side).values()}) != 1:
                raise ValueError("photos and scores differ in number")
            if side.index.size and not 0 <= side.index.min() <= side.index.max() < photos:
                raise ValueError(f"photo {side.index.max()} of {photos}")

    def photos(self) -> list[int]:
        """Return the numbers of the photos that any neuron names."""
        both = (self.top.index, self.bottom.index)
        named: list[int] = np.unique(np.concatenate(both, axis=None)).tolist()
        return named

    @property
    def best(self) -> NDArray[np.float32]:
        """Score of each neuron's best photo, ``(C,)``; 0 before the first photo."""
        return _first(self.top.score)

    @property
    def worst(self) -> NDArray[np.float32]:
        """Score of each neuron's worst photo, ``(C,)``; 0 before the first photo."""
        return _first(self.bottom.score)


def _ranks(arrays: dict[str, NDArray[Any]], name: str) -> Ranks:
    return Ranks(arrays[f"{name}_index"], arrays[f"{name}_score"])


def _first(score: NDArray[np.float32]) -> NDArray[np.float32]:
    return score[:, 0] if score.shape[1] else np.zeros(len(score), np.float32)


def scan_frame(
    kind: str,
    tables: ScanTables,
    dead: Sequence[int],
    examples: Iterable[tuple[str, Example]],
    names: Sequence[str] = (),
) -> Any:
    """Return a ``pandas.DataFrame`` of a scan.

    Parameters
    ----------
    kind
        ``"neurons"``: one row a neuron, indexed by it: mean, std, peak, best and worst score,
        99 % quantile, dead. ``"photos"``: one row for each neuron's each photo: neuron, group
        (most, least), rank, index, path, label, score, peak, row, column. Of a scan with
        ``precision="fast"`` every neuron's photos are scored again for it, which takes a while.
    tables
        The numbers of all neurons.
    dead
        Neurons that were never active.
    examples
        (group, photo) of every neuron; gone through for ``"photos"`` alone.
    names
        Names of the neurons (of classes): a column ``name``, if there are any.

    Raises
    ------
    PandasMissing
        With the way out.
    ValueError
        For another kind.
    """
    if kind not in KINDS:
        hint = nearest(str(kind), KINDS) or "expected 'neurons' or 'photos'"
        raise WrongValue(f"unknown kind of table {kind!r}; {hint}")
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise PandasMissing(
            "to_frame() needs pandas, which is not installed: pip install pandas. The same numbers "
            "are in result.tables.arrays(), as numpy arrays"
        ) from error
    if kind == "photos":
        frame = pandas.DataFrame(photo_rows(examples))
    else:
        frame = pandas.DataFrame(_neurons(tables, dead))
    if names:
        frame.insert(1, "name", [names[neuron] for neuron in frame["neuron"]])
    return frame if kind == "photos" else frame.set_index("neuron")


def _neurons(tables: ScanTables, dead: Sequence[int]) -> dict[str, Any]:
    never = np.zeros(len(tables.mean), bool)
    never[list(dead)] = True
    return {
        "neuron": np.arange(len(tables.mean)),
        "mean": tables.mean,
        "std": tables.std,
        "peak": tables.peak,
        "best": tables.best,
        "worst": tables.worst,
        "quantile_99": tables.quantile,
        "dead": never,
    }


def photo_rows(examples: Iterable[tuple[str, Example]]) -> list[dict[str, Any]]:
    """A row for each (group, photo); see :func:`scan_frame`."""
    rows = []
    for group, example in examples:
        row, column = example.position
        rows.append(
            {
                "neuron": example.neuron,
                "group": group,
                "rank": example.rank,
                "index": example.index,
                "path": example.path,
                "label": example.label,
                "score": example.score,
                "peak": example.peak,
                "row": row,
                "column": column,
            }
        )
    return rows
