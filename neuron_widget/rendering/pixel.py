"""The plain way, to compare with: each pixel's colour is a number of its own.

What lucid calls ``param.image(size, fft=False, decorrelate=False)``: gradient steps make
high-frequency noise, which a network reads and people do not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neuron_widget.rendering.param import START_SD, Parameterisation
from neuron_widget.targets import Target

__all__ = ["PixelImage"]


class PixelImage(Parameterisation):
    """Images that are parameterised by their pixels, through a sigmoid."""

    @staticmethod
    def shape_for(height: int, width: int) -> tuple[int, ...]:
        """The image's own."""
        return (3, height, width)

    def start(self, seed: int, target: Target, part: int = 0) -> Tensor:
        """Grey with little noise."""
        return (self._noise(seed, target, part) * START_SD).to(self.device)

    def encode(self, image: Tensor) -> Tensor:
        """An image -> logits of its colours."""
        return self._logits(image)

    def decode(self, arrays: Tensor) -> Tensor:
        """Logits of colours -> images."""
        with torch.autocast(self.device.type, enabled=False):
            return self._valid(self._grey(arrays))
