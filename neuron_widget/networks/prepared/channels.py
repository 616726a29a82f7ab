"""Of the last operations only what one channel needs.

Nothing else of the layer is maximised, so from the layer back every operation that keeps channels
apart is done for one, up to those that mix them (a convolution, of which one row of weights is
left) or whose whole result is needed elsewhere.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor

from neuron_widget.networks.prepared.graph import Node, uses
from neuron_widget.networks.prepared.operations import (
    Add,
    Affine,
    Concatenate,
    Convolution,
    Gradient,
    MaxPool,
    ReLU,
    Returning,
)

__all__ = ["one_channel"]

_aten = torch.ops.aten
_POINT_BY_POINT = (
    _aten.silu.default,
    _aten.gelu.default,
    _aten.sigmoid.default,
    _aten.hardswish.default,
    _aten.hardsigmoid.default,
    _aten.hardtanh.default,
    _aten.elu.default,
    _aten.tanh.default,
    _aten.leaky_relu.default,
    _aten.mul.Tensor,
    _aten.add.Tensor,
)


def one_channel(output: Node, channel: int) -> Node:
    """The node of ``(N, 1, h, w)``, that channel of ``(N, C, h, w)``."""
    return _Narrowing(output).of(output, channel)


class _Narrowing:
    def __init__(self, output: Node):
        self._uses: Counter[Node] = uses(output)
        self._known: dict[tuple[Node, int], Node] = {}

    def of(self, node: Node, channel: int) -> Node:
        if (node, channel) not in self._known:
            self._known[node, channel] = self._narrowed(node, channel)
        return self._known[node, channel]

    def _narrowed(self, node: Node, channel: int) -> Node:
        n, channels, *size = node.shape
        shape = (n, 1, *size)
        target = node.target
        if self._uses[node] == 1:
            if isinstance(target, Convolution):
                x, *others = node.args
                alone = target.groups == channels == x.shape[1]
                if alone or target.groups == 1:
                    source = self.of(x, channel) if alone else x
                    also = (self.of(other, channel) for other in others)
                    return Node(target.of_channel(channel), (source, *also), {}, shape)
            elif isinstance(target, Concatenate):
                for part in node.args:
                    if channel < part.shape[1]:
                        return self.of(part, channel)
                    channel -= part.shape[1]
            elif isinstance(target, (Affine, ReLU, Add, MaxPool)):
                sources = tuple(self.of(x, channel) for x in node.args)
                return Node(target.of_channel(channel), sources, {}, shape)
            elif target in _POINT_BY_POINT and self._fits(node):
                args = tuple(self.of(x, channel) if isinstance(x, Node) else x for x in node.args)
                return Node(target, args, node.kwargs, shape)
        return Node(_Pick(channel), (node,), {}, shape)

    @staticmethod
    def _fits(node: Node) -> bool:
        """Whether what it works on has its channels where it has them itself."""
        return all(
            not isinstance(x, Tensor)
            and (not isinstance(x, Node) or (len(x.shape) == 4 and x.shape[1] == node.shape[1]))
            for x in node.args
        )


class _Pick:
    """One channel of a map that is needed as a whole."""

    def __init__(self, channel: int):
        self._channel = channel

    def __call__(self, x: Tensor, *, gradient: bool) -> tuple[Tensor, Gradient | None]:
        one = slice(self._channel, self._channel + 1)
        if not gradient:
            return x[:, one], None

        def to_input(returning: Returning) -> tuple[Tensor]:
            found = torch.zeros_like(x)
            found[:, one] = returning.grad
            return (found,)

        return x[:, one], to_input

    def of_channel(self, channel: int) -> Any:
        """Never asked: it stands last, and gives one channel already."""
        raise NotImplementedError(channel)
