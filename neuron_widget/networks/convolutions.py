"""Convolutions with fixed weights, as a processor does them fastest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from neuron_widget.networks.arithmetic import onednn_takes

__all__ = ["Kernel"]


class Kernel:
    """A convolution with fixed weights, on the CPU laid out once; sum and ReLU are part of it.

    Torch lays them out again at every call, which for a single image takes as long as the work
    itself, and leaves oneDNN for another algorithm where a single image is small, whose last bits
    differ. Where oneDNN does not take the type (bfloat16 on a CPU without AVX-512, or a torch
    without oneDNN) it is torch's still. The weights are copies of what they were.

    Parameters
    ----------
    weight, bias
        ``(O, C / groups, k, k)`` and ``(O,)``, in the precision to compute in.
    stride, padding, dilation, groups
        As torch has them.
    top
        ReLU is part of it: infinity, or 6 of ReLU6. None: it is not.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        stride: Sequence[int] = (1, 1),
        padding: Sequence[int] = (0, 0),
        dilation: Sequence[int] = (1, 1),
        groups: int = 1,
        top: float | None = None,
    ):
        self._weight = weight.detach().clone(memory_format=torch.channels_last)
        self._bias = bias.detach().clone() if bias is not None else None
        # In the two orders that torch's operations have them.
        self._numbers = list(padding), list(stride), list(dilation), groups
        self._steps = list(stride), list(padding), list(dilation), groups
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
