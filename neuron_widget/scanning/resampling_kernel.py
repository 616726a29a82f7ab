"""Squares out of photos of any size, on a GPU in one piece of work: a kernel in Triton.

Whole numbers all the way, so that it gives the pixels of the tables in :mod:`.resampling`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuron_widget.scanning.resampling import BITS, square_taps

try:  # no part of torch's builds for other systems
    import triton
    import triton.language as tl
except ImportError:
    triton = None

__all__ = ["have_triton", "resample"]

_BLOCK = 512
_PACK = 65536

if triton is not None:

    @triton.jit
    def _resample(facts, tables, squares, S, PACK: tl.constexpr, BITS: tl.constexpr,
                  BLOCK: tl.constexpr):  # fmt: skip
        """A row of ``facts``: pixels, their strides (row, column, colour), last row and column,
        where the taps of rows and columns begin, how many, and the square's number."""
        row = facts + tl.program_id(0) * 12
        pixels = tl.load(row).to(tl.pointer_type(tl.uint8))
        by_row, by_column, by_colour = tl.load(row + 1), tl.load(row + 2), tl.load(row + 3)
        last_row, last_column = tl.load(row + 4), tl.load(row + 5)
        first_x, taps_x, kx = tl.load(row + 6), tl.load(row + 7), tl.load(row + 8).to(tl.int32)
        first_y, taps_y = tl.load(row + 9), tl.load(row + 10)
        packed = tl.load(row + 11)
        ky = (packed % PACK).to(tl.int32)
        number = packed // PACK
        i = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
        inside = i < S * S
        x, y = i % S, i // S
        from_x = tl.load(tables + first_x + x, mask=inside, other=0)
        from_y = tl.load(tables + first_y + y, mask=inside, other=0)
        half = 1 << (BITS - 1)
        red = tl.full((BLOCK,), half, tl.int32)
        green = tl.full((BLOCK,), half, tl.int32)
        blue = tl.full((BLOCK,), half, tl.int32)
        for v in range(ky):
            down = tl.load(tables + taps_y + y * ky + v, mask=inside, other=0)
            at_row = tl.minimum(from_y + v, last_row) * by_row
            r = tl.full((BLOCK,), half, tl.int32)
            g = tl.full((BLOCK,), half, tl.int32)
            b = tl.full((BLOCK,), half, tl.int32)
            for u in range(kx):
                right = tl.load(tables + taps_x + x * kx + u, mask=inside, other=0)
                at = pixels + at_row + tl.minimum(from_x + u, last_column) * by_column
                r += tl.load(at, mask=inside, other=0).to(tl.int32) * right
                g += tl.load(at + by_colour, mask=inside, other=0).to(tl.int32) * right
                b += tl.load(at + 2 * by_colour, mask=inside, other=0).to(tl.int32) * right
            red += tl.minimum(tl.maximum(r >> BITS, 0), 255) * down
            green += tl.minimum(tl.maximum(g >> BITS, 0), 255) * down
            blue += tl.minimum(tl.maximum(b >> BITS, 0), 255) * down
        to = squares + (number * S * S + i) * 3
        tl.store(to, tl.minimum(tl.maximum(red >> BITS, 0), 255).to(tl.uint8), mask=inside)
        tl.store(to + 1, tl.minimum(tl.maximum(green >> BITS, 0), 255).to(tl.uint8), mask=inside)
        tl.store(to + 2, tl.minimum(tl.maximum(blue >> BITS, 0), 255).to(tl.uint8), mask=inside)


def have_triton() -> bool:
    """Whether there is a Triton at all."""
    return triton is not None


def resample(photos: Sequence[Tensor], numbers: Sequence[int], squares: Tensor) -> None:
    """Make squares of photos ``(3, H, W)`` uint8, on the present stream.

    ``squares``: ``(N, S, S, 3)`` uint8; photo i becomes square ``numbers[i]``.
    """
    device, side = squares.device, squares.shape[1]
    tables: list[NDArray[np.int32]] = []
    places: dict[int, int] = {}
    end, facts = 0, []
    for number, photo in zip(numbers, photos, strict=True):
        _, height, width = photo.shape
        by_colour, by_row, by_column = photo.stride()
        x, y = square_taps(width, height, side)
        for table in (x.first, x.weights, y.first, y.weights):
            if id(table) not in places:
                places[id(table)] = end
                tables.append(table.reshape(-1))  # which keeps it, and so its id
                end += table.size
        facts.append([
            photo.data_ptr(), by_row, by_column, by_colour, height - 1, width - 1,
            places[id(x.first)], places[id(x.weights)], x.weights.shape[1],
            places[id(y.first)], places[id(y.weights)], number * _PACK + y.weights.shape[1],
        ])  # fmt: skip
    told = torch.tensor(facts, dtype=torch.int64).pin_memory()
    taps = torch.from_numpy(np.concatenate(tables)).pin_memory()
    grid = (len(photos), triton.cdiv(side**2, _BLOCK))
    _resample[grid](told.to(device, non_blocking=True), taps.to(device, non_blocking=True),
                    squares, side, PACK=_PACK, BITS=BITS, BLOCK=_BLOCK)  # fmt: skip
