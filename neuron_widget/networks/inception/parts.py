"""What the fused network is made of: convolution, ReLU and pooling, each with its gradient."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from neuron_widget.networks.convolutions import Kernel
from neuron_widget.networks.gpu_kernels import have_kernels, pool3, pool3_gradient

__all__ = ["Conv", "MaxPool3", "empty_like", "masked", "rectifies_for_nothing", "rectify"]


def rectifies_for_nothing(weight: Tensor, bias: Tensor | None) -> bool:
    """Whether ReLU is best done by the convolution itself.

    cuDNN adds the bias and rectifies in the same pass: two passes fewer. On the CPU ReLU writes
    into the block's result, where a branch has its place, or comes after pooling.
    """
    return bias is not None and weight.device.type == "cuda"


class Conv:
    """A convolution with the weights of some, cast once; and its input's gradient.

    Same size out as in (odd kernels), so that the gradient is a convolution of this kind too.

    Parameters
    ----------
    convolutions, dtype
        Of one kernel size, for one input; and the precision.
    channel
        Only this output channel; default all.

    Attributes
    ----------
    rectifies
        Whether the result is rectified already.
    """

    def __init__(
        self, convolutions: list[nn.Conv2d], dtype: torch.dtype, channel: int | None = None
    ):
        rows = slice(None) if channel is None else slice(channel, channel + 1)
        weight = torch.cat([c.weight.detach()[rows] for c in convolutions]).to(dtype)
        biases = [c.bias.detach()[rows] for c in convolutions if c.bias is not None]
        bias = torch.cat(biases).to(dtype) if biases else None
        pad = [weight.shape[2] // 2] * 2
        self.rectifies = rectifies_for_nothing(weight, bias)
        top = math.inf if self.rectifies else None
        self._forward = Kernel(weight, bias, padding=pad, top=top)
        self._gradient = Kernel(weight.flip(2, 3).transpose(0, 1), padding=pad)

    def __call__(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` -> ``(N, C', H, W)``."""
        return self._forward(x)

    def gradient(self, grad: Tensor) -> Tensor:
        """Of the input, from that of the result."""
        return self._gradient(grad)


def _bits(x: Tensor) -> Tensor:
    """On the CPU bfloat16 as 16 bit integers, the same memory; all else as it is."""
    return x.view(torch.int16) if x.dtype == torch.bfloat16 and x.device.type == "cpu" else x


def rectify(x: Tensor, into: Tensor | None = None) -> Tensor:
    """ReLU, in place or into a given tensor."""
    into = x if into is None else into
    torch.clamp_min(_bits(x), 0, out=_bits(into))
    return into


def masked(grad: Tensor, rectified: Tensor, redirect: bool, into: Tensor | None = None) -> Tensor:
    """ReLU's gradient from its output; into a given tensor, which may be ``grad`` itself."""
    if redirect:
        found = _redirected(grad, rectified)
        return found if into is None else into.copy_(found)
    if into is None:
        into = empty_like(grad, grad.shape[1])
    torch.ops.aten.threshold_backward.grad_input(
        _bits(grad), _bits(rectified), 0, grad_input=_bits(into)
    )
    return into


def _redirected(grad: Tensor, rectified: Tensor) -> Tensor:
    """The rule of :class:`neuron_widget.networks.layers.RedirectedReLU`, from ReLU's output."""
    found = masked(grad, rectified, redirect=False)
    if grad.device.type != "cpu":  # nothing may be read there: it would wait
        alive = torch.linalg.vector_norm(found, torch.inf, dim=(1, 2, 3), keepdim=True) > 0
        return torch.where(alive, found, grad.clamp(max=0))
    # Reading numbers makes nobody wait: this is a CPU's arithmetic. A few pixels show most alive.
    if 0 in _strongest(found[:, :, ::8, ::8]):
        for i, strength in enumerate(_strongest(found)):
            if strength == 0:
                # Nothing gets through. A positive gradient would push a dead unit further down.
                torch.clamp_max(grad[i], 0, out=found[i])
    return found


def _strongest(grad: Tensor) -> list[float]:
    """The largest absolute value for each image."""
    found: list[float] = torch.linalg.vector_norm(grad, torch.inf, dim=(1, 2, 3)).tolist()
    return found


class MaxPool3:
    """3x3 maxima; padded by 1 (stride 1) or ceiled (stride 2).

    Of negative numbers alone any of them: they are rectified after.
    """

    def __init__(self, stride: int):
        pad = (0, 0) if stride == 2 else (1, 1)
        self._window = (3, 3), (stride, stride), pad, (1, 1), stride == 2
        self._stride = stride
        self._along = _along_one_axis if stride == 1 else _along_one_axis_by_two

    def __call__(self, x: Tensor, for_gradient: bool) -> tuple[Tensor, Tensor | None]:
        """The maxima, and their places where these are worth keeping."""
        on_cpu = x.device.type == "cpu"
        if self._has_kernels(x):
            return pool3(x, self._stride, for_gradient)
        if for_gradient and (x.dtype == torch.float32 or not on_cpu):
            found: tuple[Tensor, Tensor] = self._maxima_and_places(x)
            return found
        if not on_cpu:
            return torch.max_pool2d(x, *self._window), None
        # Along one axis and then the other. In bfloat16 the places are eight tenths of what would
        # be written, and read again for the gradient: to find them again is faster.
        return self._along(self._along(_bits(x), 2), 3).view(x.dtype), None

    def gradient(self, grad: Tensor, x: Tensor, places: Tensor | None) -> Tensor:
        """Of the input ``x``; ``places`` as they were given with the maxima."""
        if self._has_kernels(x):
            assert places is not None
            return pool3_gradient(grad, x, places, self._stride)
        if places is None:
            _, places = self._maxima_and_places(_bits(x))
        found: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            grad, x, *self._window, places
        )
        return found

    @staticmethod
    def _has_kernels(x: Tensor) -> bool:
        # They count in 32 bits.
        return x.device.type == "cuda" and x.numel() < 2**31 and have_kernels(x.device)

    def _maxima_and_places(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = torch.ops.aten.max_pool2d_with_indices(x, *self._window)
        return found


def _along_one_axis(x: Tensor, axis: int) -> Tensor:
    x = x.movedim(axis, 0)
    y = torch.empty_like(x)
    torch.maximum(x[:-1], x[1:], out=y[:-1])
    y[-1].copy_(x[-1])
    torch.maximum(y[1:], x[:-1], out=y[1:])
    return y.movedim(0, axis)


def _along_one_axis_by_two(x: Tensor, axis: int) -> Tensor:
    x = x.movedim(axis, 0)
    first, second, third = x[0::2], x[1::2], x[2::2]
    y = torch.maximum(first[: len(second)], second)
    inside = y[: len(third)]
    torch.maximum(inside, third, out=inside)
    return y.movedim(0, axis)


def empty_like(x: Tensor, channels: int) -> Tensor:
    """Same pixels, ``channels`` channels, channels_last."""
    n, _, height, width = x.shape
    return torch.empty((n, height, width, channels), dtype=x.dtype, device=x.device).permute(
        0, 3, 1, 2
    )
