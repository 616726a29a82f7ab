"""What images are worth: from layers of one forward pass, and the pictures themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from neuron_widget.networks.model import VisionModel
from neuron_widget.rendering.objective import Objective, at_positions
from neuron_widget.targets import Target

__all__ = ["Seen", "layers_read", "values_of"]


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
    """

    pictures: Tensor
    found: Mapping[str, Tensor]
    sizes: Mapping[str, tuple[int, int]]

    def maps(self, layer: str) -> Tensor:
        """A layer's activation in float32; of ``""`` the pictures."""
        return self.found[layer].float() if layer else self.pictures

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


def values_of(
    model: VisionModel,
    objective: Objective,
    targets: Sequence[Target],
    channels: Tensor,
    pictures: Tensor,
    found: Mapping[str, Tensor],
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
    """
    if targets[0].composed:
        infos = [model.layer(layer) for layer in found]
        sizes = {info.name: (info.height, info.width) for info in infos}
        return targets[0].values(Seen(pictures, found, sizes)).float()
    if objective.layers:
        return objective(tuple(found[layer] for layer in objective.layers), channels)
    info = model.layer(targets[0].layer)
    maps = at_positions(found[info.name], targets, info.height, info.width)
    return objective(maps, channels)
