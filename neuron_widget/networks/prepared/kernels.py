"""Convolutions with fixed weights, and the fastest ways from their gradient to the input's."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import torch
from torch import Tensor

from neuron_widget.networks.arithmetic import onednn_takes
from neuron_widget.networks.phases import PhasedGradient

__all__ = ["Backward", "Kernel", "backward", "is_channels_last"]

# Takes the result's gradient, the input and, if some of its gradient is there already, that: the
# function may add to it and return it.
Backward = Callable[[Tensor, Tensor, Tensor | None], Tensor]

# What an image has: so few that its gradient is taken by phases.
_FEW_CHANNELS = 4


def is_channels_last(x: Tensor) -> bool:
    """Whether it lies in memory as oneDNN reads it."""
    return x.is_contiguous(memory_format=torch.channels_last)


class Kernel:
    """A convolution with fixed weights, laid out once as oneDNN reads them; sum and ReLU with it.

    torch itself lays them out again at every call, and leaves oneDNN for another algorithm where a
    single image is small, whose last bits differ.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        stride: list[int],
        padding: list[int],
        dilation: list[int],
        groups: int,
        top: float | None = None,
    ):
        self._weight = weight.detach().clone(memory_format=torch.channels_last)
        self._bias = bias.detach().clone() if bias is not None else None
        self._numbers = padding, stride, dilation, groups
        self._steps = stride, padding, dilation, groups
        self._top = top
        self._after: tuple[str, list[float]] = {
            None: ("none", []), math.inf: ("relu", []), 6.0: ("hardtanh", [0.0, 6.0])
        }[top]  # fmt: skip
        self._laid_out = weight.device.type == "cpu" and onednn_takes(weight.dtype)
        # The best layout depends on the input's size.
        self._packed: dict[torch.Size, Tensor] = {}

    def __call__(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """``(N, C, H, W)`` -> ``(N, C', H', W')``, with another one of this shape added."""
        on_gpu = x.device.type == "cuda" and other is None
        if on_gpu and self._top == math.inf and self._bias is not None:
            fused: Tensor = torch.cudnn_convolution_relu(x, self._weight, self._bias, *self._steps)
            return fused
        if not self._laid_out:
            y = self._plain(x)
            y = y if other is None else y.add_(other)
            return y if self._top is None else y.clamp_(0.0, self._top)
        name, numbers = self._after
        weight = self._laid_out_for(x)
        found: Tensor
        if other is None:
            found = torch.ops.mkldnn._convolution_pointwise.default(
                x, weight, self._bias, *self._numbers, name, numbers, ""
            )
        else:
            relu = None if self._top is None else name
            found = torch.ops.mkldnn._convolution_pointwise.binary(
                x, other, weight, self._bias, *self._numbers, "add", 1.0, relu, [], None
            )
        return found

    def onto(self, sums: Tensor, x: Tensor) -> Tensor:
        """Add the result to a tensor, and return that; without bias and ReLU."""
        if not self._laid_out:
            return sums.add_(self._plain(x))
        torch.ops.mkldnn._convolution_pointwise_.binary(
            sums, x, self._laid_out_for(x), None, *self._numbers, "add", 1.0, None, [], None
        )
        return sums

    def _plain(self, x: Tensor) -> Tensor:
        return torch.conv2d(x, self._weight, self._bias, *self._steps)

    def _laid_out_for(self, x: Tensor) -> Tensor:
        size = x.shape[1:]
        weight = self._packed.get(size)
        if weight is None:
            weight = self._packed[size] = torch.ops.aten.mkldnn_reorder_conv2d_weight(
                self._weight.to_mkldnn(), *self._numbers, list(x.shape)
            )
        return weight


def backward(
    weight: Tensor, stride: list[int], padding: list[int], dilation: list[int], groups: int
) -> Backward:
    """The input's gradient from the result's: a convolution too wherever that is possible."""
    out, inner, *kernel = weight.shape
    pad = [d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding, strict=True)]
    turned = weight.view(groups, out // groups, inner, *kernel).transpose(1, 2).flip(3, 4)
    turned = turned.reshape(groups * inner, out // groups, *kernel)
    if stride == [1, 1] and min(pad) >= 0:
        one = Kernel(turned, None, stride, pad, dilation, groups)
        return lambda grad, _x, there: one(grad) if there is None else one.onto(there, grad)
    on_cpu = weight.device.type == "cpu"
    if on_cpu and groups == 1 and kernel == [1, 1] and padding == [0, 0]:
        return _of_single_pixels(Kernel(turned, None, [1, 1], [0, 0], [1, 1], 1), stride)
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
