"""What a target is, and sums of targets.

Everything that can be maximised is a :class:`Target`: it names the layers that it reads and turns
their activations into one number for each image. Targets are added, subtracted and multiplied by
numbers; :func:`combine` gives every such sum one form, and so one text.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from neuron_widget.errors import TargetError, WrongType, WrongValue, shown

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Activations",
    "LayerLike",
    "ModelLike",
    "Sum",
    "Target",
    "as_number",
    "combine",
    "number_text",
]


class LayerLike(Protocol):
    """What a target has to know of a layer."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def channels(self) -> int: ...  # noqa: D102
    @property
    def height(self) -> int: ...  # noqa: D102
    @property
    def width(self) -> int: ...  # noqa: D102

    def title(self, neuron: int) -> str:
        """Return how people call a neuron."""

    def find(self, name: str) -> int:
        """Return the neuron of a name; raise TargetError."""


class ModelLike(Protocol):
    """What a target asks of a network; :class:`neuron_widget.VisionModel` is one."""

    def layer(self, name: str) -> Any:
        """Return the layer; raise UnknownLayer."""


class Activations(Protocol):
    """What a target's value is computed from: what the network makes of some images."""

    def maps(self, layer: str) -> Tensor:
        """A layer's activation ``(n, C, h, w)``; of ``""`` the pictures themselves in 0..1."""

    def start(self, layer: str) -> Tensor:
        """The same of the photo that the images began from."""

    def size(self, layer: str) -> tuple[int, int]:
        """Height and width of the map on which positions count."""


class Target(ABC):
    """A value of the network that is read and maximised.

    Attributes
    ----------
    kind : str
        Name of the kind of target, as in messages.
    form : str
        How its text looks, for error messages.
    layer : str
        The layer that has to be read; of several the first that is named.
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
    # Numbers of numpy's are to leave multiplication to us.
    __array_ufunc__: ClassVar[None] = None

    @abstractmethod
    def __str__(self) -> str:
        """Return the canonical text, which :func:`parse` reads."""

    @classmethod
    def read(cls, text: str) -> Target | None:  # noqa: ARG003
        """Return the target that a text names; None if it is of another kind."""
        return None

    @abstractmethod
    def check(self, model: ModelLike) -> Target:
        """Return the target with the layer's own name.

        Raises
        ------
        UnknownLayer, NeuronOutOfRange
            With the valid range and the nearest names.
        TargetError
            For one that needs several images.
        """

    @abstractmethod
    def values(self, seen: Activations) -> Tensor:
        """What it is worth in each image: ``(n,)``, float32, differentiable."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a message; :func:`from_dict` is the way back."""

    @abstractmethod
    def key_parts(self) -> dict[str, Any]:
        """Return what of it goes into the key of a stored result."""

    def as_expression(self) -> dict[str, Any]:
        """What :meth:`as_dict` gives of a composed target."""
        channel = self.channel
        near = {"layer": channel.layer, "neuron": channel.neuron}
        return {"kind": "expression", "text": str(self), **near}

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers that have to be read."""
        return (self.layer,)

    @property
    def compares(self) -> bool:
        """Whether it speaks of several images, so that one alone has no value."""
        return False

    @property
    def composed(self) -> bool:
        """Whether it says all of what is maximised, and is no neuron or unit of one layer."""
        return True

    @property
    def random_stream(self) -> str:
        """Names the target's own random numbers: with the seed they give one picture a target."""
        return str(self)

    @property
    @abstractmethod
    def channel(self) -> Target:
        """The channel that it belongs to: whose tile and photos are shown with it."""

    def in_layer(self, layer: str) -> Target:
        """The same target of another layer."""
        raise TargetError(f"{self.title} speaks of layers of its own, and has none in {layer}")

    @property
    def summand(self) -> str:
        """Its text as a part of another one."""
        return str(self)

    @property
    def title(self) -> str:
        """How people call it, where no more is known of its layer than the name."""
        return self.title_in(None)

    def title_in(self, _layer: LayerLike | None) -> str:
        """How people call it: its text, without the numbers of long directions."""
        return re.sub(r"\[[^\]]{40,}\]", "[...]", str(self))

    # -------------------------------------------------------------- arithmetic

    def __add__(self, other: object) -> Target:
        """With another target, or a number."""
        return combine([(1.0, self), _part(other, "+")])

    __radd__ = __add__

    def __sub__(self, other: object) -> Target:
        """Without another target, or a number."""
        weight, target = _part(other, "-")
        return combine([(1.0, self), (-weight, target)])

    def __rsub__(self, other: object) -> Target:
        """A number without it."""
        return combine([(-1.0, self), _part(other, "-")])

    def __mul__(self, other: object) -> Target:
        """So many times."""
        return combine([(as_number(other, "a weight"), self)])

    __rmul__ = __mul__

    def __truediv__(self, other: object) -> Target:
        """A part of it."""
        number = as_number(other, "a divisor")
        if number == 0:
            raise WrongValue(f"{self.title} cannot be divided by 0")
        return combine([(1 / number, self)])

    def __neg__(self) -> Target:
        """What it is worth with the other sign: what it avoids."""
        return combine([(-1.0, self)])


def as_number(given: object, what: str) -> float:
    """The finite number that is given; ``what`` names it.

    Raises
    ------
    WrongType, WrongValue
    """
    if isinstance(given, Target):
        raise WrongType(
            f"objectives are added, and multiplied by numbers, but not by each other: {what} "
            f"must be a number such as 0.5, got {given.title}"
        )
    if isinstance(given, bool) or not isinstance(given, Real):
        raise WrongType(f"{what} must be a number such as 0.5, got {shown(given)}")
    number = float(given)
    if not math.isfinite(number):
        raise WrongValue(f"{what} must be a finite number such as 0.5, got {number}")
    return number


def _part(given: object, sign: str) -> tuple[float, Target | None]:
    """A part of a sum: ``(weight, target)``, of a number ``(number, None)``."""
    if isinstance(given, Target):
        return 1.0, given
    if isinstance(given, str):
        raise WrongType(
            f"expected a target or a number beside {sign}, got the text {given!r}; write "
            f"parse({given!r}), or all of it as one text"
        )
    return as_number(given, f"what stands beside {sign}"), None


@dataclass(frozen=True)
class Sum(Target):
    """Targets, each with a weight, and a number: ``mixed4a:68 - 0.5*mixed3b:12``.

    Made by arithmetic, or from a text; see :func:`combine`.
    """

    kind: ClassVar[str] = "expression"
    form: ClassVar[str] = "NUMBER*TARGET + ..."
    terms: tuple[tuple[float, Target], ...]
    constant: float = 0.0

    def __str__(self) -> str:
        weights = {weight for weight, _ in self.terms}
        if len(self.terms) > 1 and not self.constant and weights == {1 / len(self.terms)}:
            return f"mean({', '.join(target.summand for _, target in self.terms)})"
        text = ""
        for weight, target in self.terms:
            size = "" if abs(weight) == 1 else f"{number_text(abs(weight))}*"
            text += _sign(weight, first=not text) + size + target.summand
        if self.constant:
            text += _sign(self.constant, first=False) + number_text(abs(self.constant))
        return text

    @property
    def summand(self) -> str:
        """Its text."""
        return str(self)

    @property
    def layers(self) -> tuple[str, ...]:
        """Those of all parts, each once."""
        return tuple(dict.fromkeys(layer for _, part in self.terms for layer in part.layers))

    @property
    def layer(self) -> str:  # type: ignore[override]
        """The first that is named."""
        return next(iter(self.layers), "")

    @property
    def neuron(self) -> int:  # type: ignore[override]
        """The channel of the first part."""
        return self.terms[0][1].neuron

    @property
    def compares(self) -> bool:
        """Whether some part does."""
        return any(target.compares for _, target in self.terms)

    @property
    def channel(self) -> Target:
        """That of the first part."""
        return self.terms[0][1].channel

    def check(self, model: ModelLike) -> Target:
        """Return it with every part checked."""
        parts = [(weight, target.check(model)) for weight, target in self.terms]
        return combine([*parts, (self.constant, None)])

    def values(self, seen: Activations) -> Tensor:
        """The weighted sum of what the parts are worth."""
        weight, first = self.terms[0]
        total = weight * first.values(seen)
        for weight, target in self.terms[1:]:
            total = total + weight * target.values(seen)
        return total + self.constant

    def as_dict(self) -> dict[str, Any]:
        """Return ``kind``, ``text``, and ``layer`` and ``neuron`` of its channel."""
        return self.as_expression()

    def key_parts(self) -> dict[str, Any]:
        """Return ``expression``, the text."""
        return {"expression": str(self)}


def combine(parts: Iterable[tuple[float, Target | None]]) -> Target:
    """The sum of targets with weights, in the one form that it has.

    Sums in it are taken apart, targets of one kind are merged, and all are put in order (neurons
    and units first), so that two sums that are the same by the rules of arithmetic are equal and
    have one text. A single target of weight 1 is that target. A part ``(number, None)`` is a
    number.

    Raises
    ------
    TargetError
        If nothing is left to maximise, or a weight is too large.
    """
    merged: dict[Target, float] = {}
    constant = 0.0
    for weight, target in parts:
        inner = target.terms if isinstance(target, Sum) else ((1.0, target),)
        if isinstance(target, Sum):
            constant += weight * target.constant
        for own, part in inner:
            if part is None:
                constant += weight
            elif type(part).kind == "image":
                raise TargetError(
                    f"{part} is one image of a group, which nothing can be added to: make the "
                    "group of the whole expression"
                )
            else:
                merged[part] = merged.get(part, 0.0) + weight * own
    left = [(weight, target) for target, weight in merged.items() if weight]
    if not left:
        raise TargetError(
            "nothing is left to maximise: every target of this expression has weight 0, or there "
            "is none; expected one such as mixed4a:68"
        )
    if not all(math.isfinite(number) for number in (constant, *(w for w, _ in left))):
        raise TargetError("a weight of this expression is too large: it is not finite")
    left.sort(key=lambda pair: _order(*pair))
    if len(left) == 1 and left[0][0] == 1 and not constant:
        return left[0][1]
    return Sum(tuple(left), constant)


def _order(weight: float, target: Target) -> tuple[Any, ...]:
    """Neurons and units first, what is taken away last; by layer and number, or by text."""
    if target.composed:
        return 1, weight < 0, "", 0, (), str(target)
    return 0, weight < 0, target.layer, target.neuron, target.position or (), str(target)


def number_text(number: float) -> str:
    """A number as short as it can be said."""
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _sign(number: float, *, first: bool) -> str:
    if first:
        return "-" if number < 0 else ""
    return " - " if number < 0 else " + "
