"""The fastest way there is from images to a layer's activation and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from neuron_widget.networks.fused import fused_reader
from neuron_widget.networks.model import VisionModel

__all__ = ["Reader", "fast_reader"]


class Reader(Protocol):
    """A function from images to an activation, in place of :meth:`VisionModel.reading`'s.

    Attributes
    ----------
    at_once
        How many images of 224 px a CPU takes best at once; the rest of a batch waits. What one
        operation writes is in the cache still when the next reads it, where there are few.
    """

    at_once: int

    def serves(self, images: int, size: int, /) -> bool:
        """Whether it can be called with so many images of that side, now."""

    def __call__(
        self, images: Tensor, redirect: bool = False, neurons: Sequence[int] | None = None
    ) -> Tensor:
        """The layer's activation, or ``(N, 1, h, w)`` of the one neuron named for each image.

        ``redirect``: whether gradients are redirected where ReLU lets nothing through.
        """


def fast_reader(model: VisionModel, layer: str, dtype: torch.dtype) -> Reader | None:
    """From images ``(N, 3, H, W)`` in 0..1 to the layer's activation, in ``dtype``.

    With ``redirect=True`` its gradients are those of
    :class:`neuron_widget.networks.layers.RedirectedReLU`. InceptionV1 has a way of its own
    (:mod:`.fused`), other networks have prepared copies (:mod:`.prepared`). ``None`` where only
    the network itself will do.
    """
    return fused_reader(model, layer, dtype) or model.prepared(layer, dtype)
