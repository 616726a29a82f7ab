"""How unusual a neuron's score is, against those of a data set's photos."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuron_widget.scanning.tables import ScanTables

__all__ = ["percentiles", "z_scores"]

# One photo in two forward passes: scores within it are the same score.
_SAME = 1e-5

Numbers = NDArray[np.float32]


def percentiles(tables: ScanTables, scores: Numbers) -> Numbers:
    """The percentage of the photos whose score is below, for each neuron, ``(C,)`` in 0..100.

    Exact among a neuron's best and worst photos, which a scan keeps. Between them it is read off
    the histogram of the scores, evenly within a bar: there are 256 from minus to plus the power of
    two above the largest.
    """
    counts, edges, scores = tables.counts, tables.edges, np.nan_to_num(scores)
    total = counts.sum(axis=1)
    rows = np.arange(len(scores))
    width = edges[:, 1] - edges[:, 0]
    bars = (scores - edges[:, 0]) / width
    place = np.clip(np.floor(bars), 0, counts.shape[1] - 1).astype(int)
    before = counts.cumsum(axis=1)[rows, place] - counts[rows, place]
    below = before + np.clip(bars - place, 0, 1) * counts[rows, place]
    slack = _SAME * np.abs(scores)
    above = (tables.top.score >= (scores - slack)[:, None]).sum(axis=1)
    under = (tables.bottom.score < (scores - slack)[:, None]).sum(axis=1)
    kept_above, kept_under = tables.top.score.shape[1], tables.bottom.score.shape[1]
    below = np.clip(below, np.minimum(under, total), np.maximum(total - above, under))
    below = np.where(above < kept_above, total - above, below)
    below = np.where(under < kept_under, under, below)
    found: Numbers = (100 * below / np.maximum(total, 1)).astype(np.float32)
    return found


def z_scores(tables: ScanTables, scores: Numbers) -> Numbers:
    """Standard deviations above the mean of the data set's scores; orders what beats all photos."""
    spread = np.maximum(tables.std, 1e-6 * np.maximum(np.abs(tables.mean), 1e-6))
    found: Numbers = ((scores - tables.mean) / spread).astype(np.float32)
    return found
