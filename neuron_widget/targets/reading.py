"""Targets as people say them: a text, a pair, several at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from neuron_widget.errors import NeuronOutOfRange, TargetError, nearest, shown
from neuron_widget.targets.grammar import looks_composed, read_expression
from neuron_widget.targets.groups import GroupImage, check_alone, group, group_of
from neuron_widget.targets.kinds import KINDS, Centre, Channel, Named
from neuron_widget.targets.target import Target

__all__ = [
    "TargetLike",
    "as_neuron",
    "as_shown",
    "as_target",
    "as_targets",
    "from_dict",
    "parse",
    "parse_targets",
]

TargetLike = Any
"""A target, its text (``"mixed4a:68"``), or a pair ``(layer, neuron)``."""

_FORMS = (
    "LAYER:NEURON (mixed4a:68), LAYER:NEURON@ROW,COLUMN (mixed4a:68@7,7) or logits:NAME "
    "(logits:tabby)"
)

_EXPRESSIONS = ", or an expression of several (mixed4a:68 - 0.5*mixed4b:3)"


def parse(text: str) -> Target:
    """Return the target that a text names.

    Raises
    ------
    TargetError
        With the forms there are.

    Examples
    --------
    >>> from neuron_widget.targets import parse
    >>> parse("mixed4a:68@7,7")
    Unit(layer='mixed4a', neuron=68, row=7, column=7)
    >>> str(parse("0.5*mixed4a:68+mixed3b:12 - mixed4a:68"))
    'mixed3b:12 - 0.5*mixed4a:68'
    """
    if not isinstance(text, str):
        raise TargetError(f"a target is named by a text such as 'mixed4a:68', got {text!r}")
    if (of_group := group_of(text)) is not None:
        target, images, image = of_group
        if image is None:
            raise TargetError(
                f"{text!r} names {images} images, and one target was expected: one of them is "
                f"'{target} [image 0 of {images}]'"
            )
        return group(parse(target), images)[image]
    if looks_composed(text):
        try:
            return read_expression(text)
        except TargetError:
            # A class may be called so.
            named = Named.read(text.strip())
            if named is None or text.count(":") > 1 or re.search(r"[-+*/]\s*$", text):
                raise
            return named
    for kind in KINDS:
        found = kind.read(text.strip())
        if found is not None:
            return found
    raise TargetError(f"cannot read {text!r} as a target; expected {_FORMS}{_EXPRESSIONS}")


def parse_targets(text: str) -> list[Target]:
    """Return the targets that a text names: also ``mixed4a:70-80``, ``mixed4a:1,5,70-80``.

    And the images of a group, ``mixed4a:68 - 100*diversity(mixed4a) [4 images]``.
    """
    text = text.strip()
    if (of_group := group_of(text)) is not None and of_group[2] is None:
        return list(group(parse(of_group[0]), of_group[1]))
    found = re.fullmatch(r"(.+):([\d\s,-]*[,-][\d\s,-]*)", text)
    if not found or "@" in text:
        return [parse(text)]
    targets: list[Target] = []
    for part in found[2].split(","):
        span = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        first, last = (int(span[1]), int(span[2] or span[1])) if span else (1, 0)
        if first > last:
            raise TargetError(
                f"cannot read {part.strip()!r} in {text!r} as neurons; expected numbers and ranges "
                "such as 1,5,70-80"
            )
        if last - first >= 1_000_000:
            raise TargetError(
                f"{text!r} names {last - first + 1:,} neurons; no layer has so many: expected "
                "numbers and ranges such as 1,5,70-80"
            )
        targets += [Channel(found[1], n) for n in range(first, last + 1)]
    return targets


def as_target(given: TargetLike, neuron: object = None) -> Target:
    """Return the target that is meant.

    Parameters
    ----------
    given
        A target, its text, a pair ``(layer, neuron)``; or a layer's name, with ``neuron``.

    Raises
    ------
    TargetError
        For anything else; says what was expected.
    """
    if neuron is not None:
        return _channel(given, neuron)
    if isinstance(given, Target):
        return given
    if isinstance(given, str):
        return parse(given)
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str):
        return as_target(given[0], given[1])
    raise TargetError(
        f"expected a target, its text such as 'mixed4a:68', or a pair (layer, neuron); "
        f"got {shown(given)}"
    )


def _channel(layer: object, neuron: object) -> Channel:
    if not isinstance(layer, str):
        raise TargetError(f"a layer is named by a text such as 'mixed4a', got {shown(layer)}")
    if isinstance(neuron, bool) or not hasattr(neuron, "__index__"):
        raise NeuronOutOfRange(f"neuron must be an integer of at least 0, got {shown(neuron)}")
    return Channel(layer, neuron.__index__())


def as_targets(given: TargetLike, neurons: object = None) -> tuple[Target, ...]:
    """Return one target or many.

    ``given`` is a layer's name with ``neurons`` (a number or several), both of them as a pair, or
    one target or several in any form of :func:`as_target`.

    Raises
    ------
    TargetError, NeuronOutOfRange
    """
    if neurons is not None:
        if isinstance(neurons, str | bytes) or not isinstance(neurons, Iterable):
            return (_channel(given, neurons),)
        found = tuple(_channel(given, neuron) for neuron in neurons)
        if not found:
            raise NeuronOutOfRange(f"no neuron of layer {given} is named; expected at least one")
        return found
    if isinstance(given, str):
        if ":" not in given and not looks_composed(given):
            raise TargetError(
                f"{given!r} names a layer and no neuron; expected {_FORMS}, or the layer and its "
                f"neurons: ({given!r}, [0, 1])"
            )
        return tuple(parse_targets(given))
    if isinstance(given, Target) or not isinstance(given, Iterable):
        return (as_target(given),)
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str):
        layer, own = given
        if hasattr(own, "__index__"):
            return (as_target(given),)
        if ":" not in layer and isinstance(own, Iterable) and not isinstance(own, str):
            return as_targets(layer, own)
    many: list[Target] = []
    for one in given:
        if isinstance(one, str) and (of_group := group_of(one)) and of_group[2] is None:
            many += parse_targets(one)
        elif isinstance(one, tuple) and one and all(isinstance(t, Target) for t in one):
            many += one  # a group of several
        else:
            many.append(as_target(one))
    if not many:
        raise TargetError(f"no target is named; expected at least one, such as {_FORMS}")
    return tuple(many)


def as_neuron(given: TargetLike) -> Target:
    """As :func:`as_target`, where only a neuron or a unit of one layer will do.

    Raises
    ------
    TargetError
    """
    target = as_target(given)
    if target.composed or isinstance(target, Centre):
        raise TargetError(
            f"{target.title} is an expression: neuron_widget.render(model, '...') makes its "
            f"pictures; here a neuron or a unit was expected, such as {target.channel}"
        )
    return target


def as_shown(given: TargetLike) -> Target:
    """As :func:`as_target`, where one image of it is to be shown.

    Raises
    ------
    TargetError
        For what speaks of several images.
    """
    if isinstance(given, str) and group_of(given) is not None:
        target = parse_targets(given)[0]
    else:
        target = as_target(given)
    if isinstance(target, GroupImage) or target.compares:
        whole = target.target if isinstance(target, GroupImage) else target
        raise TargetError(
            f"{target.title} speaks of several images, and here one is shown: "
            f"neuron_widget.render(model, '{whole} [4 images]') makes them; Settings, Facets shows "
            "several sides of one neuron"
        )
    check_alone(target)
    return target


def from_dict(values: Mapping[str, Any]) -> Target:
    """Return the target that a message names; what :meth:`Target.as_dict` gave.

    Raises
    ------
    TargetError
    """
    kinds = {kind.kind: kind for kind in KINDS if kind.kind in ("channel", "unit")}
    if isinstance(values, Mapping) and values.get("kind") == "expression":
        return parse(values.get("text", ""))
    kind = kinds.get(str(values.get("kind"))) if isinstance(values, Mapping) else None
    if kind is None:
        given = values.get("kind") if isinstance(values, Mapping) else values
        hint = nearest(str(given), kinds) or f"expected {', '.join(map(repr, kinds))}"
        raise TargetError(f"unknown kind of target {given!r}; {hint}")
    fields = {name: value for name, value in values.items() if name != "kind"}
    for name, value in fields.items():
        if name == "layer" and not isinstance(value, str):
            raise TargetError(f"the layer of a target must be a text, got {shown(value)}")
        if name != "layer" and (isinstance(value, bool) or not isinstance(value, int)):
            raise TargetError(f"{name} of a target must be an integer, got {shown(value)}")
    try:
        return kind(**fields)
    except TypeError as error:
        raise TargetError(f"{fields} is no target of kind {kind.kind!r}: {error}") from error
