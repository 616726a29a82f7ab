"""The fastest ways from a convolution's gradient to its input's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch
from torch import Tensor

from neuron_widget.networks.convolutions import Kernel
from neuron_widget.networks.phases import PhasedGradient

__all__ = ["Backward", "backward", "is_channels_last"]

# Takes the result's gradient, the input and, if some of its gradient is there already, that: the
# function may add to it and return it.
Backward = Callable[[Tensor, Tensor, Tensor | None], Tensor]

# What an image has: so few that its gradient is taken by phases.
_FEW_CHANNELS = 4


def is_channels_last(x: Tensor) -> bool:
    """Whether it lies in memory as oneDNN reads it."""
    return x.is_contiguous(memory_format=torch.channels_last)


def backward(
    weight: Tensor, stride: list[int], padding: list[int], dilation: list[int], groups: int
) -> Backward:
    """The input's gradient from the result's: a convolution too wherever that is possible."""
    out, inner, *kernel = weight.shape
    pad = [d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding, strict=True)]
    turned = weight.view(groups, out // groups, inner, *kernel).transpose(1, 2).flip(3, 4)
    turned = turned.reshape(groups * inner, out // groups, *kernel)
    if stride == [1, 1] and min(pad) >= 0:
        one = Kernel(turned, padding=pad, dilation=dilation, groups=groups)
        return lambda grad, _x, there: one(grad) if there is None else one.onto(there, grad)
    on_cpu = weight.device.type == "cpu"
    if on_cpu and groups == 1 and kernel == [1, 1] and padding == [0, 0]:
        return _of_single_pixels(Kernel(turned), stride)
    if on_cpu and groups == 1 and inner <= _FEW_CHANNELS and dilation == [1, 1]:
        same = all(pair[0] == pair[1] for pair in (stride, padding, kernel))
        with contextlib.suppress(ValueError):
            if same:
                phases = PhasedGradient(weight, stride[0], padding[0])
                return lambda grad, x, _there: phases(grad, x.shape[2], x.shape[3], x.dtype)
    # Of a convolution in groups with steps oneDNN has no fast gradient in bfloat16.
    slow = on_cpu and groups > 1 and weight.dtype == torch.bfloat16
    dtype = torch.float32 if slow else weight.dtype
    weight = weight.to(dtype).clone(memory_format=torch.channels_last)

    def back(grad: Tensor, x: Tensor, _there: Tensor | None) -> Tensor:
        found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
            grad.to(dtype), x.to(dtype), weight, None, stride, padding, dilation, False, [0, 0],
            groups, (True, False, False),
        )  # fmt: skip
        return found[0]

    return back


def _of_single_pixels(kernel: Kernel, stride: list[int]) -> Backward:
    """Of a convolution that reads every second pixel alone, say: the others have no part in it."""
    down, right = stride

    def back(grad: Tensor, x: Tensor, there: Tensor | None) -> Tensor:
        if there is not None:
            there[:, :, ::down, ::right] += kernel(grad)
            return there
        found = torch.zeros_like(x)
        found[:, :, ::down, ::right] = kernel(grad)
        return found

    return back
