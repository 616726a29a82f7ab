"""What a prepared network is made of: operations that bring their gradients along.

Each one is called with tensors and gives its result and, if asked, the gradient: a function from
the result's gradient, and whether ReLU's is redirected (see :class:`..layers.RedirectedReLU`), to
one gradient for each tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from neuron_widget.networks.arithmetic import onednn_takes

__all__ = [
    "Add",
    "Affine",
    "Concatenate",
    "Convolution",
    "Gradient",
    "MaxPool",
    "Operation",
    "ReLU",
]

Gradient = Callable[[Tensor, bool], Sequence[Tensor | None]]


class Operation(Protocol):
    """See this module's description."""

    def __call__(self, *inputs: Tensor, gradient: bool) -> tuple[Tensor, Gradient | None]:
        """The result, and its gradient if wanted."""

    def of_channel(self, channel: int) -> Operation:
        """The same for one of the result's channels; see :mod:`.channels`."""


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


@dataclass(eq=False)
class Convolution:
    """A convolution in two dimensions, and what was merged into it.

    Attributes
    ----------
    weight, bias
        In full precision; copies from the first call on.
    stride, padding, dilation, groups
        As in :func:`torch.conv2d`.
    dtype
        What it computes in.
    top
        Of a ReLU behind it: infinity, or 6; None where there is none.
    """

    weight: Tensor
    bias: Tensor | None
    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int
    dtype: torch.dtype
    top: float | None = None
    _forward: _Kernel | None = field(default=None, repr=False)
    _backward: Callable[[Tensor, Tensor], Tensor] | None = field(default=None, repr=False)

    def __call__(self, x: Tensor, *, gradient: bool) -> tuple[Tensor, Gradient | None]:
        """``(N, C, H, W)`` -> ``(N, C', H', W')``, both channels_last."""
        if self._forward is None:
            bias = self.bias.to(self.dtype) if self.bias is not None else None
            self._forward = _Kernel(self.weight.to(self.dtype), bias, self.stride, self.padding,
                                    self.dilation, self.groups, self.top)  # fmt: skip
        given = x.dtype
        x = _channels_last(x.to(self.dtype))
        y = self._forward(x)
        if not gradient:
            return y, None
        if self._backward is None:
            self._backward = self._transposed()
        back, top = self._backward, self.top

        def to_input(grad: Tensor, redirect: bool) -> tuple[Tensor]:
            grad = grad.to(y.dtype)
            if top is not None:
                grad = rectified_gradient(grad, y, top, redirect)
            return (back(_channels_last(grad), x).to(given),)

        return y, to_input

    def _transposed(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The input's gradient from the result's: a convolution too where nothing is skipped."""
        out, inner, *kernel = self.weight.shape
        weight = self.weight.to(self.dtype)
        pad = [d * (k - 1) - p for d, k, p in zip(self.dilation, kernel, self.padding, strict=True)]
        if self.stride == [1, 1] and min(pad) >= 0:
            groups = self.groups
            turned = weight.view(groups, out // groups, inner, *kernel).transpose(1, 2).flip(3, 4)
            turned = turned.reshape(groups * inner, out // groups, *kernel)
            one = _Kernel(turned, None, self.stride, pad, self.dilation, groups, None)
            return lambda grad, _x: one(grad)
        # Of a convolution in groups with steps oneDNN has no fast gradient in bfloat16.
        dtype = torch.float32 if self.groups > 1 else self.dtype
        weight = self.weight.to(dtype).clone(memory_format=torch.channels_last)

        def back(grad: Tensor, x: Tensor) -> Tensor:
            found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
                grad.to(dtype), x.to(dtype), weight, None, self.stride, self.padding,
                self.dilation, False, [0, 0], self.groups, (True, False, False),
            )  # fmt: skip
            return found[0]

        return back

    def scaled(self, scale: Tensor, shift: Tensor) -> Convolution:
        """With ``x * scale + shift`` behind it, for each channel; in double precision."""
        assert self.top is None
        weight = self.weight.double() * scale.double().view(-1, 1, 1, 1)
        bias = shift.double()
        if self.bias is not None:
            bias = bias + self.bias.double() * scale.double()
        kind = self.weight.dtype
        return replace(self, weight=weight.to(kind), bias=bias.to(kind))

    def of_channel(self, channel: int) -> Convolution:
        """That channel alone: of a depthwise convolution it reads one channel alone too."""
        one = slice(channel, channel + 1)
        bias = self.bias[one] if self.bias is not None else None
        return replace(self, weight=self.weight[one], bias=bias, groups=1,
                       _forward=None, _backward=None)  # fmt: skip


class _Kernel:
    """A convolution with fixed weights, laid out once as oneDNN reads them, and ReLU in one pass.

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
        top: float | None,
    ):
        self._weight = weight.detach().clone(memory_format=torch.channels_last)
        self._bias = bias.detach().clone() if bias is not None else None
        self._numbers = padding, stride, dilation, groups
        self._top = top
        self._after: tuple[str, list[float]] = {
            None: ("none", []), math.inf: ("relu", []), 6.0: ("hardtanh", [0.0, 6.0])
        }[top]  # fmt: skip
        self._laid_out = onednn_takes(weight.dtype)
        # The best layout depends on the input's size.
        self._packed: dict[torch.Size, Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        padding, stride, dilation, groups = self._numbers
        if not self._laid_out:
            y = torch.conv2d(x, self._weight, self._bias, stride, padding, dilation, groups)
            return y if self._top is None else y.clamp_(0.0, self._top)
        size = x.shape[1:]
        weight = self._packed.get(size)
        if weight is None:
            weight = self._packed[size] = torch.ops.aten.mkldnn_reorder_conv2d_weight(
                self._weight.to_mkldnn(), padding, stride, dilation, groups, list(x.shape)
            )
        name, numbers = self._after
        found: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, weight, self._bias, padding, stride, dilation, groups, name, numbers, ""
        )
        return found


@dataclass(eq=False)
class Affine:
    """``x * scale + shift``, for each channel: a batch normalisation that nothing could take in."""

    scale: Tensor
    shift: Tensor

    def __call__(self, x: Tensor, *, gradient: bool) -> tuple[Tensor, Gradient | None]:
        """``(N, C, H, W)`` -> the same shape."""
        scale, shift = (t.to(x.dtype).view(1, -1, 1, 1) for t in (self.scale, self.shift))
        y = torch.addcmul(shift, x, scale)
        return y, (lambda grad, _redirect: (grad * scale,)) if gradient else None

    def of_channel(self, channel: int) -> Affine:
        """That channel alone."""
        one = slice(channel, channel + 1)
        return Affine(self.scale[one], self.shift[one])


@dataclass(eq=False)
class ReLU:
    """ReLU (top infinity) or ReLU6."""

    top: float

    def __call__(self, x: Tensor, *, gradient: bool) -> tuple[Tensor, Gradient | None]:
        """Any shape."""
        bits = x.view(torch.int16) if self.top == math.inf and x.dtype == torch.bfloat16 else x
        y = bits.clamp(0, self.top if self.top < math.inf else None).view(x.dtype)
        if not gradient:
            return y, None
        return y, lambda grad, redirect: (rectified_gradient(grad, y, self.top, redirect),)

    def of_channel(self, _channel: int) -> ReLU:
        """The same."""
        return self


def rectified_gradient(grad: Tensor, y: Tensor, top: float, redirect: bool) -> Tensor:
    """ReLU's or ReLU6's gradient from its output ``y``; by lucid's rule if redirected."""
    found: Tensor
    if top < math.inf:
        found = torch.ops.aten.hardtanh_backward(grad, y, 0.0, top)
    elif y.dtype == torch.bfloat16:
        # As the integers that they also are: the processor has instructions for these.
        bits = (t.view(torch.int16) for t in (grad, y))
        found = torch.ops.aten.threshold_backward(*bits, 0).view(y.dtype)
    else:
        found = torch.ops.aten.threshold_backward(grad, y, 0)
    if redirect:
        strongest = torch.linalg.vector_norm(found.flatten(1), torch.inf, dim=1).tolist()
        for i, strength in enumerate(strongest):
            if strength == 0:
                # Nothing gets through. What would push a dead unit further away is left out.
                up = torch.where(y[i] <= 0, grad[i].clamp(max=0), grad[i])
                found[i] = torch.where(y[i] >= top, up.clamp(min=0), up)
    return found


class Add:
    """The sum of two tensors of one shape."""

    def __call__(
        self, x: Tensor, other: Tensor, *, gradient: bool
    ) -> tuple[Tensor, Gradient | None]:
        """Any shape."""
        return x + other, (lambda grad, _redirect: (grad, grad)) if gradient else None

    def of_channel(self, _channel: int) -> Add:
        """The same."""
        return self


@dataclass(eq=False)
class Concatenate:
    """Channels of several one after the other."""

    def __call__(self, *inputs: Tensor, gradient: bool) -> tuple[Tensor, Gradient | None]:
        """``(N, Ci, H, W)`` each -> ``(N, sum Ci, H, W)``."""
        sizes = [len(x[0]) for x in inputs]
        y = torch.cat(inputs, 1)
        return y, (lambda grad, _redirect: torch.split(grad, sizes, 1)) if gradient else None

    def of_channel(self, channel: int) -> Operation:
        """Never asked: one channel is one of the inputs'."""
        raise NotImplementedError(channel)


@dataclass(eq=False)
class MaxPool:
    """Maxima of windows; their places are kept for gradients alone."""

    window: Sequence[Any]

    def __call__(self, x: Tensor, *, gradient: bool) -> tuple[Tensor, Gradient | None]:
        """``(N, C, H, W)`` -> ``(N, C, H', W')``."""
        x = _channels_last(x)
        y, places = torch.ops.aten.max_pool2d_with_indices(x, *self.window)
        if not gradient:
            return y, None

        def to_input(grad: Tensor, _redirect: bool) -> tuple[Tensor]:
            found: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
                _channels_last(grad), x, *self.window, places
            )
            return (found,)

        return y, to_input

    def of_channel(self, _channel: int) -> MaxPool:
        """The same."""
        return self
