"""What is read and maximised: a target.

A target is a value of the network that can be named: a neuron (a channel of a layer's map), or one
unit of it (a single position of the map). Each has a canonical text, which is its name in the
store, on the page, on the command line and in Python:

================== ==========================================================
``mixed4a:68``     channel 68 of layer mixed4a
``mixed4a:68@7,7`` its unit at row 7, column 7 of the map
================== ==========================================================

``(layer, neuron)`` is the short form of the commonest kind. Further kinds are subclasses of
:class:`Target`, listed in :data:`KINDS`.

This module imports no torch.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

from neuron_widget.errors import NeuronOutOfRange, TargetError, nearest
from neuron_widget.names import check_neuron

__all__ = [
    "KINDS",
    "Channel",
    "Target",
    "TargetLike",
    "Unit",
    "as_target",
    "as_targets",
    "from_dict",
    "parse",
    "parse_targets",
]

TargetLike = Any
"""A target, its text (``"mixed4a:68"``), or a pair ``(layer, neuron)``."""

_FORMS = "LAYER:NEURON (mixed4a:68) or LAYER:NEURON@ROW,COLUMN (mixed4a:68@7,7)"


class _LayerInfo(Protocol):
    """What a target has to know of a layer."""

    @property
    def name(self) -> str: ...
    @property
    def channels(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...


class _Model(Protocol):
    """What a target asks of a network; :class:`neuron_widget.VisionModel` is one."""

    def layer(self, name: str) -> Any:
        """Return the layer; raise UnknownLayer."""


class Target(ABC):
    """A value of the network that is read and maximised.

    Attributes
    ----------
    kind : str
        Name of the kind of target, as in messages.
    form : str
        How its text looks, for error messages.
    layer : str
        The layer that has to be read.
    neuron : int
        The channel of the layer that it belongs to.
    position : (int, int) or None
        Row and column of its unit on the layer's map; None for the whole map.
    """

    kind: ClassVar[str]
    form: ClassVar[str]
    layer: str
    neuron: int
    position: tuple[int, int] | None = None

    @abstractmethod
    def __str__(self) -> str:
        """Return the canonical text, which :func:`parse` reads."""

    @classmethod
    @abstractmethod
    def read(cls, text: str) -> Target | None:
        """Return the target that a text names; None if it is of another kind."""

    @abstractmethod
    def check(self, model: _Model) -> Target:
        """Return the target with the layer's own name.

        Raises
        ------
        UnknownLayer, NeuronOutOfRange
            With the valid range and the nearest names.
        """

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a message; :func:`from_dict` is the way back."""

    @abstractmethod
    def key_parts(self) -> dict[str, Any]:
        """Return what of it goes into the key of a stored result."""

    @property
    def random_stream(self) -> str:
        """Names the target's own random numbers: with the seed they give one picture a target."""
        return str(self)

    @property
    def channel(self) -> Channel:
        """The channel that it belongs to: whose tile and photos are shown with it."""
        return Channel(self.layer, self.neuron)

    def in_layer(self, layer: str) -> Target:
        """The same target of another layer."""
        return from_dict({**self.as_dict(), "layer": layer})

    @property
    def title(self) -> str:
        """How people call it."""
        place = "" if self.position is None else ", unit {},{}".format(*self.position)
        return f"{self.layer} neuron {self.neuron}{place}"


@dataclass(frozen=True)
class Channel(Target):
    """A neuron: one channel of a layer's map, ``mixed4a:68``.

    Examples
    --------
    >>> from neuron_widget.targets import parse
    >>> target = parse("mixed4a:68")
    >>> target, str(target)
    (Channel(layer='mixed4a', neuron=68), 'mixed4a:68')
    """

    kind: ClassVar[str] = "channel"
    form: ClassVar[str] = "LAYER:NEURON"
    layer: str
    neuron: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.neuron}"

    @classmethod
    def read(cls, text: str) -> Channel | None:
        """Return the channel that ``LAYER:NEURON`` names."""
        found = re.fullmatch(r"(.+):(\d+)", text)
        return cls(found[1], int(found[2])) if found else None

    def check(self, model: _Model) -> Channel:
        """Return it with the layer's own name; raise UnknownLayer or NeuronOutOfRange."""
        info: _LayerInfo = model.layer(self.layer)
        return Channel(info.name, check_neuron(self.neuron, info.channels, info.name))

    def as_dict(self) -> dict[str, Any]:
        """Return ``kind``, ``layer`` and ``neuron``."""
        return {"kind": self.kind, "layer": self.layer, "neuron": self.neuron}

    def key_parts(self) -> dict[str, Any]:
        """Return ``layer`` and ``neuron``."""
        return {"layer": self.layer, "neuron": self.neuron}

    @property
    def random_stream(self) -> str:
        """Names its random numbers, as it always did: older pictures stay what they are."""
        return f"{self.layer}|{self.neuron}"

    @property
    def channel(self) -> Channel:
        """Itself."""
        return self


@dataclass(frozen=True)
class Unit(Target):
    """One unit of a neuron: a single position of its map, ``mixed4a:68@7,7``.

    Row and column count on the layer's map at the network's own input size. On an image of another
    size it is the unit at the same place of the image.
    """

    kind: ClassVar[str] = "unit"
    form: ClassVar[str] = "LAYER:NEURON@ROW,COLUMN"
    layer: str
    neuron: int
    row: int
    column: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.neuron}@{self.row},{self.column}"

    @property
    def position(self) -> tuple[int, int]:  # type: ignore[override]
        """Row and column."""
        return self.row, self.column

    @classmethod
    def read(cls, text: str) -> Unit | None:
        """Return the unit that ``LAYER:NEURON@ROW,COLUMN`` names."""
        found = re.fullmatch(r"(.+):(\d+)@(\d+),\s*(\d+)", text)
        return cls(found[1], *(int(n) for n in found.groups()[1:])) if found else None

    def check(self, model: _Model) -> Unit:
        """Return it with the layer's own name; raise UnknownLayer or NeuronOutOfRange."""
        info: _LayerInfo = model.layer(self.layer)
        neuron = check_neuron(self.neuron, info.channels, info.name)
        for what, value, most in (
            ("row", self.row, info.height),
            ("column", self.column, info.width),
        ):
            if not 0 <= value < most:
                raise NeuronOutOfRange(
                    f"the map of layer {info.name} has {most} {what}s, 0 to {most - 1}; there is "
                    f"no {what} {value}"
                )
        return replace(self, layer=info.name, neuron=neuron)

    def as_dict(self) -> dict[str, Any]:
        """Return ``kind``, ``layer``, ``neuron``, ``row`` and ``column``."""
        place = {"row": self.row, "column": self.column}
        return {"kind": self.kind, "layer": self.layer, "neuron": self.neuron, **place}

    def key_parts(self) -> dict[str, Any]:
        """Return ``layer``, ``neuron`` and ``position``."""
        return {"layer": self.layer, "neuron": self.neuron, "position": [self.row, self.column]}


# A text is offered to each in turn.
KINDS: tuple[type[Target], ...] = (Unit, Channel)


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
        f"got {_short(given)}"
    )


def _channel(layer: object, neuron: object) -> Channel:
    if not isinstance(layer, str):
        raise TargetError(f"a layer is named by a text such as 'mixed4a', got {_short(layer)}")
    if isinstance(neuron, bool) or not hasattr(neuron, "__index__"):
        raise NeuronOutOfRange(f"neuron must be an integer of at least 0, got {_short(neuron)}")
    return Channel(layer, neuron.__index__())


def as_targets(given: TargetLike, neurons: object = None) -> tuple[Target, ...]:
    """Return one target or many.

    ``given`` is a layer's name with ``neurons`` (a number or several), or one target or several in
    any form of :func:`as_target`.

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
    if isinstance(given, tuple) and len(given) == 2 and hasattr(given[1], "__index__"):
        return (as_target(given),)
    many = tuple(as_target(one) for one in given)
    if not many:
        raise TargetError(f"no target is named; expected at least one, such as {_FORMS}")
    return many


def from_dict(values: Mapping[str, Any]) -> Target:
    """Return the target that a message names; what :meth:`Target.as_dict` gave.

    Raises
    ------
    TargetError
    """
    kinds = {kind.kind: kind for kind in KINDS}
    kind = kinds.get(str(values.get("kind"))) if isinstance(values, Mapping) else None
    if kind is None:
        given = values.get("kind") if isinstance(values, Mapping) else values
        hint = nearest(str(given), kinds) or f"expected {', '.join(map(repr, kinds))}"
        raise TargetError(f"unknown kind of target {given!r}; {hint}")
    fields = {name: value for name, value in values.items() if name != "kind"}
    for name, value in fields.items():
        if name == "layer" and not isinstance(value, str):
            raise TargetError(f"the layer of a target must be a text, got {_short(value)}")
        if name != "layer" and (isinstance(value, bool) or not isinstance(value, int)):
            raise TargetError(f"{name} of a target must be an integer, got {_short(value)}")
    try:
        return kind(**fields)
    except TypeError as error:
        raise TargetError(f"{fields} is no target of kind {kind.kind!r}: {error}") from error


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{type(value).__name__} {text[:60]}..."
