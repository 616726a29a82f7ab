"""The square of a photo that a network sees."""

from __future__ import annotations

from typing import Any

from PIL import Image

from neuron_widget.photos.decode import square
from neuron_widget.photos.given import open_any
from neuron_widget.scanning.examples import Example

__all__ = ["square_of"]


def square_of(photo: Any, input_size: int, name: str = "") -> Image.Image:
    """Return the square of a photo that a network with this input size sees.

    ``photo``: what :func:`open_any` takes, or an :class:`.Example` of a scan, whose square it is.
    """
    if isinstance(photo, Example):
        seen = photo.image()
        return seen if seen.size == (input_size, input_size) else square(seen, input_size)
    return square(open_any(photo, name), input_size)
