"""The kinds of target there are."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

from neuron_widget.errors import NeuronOutOfRange, TargetError, nearest, shown
from neuron_widget.names import OUTPUT, check_neuron

__all__ = ["KINDS", "Channel", "Named", "Target", "Unit", "from_dict"]


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

    def title(self, neuron: int) -> str:
        """Return how people call a neuron."""

    def find(self, name: str) -> int:
        """Return the neuron of a name; raise TargetError."""


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
        """How people call it, where no more is known of its layer than the name."""
        return self.title_in(None)

    def title_in(self, layer: _LayerInfo | None) -> str:
        """How people call it: "mixed4a neuron 68, unit 7,7", "logits class tabby"."""
        place = "" if self.position is None else ", unit {},{}".format(*self.position)
        name = f"{self.layer} neuron {self.neuron}" if layer is None else layer.title(self.neuron)
        return f"{name}{place}"


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


@dataclass(frozen=True)
class Named(Target):
    """A neuron by its name, ``logits:golden retriever``.

    Which one it is, its layer knows: :meth:`check` gives the channel. Until then it stands for the
    layer's first.
    """

    kind: ClassVar[str] = "named"
    form: ClassVar[str] = "logits:NAME"
    layer: str
    name: str
    neuron: ClassVar[int] = 0  # type: ignore[misc]  # none is known yet

    def __str__(self) -> str:
        return f"{self.layer}:{self.name}"

    @classmethod
    def read(cls, text: str) -> Named | None:
        """Return the neuron that ``logits:NAME`` names: any text with a letter in it.

        Of other layers no neuron has a name.
        """
        found = re.fullmatch(rf"({OUTPUT}):\s*(.*[^\W\d_].*)", text)
        return cls(found[1], found[2]) if found else None

    def check(self, model: _Model) -> Channel:
        """Return the channel; raise UnknownLayer, or TargetError with the nearest names."""
        info: _LayerInfo = model.layer(self.layer)
        return Channel(info.name, info.find(self.name))

    def in_layer(self, layer: str) -> Named:
        """The same name in another layer."""
        return Named(layer, self.name)

    def as_dict(self) -> dict[str, Any]:
        """Return what stands for it in messages until it is checked: the layer's first channel."""
        return self.channel.as_dict()

    def key_parts(self) -> dict[str, Any]:
        """Raise TargetError: a result is kept under a number."""
        raise TargetError(f"{self} was not checked against a network: which neuron is it?")

    def title_in(self, _layer: _LayerInfo | None) -> str:
        """How people call it."""
        return f"{self.layer} {self.name}"


# A text is offered to each in turn.
KINDS: tuple[type[Target], ...] = (Unit, Channel, Named)


def from_dict(values: Mapping[str, Any]) -> Target:
    """Return the target that a message names; what :meth:`Target.as_dict` gave.

    Raises
    ------
    TargetError
    """
    kinds = {kind.kind: kind for kind in KINDS if kind is not Named}
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
