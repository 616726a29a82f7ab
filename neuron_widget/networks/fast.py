"""The fastest way there is from images to a layer's activation and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from neuron_widget.networks.dictionaries import Dictionary
from neuron_widget.networks.inception import InceptionV1
from neuron_widget.networks.inception.fused import FUSED_CHUNK, fused_reader
from neuron_widget.networks.inception.several import fused_layers
from neuron_widget.networks.model import VisionModel

__all__ = ["Reader", "fast_reader", "scan_reader", "scan_readers"]


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
    (:mod:`.inception.fused`), other networks have prepared copies (:mod:`.prepared`). A dictionary
    is read on the fast way to its layer. ``None`` where only the network itself will do.
    """
    return _reader(model, layer, dtype, 0, prepared=True)


def scan_reader(model: VisionModel, layer: str, dtype: torch.dtype) -> Reader | None:
    """The same for scans, where nothing is maximised: what is not faster than the network is left.

    Images go through a few at a time.
    """
    return _reader(model, layer, dtype, FUSED_CHUNK, prepared=False)


def scan_readers(
    model: VisionModel, layers: Sequence[str], dtype: torch.dtype
) -> Callable[[Tensor], dict[str, Tensor]] | None:
    """As :func:`scan_reader`, of several layers in one pass; None where there is no such way.

    What it gives of each layer is what its own reader gives, bit by bit.
    """
    return fused_layers(model, layers, dtype, FUSED_CHUNK)


def _reader(
    model: VisionModel, layer: str, dtype: torch.dtype, chunk: int, *, prepared: bool
) -> Reader | None:
    added = model.dictionary(layer)
    if added is not None:
        below = _reader(model, added.source, dtype, chunk, prepared=prepared)
        return _Tail(below, _DictionaryTail(added.dictionary)) if below is not None else None
    if model.is_output(layer):
        # Of InceptionV1 it is known what comes behind the last block.
        own = fused_reader(model, "mixed5b", dtype, chunk)
        return _Tail(own, _InceptionTail(model.module)) if own is not None else None
    found = fused_reader(model, layer, dtype, chunk)
    return found or (model.prepared(layer, dtype) if prepared else None)


class _Tail:
    """A fast way to one layer, and what is made of its activation. See :class:`Reader`."""

    def __init__(self, below: Reader, tail: Callable[[Tensor, Tensor | None], Tensor]):
        self._below, self._tail = below, tail
        self.at_once = below.at_once

    def serves(self, images: int, size: int) -> bool:
        """As the way to the layer below."""
        return self._below.serves(images, size)

    def __call__(
        self, images: Tensor, redirect: bool = False, neurons: Sequence[int] | None = None
    ) -> Tensor:
        """Images ``(N, 3, H, W)`` in 0..1 -> the features, or the one named for each image."""
        own = torch.tensor(neurons, device=images.device) if neurons is not None else None
        return self._tail(self._below(images, redirect), own)


class _DictionaryTail:
    def __init__(self, dictionary: Dictionary):
        self._dictionary = dictionary

    def __call__(self, activation: Tensor, neurons: Tensor | None) -> Tensor:
        if neurons is None:
            return self._dictionary.read(activation)
        return self._dictionary.read_each(activation, neurons)


class _InceptionTail:
    """The mean over all positions, and the classifier, in float32."""

    def __init__(self, module: torch.nn.Module):
        assert isinstance(module, InceptionV1)
        last = module.softmax2_pre_activation_matmul
        self._weight, self._bias = last.weight.detach().clone(), last.bias.detach().clone()

    def __call__(self, activation: Tensor, neurons: Tensor | None) -> Tensor:
        means = activation.mean(dim=(2, 3), dtype=torch.float32)
        if neurons is None:
            return F.linear(means, self._weight, self._bias)[:, :, None, None]
        found = (means * self._weight[neurons]).sum(dim=1) + self._bias[neurons]
        return found[:, None, None, None]
