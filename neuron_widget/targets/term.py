"""Targets that are written as a word with arguments, ``tv(image)``."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, ClassVar, Self

from neuron_widget.targets.kinds import Channel
from neuron_widget.targets.regions import Region
from neuron_widget.targets.target import ModelLike, Target, number_text

__all__ = ["Term"]


class Term(Target):
    """A target that is written as a word with arguments.

    Attributes
    ----------
    word : str
        What it is called in texts.
    arguments : dict of str to str
        Its fields, each with the kind of what it takes: ``"layer"`` (or a part of its map),
        ``"picture"`` (that, or ``image``), ``"vector"``, ``"number"``, ``"target"``, ``"image"``
        (which of a group).
    """

    word: ClassVar[str]
    arguments: ClassVar[dict[str, str]]

    def __init_subclass__(cls) -> None:
        cls.kind = cls.word
        cls.form = f"{cls.word}({', '.join(cls.arguments.values())})"

    def __str__(self) -> str:
        values = [getattr(self, name) for name in self.arguments]
        left = [field.default for field in fields(self)]  # type: ignore[arg-type]
        while values and values[-1] == left[len(values) - 1]:
            values.pop()
        return f"{self.word}({', '.join(map(_text, values))})"

    @property
    def parts(self) -> tuple[Region | Target, ...]:
        """What it is made of."""
        own = (getattr(self, name) for name in self.arguments)
        return tuple(part for part in own if isinstance(part, Region | Target))

    @property
    def layers(self) -> tuple[str, ...]:
        """Those of all parts, each once."""
        found: list[str] = []
        for part in self.parts:
            found += [part.layer] if isinstance(part, Region) else part.layers
        return tuple(dict.fromkeys(filter(None, found)))

    @property
    def layer(self) -> str:  # type: ignore[override]
        """The first that is named; empty where it speaks of the picture alone."""
        return next(iter(self.layers), "")

    @property
    def neuron(self) -> int:  # type: ignore[override]
        """The channel of the first target in it; 0 where there is none."""
        return next((part.neuron for part in self.parts if isinstance(part, Target)), 0)

    @property
    def channel(self) -> Target:
        """The channel of the first target in it; where there is none, the layer's first."""
        return Channel(self.layer, self.neuron)

    @property
    def compares(self) -> bool:
        """Whether a target in it does."""
        return any(part.compares for part in self.parts if isinstance(part, Target))

    def check(self, model: ModelLike) -> Self:
        """Return it with the layers' own names."""
        checked = {
            name: getattr(self, name).check(model)
            for name in self.arguments
            if isinstance(getattr(self, name), Region | Target)
        }
        return replace(self, **checked)  # type: ignore[type-var]

    def as_dict(self) -> dict[str, Any]:
        """Return ``kind``, ``text``, and ``layer`` and ``neuron`` of its channel."""
        return self.as_expression()

    def key_parts(self) -> dict[str, Any]:
        """Return ``expression``, the text."""
        return {"expression": str(self)}


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(number_text, value))}]"
    if isinstance(value, Target):
        return value.summand
    return number_text(float(value)) if isinstance(value, int | float) else str(value)
