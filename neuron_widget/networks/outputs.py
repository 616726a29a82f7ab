"""The outputs of a network among what it returns: one number for each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from neuron_widget.errors import ModelError

__all__ = ["output_rows"]


def output_rows(given: Any, title: str, images: int) -> Tensor:
    """What a network returns as ``(images, classes)``: itself, its ``logits``, or the first.

    Raises
    ------
    ModelError
        If it gives no row of numbers for each image.
    """
    found = given
    for name in ("logits", "out"):
        inner = found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)
        if isinstance(inner, Tensor):
            found = inner
    while isinstance(found, (tuple, list)) and found:
        found = found[0]
    if isinstance(found, Tensor) and found.ndim == 4 and found.shape[2:] == (1, 1):
        found = found.flatten(1)
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != images:
        what = (
            f"a tensor {tuple(found.shape)}"
            if isinstance(found, Tensor)
            else f"a {type(found).__name__}"
        )
        raise ModelError(
            f"{title} gives {what} for {images} image(s), and no number for each class: expected "
            f"({images}, classes). What its classes would become cannot be told"
        )
    return found
