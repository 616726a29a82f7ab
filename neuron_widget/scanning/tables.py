"""The numbers of a scan as pandas tables."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from neuron_widget.errors import NeuronWidgetError, nearest

if TYPE_CHECKING:
    from neuron_widget.scanning import ScanResult

__all__ = ["PandasMissing", "photo_rows", "scan_frame"]

KINDS = ("neurons", "photos")


class PandasMissing(NeuronWidgetError, ImportError):
    """A table was asked for and pandas is not installed."""


def scan_frame(result: ScanResult, kind: str = "neurons") -> Any:
    """Return a ``pandas.DataFrame`` of a scan.

    Parameters
    ----------
    result
        The scan.
    kind
        ``"neurons"``: one row a neuron, indexed by it: mean, std, peak, best and worst score,
        99 % quantile, dead. ``"photos"``: one row for each neuron's each photo: neuron, group
        (most, least), rank, index, path, label, score, peak, row, column. Of a scan with
        ``precision="fast"`` every neuron's photos are scored again for it, which takes a while.

    Raises
    ------
    PandasMissing
        With the way out.
    ValueError
        For another kind.
    """
    if kind not in KINDS:
        hint = nearest(str(kind), KINDS) or "expected 'neurons' or 'photos'"
        raise ValueError(f"unknown kind of table {kind!r}; {hint}")
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise PandasMissing(
            "to_frame() needs pandas, which is not installed: pip install pandas. The same numbers "
            "are in result.tables.arrays(), as numpy arrays"
        ) from error
    frame = _neurons(result) if kind == "neurons" else photo_rows(result)
    table = pandas.DataFrame(frame)
    return table.set_index("neuron") if kind == "neurons" else table


def _neurons(result: ScanResult) -> dict[str, Any]:
    tables = result.tables
    lowest = tables.bottom.score
    dead = np.zeros(len(result.mean), bool)
    dead[list(result.dead)] = True
    return {
        "neuron": np.arange(len(result.mean)),
        "mean": tables.mean,
        "std": tables.std,
        "peak": tables.peak,
        "best": result.best,
        "worst": lowest[:, 0] if lowest.shape[1] else np.zeros(len(lowest), np.float32),
        "quantile_99": tables.quantile,
        "dead": dead,
    }


def photo_rows(result: ScanResult) -> list[dict[str, Any]]:
    """A row for each neuron's each photo; see :func:`scan_frame`."""
    rows = []
    for neuron in range(len(result.mean)):
        for group, examples in (("most", result.top(neuron)), ("least", result.bottom(neuron))):
            for example in examples:
                row, column = example.position
                rows.append(
                    {
                        "neuron": neuron,
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
