"""Learning step by step from a stream of activations, of which a fixed number is at hand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

__all__ = ["StreamLearner"]

_BUFFER_BYTES = 64 * 2**20
_LEAST = 2048  # positions before anything is learnt
_BATCH = 1024


class StreamLearner(ABC):
    """Takes activations; learns from batches that are drawn at random from those seen last.

    So positions of one photo, which are alike, do not come together.

    Attributes
    ----------
    every_position
        Whether it takes all positions of a map: a sample of them will do.
    uses
        How often a position is learnt from, on average.
    """

    every_position: ClassVar[bool] = False
    uses: ClassVar[float]

    def __init__(self, channels: int, features: int, seed: int, layer: str):
        self._arguments = (channels, features, seed, layer)
        self._features = features
        self._random = torch.Generator().manual_seed(seed)
        self._most = max(_LEAST, _BUFFER_BYTES // (4 * channels))
        # Memory that nothing was written to yet costs nothing.
        self._whole = torch.empty((self._most, channels))
        self._buffer = self._whole[:0]
        self._owed = 0.0
        self._steps = 0
        self._begun = False

    @abstractmethod
    def _begin(self, known: Tensor) -> None:
        """Begin with what is known of the activations, ``(n, C)``."""

    @abstractmethod
    def _step(self, rows: Tensor) -> None:
        """One step on a batch ``(b, C)``."""

    @abstractmethod
    def _parts(self) -> dict[str, Any]:
        """What is learnt, as :class:`neuron_widget.Dictionary` takes it."""

    def take(self, rows: Tensor) -> None:
        """Put activations ``(n, C)`` into the buffer, and learn from what is in it."""
        rows = rows.cpu()
        self._owed += self.uses * len(rows) / _BATCH
        room = self._most - len(self._buffer)
        if room > 0:
            there, new = len(self._buffer), rows[:room]
            self._buffer = self._whole[: there + len(new)]
            self._buffer[there:] = new
            rows = rows[room:]
        if len(rows):
            # A new position takes the place of any other one.
            rows = rows[: self._most]
            places = torch.randperm(len(self._buffer), generator=self._random)[: len(rows)]
            self._buffer[places] = rows
        if len(self._buffer) >= _LEAST:
            self._learn()

    def _learn(self) -> None:
        with torch.inference_mode(False), torch.enable_grad():
            if not self._begun:
                self._begin(self._buffer.clone())
                self._begun = True
            while self._owed >= 1:
                self._owed -= 1
                picks = torch.randint(len(self._buffer), (_BATCH,), generator=self._random)
                self._step(self._buffer[picks])
                self._steps += 1

    def parts(self) -> dict[str, Any]:
        """What is learnt so far, as :class:`neuron_widget.Dictionary` takes it."""
        if self._begun:
            return self._parts()
        # Few positions so far: learnt from aside, so that more can still come.
        other = type(self)(*self._arguments)
        other._buffer, other._owed = self._buffer, max(1.0, self._owed)
        other._learn()
        return other._parts()
