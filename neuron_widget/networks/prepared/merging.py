"""Batch normalisation, sums and ReLU into the convolutions before them, padding into those behind.

What is a batch normalisation is told by what it computes: for each channel a factor and a summand
that do not depend on the image. One that takes its statistics from the images is none. Nothing is
merged into a convolution whose own result something else reads too.
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from neuron_widget.networks.prepared.graph import Node, rewritten
from neuron_widget.networks.prepared.operations import (
    Add,
    Affine,
    Concatenate,
    Convolution,
    MaxPool,
    ReLU,
)

__all__ = ["merged"]

_aten = torch.ops.aten


def merged(output: Node, dtype: torch.dtype) -> Node:
    """The same graph in fewer operations, its convolutions computed in ``dtype``."""

    def known(node: Node, _reads: Counter[Node]) -> Node:
        rule = _RULES.get(node.target)
        found = rule(node, dtype) if rule is not None else None
        return found or node

    return rewritten(rewritten(output, known), _into_the_one_before)


def _into_the_one_before(node: Node, reads: Counter[Node]) -> Node:
    """A normalisation, sum or ReLU and what it reads, as one operation."""
    this = node.target
    if isinstance(this, Convolution):
        return _with_padding(node, this)
    if isinstance(this, Add):
        return _as_a_sum(node, reads)
    if not isinstance(this, (Affine, ReLU)):
        return node
    (before,) = node.args
    if reads[before] != 1:
        return node
    one = before.target
    if isinstance(one, Convolution) and one.top is None:
        if isinstance(this, ReLU):
            if one.adds and this.top < math.inf:
                return node
            return Node(replace(one, top=this.top), before.args, {}, node.shape)
        if one.adds:
            return node
        return Node(one.scaled(this.scale, this.shift), before.args, {}, node.shape)
    if isinstance(one, Affine) and isinstance(this, Affine):
        both = Affine(one.scale * this.scale, one.shift * this.scale + this.shift)
        return Node(both, before.args, {}, node.shape)
    return node


def _as_a_sum(node: Node, reads: Counter[Node]) -> Node:
    """A sum and the convolution that gives one of its terms, the later one if both are."""
    for term, other in (node.args[::-1], node.args):
        conv = term.target
        free = isinstance(conv, Convolution) and conv.top is None and not conv.adds
        if free and reads[term] == 1 and term.shape == other.shape:
            return Node(replace(conv, adds=True), (*term.args, other), {}, node.shape)
    return node


def _with_padding(node: Node, conv: Convolution) -> Node:
    """A convolution that pads its input itself."""
    x, *others = node.args
    if x.target is not _aten.constant_pad_nd.default:
        return node
    inner, sides, *value = x.args
    if value not in ([], [0]) or len(sides) != 4 or min(sides) < 0 or not _is_map(inner):
        return node
    left, right, top, bottom = sides
    padded = conv.padded([top, left], [bottom, right])
    return node if padded is None else Node(padded, (inner, *others), {}, node.shape)


# ------------------------------------------------------------------ torch's operations as ours


def _convolution(node: Node, dtype: torch.dtype) -> Node | None:
    x, weight, bias, stride, padding, dilation, transposed, _, groups = node.args
    if transposed or not _is_map(x) or not _is_constant(weight) or weight.ndim != 4:
        return None
    if bias is not None and not _is_constant(bias):
        return None
    conv = Convolution(
        weight.detach(),
        bias.detach() if bias is not None else None,
        stride=_pair(stride),
        padding=_pair(padding),
        dilation=_pair(dilation),
        groups=groups,
        dtype=dtype,
    )
    return Node(conv, (x,), {}, node.shape)


def _normalisation(node: Node, _dtype: torch.dtype) -> Node | None:
    """The normalised map, out of the several tensors that the operation gives."""
    several, i = node.args
    if i != 0 or several.target not in _NORMALISATIONS:
        return None
    x, weight, bias, mean, variance, *settings = several.args
    training, eps = (settings[0], settings[2]) if len(settings) == 3 else (False, settings[1])
    statistics = [t for t in (weight, bias, mean, variance) if t is not None]
    if training or mean is None or variance is None:
        return None
    if not _is_map(x) or not all(_is_constant(t) for t in statistics):
        return None
    scale = (variance.double() + eps).rsqrt()
    if weight is not None:
        scale = scale * weight.double()
    shift = -mean.double() * scale
    if bias is not None:
        shift = shift + bias.double()
    return Node(Affine(scale, shift), (x,), {}, node.shape)


def _pooled(node: Node) -> Node | None:
    several, i = node.args
    if i != 0 or several.target is not _aten.max_pool2d_with_indices.default:
        return None
    if several.kwargs or not _is_map(several.args[0]):
        return None
    left_out: tuple[Any, ...] = (None, None, [], [0], [1], False)
    x, kernel, stride, padding, dilation, ceil = several.args + left_out[len(several.args) :]
    sizes = [_pair(v) for v in (kernel, stride or kernel, padding, dilation)]
    return Node(MaxPool((*sizes, ceil)), (x,), {}, node.shape)


def _first_of_several(node: Node, dtype: torch.dtype) -> Node | None:
    return _normalisation(node, dtype) or _pooled(node)


def _sum(node: Node, _dtype: torch.dtype) -> Node | None:
    a, b, *more = node.args
    if more or node.kwargs:
        return None
    if isinstance(a, Node) and isinstance(b, Node):
        return Node(Add(), (a, b), {}, node.shape) if a.shape == b.shape else None
    return _for_each_channel(node, a, b, lambda c: (torch.ones_like(c), c))


def _product(node: Node, _dtype: torch.dtype) -> Node | None:
    a, b, *more = node.args
    if more or node.kwargs:
        return None
    return _for_each_channel(node, a, b, lambda c: (c, torch.zeros_like(c)))


def _for_each_channel(
    node: Node, a: Any, b: Any, as_affine: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> Node | None:
    x, constant = (a, b) if isinstance(a, Node) else (b, a)
    if not _is_map(x) or not _is_constant(constant) or node.shape != x.shape:
        return None
    if constant.shape[-3:] != (x.shape[1], 1, 1) or constant.numel() != x.shape[1]:
        return None
    return Node(Affine(*as_affine(constant.detach().flatten().double())), (x,), {}, node.shape)


def _relu(node: Node, _dtype: torch.dtype) -> Node:
    return Node(ReLU(math.inf), node.args, {}, node.shape)


def _relu6(node: Node, _dtype: torch.dtype) -> Node | None:
    # nn.ReLU6 is a Hardtanh between 0 and 6.
    return Node(ReLU(6.0), node.args[:1], {}, node.shape) if node.args[1:] == (0.0, 6.0) else None


def _concatenated(node: Node, _dtype: torch.dtype) -> Node | None:
    parts, *axis = node.args
    if axis != [1] or not all(_is_map(part) for part in parts):
        return None
    return Node(Concatenate(), tuple(parts), {}, node.shape)


def _pair(value: list[int]) -> list[int]:
    return [*value] * 2 if len(value) == 1 else [*value]


def _is_map(x: object) -> bool:
    return isinstance(x, Node) and len(x.shape) == 4


def _is_constant(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype in (torch.float32, torch.float64)


_NORMALISATIONS = (
    _aten.native_batch_norm.default,
    _aten._native_batch_norm_legit.default,
    _aten._native_batch_norm_legit_no_training.default,
)
_RULES: dict[object, Callable[[Node, torch.dtype], Node | None]] = {
    _aten.convolution.default: _convolution,
    operator.getitem: _first_of_several,
    _aten.add.Tensor: _sum,
    _aten.mul.Tensor: _product,
    _aten.relu.default: _relu,
    _aten.hardtanh.default: _relu6,
    _aten.cat.default: _concatenated,
}
