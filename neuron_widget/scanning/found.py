"""What running statistics end in: plain arrays, which are read without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TopKResult", "occupied"]


@dataclass(frozen=True)
class TopKResult:
    """The extreme photos of each neuron, best first; arrays ``(C, k)``.

    ``score`` is the spatial mean, ``peak`` the largest activation and ``position`` its flat place
    in the map.
    """

    index: NDArray[np.int64]
    score: NDArray[np.float32]
    peak: NDArray[np.float32]
    position: NDArray[np.int64]


def occupied(
    counts: NDArray[np.int64], edges: NDArray[np.float64], most: int = 40
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Trim empty bins at both ends, and add neighbours together until at most ``most`` remain."""
    filled = np.flatnonzero(counts)
    if len(filled) == 0:
        return counts[:1], edges[:2]
    first, last = int(filled[0]), int(filled[-1]) + 1
    group = math.ceil((last - first) / most)
    last = first + group * math.ceil((last - first) / group)
    padded = np.pad(counts[first:last], (0, max(0, last - len(counts))))
    width = edges[1] - edges[0]
    bars = padded.reshape(-1, group).sum(axis=1)
    return bars, edges[first] + width * group * np.arange(len(bars) + 1)
