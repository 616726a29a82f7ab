"""Which layers of a network are worth naming, told by its structure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from torch import nn

__all__ = ["main_layers", "middle_layer"]

Shapes = Mapping[str, tuple[int, int, int]]

_LEVELS = 2
_LONGEST = 64


def main_layers(shapes: Shapes) -> list[str]:
    """The layers a person would name: blocks, and what they are made of where these are few.

    A name's level counts the places on its way where the network branches: neither wrappers
    (``model.backbone.``), nor containers that hold most of what is around them (``stages.``), nor
    the trunk beside a stem and a head (``encoder.``). So ``layer3.1`` of one layout and
    ``resnet.encoder.stages.2.layers.1`` of another are both of level 2.
    """
    levels = _levels(shapes)
    for most in range(_LEVELS, 0, -1):
        names = [name for name in shapes if levels[name] <= most]
        if 0 < len(names) <= _LONGEST:
            return names
    return list(shapes)


def middle_layer(module: nn.Module, names: Sequence[str], shapes: Shapes) -> str:
    """A block in the middle of the network, where neurons see textures and shapes.

    ``names`` are some of the network's, at least one. Neither a pooling layer nor another that
    makes the map smaller by itself, nor a map of one position, if there is anything else.
    """
    order, levels = list(shapes), _levels(shapes)

    def keeps_size(name: str) -> bool:
        before = order.index(name) - 1
        return before < 0 or shapes[order[before]][1:] == shapes[name][1:]

    def is_block(name: str) -> bool:
        part = module.get_submodule(name)
        has_parts = any(True for _ in part.children())
        return levels[name] > 0 and has_parts and any(w.ndim > 1 for w in part.parameters())

    chosen = [name for name in names if name in shapes] or list(names)
    for wanted in (lambda name: shapes[name][1] * shapes[name][2] > 1, keeps_size, is_block):
        chosen = [name for name in chosen if name in shapes and wanted(name)] or chosen
    return chosen[len(chosen) * 3 // 5]


def _levels(shapes: Shapes) -> dict[str, int]:
    below: dict[str, list[str]] = {"": list(shapes)}
    children: dict[str, set[str]] = {}
    for name in shapes:
        parts = name.split(".")
        for depth in range(len(parts)):
            parent, child = ".".join(parts[:depth]), ".".join(parts[: depth + 1])
            children.setdefault(parent, set()).add(child)
            below.setdefault(child, []).append(name)

    def sizes(prefix: str) -> int:
        return len({shapes[name][1:] for name in below[prefix]})

    trunk, transparent = "", {""}
    while True:
        # The part that holds most layers, at most sizes: not just a long stage.
        largest = max(children.get(trunk, ()), key=lambda child: len(below[child]), default="")
        if (
            not (
                len(children.get(largest, ())) > 1
                and 2 * len(below[largest]) > len(shapes)
                and 2 * sizes(largest) > sizes("")
            )
            and len(children.get(trunk, ())) != 1
        ):
            break
        trunk = largest
        transparent.add(trunk)

    def is_level(parent: str, child: str) -> bool:
        if child in transparent or len(children[parent]) == 1:
            return False
        # A container that is called shares its activation with the block around it.
        holds_most = 2 * len(below[child]) > len(below[parent])
        return child in shapes or not holds_most or 2 * sizes(child) < sizes(parent)

    def level(name: str) -> int:
        parts = name.split(".")
        ways = [".".join(parts[:depth]) for depth in range(len(parts) + 1)]
        return sum(is_level(parent, child) for parent, child in itertools.pairwise(ways))

    return {name: level(name) for name in shapes}
