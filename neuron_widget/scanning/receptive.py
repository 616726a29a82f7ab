"""Which part of the input a unit can see: its theoretical receptive field, for any network."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from neuron_widget.networks.model import VisionModel

__all__ = ["ReceptiveFields", "probe_receptive_fields"]

_WIDE = 4  # strips all over the image, for the stride
_ROUNDS = 6
_PROBES = 4  # per side; the edges are known to a quarter of the layer's stride


@dataclass(frozen=True)
class ReceptiveFields:
    """Receptive fields of all units of a layer.

    A unit at row ``r`` and column ``c`` sees the input rows ``stride * r + first`` to
    ``stride * r + last`` and columns alike, clipped to the image. The arrays are ``(C, 2)``: one
    interval a neuron, for rows and columns (branches of an Inception block see different parts).
    """

    size: int
    stride: tuple[int, int]
    first: NDArray[np.float64]
    last: NDArray[np.float64]

    def box(self, neuron: int, row: int, column: int) -> tuple[float, float, float, float]:
        """Left, top, right, bottom as fractions 0..1 of the square that the network sees."""
        (top, bottom), (left, right) = (
            self._interval(neuron, axis, place) for axis, place in ((0, row), (1, column))
        )
        return left, top, right, bottom

    def _interval(self, neuron: int, axis: int, place: int) -> tuple[float, float]:
        start = max(0.0, float(self.stride[axis] * place + self.first[neuron, axis]))
        end = min(float(self.size), float(self.stride[axis] * place + self.last[neuron, axis]) + 1)
        # Where NaN did not come through (a model that replaces it), nothing is known.
        return (start / self.size, end / self.size) if end > start else (0.0, 1.0)


def probe_receptive_fields(model: VisionModel, layer: str) -> ReceptiveFields:
    """Find the receptive fields by making a part of the input NaN.

    NaN spreads through convolution, pooling and ReLU alike, so the units that turn NaN are
    exactly those that can see that part, whatever the network is made of. NaN from row ``r`` on:
    the first row of units that turns NaN is the first whose field ends at ``r`` or below. Four
    values of ``r`` all over the image, and as long as several strides fit some between those, tell
    the stride; four within one stride of the border (and the same for the other three borders) fix
    the edges to a quarter of a stride, never too small: some 40 images, once a layer. Units that
    see everything (attention, squeeze-and-excitation) come out as that.
    """
    import torch

    if (added := model.dictionary(model.layer(layer).name)) is not None:
        # A feature sees what any channel of its layer sees.
        below = probe_receptive_fields(model, added.source)
        shape = (added.dictionary.features, 2)
        first = np.broadcast_to(below.first.min(axis=0), shape)
        last = np.broadcast_to(below.last.max(axis=0), shape)
        return ReceptiveFields(below.size, below.stride, first, last)
    info, size = model.layer(layer), model.input_size
    found: list[tuple[int, NDArray[np.float64], NDArray[np.float64]]] = []
    # cuDNN's Winograd kernels would smear NaN over whole tiles.
    with (
        torch.inference_mode(),
        torch.backends.cudnn.flags(enabled=False),
        model.reading(layer) as read,
    ):

        def seen(axis: int, widths: list[int], at_start: bool) -> NDArray[np.bool_]:
            return _seen(read(_nan_strips(size, axis, widths, at_start, model.device)), axis)

        for axis in (0, 1):
            if found and info.height == info.width:
                stride = found[0][0]
            else:
                stride = _stride(partial(seen, axis, at_start=True), size)
            offsets = sorted({max(1, round(stride * (j + 1) / _PROBES)) for j in range(_PROBES)})
            first = _first(seen(axis, offsets, True), offsets, stride)
            last = _last(seen(axis, offsets, False), offsets, stride, size)
            found.append((stride, first, last))
    (height, top, bottom), (width, left, right) = found
    return ReceptiveFields(
        size, (height, width), np.stack([top, left], axis=1), np.stack([bottom, right], axis=1)
    )


def _stride(seen: Callable[[list[int]], NDArray[np.bool_]], size: int) -> int:
    """Pixels from one unit's field to the next one's.

    What fits all strips. More are looked at as long as several do: the usual one, pixels by units,
    is too large where a network pads less than it could. In the end the one next to it is taken.
    """
    last: dict[int, int] = {}  # of each strip the last NaN unit, of any channel; -1 where none is
    length, fitting = 1, list[int]()
    widths = sorted({max(1, size * (2 * j + 1) // (2 * _WIDE)) for j in range(_WIDE)})

    def fits(stride: int) -> bool:
        # Unit i begins at stride * i + start: the last NaN one within the strip, the next beyond.
        most = min((w - 1 - stride * i for w, i in last.items() if i >= 0), default=size)
        least = max((w - 1 - stride * (i + 1) for w, i in last.items() if i < length - 1),
                    default=-size * size)  # fmt: skip
        return least < most

    for _ in range(_ROUNDS):
        found = seen(widths)
        length = found.shape[2]
        ends = np.where(found.any(axis=1), np.arange(length), -1).max(axis=1)
        last |= dict(zip(widths, ends.tolist(), strict=True))
        fitting = [stride for stride in range(1, size + 1) if fits(stride)]
        # What fits is told apart by where the first and the last units begin.
        between = [
            (one + other) // 2
            for one, other in itertools.pairwise(sorted(last))
            if last[other] > last[one] and other - one > 1
        ]
        if len(fitting) < 2 or not between:
            break
        widths = sorted({*between[:2], *between[-2:]})
    found_among: list[int] = fitting or [*range(1, size + 1)]
    return min(found_among, key=lambda stride: abs(math.log(stride * length / size)))


def _nan_strips(
    size: int, axis: int, widths: list[int], at_start: bool, device: torch.device
) -> Tensor:
    """Grey images with NaN in a strip along one border, one image a width."""
    import torch

    images = torch.full((len(widths), 3, size, size), 0.5, device=device)
    for image, width in zip(images, widths, strict=True):
        image.narrow(axis + 1, 0 if at_start else size - width, width).fill_(torch.nan)
    return images.contiguous(memory_format=torch.channels_last)


def _seen(activation: Tensor, axis: int) -> NDArray[np.bool_]:
    """Which rows (or columns) of units have turned NaN: ``(strips, C, length)``."""
    found: NDArray[np.bool_] = activation.isnan().any(dim=3 - axis).cpu().numpy()
    return found


def _first(seen: NDArray[np.bool_], widths: list[int], stride: int) -> NDArray[np.float64]:
    """Offset of a field's first row: a unit past the last NaN one begins at ``width`` or below."""
    length = seen.shape[2]
    # The last NaN unit; -1 where none is.
    last = np.where(seen.any(axis=2), length - 1 - seen[:, :, ::-1].argmax(axis=2), -1)
    bound = np.array(widths)[:, None] - stride * (last + 1.0)
    bound[last == length - 1] = -np.inf
    best: NDArray[np.float64] = bound.max(axis=0)
    return best


def _last(
    seen: NDArray[np.bool_], widths: list[int], stride: int, size: int
) -> NDArray[np.float64]:
    """Offset of a field's last row, by the same reasoning from the other border."""
    length = seen.shape[2]
    first = np.where(seen.any(axis=2), seen.argmax(axis=2), length)
    bound = (size - np.array(widths))[:, None] - stride * (first - 1.0) - 1
    bound[first == 0] = np.inf
    best: NDArray[np.float64] = bound.min(axis=0)
    return best
