"""Photos of a scan that is on another machine."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuron_widget.scanning.examples import Box, Example
from neuron_widget.scanning.receptive import ReceptiveFields

__all__ = ["examples_of"]

Ask = Callable[..., Any]


class _Source:
    """Asks for pictures and maps when they are wanted, once; see :class:`.ExampleSource`."""

    def __init__(self, layer: str, boxes: Mapping[tuple[int, ...], Box], ask: Ask):
        self._layer, self._boxes, self._ask = layer, boxes, ask
        self._squares: dict[int, Image.Image] = {}
        self._maps: dict[int, dict[int, NDArray[np.float32]]] = {}

    def square(self, index: int) -> Image.Image:
        """The square of a photo."""
        if index not in self._squares:
            data = self._ask("square", layer=self._layer, index=index)
            with Image.open(io.BytesIO(data)) as image:
                self._squares[index] = image.convert("RGB")
        return self._squares[index].copy()

    def maps(self, neuron: int) -> dict[int, NDArray[np.float32]]:
        """The activation maps of the neuron's photos."""
        if neuron not in self._maps:
            self._maps[neuron] = self._ask("maps", layer=self._layer, neuron=neuron)
        return self._maps[neuron]

    def box(self, neuron: int, row: int, column: int) -> Box:
        """What a photo's peak can see."""
        return self._boxes[neuron, row, column]

    @property
    def receptive_fields(self) -> ReceptiveFields:
        """Those of the photos' peaks, which are all that is asked for."""
        return cast(ReceptiveFields, self)


def examples_of(found: Mapping[str, Any], ask: Ask) -> dict[str, list[Example]]:
    """Photos as the server described them."""
    boxes: dict[tuple[int, ...], Box] = {}
    source = _Source(str(found["layer"]), boxes, ask)
    groups: dict[str, list[Example]] = {}
    for group, rows in found["groups"].items():
        groups[group] = []
        for told in rows:
            row = dict(told)
            box = row.pop("box")
            boxes[(row["neuron"], *row["position"])] = (box[0], box[1], box[2], box[3])
            groups[group].append(Example(**row, _source=source))
    return groups
