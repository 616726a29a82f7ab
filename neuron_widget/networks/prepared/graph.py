"""What a network computes, as a graph whose nodes know what they read."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch.utils._pytree import tree_leaves, tree_map_only

__all__ = ["Node", "in_order", "inputs_of", "rewritten", "uses"]

_COUNT = itertools.count()


@dataclass(eq=False, frozen=True)
class Node:
    """One value.

    Attributes
    ----------
    target
        What gives it: an operation of torch's, one of :mod:`.operations`, ``operator.getitem``;
        None for what is given from outside.
    args, kwargs
        With nodes in the place of what they give, and constants as they are.
    shape
        Of the tensor; empty for several tensors.
    """

    target: Callable[..., Any] | None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    # A node is made after all that it reads.
    number: int = field(default_factory=lambda: next(_COUNT))


def inputs_of(node: Node) -> Iterator[Node]:
    """The nodes that one reads, as often as it reads them."""
    return (leaf for leaf in tree_leaves((node.args, node.kwargs)) if isinstance(leaf, Node))


def in_order(outputs: Iterable[Node], given: Iterable[Node] = ()) -> list[Node]:
    """All that is needed for some nodes, each after what it reads; not beyond what is given."""
    found: set[Node] = set(given)
    stop = set(found)
    waiting = [node for node in outputs if node not in stop]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(inputs_of(node))
    return sorted(found - stop, key=lambda node: node.number)


def uses(output: Node) -> Counter[Node]:
    """How often each node is read; the output once more."""
    counted = Counter(read for node in in_order([output]) for read in inputs_of(node))
    counted[output] += 1
    return counted


def rewritten(output: Node, rule: Callable[[Node, Counter[Node]], Node]) -> Node:
    """The graph with every node replaced by what ``rule`` makes of it.

    ``rule`` is given the node, reading what the earlier ones were replaced by, and how often each
    of these is read in the end.
    """
    counted = uses(output)
    known: dict[Node, Node] = {}
    reads: Counter[Node] = Counter()
    for node in in_order([output]):
        args, kwargs = tree_map_only(Node, lambda n: known[n], (node.args, node.kwargs))
        same = all(a is b for a, b in zip(inputs_of(node), _nodes(args, kwargs), strict=True))
        new = rule(node if same else Node(node.target, args, kwargs, node.shape), reads)
        known[node] = new
        reads[new] += counted[node]
    return known[output]


def _nodes(*values: Any) -> Sequence[Node]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Node)]
