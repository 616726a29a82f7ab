"""What of a layer a target speaks of: its whole map, one position, or some rows and columns."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuron_widget.errors import NeuronOutOfRange, TargetError, WrongType, shown
from neuron_widget.targets.target import Activations, ModelLike

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LAYER", "PICTURE", "Region", "as_region", "layer_text", "quoted"]

LAYER = r"[\w.]+(?:/[\w.+-]+)?"
"""Names of layers that need no quotes in an expression; a dictionary's has a slash."""

PICTURE = "image"
"""What an expression calls the picture itself."""

_PLACE = r"(\d+)(?::(\d+))?,\s*(\d+)(?::(\d+))?"


def quoted(text: str) -> str:
    """A text in quotes, as JSON has it."""
    return json.dumps(text, ensure_ascii=False)


def layer_text(layer: str) -> str:
    """A layer's name in an expression."""
    plain = re.fullmatch(LAYER, layer) and layer != PICTURE
    return layer if plain else quoted(layer)


@dataclass(frozen=True)
class Region:
    """A part of a layer's map, over all channels; without rows and columns the whole.

    Attributes
    ----------
    layer
        Its name; ``""`` for the picture itself.
    rows, columns
        From the first up to, and without, the last; None for all. They count on the layer's map at
        the network's own input size, as those of a unit.
    centre
        Whether it is the position in the middle: right and below, where there are four.
    """

    layer: str
    rows: tuple[int, int] | None = None
    columns: tuple[int, int] | None = None
    centre: bool = False

    @classmethod
    def at(cls, layer: str, row: int, column: int) -> Region:
        """One position."""
        return cls(layer, (row, row + 1), (column, column + 1))

    @classmethod
    def placed(cls, layer: str, place: str | None) -> Region:
        """The region at a place: ``"centre"``, ``"7,7"``, ``"2:5,0:3"`` or None.

        Raises
        ------
        TargetError
        """
        if place is None:
            return cls(layer)
        if place in ("centre", "center"):
            return cls(layer, centre=True)
        found = re.fullmatch(_PLACE, place)
        if found is None:
            raise TargetError(
                f"cannot read {place!r} as a place on a map; expected @ROW,COLUMN (@7,7), "
                "@ROWS,COLUMNS (@2:5,0:3) or @centre"
            )
        r0, c0 = int(found[1]), int(found[3])
        r1, c1 = int(found[2] or r0 + 1), int(found[4] or c0 + 1)
        if r1 <= r0 or c1 <= c0:
            raise TargetError(
                f"@{place} holds no position: rows and columns are counted from the first up to "
                "the last, which is not part of them (@2:5,0:3)"
            )
        return cls(layer, (r0, r1), (c0, c1))

    def __str__(self) -> str:
        name = layer_text(self.layer) if self.layer else PICTURE
        if self.centre:
            return f"{name}@centre"
        if self.rows is None or self.columns is None:
            return name
        return f"{name}@{_span(self.rows)},{_span(self.columns)}"

    def check(self, model: ModelLike) -> Region:
        """Return it with the layer's own name; raise UnknownLayer or NeuronOutOfRange."""
        if not self.layer:
            return self
        info = model.layer(self.layer)
        if self.centre:
            return Region.at(info.name, info.height // 2, info.width // 2)
        for what, span, most in (
            ("row", self.rows, info.height),
            ("column", self.columns, info.width),
        ):
            if span is not None and span[1] > most:
                raise NeuronOutOfRange(
                    f"the map of layer {info.name} has {most} {what}s, 0 to {most - 1}; there is "
                    f"no {what} {span[1] - 1}"
                )
        return Region(info.name, self.rows, self.columns)

    def of(self, seen: Activations) -> Tensor:
        """Its part ``(n, C, h, w)`` of the activation, at the same place of images of any size."""
        return self.cut(seen, seen.maps(self.layer))

    def cut(self, seen: Activations, maps: Tensor) -> Tensor:
        """Its part of a map of its layer."""
        h, w = maps.shape[2:]
        if self.centre:
            return maps[:, :, h // 2 : h // 2 + 1, w // 2 : w // 2 + 1]
        if self.rows is None or self.columns is None:
            return maps
        height, width = seen.size(self.layer)
        return maps[:, :, _scaled(self.rows, h, height), _scaled(self.columns, w, width)]


def as_region(given: object, place: str | None = None, *, picture: bool = False) -> Region:
    """The region that a layer's name means, or ``"image"`` where the picture may stand.

    Raises
    ------
    WrongType, TargetError
    """
    if not isinstance(given, str) or not given:
        or_image = ", or 'image' for the picture" if picture else ""
        raise WrongType(
            f"expected the name of a layer such as 'mixed4a'{or_image}, got {shown(given)}"
        )
    if picture and given == PICTURE:
        return Region("")
    return Region.placed(given, place)


def _span(span: tuple[int, int]) -> str:
    first, last = span
    return f"{first}" if last == first + 1 else f"{first}:{last}"


def _scaled(span: tuple[int, int], now: int, there: int) -> slice:
    """Rows of a map of ``there`` on one of ``now``: those at the same places of the image."""
    return slice(int((span[0] + 0.5) * now / there), int((span[1] - 0.5) * now / there) + 1)
