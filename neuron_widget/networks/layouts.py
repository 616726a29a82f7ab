"""How layers give their activation, and the map ``(N, C, h, w)`` that is made of it.

A map has a place for every value: convolutions give one as it is, transformers give a row of
tokens whose places on the image have to be known. Which layout a layer has is recognised from
evidence (:mod:`.evidence`), or said: ``load_model(..., layout=...)``.

============ ================== ==================================================================
layout       what a layer gives what is made of it
============ ================== ==================================================================
``maps``     ``(N, C, h, w)``   itself
``maps_last``  ``(N, h, w, C)`` the same with its channels in front
``tokens``   ``(N, h * w, C)``  the grid of patches, row by row
``tokens+1`` ``(N, 1 + h * w, C)``  that of the patches behind one prefix token (the class token);
                                each prefix token is a layer of its own, a map of one place
``vector``   ``(N, C)``         a map of one place
============ ================== ==================================================================
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from neuron_widget.errors import ModelError, nearest

__all__ = ["LAYOUTS", "MAPS", "Layout", "as_layout", "as_layouts"]

MOST_PREFIX = 64
"""So many tokens in front of the patches are taken for prefix tokens, at most."""


@dataclass(frozen=True)
class Layout:
    """How one layer gives its activation.

    Attributes
    ----------
    kind
        A name in :data:`LAYOUTS`.
    prefix
        Number of tokens in front of those of the patches.
    grid
        Rows and columns of patches in an image of ``size``; (0, 0) where it is not known yet.
    size
        Side of that image in pixels.
    token
        The one prefix token that is read; None for the patches.
    """

    kind: str
    prefix: int = 0
    grid: tuple[int, int] = (0, 0)
    size: int = 0
    token: int | None = None

    def __str__(self) -> str:
        return f"{self.kind}+{self.prefix}" if self.prefix else self.kind

    def of_token(self, token: int) -> Layout:
        """The layout of one of the prefix tokens."""
        return replace(self, token=token)

    @property
    def rank(self) -> int:
        """Number of axes of what the layer gives."""
        return _RANKS[self.kind]

    def size_of(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """(channels, height, width) of the map that is made of an activation of this shape."""
        if self.token is not None or self.kind == "vector":
            return shape[-1], 1, 1
        if self.kind == "tokens":
            return shape[2], *self.grid
        if self.kind == "maps_last":
            return shape[3], shape[1], shape[2]
        return shape[1], shape[2], shape[3]

    def on(self, name: str, shape: tuple[int, ...], size: int) -> Layout:
        """This layout as somebody said it, with the grid of a layer that gives ``shape``.

        Raises
        ------
        ModelError
            If so many tokens are not as many rows as columns.
        """
        if self.kind != "tokens":
            return self
        side = math.isqrt(max(0, shape[1] - self.prefix))
        if side < 1 or side * side != shape[1] - self.prefix:
            raise ModelError(
                f"layout={str(self)!r}: layer {name!r} gives {shape[1]} tokens for {size} px, "
                f"which is not {self.prefix} and as many rows as columns"
            )
        return replace(self, grid=(side, side), size=size)

    def read(self, activation: Tensor, image: tuple[int, int]) -> Tensor:
        """The map ``(N, C, h, w)``, a view of the activation.

        Parameters
        ----------
        activation
            What the layer gives.
        image
            Height and width of the images in pixels.

        Raises
        ------
        ModelError
            If the activation is not of this layout.
        """
        if activation.ndim != _RANKS[self.kind]:
            raise ModelError(
                f"an activation of shape {tuple(activation.shape)} is not laid out as "
                f"{str(self)!r}, {_FORMS[self.kind]}"
            )
        return LAYOUTS[self.kind](activation, self, image)

    def write(self, activation: Tensor, maps: Tensor) -> Tensor:
        """The activation with its part that :meth:`read` gives replaced: a new tensor."""
        if self.kind == "maps_last":
            return maps.permute(0, 2, 3, 1)
        if self.kind == "tokens":
            changed = activation.clone()
            if self.token is not None:
                changed[:, self.token] = maps[:, :, 0, 0]
            else:
                changed[:, self.prefix :] = maps.flatten(2).transpose(1, 2)
            return changed
        return maps.flatten(1) if self.kind == "vector" else maps

    def grid_of(self, patches: int, image: tuple[int, int]) -> tuple[int, int] | None:
        """Rows and columns of so many patches in an image of that size; None if they do not fit.

        An image that is twice as wide has twice as many columns, but for parts of a patch.
        """
        if (self.size, self.size) == image or not self.size:
            return self.grid if math.prod(self.grid) == patches else None
        sides = [
            {math.floor(there * now / self.size), math.ceil(there * now / self.size)}
            for there, now in zip(self.grid, image, strict=True)
        ]
        fitting = [(h, w) for h, w in itertools.product(*sides) if h * w == patches]
        # A network may make the same number of every image.
        fitting += [self.grid] if math.prod(self.grid) == patches else []
        return fitting[0] if fitting else None


def _maps(activation: Tensor, _layout: Layout, _image: tuple[int, int]) -> Tensor:
    return activation


def _maps_last(activation: Tensor, _layout: Layout, _image: tuple[int, int]) -> Tensor:
    return activation.permute(0, 3, 1, 2)


def _tokens(activation: Tensor, layout: Layout, image: tuple[int, int]) -> Tensor:
    if layout.token is not None:
        return activation[:, layout.token, :, None, None]
    patches = activation.shape[1] - layout.prefix
    grid = layout.grid_of(patches, image)
    if grid is None:
        rows, columns = layout.grid
        raise ModelError(
            f"{activation.shape[1]} tokens of an image of {image[0]} x {image[1]} px are not "
            f"{layout.prefix} and a grid of patches, as its {layout.prefix + rows * columns} of "
            f"{layout.size} px are ({rows} x {columns})"
        )
    return activation[:, layout.prefix :].transpose(1, 2).reshape(len(activation), -1, *grid)


def _vector(activation: Tensor, _layout: Layout, _image: tuple[int, int]) -> Tensor:
    return activation[:, :, None, None]


LAYOUTS: dict[str, Callable[[Tensor, Layout, tuple[int, int]], Tensor]] = {
    "maps": _maps,
    "maps_last": _maps_last,
    "tokens": _tokens,
    "vector": _vector,
}
"""From an activation, its layout and the size of the images to the map, by the layout's name."""

MAPS = Layout("maps")

_RANKS = {"maps": 4, "maps_last": 4, "tokens": 3, "vector": 2}
_FORMS = {
    "maps": "(N, channels, height, width)",
    "maps_last": "(N, height, width, channels)",
    "tokens": "(N, tokens, channels)",
    "vector": "(N, channels)",
}


def as_layout(given: Any) -> Layout:
    """The layout that a text names: one of :data:`LAYOUTS`, or ``tokens+5``.

    Raises
    ------
    ModelError
        With the nearest right one.

    Examples
    --------
    >>> from neuron_widget.networks.layouts import as_layout
    >>> as_layout("tokens+1").prefix
    1
    """
    if isinstance(given, Layout):
        return given
    found = re.fullmatch(r"(\w+?)(?:\+(\d+))?", given.strip()) if isinstance(given, str) else None
    if found and found[1] in LAYOUTS and (found[1] == "tokens" or not found[2]):
        prefix = int(found[2] or 0)
        if prefix <= MOST_PREFIX:
            return Layout(found[1], prefix)
    known = [*LAYOUTS, "tokens+1"]
    hint = nearest(str(given), known) or f"expected {', '.join(map(repr, known))}"
    raise ModelError(f"unknown layout {given!r}; {hint} (tokens+5: with five prefix tokens)")


def as_layouts(given: str | Mapping[str, str] | None) -> dict[str, Layout]:
    """Layouts by patterns of layers' names: what ``load_model`` takes; a text is for all layers."""
    by_name = given if isinstance(given, Mapping) else {} if given is None else {"*": given}
    return {str(pattern): as_layout(layout) for pattern, layout in by_name.items()}
