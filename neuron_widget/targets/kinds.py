"""The kinds of target there are."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from neuron_widget.errors import NeuronOutOfRange, TargetError
from neuron_widget.names import OUTPUT, check_neuron
from neuron_widget.targets.regions import Region, layer_text, quoted
from neuron_widget.targets.target import Activations, LayerLike, ModelLike, Target

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["KINDS", "Centre", "Channel", "Named", "Neuron", "Unit"]


class Neuron(Target):
    """What is of one neuron of one layer; all of the kinds in :data:`KINDS` are."""

    @property
    def composed(self) -> bool:
        """It is what the page calls a neuron or a unit."""
        return False

    @property
    def channel(self) -> Channel:
        """The channel that it belongs to: whose tile and photos are shown with it."""
        return Channel(self.layer, self.neuron)

    @property
    def summand(self) -> str:
        """Its text as a part of another one: a layer of an odd name stands in quotes."""
        return layer_text(self.layer) + str(self)[len(self.layer) :]

    def in_layer(self, layer: str) -> Target:
        """The same target of another layer."""
        return replace(self, layer=layer)  # type: ignore[type-var]

    def title_in(self, layer: LayerLike | None) -> str:
        """How people call it: "mixed4a neuron 68, unit 7,7", "logits class tabby"."""
        place = "" if self.position is None else ", unit {},{}".format(*self.position)
        name = f"{self.layer} neuron {self.neuron}" if layer is None else layer.title(self.neuron)
        return f"{name}{place}"

    def values(self, seen: Activations) -> Tensor:
        """The mean of its map, or its unit."""
        return Region(self.layer).of(seen)[:, self.neuron].flatten(1).mean(1)


@dataclass(frozen=True)
class Channel(Neuron):
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

    def check(self, model: ModelLike) -> Channel:
        """Return it with the layer's own name; raise UnknownLayer or NeuronOutOfRange."""
        info: LayerLike = model.layer(self.layer)
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
class Unit(Neuron):
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

    def check(self, model: ModelLike) -> Unit:
        """Return it with the layer's own name; raise UnknownLayer or NeuronOutOfRange."""
        info: LayerLike = model.layer(self.layer)
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

    def values(self, seen: Activations) -> Tensor:
        """What the unit is worth."""
        place = Region.at(self.layer, self.row, self.column)
        return place.of(seen)[:, self.neuron, 0, 0]


@dataclass(frozen=True)
class Centre(Neuron):
    """The unit in the middle of a neuron's map, ``mixed4a:68@centre``; lucent's ``neuron``.

    Of an even number of positions the one right and below the middle. Which one it is, its layer
    knows: :meth:`check` gives the :class:`Unit`.
    """

    kind: ClassVar[str] = "centre"
    form: ClassVar[str] = "LAYER:NEURON@centre"
    layer: str
    neuron: int

    def __str__(self) -> str:
        return f"{self.layer}:{self.neuron}@centre"

    @classmethod
    def read(cls, text: str) -> Centre | None:
        """Return the unit that ``LAYER:NEURON@centre`` names."""
        found = re.fullmatch(r"(.+):(\d+)@cent(?:re|er)", text)
        return cls(found[1], int(found[2])) if found else None

    def check(self, model: ModelLike) -> Unit:
        """Return the unit; raise UnknownLayer or NeuronOutOfRange."""
        info: LayerLike = model.layer(self.layer)
        neuron = check_neuron(self.neuron, info.channels, info.name)
        return Unit(info.name, neuron, info.height // 2, info.width // 2)

    def as_dict(self) -> dict[str, Any]:
        """Return what stands for it in messages until it is checked: its channel."""
        return self.channel.as_dict()

    def key_parts(self) -> dict[str, Any]:
        """Raise TargetError: a result is kept under numbers."""
        raise TargetError(f"{self} was not checked against a network: where is its centre?")

    def values(self, seen: Activations) -> Tensor:
        """What the unit is worth."""
        return Region(self.layer, centre=True).of(seen)[:, self.neuron, 0, 0]


@dataclass(frozen=True)
class Named(Neuron):
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

    def check(self, model: ModelLike) -> Channel:
        """Return the channel; raise UnknownLayer, or TargetError with the nearest names."""
        info: LayerLike = model.layer(self.layer)
        return Channel(info.name, info.find(self.name))

    def as_dict(self) -> dict[str, Any]:
        """Return what stands for it in messages until it is checked: the layer's first channel."""
        return self.channel.as_dict()

    def values(self, _seen: Activations) -> Tensor:
        """Raise TargetError: which neuron it is, only its layer knows."""
        raise TargetError(f"{self} was not checked against a network: which neuron is it?")

    def key_parts(self) -> dict[str, Any]:
        """Raise TargetError: a result is kept under a number."""
        raise TargetError(f"{self} was not checked against a network: which neuron is it?")

    @property
    def summand(self) -> str:
        """Its text as a part of another one."""
        return f"{self.layer}:{quoted(self.name)}"

    def title_in(self, _layer: LayerLike | None) -> str:
        """How people call it."""
        return f"{self.layer} {self.name}"


# A text is offered to each in turn.
KINDS: tuple[type[Neuron], ...] = (Unit, Centre, Channel, Named)
