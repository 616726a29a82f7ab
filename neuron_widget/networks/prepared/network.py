"""A network up to a layer as one differentiable function, made of a recording of it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from neuron_widget.networks.prepared.channels import one_channel
from neuron_widget.networks.prepared.graph import Node, in_order, inputs_of
from neuron_widget.networks.prepared.merging import merged
from neuron_widget.networks.prepared.program import Program, Tape

__all__ = ["PreparedNetwork"]


class PreparedNetwork:
    """Images as the network takes them ``(N, 3, H, W)`` -> the layer's activation.

    The gradient of the images follows; there is none of the weights, which are those of the
    recording.

    Parameters
    ----------
    images, output
        The recorded graph's ends.
    dtype
        What convolutions are computed in.

    Attributes
    ----------
    any_number
        Whether it serves any number of images, or only as many as were recorded.
    """

    def __init__(self, images: Node, output: Node, dtype: torch.dtype):
        self._images, self._dtype = images, dtype
        self._output = merged(output, dtype)
        whole = in_order([self._output])
        self._own = frozenset(whole)
        self.any_number = all(_is_for_any_number(node) for node in whole)
        self._whole = Program([images], [self._output], dtype)
        # More than are side by side, fewer than a layer has.
        self._tail = functools.lru_cache(maxsize=128)(self._make_tail)
        self._trunk = functools.lru_cache(maxsize=32)(self._make_trunk)

    def __call__(
        self, images: Tensor, redirect: bool = False, neurons: Sequence[int] | None = None
    ) -> Tensor:
        """The activation, or ``(N, 1, h, w)`` of the one neuron named for each image."""
        activation: Tensor = _Function.apply(images, self, redirect, neurons)
        return activation

    def forward(
        self, images: Tensor, neurons: Sequence[int] | None, gradient: bool
    ) -> tuple[Tensor, _Tapes | None]:
        """The activation, and what leads back."""
        images = images.contiguous(memory_format=torch.channels_last)
        tape = Tape() if gradient else None
        if neurons is None:
            (activation,) = self._whole([images], tape)
            return activation, _Tapes(self._whole, tape) if tape is not None else None
        tails = [self._tail(neuron) for neuron in neurons]
        trunk = self._trunk(tuple(dict.fromkeys(node for tail in tails for node in tail.given)))
        values = dict(zip(trunk.wanted, trunk([images], tape), strict=True))
        found: list[Tensor] = []
        tapes: list[Tape | None] = []
        # Image by image: its last bits must not depend on what others need.
        for i, tail in enumerate(tails):
            tapes.append(Tape() if gradient else None)
            found += tail([values[node][i : i + 1] for node in tail.given], tapes[-1])
        shapes = {node: value.shape for node, value in values.items()}
        whole = _Tapes(trunk, tape, tails, tapes, shapes) if tape is not None else None
        return torch.cat(found), whole

    def _make_tail(self, neuron: int) -> Program:
        end = one_channel(self._output, neuron)
        new = [node for node in in_order([end]) if node not in self._own]
        given = dict.fromkeys(read for node in new for read in inputs_of(node) if read in self._own)
        return Program([*given], [end], self._dtype)

    def _make_trunk(self, wanted: tuple[Node, ...]) -> Program:
        return Program([self._images], wanted, self._dtype)


class _Tapes:
    """The way back from the layer to the images."""

    def __init__(
        self,
        trunk: Program,
        tape: Tape,
        tails: Sequence[Program] = (),
        tapes: Sequence[Any] = (),
        shapes: dict[Node, torch.Size] | None = None,
    ):
        self._trunk, self._tape = trunk, tape
        self._tails, self._tapes, self._shapes = tails, tapes, shapes or {}

    def back(self, grad: Tensor, redirect: bool) -> Tensor:
        (images,) = self._trunk.given
        if not self._tails:
            (output,) = self._trunk.wanted
            return self._tape.back({output: grad}, redirect)[images]
        each: dict[Node, list[Tensor | None]] = {
            node: [None] * len(self._tails) for node in self._trunk.wanted
        }
        for i, (tail, tape) in enumerate(zip(self._tails, self._tapes, strict=True)):
            found = tape.back({tail.wanted[0]: grad[i : i + 1]}, redirect)
            for node in tail.given:
                each[node][i] = found.get(node)
        grads = {}
        for node, parts in each.items():
            there = next((part for part in parts if part is not None), None)
            if there is not None:
                full = [p if p is not None else torch.zeros_like(there) for p in parts]
                grads[node] = full[0] if len(full) == 1 else torch.cat(full)
        return self._tape.back(grads, redirect)[images]


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        network: PreparedNetwork,
        redirect: bool,
        neurons: Sequence[int] | None,
    ) -> Tensor:
        found, ctx.tapes = network.forward(images, neurons, ctx.needs_input_grad[0])
        ctx.redirect, ctx.dtype = redirect, images.dtype
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        return ctx.tapes.back(grads[0], ctx.redirect).to(ctx.dtype), None, None, None


_aten = torch.ops.aten
# Torch's operations that name no number of images.
_FOR_ANY_NUMBER = frozenset(
    {
        _aten.constant_pad_nd.default,
        _aten.silu.default,
        _aten.gelu.default,
        _aten.sigmoid.default,
        _aten.hardswish.default,
        _aten.hardsigmoid.default,
        _aten.hardtanh.default,
        _aten.leaky_relu.default,
        _aten.elu.default,
        _aten.tanh.default,
        _aten.mul.Tensor,
        _aten.add.Tensor,
        _aten.mean.dim,
        _aten._adaptive_avg_pool2d.default,
        _aten.avg_pool2d.default,
        _aten.permute.default,
        _aten.native_layer_norm.default,
    }
)


def _is_for_any_number(node: Node) -> bool:
    return not isinstance(node.target, torch._ops.OpOverload) or node.target in _FOR_ANY_NUMBER
