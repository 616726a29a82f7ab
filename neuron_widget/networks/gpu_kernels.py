"""Kernels of our own for a GPU, written in Triton, which torch brings along on Linux.

Torch's pooling of channels_last tensors takes a third of a step: its places are 8 bytes each, and
its gradient is gathered with atomic additions. Here a place is one byte, and each pixel of the
input asks the windows it is in: the same numbers every time. Torch's gradient of bilinear sampling
adds in floating point in whatever order threads come: here integers are added, whose sum has none.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

import torch
from torch import Tensor

try:  # no part of torch's builds for other systems
    import triton
    import triton.language as tl
except ImportError:
    triton = None

__all__ = ["have_kernels", "pool3", "pool3_gradient", "sampled_gradient"]

_log = logging.getLogger("neuron_widget.networks")

_BLOCK = 1024

if triton is not None:

    @triton.jit
    def _pool(x, y, places, size, C, H, W, OH, OW, STRIDE: tl.constexpr, PAD: tl.constexpr,
              KEEP: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
        i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        inside = i < size
        c = i % C
        column = (i // C) % OW
        row = (i // C // OW) % OH
        image = i // C // OW // OH
        best = tl.full((BLOCK,), float("-inf"), tl.float32)
        place = tl.zeros((BLOCK,), tl.int32)
        for dy in tl.static_range(3):
            for dx in tl.static_range(3):
                h = row * STRIDE - PAD + dy
                w = column * STRIDE - PAD + dx
                there = inside & (h >= 0) & (h < H) & (w >= 0) & (w < W)
                at = ((image * H + h) * W + w) * C + c
                value = tl.load(x + at, mask=there, other=float("-inf")).to(tl.float32)
                more = (value > best) | (value != value)
                best = tl.where(more, value, best)
                place = tl.where(more, dy * 3 + dx, place)
        tl.store(y + i, best, mask=inside)
        if KEEP:
            tl.store(places + i, place.to(tl.int8), mask=inside)

    @triton.jit
    def _pool_gradient(grad, places, found, size, C, H, W, OH, OW, STRIDE: tl.constexpr,
                       PAD: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
        i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        inside = i < size
        c = i % C
        w = (i // C) % W
        h = (i // C // W) % H
        image = i // C // W // H
        total = tl.zeros((BLOCK,), tl.float32)
        for dy in tl.static_range(3):
            for dx in tl.static_range(3):
                up = h + PAD - dy
                left = w + PAD - dx
                row = up // STRIDE
                column = left // STRIDE
                there = inside & (up >= 0) & (left >= 0) & (row < OH) & (column < OW)
                there = there & (row * STRIDE == up) & (column * STRIDE == left)
                at = ((image * OH + row) * OW + column) * C + c
                place = tl.load(places + at, mask=there, other=-1)
                own = there & (place == dy * 3 + dx)
                total += tl.load(grad + at, mask=own, other=0.0).to(tl.float32)
        tl.store(found + i, total, mask=inside)

    @triton.jit
    def _reflected(at, size):
        """A position on -1..1 as one on 0..size - 1, reflected about the outermost pixels."""
        span = (size - 1).to(tl.float32)
        far = tl.abs((at + 1.0) * 0.5 * span)
        times = tl.floor(far / span)
        rest = far - times * span
        odd = (times - 2.0 * tl.floor(times * 0.5)) > 0.5
        return tl.minimum(tl.maximum(tl.where(odd, span - rest, rest), 0.0), span)

    @triton.jit
    def _sampled_gradient(grad, grid, largest, sums, size, C, H, W, BLOCK: tl.constexpr):
        i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        inside = i < size
        pixel = i % (H * W)
        image = i // (H * W)
        at = grid + image * 2 * H * W + pixel
        x = _reflected(tl.load(at, mask=inside, other=0.0), W)
        y = _reflected(tl.load(at + H * W, mask=inside, other=0.0), H)
        left, up = tl.floor(x), tl.floor(y)
        right, down = x - left, y - up
        first = up.to(tl.int32) * W + left.to(tl.int32)
        scale = 16777216.0 / tl.load(largest + image, mask=inside, other=1.0)
        for c in range(C):
            plane = (image * C + c) * H * W
            g = tl.load(grad + plane + pixel, mask=inside, other=0.0) * scale
            for dy in tl.static_range(2):
                for dx in tl.static_range(2):
                    weight = (down if dy else 1.0 - down) * (right if dx else 1.0 - right)
                    there = inside & (weight > 0.0)
                    part = tl.floor(g * weight + 0.5).to(tl.int32)
                    tl.atomic_add(sums + plane + first + dy * W + dx, part, mask=there,
                                  sem="relaxed")  # fmt: skip


def _shape(x: Tensor, stride: int) -> tuple[int, int]:
    """Rows and columns out: as many as in, or half, the last window reaching over the border."""
    height, width = x.shape[2:]
    return (height, width) if stride == 1 else (height // 2, width // 2)


def pool3(x: Tensor, stride: int, keep: bool) -> tuple[Tensor, Tensor | None]:
    """Maxima of 3x3 windows: padded by 1 (stride 1) or ceiled (stride 2); and their places."""
    x = x.contiguous(memory_format=torch.channels_last)
    n, channels, height, width = x.shape
    out = _shape(x, stride)
    y = torch.empty((n, *out, channels), dtype=x.dtype, device=x.device)
    places = torch.empty(y.shape if keep else 0, dtype=torch.int8, device=x.device)
    grid = (triton.cdiv(y.numel(), _BLOCK),)
    _pool[grid](x, y, places, y.numel(), channels, height, width, *out, STRIDE=stride,
                PAD=2 - stride, KEEP=keep, BLOCK=_BLOCK)  # fmt: skip
    return y.permute(0, 3, 1, 2), places if keep else None


def pool3_gradient(grad: Tensor, x: Tensor, places: Tensor, stride: int) -> Tensor:
    """Of the input ``x``, from that of the result and the places :func:`pool3` gave."""
    grad = grad.contiguous(memory_format=torch.channels_last)
    n, channels, height, width = x.shape
    found = torch.empty((n, height, width, channels), dtype=grad.dtype, device=x.device)
    grid = (triton.cdiv(found.numel(), _BLOCK),)
    _pool_gradient[grid](grad, places, found, found.numel(), channels, height, width,
                         *_shape(x, stride), STRIDE=stride, PAD=2 - stride,
                         BLOCK=_BLOCK)  # fmt: skip
    return found.permute(0, 3, 1, 2)


def sampled_gradient(grad: Tensor, grid: Tensor) -> Tensor:
    """Gradient of the images, of ``F.grid_sample`` (bilinear, reflected, corners aligned).

    Parameters
    ----------
    grad
        ``(N, C, H, W)`` float32.
    grid
        ``(N, 2, H, W)``: x and y, in -1..1, where each pixel of the result was sampled.

    Notes
    -----
    Parts are rounded to 2^-24 of an image's largest gradient. Some 100 may meet in one pixel.
    """
    grad, grid = grad.contiguous(), grid.contiguous()
    n, channels, height, width = grad.shape
    largest = grad.abs().amax(dim=(1, 2, 3)).clamp(min=1e-30)
    sums = torch.zeros(grad.shape, dtype=torch.int32, device=grad.device)
    size = n * height * width
    _sampled_gradient[(triton.cdiv(size, 256),)](
        grad, grid, largest, sums, size, channels, height, width, BLOCK=256
    )
    return sums * (largest / 2**24).view(-1, 1, 1, 1)


@functools.cache
def have_kernels(device: torch.device) -> bool:
    """Whether these work there: Triton needs a compiler for C besides."""
    if triton is None or device.type != "cuda":
        return False
    try:
        with torch.inference_mode(False), torch.no_grad():
            return _samples_right(device) and all(
                _pools_right(device, stride, dtype)
                for stride in (1, 2)
                for dtype in (torch.float32, torch.bfloat16)
            )
    except Exception as error:  # noqa: BLE001  # compilers fail in many ways
        _log.info("pooling and sampling are torch's: Triton does not work here (%s)", error)
        return False


def _pools_right(device: torch.device, stride: int, dtype: torch.dtype) -> bool:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((2, 8, 9, 8), generator=generator).to(device, dtype)
    window: Any = (3, 3), (stride, stride), (2 - stride,) * 2, (1, 1), stride == 2
    x = x.contiguous(memory_format=torch.channels_last)
    y, places = torch.ops.aten.max_pool2d_with_indices(x, *window)
    own, own_places = pool3(x, stride, keep=True)
    if own.shape != y.shape or not torch.equal(own, y) or own_places is None:
        return False
    grad = torch.randn(y.shape, generator=generator).to(device, dtype)
    expected = torch.ops.aten.max_pool2d_with_indices_backward(grad, x, *window, places)
    found = pool3_gradient(grad, x, own_places, stride)
    return torch.allclose(found.float(), expected.float(), rtol=1e-2, atol=2e-2)


def _samples_right(device: torch.device) -> bool:
    generator = torch.Generator().manual_seed(0)
    grad = torch.randn((2, 3, 8, 9), generator=generator).to(device)
    grid = torch.rand((2, 2, 8, 9), generator=generator).to(device) * 3 - 1.5
    expected, _ = torch.ops.aten.grid_sampler_2d_backward(
        grad, grad, grid.permute(0, 2, 3, 1), 0, 2, True, (True, False)
    )
    return torch.allclose(sampled_gradient(grad, grid), expected, rtol=1e-3, atol=1e-4)
