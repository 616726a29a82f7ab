"""Running a graph, forwards and backwards."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from neuron_widget.networks.prepared.graph import Node, in_order, inputs_of
from neuron_widget.networks.prepared.operations import Returning

__all__ = ["Program", "Tape"]


class Program:
    """What it takes to get from some values of a graph to others.

    Parameters
    ----------
    given, wanted
        Nodes whose values are there, and whose values are to be found.
    dtype
        The precision: bfloat16 means that torch's own operations run in autocast.
    """

    def __init__(self, given: Sequence[Node], wanted: Sequence[Node], dtype: torch.dtype):
        self.given, self.wanted = tuple(given), tuple(wanted)
        self._dtype = dtype
        self._nodes = in_order(wanted, given)
        last = {read: node for node in self._nodes for read in inputs_of(node)}
        freed: dict[Node, list[Node]] = {}
        for read, node in last.items():
            if read not in self.wanted:
                freed.setdefault(node, []).append(read)
        self._steps = [(node, tuple(inputs_of(node)), freed.get(node, ())) for node in self._nodes]
        # Of several tensors that one operation gives, those that are used.
        self._parts: dict[Node, list[Node]] = {}
        for node in self._nodes:
            if node.target is operator.getitem:
                self._parts.setdefault(node.args[0], []).append(node)

    def __call__(self, given: Sequence[Tensor], tape: Tape | None) -> list[Tensor]:
        """The values wanted; with a tape, also what leads back."""
        values: dict[Node, Any] = dict(zip(self.given, given, strict=True))
        low = self._dtype == torch.bfloat16
        with torch.autocast(given[0].device.type, torch.bfloat16, enabled=low):
            for node, reads, freed in self._steps:
                if node.target is operator.getitem:
                    source, i = node.args
                    values[node] = values[source][i]
                elif isinstance(node.target, torch._ops.OpOverload):
                    values[node] = self._torchs(node, values, tape)
                else:
                    assert node.target is not None
                    inputs = [values[read] for read in reads]
                    found, gradient = node.target(*inputs, gradient=tape is not None)
                    if tape is not None:
                        tape.append((node,), reads, gradient, ours=True)
                    values[node] = found
                for read in freed:
                    del values[read]
        return [values[node] for node in self.wanted]

    def _torchs(self, node: Node, values: Mapping[Node, Any], tape: Tape | None) -> Any:
        """One of torch's operations, with its own gradient."""
        func: Any = node.target
        if tape is None:
            return func(*_filled(node.args, values), **_filled(node.kwargs, values))
        reads = list(dict.fromkeys(inputs_of(node)))
        leaves = {read: values[read].detach() for read in reads}
        inputs = [read for read in reads if leaves[read].is_floating_point()]
        for read in inputs:
            leaves[read].requires_grad_()
        with torch.enable_grad():
            found = func(*_filled(node.args, leaves), **_filled(node.kwargs, leaves))
        several = isinstance(found, (tuple, list))
        outputs = self._parts.get(node, []) if several else [node]
        made = [found[part.args[1]] if several else found for part in outputs]
        reached = [(o, t) for o, t in zip(outputs, made, strict=True) if t.requires_grad]
        if reached:
            tensors = [t for _, t in reached]

            def to_inputs(grads: Sequence[Tensor | None], _redirect: bool) -> Sequence[Any]:
                pairs = [
                    (t, g.to(t.dtype)) for t, g in zip(tensors, grads, strict=True) if g is not None
                ]
                return torch.autograd.grad(
                    [t for t, _ in pairs],
                    [leaves[read] for read in inputs],
                    [g for _, g in pairs],
                    allow_unused=True,
                )

            tape.append([o for o, _ in reached], inputs, to_inputs)
        if several:
            return [t.detach() if isinstance(t, Tensor) else t for t in found]
        return found.detach()


def _filled(args: Any, values: Mapping[Node, Any]) -> Any:
    return tree_map_only(Node, lambda node: values[node], args)


class Tape:
    """What leads back, last things last."""

    def __init__(self) -> None:
        self._steps: list[tuple[Sequence[Node], Sequence[Node], Any, bool]] = []

    def append(
        self, outputs: Sequence[Node], inputs: Sequence[Node], gradient: Any, ours: bool = False
    ) -> None:
        """One operation: the nodes that it gave and read, and its gradient.

        ``ours``: whether it is one of :mod:`.operations`, with one result.
        """
        self._steps.append((outputs, inputs, gradient, ours))

    def back(self, grads: dict[Node, Tensor], redirect: bool) -> dict[Node, Tensor]:
        """From the gradients of some nodes to those of what was given; can be done once."""
        # Gradients that nobody else reads: they may be written over.
        owned: set[Node] = set()
        while self._steps:
            # Each operation's memory is free as soon as its gradient is known.
            outputs, inputs, gradient, ours = self._steps.pop()
            own = [grads.pop(node, None) for node in outputs]
            there: Tensor | None = None
            if all(g is None for g in own):
                continue
            if ours:
                (grad,) = own
                assert grad is not None
                alone = outputs[0] in owned
                there = grads.get(inputs[0]) if inputs[0] in owned else None
                found = gradient(Returning(grad, redirect, alone, there))
                fresh = _read_by_one(found, None if alone else grad)
                del grad
            else:
                found = gradient(own, redirect)
                fresh = [False] * len(found)
            for read, new, is_fresh in zip(inputs, found, fresh, strict=True):
                if new is None or new is there:
                    # Nothing, or added there already.
                    continue
                if read not in grads:
                    grads[read] = new
                    if is_fresh:
                        owned.add(read)
                elif read in owned:
                    grads[read].add_(new)
                else:
                    grads[read] = grads[read] + new
                    owned.add(read)
            del gradient, own, found, there
        return grads


def _read_by_one(found: Sequence[Tensor | None], shared: Tensor | None) -> list[bool]:
    """Of each whether its memory is neither another's nor that of a gradient others read."""
    memories = [None if t is None else t.untyped_storage().data_ptr() for t in (*found, shared)]
    return [memories.count(memory) == 1 for memory in memories[:-1]]
