"""What can be maximised besides neurons: directions, whole layers, the picture itself.

Each is one class here, whose ``word`` and arguments make its text, ``layer(mixed4a)``; those that
compare images are in :mod:`.comparing`. Values are those of torch-lucent
(``lucent.optvis.objectives``, Apache License 2.0) with the sign of what is maximised, one for each
image; what lucent makes of a batch is their mean, or, where it adds up images
(``channel_interpolate``, ``alignment``, ``blur_input_each_step``, ``batch=``), their sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from neuron_widget.errors import WrongValue
from neuron_widget.targets.regions import Region
from neuron_widget.targets.target import Activations, ModelLike
from neuron_widget.targets.term import Term

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["L1", "L2", "Blur", "Direction", "Layer", "TotalVariation", "Weights"]


@dataclass(frozen=True)
class _Vector(Term):
    """A number for each channel of a layer."""

    word: ClassVar[str] = ""
    arguments: ClassVar[dict[str, str]] = {"region": "layer", "vector": "vector"}
    region: Region
    vector: tuple[float, ...] = ()

    def check(self, model: ModelLike) -> Self:
        """Return it with the layer's own name; raise WrongValue for another number of channels."""
        checked = super().check(model)
        channels = model.layer(checked.layer).channels
        if self.vector and len(self.vector) != channels:
            raise WrongValue(
                f"{self.title} has {len(self.vector)} numbers, and layer {checked.layer} has "
                f"{channels} channels: expected one for each"
            )
        return checked

    def _of(self, maps: Tensor) -> Tensor:
        return maps.new_tensor(self.vector).view(1, -1, 1, 1)


@dataclass(frozen=True)
class Direction(_Vector):
    """How near a layer's activation is to a direction: their cosine, the mean over positions."""

    word: ClassVar[str] = "direction"

    def __post_init__(self) -> None:
        if not any(self.vector):
            raise WrongValue("a direction has at least one number that is not 0")

    def values(self, seen: Activations) -> Tensor:
        """``(n,)`` in -1..1."""
        import torch.nn.functional as F

        maps = self.region.of(seen)
        return F.cosine_similarity(self._of(maps), maps, dim=1).flatten(1).mean(1)


@dataclass(frozen=True)
class Weights(_Vector):
    """Channels, each with a weight: the mean over positions and channels; 1 each without a vector.

    The mean over channels is lucent's: a vector of one 1 among zeros gives the channel's mean
    divided by the number of channels.
    """

    word: ClassVar[str] = "weights"

    def values(self, seen: Activations) -> Tensor:
        """``(n,)``."""
        maps = self.region.of(seen)
        return (maps * self._of(maps) if self.vector else maps).flatten(1).mean(1)


@dataclass(frozen=True)
class Layer(Term):
    """All of a layer: the mean of its squares, as in DeepDream."""

    word: ClassVar[str] = "layer"
    arguments: ClassVar[dict[str, str]] = {"region": "layer"}
    region: Region

    def values(self, seen: Activations) -> Tensor:
        """``(n,)``, 0 or more."""
        return self.region.of(seen).square().flatten(1).mean(1)


@dataclass(frozen=True)
class L1(Term):
    """How far a layer, or the picture, is from a number: the mean of the distances."""

    word: ClassVar[str] = "l1"
    arguments: ClassVar[dict[str, str]] = {"region": "picture", "constant": "number"}
    region: Region
    constant: float = 0.0

    def values(self, seen: Activations) -> Tensor:
        """``(n,)``, 0 or more."""
        return (self.region.of(seen) - self.constant).abs().flatten(1).mean(1)


@dataclass(frozen=True)
class L2(Term):
    """How far a layer, or the picture, is from a number: the root of the mean square."""

    word: ClassVar[str] = "l2"
    arguments: ClassVar[dict[str, str]] = {"region": "picture", "constant": "number"}
    region: Region
    constant: float = 0.0

    def values(self, seen: Activations) -> Tensor:
        """``(n,)``, 0 or more."""
        # A root has no gradient at 0.
        square = (self.region.of(seen) - self.constant).square().flatten(1).mean(1)
        return (square + 1e-12).sqrt()


@dataclass(frozen=True)
class TotalVariation(Term):
    """How much neighbours differ: the mean of the differences to the right and below."""

    word: ClassVar[str] = "tv"
    arguments: ClassVar[dict[str, str]] = {"region": "picture"}
    region: Region

    def values(self, seen: Activations) -> Tensor:
        """``(n,)``, 0 or more; 0 of a map of one position."""
        maps = self.region.of(seen)
        found = 0 * maps.flatten(1).sum(1)
        for dim in (2, 3):
            if maps.shape[dim] > 1:
                found = found + maps.diff(dim=dim).abs().flatten(1).mean(1)
        return found


@dataclass(frozen=True)
class Blur(Term):
    """How far the picture is from itself blurred a little: half the sum of the squares.

    As in lucent nothing leads back through the blurred one, so that ``- 0.1*blur(image)`` draws
    every pixel to the mean around it.
    """

    word: ClassVar[str] = "blur"
    arguments: ClassVar[dict[str, str]] = {"region": "picture"}
    region: Region

    def values(self, seen: Activations) -> Tensor:
        """``(n,)``, 0 or more."""
        import torch.nn.functional as F

        maps = self.region.of(seen)
        channels = maps.shape[1]
        kernel = maps.new_full((channels, 1, 3, 3), 0.5)
        kernel[:, :, 1, 1] = 1.0
        ones = maps.new_ones((1, *maps.shape[1:]))
        around = F.conv2d(ones, kernel, padding=1, groups=channels)
        blurred = F.conv2d(maps.detach(), kernel, padding=1, groups=channels) / around
        return 0.5 * (maps - blurred).square().flatten(1).sum(1)
