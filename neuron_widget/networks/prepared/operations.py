"""What a prepared network is made of: operations that bring their gradients along.

Each one is called with tensors and gives its result and, if asked, the gradient: a function from
what comes back (:class:`Returning`) to one gradient for each tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from neuron_widget.networks.convolutions import Kernel
from neuron_widget.networks.prepared.kernels import Backward, backward, is_channels_last

__all__ = [
    "Add",
    "Affine",
    "Concatenate",
    "Convolution",
    "Gradient",
    "MaxPool",
    "Operation",
    "ReLU",
    "Returning",
]

_aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Returning:
    """The gradient of a result, on its way back.

    Attributes
    ----------
    grad
        The gradient.
    redirect
        Whether ReLU's is redirected, see :class:`..layers.RedirectedReLU`.
    owned
        Whether nobody else reads ``grad``: it may be written over.
    there
        What the first input has been given by others, if it may be written onto. A function that
        returns this very tensor has added its own gradient to it.
    """

    grad: Tensor
    redirect: bool = False
    owned: bool = False
    there: Tensor | None = None


Gradient = Callable[[Returning], Sequence[Tensor | None]]


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
    adds
        Whether a second tensor is added to the result, before the ReLU.
    """

    weight: Tensor
    bias: Tensor | None
    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int
    dtype: torch.dtype
    top: float | None = None
    adds: bool = False
    _forward: Kernel | None = field(default=None, repr=False)
    _backward: Backward | None = field(default=None, repr=False)

    def __call__(
        self, x: Tensor, *others: Tensor, gradient: bool
    ) -> tuple[Tensor, Gradient | None]:
        """``(N, C, H, W)`` -> ``(N, C', H', W')``, both channels_last."""
        if self._forward is None:
            bias = self.bias.to(self.dtype) if self.bias is not None else None
            self._forward = Kernel(
                self.weight.to(self.dtype), bias, stride=self.stride, padding=self.padding,
                dilation=self.dilation, groups=self.groups, top=self.top,
            )  # fmt: skip
        given = x.dtype, *(other.dtype for other in others)
        x = _channels_last(x.to(self.dtype))
        y = self._forward(x, *(_channels_last(other.to(self.dtype)) for other in others))
        if not gradient:
            return y, None
        if self._backward is None:
            self._backward = backward(self.weight.to(self.dtype), self.stride, self.padding,
                                      self.dilation, self.groups)  # fmt: skip
        back, top = self._backward, self.top

        def to_inputs(returning: Returning) -> list[Tensor]:
            grad = returning.grad.to(y.dtype)
            if top is not None:
                into = grad if returning.owned or grad is not returning.grad else None
                grad = rectified_gradient(grad, y, top, returning.redirect, into)
            there = returning.there
            if there is not None and (there.dtype != y.dtype or not is_channels_last(there)):
                there = None
            found = back(_channels_last(grad), x, there)
            both = zip((found, grad), given, strict=False)
            return [gradient.to(dtype) for gradient, dtype in both]

        return y, to_inputs

    def scaled(self, scale: Tensor, shift: Tensor) -> Convolution:
        """With ``x * scale + shift`` behind it, for each channel; in double precision."""
        assert self.top is None
        assert not self.adds
        weight = self.weight.double() * scale.double().view(-1, 1, 1, 1)
        bias = shift.double()
        if self.bias is not None:
            bias = bias + self.bias.double() * scale.double()
        kind = self.weight.dtype
        return replace(self, weight=weight.to(kind), bias=bias.to(kind))

    def padded(self, before: list[int], after: list[int]) -> Convolution | None:
        """With so many zeros around its input, in each direction; None where that costs more.

        oneDNN pads both sides alike: the shorter one by weights of zero, which are cheap where
        channels stay apart.
        """
        if before == after:
            sides = [p + b for p, b in zip(self.padding, before, strict=True)]
            return replace(self, padding=sides)
        if self.groups != len(self.weight) or max(self.dilation) > 1:
            return None
        (top, left), (bottom, right) = before, after
        sides = [max(top, bottom), max(left, right)]
        weight = F.pad(self.weight, (sides[1] - left, sides[1] - right,
                                     sides[0] - top, sides[0] - bottom))  # fmt: skip
        padding = [p + s for p, s in zip(self.padding, sides, strict=True)]
        return replace(self, weight=weight, padding=padding)

    def of_channel(self, channel: int) -> Convolution:
        """That channel alone: of a depthwise convolution it reads one channel alone too."""
        one = slice(channel, channel + 1)
        bias = self.bias[one] if self.bias is not None else None
        return replace(self, weight=self.weight[one], bias=bias, groups=1,
                       _forward=None, _backward=None)  # fmt: skip


@dataclass(eq=False)
class Affine:
    """``x * scale + shift``, for each channel: a batch normalisation that nothing could take in."""

    scale: Tensor
    shift: Tensor

    def __call__(self, x: Tensor, *, gradient: bool) -> tuple[Tensor, Gradient | None]:
        """``(N, C, H, W)`` -> the same shape."""
        scale, shift = (t.to(x.dtype).view(1, -1, 1, 1) for t in (self.scale, self.shift))
        y = torch.addcmul(shift, x, scale)
        return y, (lambda returning: (returning.grad * scale,)) if gradient else None

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
        low = self.top == math.inf and x.dtype == torch.bfloat16 and x.device.type == "cpu"
        bits = x.view(torch.int16) if low else x
        y = bits.clamp(0, self.top if self.top < math.inf else None).view(x.dtype)
        if not gradient:
            return y, None

        def to_input(returning: Returning) -> tuple[Tensor]:
            grad = returning.grad
            into = grad if returning.owned else None
            return (rectified_gradient(grad, y, self.top, returning.redirect, into),)

        return y, to_input

    def of_channel(self, _channel: int) -> ReLU:
        """The same."""
        return self


def rectified_gradient(
    grad: Tensor, y: Tensor, top: float, redirect: bool, into: Tensor | None = None
) -> Tensor:
    """ReLU's or ReLU6's gradient from its output ``y``; by lucid's rule if redirected.

    ``into``: where it is written, which may be ``grad`` itself.
    """
    if into is None or redirect:
        into = torch.empty_like(grad)
    if top < math.inf:
        _aten.hardtanh_backward.grad_input(grad, y, 0.0, top, grad_input=into)
    elif y.dtype == torch.bfloat16 and y.device.type == "cpu":
        # As the integers that they also are: the processor has instructions for these.
        bits, own, found = (t.view(torch.int16) for t in (grad, y, into))
        _aten.threshold_backward.grad_input(bits, own, 0, grad_input=found)
    else:
        _aten.threshold_backward.grad_input(grad, y, 0, grad_input=into)
    if redirect and y.device.type != "cpu":  # nothing may be read there: it would wait
        alive = torch.linalg.vector_norm(into, torch.inf, dim=tuple(range(1, y.ndim)), keepdim=True)
        up = torch.where(y <= 0, grad.clamp(max=0), grad)
        up = torch.where(y >= top, up.clamp(min=0), up)
        return torch.where(alive > 0, into, up)
    if redirect:
        strongest = torch.linalg.vector_norm(into.flatten(1), torch.inf, dim=1).tolist()
        for i, strength in enumerate(strongest):
            if strength == 0:
                # Nothing gets through. What would push a dead unit further away is left out.
                up = torch.where(y[i] <= 0, grad[i].clamp(max=0), grad[i])
                into[i] = torch.where(y[i] >= top, up.clamp(min=0), up)
    return into


class Add:
    """The sum of two tensors of one shape."""

    def __call__(
        self, x: Tensor, other: Tensor, *, gradient: bool
    ) -> tuple[Tensor, Gradient | None]:
        """Any shape."""
        return x + other, (lambda returning: (returning.grad,) * 2) if gradient else None

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
        return y, (lambda returning: torch.split(returning.grad, sizes, 1)) if gradient else None

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
        y, places = _aten.max_pool2d_with_indices(x, *self.window)
        if not gradient:
            return y, None

        def to_input(returning: Returning) -> tuple[Tensor]:
            found: Tensor = _aten.max_pool2d_with_indices_backward(
                _channels_last(returning.grad), x, *self.window, places
            )
            return (found,)

        return y, to_input

    def of_channel(self, _channel: int) -> MaxPool:
        """The same."""
        return self
