"""What images are worth: from layers of one forward pass, and the pictures themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from neuron_widget.networks.model import VisionModel
from neuron_widget.rendering.objective import Objective, at_positions
from neuron_widget.targets import Target, held_near

__all__ = ["Seen", "began", "layers_read", "values_of"]


@dataclass(frozen=True)
class Seen:
    """Activations of some images; see :class:`neuron_widget.targets.Activations`.

    Attributes
    ----------
    pictures
        ``(n, 3, H, W)`` in 0..1.
    found
        ``(n, C, h, w)`` by layer.
    sizes
        Height and width of each layer's map at the network's own input size; where one is missing
        positions count on the map as it is.
    began
        As ``found``, of the photo that the images began from, moved as they are; of ``""`` the
        photo itself. Empty where nothing is held near it.
    """

    pictures: Tensor
    found: Mapping[str, Tensor]
    sizes: Mapping[str, tuple[int, int]]
    began: Mapping[str, Tensor] = field(default_factory=dict)

    def maps(self, layer: str) -> Tensor:
        """A layer's activation in float32; of ``""`` the pictures."""
        return self.found[layer].float() if layer else self.pictures

    def start(self, layer: str) -> Tensor:
        """The same of the photo that the images began from."""
        return self.began[layer].float()

    def size(self, layer: str) -> tuple[int, int]:
        """Height and width of the map on which positions count."""
        if layer in self.sizes:
            return self.sizes[layer]
        height, width = self.maps(layer).shape[2:]
        return height, width


def layers_read(objective: Objective, targets: Sequence[Target]) -> tuple[str, ...]:
    """The layers that images of one batch read."""
    if targets[0].composed:
        return targets[0].layers
    return objective.layers or (targets[0].layer,)


def began(
    model: VisionModel, target: Target, photo: Tensor | None, moved: Tensor | None = None
) -> Mapping[str, Tensor]:
    """What a target that is held near a photo has to know of it: see :attr:`Seen.began`.

    Parameters
    ----------
    photo
        As often as there are images, ``(n, 3, H, W)`` in 0..1.
    moved
        The same, moved as the images are; default: as it is.
    """
    near = held_near(target)
    if near is None or photo is None:
        return {}
    found: dict[str, Tensor] = {"": photo}
    if near:
        with torch.no_grad(), model.reading_each(near) as read:
            found |= read(photo if moved is None else moved)
    return found


def values_of(
    model: VisionModel,
    objective: Objective,
    targets: Sequence[Target],
    channels: Tensor,
    pictures: Tensor,
    found: Mapping[str, Tensor],
    began: Mapping[str, Tensor] = MappingProxyType({}),
) -> Tensor:
    """What images of one batch are worth, ``(n,)`` float32.

    Parameters
    ----------
    targets
        Those of the images: of one layer, all with a position or none; or those of one composed
        target.
    channels
        Where each image's neuron is in the activation, ``(n,)``.
    pictures
        The images as they are, ``(n, 3, H, W)`` in 0..1.
    found
        The activation of each of :func:`layers_read`.
    began
        See :class:`Seen`.
    """
    if targets[0].composed:
        infos = [model.layer(layer) for layer in found]
        sizes = {info.name: (info.height, info.width) for info in infos}
        return targets[0].values(Seen(pictures, found, sizes, began)).float()
    if objective.layers:
        return objective(tuple(found[layer] for layer in objective.layers), channels)
    info = model.layer(targets[0].layer)
    maps = at_positions(found[info.name], targets, info.height, info.width)
    return objective(maps, channels)
