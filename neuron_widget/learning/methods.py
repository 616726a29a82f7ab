"""The ways to learn a dictionary. Each takes activations batch by batch, and keeps a fixed size."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from neuron_widget.errors import DictionaryError, NeuronWidgetError
from neuron_widget.learning.sae import SparseLearner
from neuron_widget.learning.stream import StreamLearner

__all__ = ["METHODS", "Learner", "LearningNeeds"]


class LearningNeeds(NeuronWidgetError, ImportError):
    """A library that a method needs is not installed."""


class Learner(Protocol):
    """What is learnt so far.

    Attributes
    ----------
    every_position
        Whether it takes all positions of a map, or a sample of them will do.
    """

    every_position: bool

    def take(self, rows: Tensor) -> None:
        """Learn from activations ``(n, C)`` float32, one row a position."""

    def parts(self) -> dict[str, Any]:
        """Arguments of :class:`neuron_widget.Dictionary`."""


class Pca:
    """Principal components, exact: mean and covariance in float64, then their eigenvectors."""

    every_position = True

    def __init__(self, channels: int, features: int, seed: int, layer: str):  # noqa: ARG002
        if features > channels:
            raise DictionaryError(
                f"features must be at most {channels}, the channels of {layer}: PCA has no more "
                f"components; got {features}"
            )
        self._features = features
        self._count = 0
        self._sum = torch.zeros(channels, dtype=torch.float64)
        self._squares = torch.zeros((channels, channels), dtype=torch.float64)
        # Taken off before squares are summed: numbers far from 0 would lose digits.
        self._origin: Tensor | None = None

    def take(self, rows: Tensor) -> None:
        """Add them to mean and covariance."""
        for part in torch.split(rows, 8192):
            exact = part.cpu().double()
            if self._origin is None:
                self._origin = exact.mean(dim=0)
            exact -= self._origin
            self._count += len(exact)
            self._sum += exact.sum(dim=0)
            self._squares.addmm_(exact.T, exact)

    def parts(self) -> dict[str, Any]:
        """The components with most variance, each with its largest number above 0."""
        assert self._origin is not None
        mean = self._sum / self._count
        covariance = self._squares / self._count - torch.outer(mean, mean)
        values, vectors = torch.linalg.eigh(covariance)
        rows = vectors.T.flip(0)[: self._features]
        signs = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True)).sign()
        values = values.flip(0).clamp(min=0)
        return {
            "directions": (rows * signs).float().numpy(),
            "offset": (mean + self._origin).float().numpy(),
            "facts": {"variance_of": (values[: self._features] / (values.sum() or 1.0)).tolist()},
        }


class Nmf(StreamLearner):
    """Non-negative matrix factorisation: scikit-learn's, batch by batch."""

    uses = 4

    def __init__(self, channels: int, features: int, seed: int, layer: str):
        super().__init__(channels, features, seed, layer)
        try:
            decomposition = import_module("sklearn.decomposition")
        except ImportError as error:
            raise LearningNeeds(
                "method 'nmf' needs scikit-learn, which is not installed: pip install scikit-learn"
            ) from error
        self._layer = layer
        self._model = decomposition.MiniBatchNMF(n_components=features, random_state=seed)

    def take(self, rows: Tensor) -> None:
        """As any; activations below 0 are refused."""
        if len(rows) and float(rows.min()) < 0:
            raise DictionaryError(
                f"layer {self._layer} has activations below 0 ({float(rows.min()):.3g}), which no "
                "sum of non-negative features is: choose a layer behind a ReLU, or method 'sae' or "
                "'pca'"
            )
        super().take(rows)

    def _begin(self, known: Tensor) -> None:
        plain = self._features <= min(known.shape)
        self._model.set_params(init="nndsvda" if plain else "random")

    def _step(self, rows: Tensor) -> None:
        self._model.partial_fit(rows.numpy())

    def _parts(self) -> dict[str, Any]:
        """The factors that are not all 0."""
        rows = np.asarray(self._model.components_, np.float32)
        facts = {"steps": self._steps}
        return {"directions": rows[rows.max(axis=1) > 0], "non_negative": True, "facts": facts}


METHODS: dict[str, type[Pca] | type[Nmf] | type[SparseLearner]] = {
    "pca": Pca,
    "nmf": Nmf,
    "sae": SparseLearner,
}
