"""Which layers of a network are worth naming, told by its structure.

The menu is cut where the network branches: a layer of it is a block, or a stage of blocks. What a
block is made of, poolings, and the classifier are not in it; their names are understood all the
same.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from torch import nn

from neuron_widget.networks.probing import Probed

__all__ = ["grouped", "main_layers", "menu_names", "middle_layer"]

Shapes = Mapping[str, tuple[int, int, int]]

_LEVELS = 2
_LONGEST = 64
_A_ROW = 3  # so many names that differ by their numbers are one


def menu_names(module: nn.Module, seen: Probed) -> list[str]:
    """The layers a person would name, in order of execution.

    Where a trunk (``blocks``, ``stages``) gives what its last block gives, it is the block that is
    named.
    """
    shapes = _worth_naming(module, seen)
    names = main_layers(shapes)
    inside = _inside_of_blocks(module, seen, shapes)
    names = [name for name in names if name not in inside] or names
    # Between blocks, what has but one part that is looked at is not taken apart.
    groups = grouped(names)
    return [
        name
        for name in names
        if groups[name] in ("stem", "layers")
        or name.rpartition(".")[0] not in names
        or name.rpartition(".")[2].isdigit()
    ]


def main_layers(shapes: Shapes) -> list[str]:
    """Blocks and stages among layers, told by their names alone.

    A name's level counts the places on its way where the network branches: neither wrappers
    (``model.backbone.``), nor containers that hold most of what is around them (``stages.``), nor
    the trunk beside a stem and a head (``encoder.``). So ``layer3.1`` of one layout and
    ``resnet.encoder.stages.2.layers.1`` of another are both of level 2. Of what level 2 is made of,
    those are left out that are no lists of their own: ``blocks.3.mlp``.
    """
    levels, _ = _levels(shapes)

    def is_of_a_list(name: str) -> bool:
        ways = [*itertools.accumulate(name.split("."), "{}.{}".format)]
        return ways[-1].rpartition(".")[2].isdigit() and not any(
            levels.get(way, 0) == _LEVELS for way in ways[:-1]
        )

    for most in range(_LEVELS, 0, -1):
        names = [
            name
            for name in shapes
            if levels[name] <= most and (levels[name] < _LEVELS or is_of_a_list(name))
        ]
        if 0 < len(names) <= _LONGEST:
            return names
    return list(shapes)


def middle_layer(module: nn.Module, names: Sequence[str], seen: Probed) -> str:
    """A block in the middle of the network, where neurons see textures and shapes.

    ``names`` are some of the network's, at least one. Neither a pooling layer nor another that
    makes the map smaller by itself, nor a map of one position, if there is anything else.
    """
    shapes = _with_own_names(seen.shapes, seen.same)
    order, (levels, _) = list(shapes), _levels(shapes)

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


def grouped(names: Sequence[str]) -> dict[str, str]:
    """Name -> the heading it stands under: stem, a stage or a list of blocks, head.

    Blocks are what is counted: ``layer1.0``, with what holds them (``layer1``), or a row of names
    such as ``mixed3a`` to ``mixed5b``.
    """
    rows = Counter(_row(name) for name in names)

    def heading(name: str) -> str:
        parent, _, last = name.rpartition(".")
        if any(re.match(rf"{re.escape(name)}\..*\d$", other) for other in names):
            return name
        if last.isdigit():
            ways = itertools.accumulate(parent.split("."), "{}.{}".format)
            return next((way for way in reversed([*ways]) if way in names), parent)
        return _row(name) if rows[_row(name)] >= _A_ROW and last != _row(name) else ""

    headings = [heading(name) for name in names]
    blocks = [i for i, found in enumerate(headings) if found]
    if not blocks:
        return dict.fromkeys(names, "layers")
    groups: dict[str, str] = {}
    for i, name in enumerate(names):
        ends = "stem" if i < blocks[0] else "head" if i > blocks[-1] else ""
        groups[name] = ends or headings[i] or groups[names[i - 1]]
    return groups


def _row(name: str) -> str:
    """What a counted name is without its number: ``mixed`` of ``mixed3a``."""
    return re.sub(r"[_\d]+[a-z]?$", "", name.rpartition(".")[2])


# ------------------------------------------------------------------ what is not worth naming


def _worth_naming(module: nn.Module, seen: Probed) -> dict[str, tuple[int, int, int]]:
    """The layers but for poolings, the classifier, and what changes nothing."""
    kinds = {name: layout.kind for name, layout in seen.layouts.items()}
    maps = {name: shape for name, shape in seen.shapes.items() if kinds[name] != "vector"}
    if not maps:
        return {}
    places = _with_own_names(maps, seen.same)
    kinds |= dict(zip(places, [kinds[name] for name in maps], strict=True))
    order = list(places)
    head = _head(module, places, seen.gives_vector)
    chosen = {}
    for before, name in zip([None, *order], order, strict=False):
        smaller = before is not None and _area(places[name]) < _area(places[before])
        turned = before is not None and kinds[name] != kinds[before]
        pooled = type(module.get_submodule(name)).__module__ == nn.modules.pooling.__name__
        plain = not _has_weights(module, name)
        if name in head or name in seen.unchanged or (plain and (smaller or turned or pooled)):
            continue
        chosen[name] = places[name]
    return chosen or dict(places)


def _inside_of_blocks(module: nn.Module, seen: Probed, shapes: Shapes) -> set[str]:
    """Parts of what computes, where a stage only holds its blocks: it gives what the last gives.

    A class computes if one of its modules does: of residual blocks those that make the map smaller
    may add nothing.
    """
    modules = dict(module.named_modules())
    kinds = {
        type(modules[name])
        for name in seen.shapes
        if name not in seen.same and any(True for _ in modules[name].children())
    }
    _, transparent = _levels(shapes)

    def is_inside(name: str) -> bool:
        ways = [*itertools.accumulate(name.split("."), "{}.{}".format)][:-1]
        return any(type(modules[way]) in kinds and way not in transparent for way in ways)

    return {name for name in shapes if is_inside(name)}


def _area(shape: tuple[int, int, int]) -> int:
    return shape[1] * shape[2]


def _head(module: nn.Module, places: Shapes, gives_vector: bool) -> set[str]:
    """What makes classes of the last map: from where it becomes one place on.

    And the part of the network that pools its maps to classes (``classifier``).
    """
    if not gives_vector:
        return set()
    order = list(places)
    wide = [i for i, name in enumerate(order) if _area(places[name]) > 1]
    found: set[str] = set()
    if wide and wide[-1] + 1 < len(order):
        pooled = order[wide[-1] + 1]
        # A network of small images may come to one place by steps of its own.
        if _area(places[order[wide[-1]]]) > _FEW or not _has_weights(module, pooled):
            found |= set(order[wide[-1] + 1 :])
    around = _wrapper(order)
    *others, last = [name for name, _ in module.get_submodule(around).named_children()] or [""]
    last = f"{around}.{last}".strip(".")
    if others and any(isinstance(m, _POOLINGS) for m in module.get_submodule(last).modules()):
        part = {name for name in order if f"{name}.".startswith(f"{last}.")}
        found |= part if 2 * len(part) < len(order) else set()
    return found


_FEW = 9
_POOLINGS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.AvgPool2d, nn.Flatten)


def _wrapper(names: Sequence[str]) -> str:
    """The part that all layers are in; empty for the network itself."""
    parts = [name.split(".") for name in names]
    common = list(itertools.takewhile(lambda same: len(set(same)) == 1, zip(*parts, strict=False)))
    depth = min(len(common), min(map(len, parts)) - 1)
    return ".".join(parts[0][:depth])


def _has_weights(module: nn.Module, name: str) -> bool:
    return any(True for _ in module.get_submodule(name).parameters())


def _with_own_names(shapes: Shapes, same: Mapping[str, str]) -> dict[str, tuple[int, int, int]]:
    """The layers with the last block's name in place of the trunk's."""
    _, transparent = _levels(shapes)

    def own(name: str) -> str:
        while name in transparent and name in same:
            name = same[name]
        return name

    return {own(name): shape for name, shape in shapes.items()}


# ------------------------------------------------------------------ levels


def _levels(shapes: Shapes) -> tuple[dict[str, int], set[str]]:
    """The level of each name, and the containers that are none."""
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

    return {name: level(name) for name in shapes}, transparent
