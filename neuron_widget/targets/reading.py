"""Targets as people say them: a text, a pair, several at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from neuron_widget.errors import NeuronOutOfRange, TargetError, shown
from neuron_widget.targets.kinds import KINDS, Channel, Target

__all__ = ["TargetLike", "as_target", "as_targets", "parse", "parse_targets"]

TargetLike = Any
"""A target, its text (``"mixed4a:68"``), or a pair ``(layer, neuron)``."""

_FORMS = (
    "LAYER:NEURON (mixed4a:68), LAYER:NEURON@ROW,COLUMN (mixed4a:68@7,7) or logits:NAME "
    "(logits:tabby)"
)


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
    """
    if not isinstance(text, str):
        raise TargetError(f"a target is named by a text such as 'mixed4a:68', got {text!r}")
    for kind in KINDS:
        found = kind.read(text.strip())
        if found is not None:
            return found
    raise TargetError(f"cannot read {text!r} as a target; expected {_FORMS}")


def parse_targets(text: str) -> list[Target]:
    """Return the targets that a text names, also ``mixed4a:70-80`` and ``mixed4a:1,5,70-80``."""
    text = text.strip()
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
        if ":" not in given:
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
    many = tuple(as_target(one) for one in given)
    if not many:
        raise TargetError(f"no target is named; expected at least one, such as {_FORMS}")
    return many
