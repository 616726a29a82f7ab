"""Pillow's antialiased bilinear filter as tables of whole numbers, so that a GPU gives its pixels.

After Pillow's ``src/libImaging/Resample.c``: weights of 22 bits, first along the rows, then along
the columns, each time rounded to 8 bits.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuron_widget.photos.decode import resized_side

__all__ = ["BITS", "Taps", "square_taps"]

BITS = 22
"""Of the fraction of a weight."""


@dataclass(frozen=True, eq=False)
class Taps:
    """What each pixel of a line is made of.

    Attributes
    ----------
    first
        ``(S,)`` int32: the first pixel that goes into it.
    weights
        ``(S, K)`` int32: those of this and of the next ones; 0 behind the last.
    """

    first: NDArray[np.int32]
    weights: NDArray[np.int32]


def square_taps(width: int, height: int, side: int) -> tuple[Taps, Taps]:
    """Those along the rows and the columns of the square ``side`` wide that the network sees.

    Resized so that the shorter side is 256 for 224, and cut in the middle; see
    :func:`neuron_widget.photos.decode.square`.
    """
    shorter, to = min(width, height), resized_side(side)
    resized = [int(to * length / shorter) for length in (width, height)]
    x, y = (
        _taps(length, out, round((out - side) / 2), side)
        for length, out in zip((width, height), resized, strict=True)
    )
    return x, y


@functools.lru_cache(maxsize=1024)
def _taps(length: int, out: int, start: int, count: int) -> Taps:
    """Of ``count`` pixels from ``start`` on, of a line resized from ``length`` to ``out``."""
    scale = length / out
    wide = max(scale, 1.0)  # the filter's half width
    centre = (np.arange(start, start + count) + 0.5) * scale
    first = np.maximum((centre - wide + 0.5).astype(np.int64), 0)
    ends = np.minimum((centre + wide + 0.5).astype(np.int64), length)
    taps = math.ceil(wide) * 2 + 1
    place = np.arange(taps)
    weights = np.zeros((count, taps))
    total = np.zeros(count)
    for k in range(taps):  # added up in this order
        one = 1.0 - np.abs((place[k] + first - centre + 0.5) * (1.0 / wide))
        weights[:, k] = np.where(first + k < ends, np.maximum(one, 0.0), 0.0)
        total += weights[:, k]
    weights /= total[:, None]
    return Taps(first.astype(np.int32), (0.5 + weights * (1 << BITS)).astype(np.int32))
