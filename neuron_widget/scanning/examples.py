"""The photos of one neuron: everything that is made for winners only, on demand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuron_widget.scanning.receptive import ReceptiveFields

__all__ = ["Example", "ExampleSource"]

Box = tuple[float, float, float, float]


class ExampleSource(Protocol):
    """What makes the pictures and maps of a scan's photos when they are asked for."""

    def square(self, index: int) -> Image.Image:
        """Return the square of a photo that the network saw."""

    def maps(self, neuron: int) -> dict[int, NDArray[np.float32]]:
        """Return the activation maps of the neuron's photos by their numbers."""

    @property
    def receptive_fields(self) -> ReceptiveFields:
        """Receptive fields of the layer's units."""


@dataclass(frozen=True)
class Example:
    """A photo that fires a neuron most or least.

    Attributes
    ----------
    neuron
        The neuron (channel of the layer).
    index
        Number of the photo in the data set.
    path, label
        Its file and class name.
    rank
        Place, from 0.
    score
        Spatial mean of the activation.
    peak, position
        Largest activation and its (row, column) in the map.
    """

    neuron: int
    index: int
    path: str
    label: str
    rank: int
    score: float
    peak: float
    position: tuple[int, int]
    _source: ExampleSource = field(repr=False, compare=False)

    def image(self) -> Image.Image:
        """Return the square that the network saw, RGB at the model's input size."""
        return self._source.square(self.index)

    def activation_map(self) -> NDArray[np.float32]:
        """Return the neuron's activation ``(h, w)``, float32, not normalised.

        The first map of a neuron computes those of all its photos.
        """
        return self._source.maps(self.neuron)[self.index]

    @property
    def receptive_field(self) -> Box:
        """What the peak can see: left, top, right, bottom as fractions 0..1 of the square."""
        return self._source.receptive_fields.box(self.neuron, *self.position)

    def crop(self) -> Image.Image:
        """Return the part of the square that the peak can see."""
        image = self.image()
        left, top, right, bottom = self.receptive_field
        width, height = image.size
        return image.crop(
            (
                int(left * width),
                int(top * height),
                max(int(left * width) + 1, round(right * width)),
                max(int(top * height) + 1, round(bottom * height)),
            )
        )
