"""The photo that an image begins from, in place of noise."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuron_widget.photos.decode import square
from neuron_widget.photos.given import open_any

__all__ = ["Start", "as_start"]


@dataclass(frozen=True, eq=False)
class Start:
    """A photo, upright, 8-bit RGB."""

    photo: Image.Image
    key: str
    """What tells it from others: its pixels."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Start) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"<Start {self.key}>"

    def at(self, size: int) -> NDArray[np.float32]:
        """The square of it that a network of this input size sees: ``(size, size, 3)`` in 0..1."""
        side = self.photo if self.photo.size == (size, size) else square(self.photo, size)
        return np.asarray(side, np.float32) / np.float32(255)


def as_start(given: Any) -> Start:
    """The photo that a setting names; what :func:`neuron_widget.photos.given.open_any` takes.

    Raises
    ------
    DatasetError
    """
    if isinstance(given, Start):
        return given
    photo = open_any(given)
    width, height = photo.size
    digest = hashlib.sha256(f"{width} {height} ".encode() + photo.tobytes())
    return Start(photo, digest.hexdigest()[:16])
