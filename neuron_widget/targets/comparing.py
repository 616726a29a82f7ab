"""What compares images: with others of a group, or with the photo that they began from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from neuron_widget.errors import WrongValue
from neuron_widget.targets.regions import Region
from neuron_widget.targets.target import Activations, Sum, Target
from neuron_widget.targets.term import Term

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Alignment", "Distance", "Diversity", "Interpolate", "Only", "inside", "largest_image"]


class _Compares(Term):
    word: ClassVar[str] = ""
    arguments: ClassVar[dict[str, str]] = {}

    @property
    def compares(self) -> bool:
        """It does."""
        return True


@dataclass(frozen=True)
class Diversity(_Compares):
    """How alike the images of a group are in a layer: the sum of the likenesses to all others.

    The likeness of two images is the cosine of their Gram matrices (which channels fire together),
    as in style transfer. As in lucid and lucent it is subtracted, to make images differ:
    ``mixed4a:68 - 100*diversity(mixed4a)``.
    """

    word: ClassVar[str] = "diversity"
    arguments: ClassVar[dict[str, str]] = {"region": "layer"}
    region: Region

    def values(self, seen: Activations) -> Tensor:
        """``(n,)``: of each image the sum over the others."""
        import torch.nn.functional as F

        flat = self.region.of(seen).flatten(2)
        grams = F.normalize((flat @ flat.transpose(1, 2)).flatten(1), dim=1)
        likeness = grams @ grams.T
        return likeness.sum(1) - likeness.diagonal()


@dataclass(frozen=True)
class Alignment(_Compares):
    """How near images that follow each other in a group are in a layer: 0, or less.

    Minus half the mean square distance to each of the four before and after it; a distance of d
    images counts ``decay ** -d``.
    """

    word: ClassVar[str] = "alignment"
    arguments: ClassVar[dict[str, str]] = {"region": "layer", "decay": "number"}
    region: Region
    decay: float = 2.0

    def __post_init__(self) -> None:
        if self.decay <= 0:
            raise WrongValue(f"the decay of an alignment must be above 0, got {self.decay:g}")

    def values(self, seen: Activations) -> Tensor:
        """``(n,)``: half of every pair belongs to each of its two images."""
        import torch.nn.functional as F

        maps = self.region.of(seen)
        found = maps.new_zeros(len(maps))
        for d in range(1, min(5, len(maps))):
            apart = (maps[:-d] - maps[d:]).square().flatten(1).mean(1) / (2 * self.decay**d)
            found = found - F.pad(apart, (0, d)) - F.pad(apart, (d, 0))
        return found


@dataclass(frozen=True)
class Interpolate(_Compares):
    """From one target to another: the first image is all of the first, the last of the second."""

    word: ClassVar[str] = "interpolate"
    arguments: ClassVar[dict[str, str]] = {"first": "target", "last": "target"}
    first: Target
    last: Target

    def values(self, seen: Activations) -> Tensor:
        """``(n,)``."""
        first, last = self.first.values(seen), self.last.values(seen)
        share = first.new_tensor([i / (len(first) - 1) for i in range(len(first))])
        return (1 - share) * first + share * last


@dataclass(frozen=True)
class Only(_Compares):
    """A target of one image of a group alone; 0 for the others."""

    word: ClassVar[str] = "only"
    arguments: ClassVar[dict[str, str]] = {"image": "image", "target": "target"}
    image: int
    target: Target

    def values(self, seen: Activations) -> Tensor:
        """``(n,)``."""
        found = self.target.values(seen)
        one = found.new_tensor([float(i == self.image) for i in range(len(found))])
        return one * found


@dataclass(frozen=True)
class Distance(Term):
    """How far a layer, or the picture, is from what it is in the photo that the image began from.

    The root mean square of the difference, as a share of the photo's own root mean square: 0 where
    nothing changed, and of the same size in every layer. Subtracted it keeps an image near its
    photo: ``mixed4a:68 - 500*distance(mixed3a)``. After Hamblin et al., *Feature Accentuation*
    (2024), who hold images near theirs by the distance in an early layer.
    """

    word: ClassVar[str] = "distance"
    arguments: ClassVar[dict[str, str]] = {"region": "picture"}
    region: Region

    def values(self, seen: Activations) -> Tensor:
        """``(n,)``, 0 or more."""
        began = self.region.cut(seen, seen.start(self.region.layer))
        # A root has no gradient at 0, where every image begins.
        apart = (self.region.of(seen) - began).square().flatten(1).mean(1) + 1e-8
        return (apart / (began.square().flatten(1).mean(1) + 1e-8)).sqrt()


def inside(target: Target) -> Iterator[Target]:
    """A target, and all that it is made of."""
    yield target
    parts = [part for _, part in target.terms] if isinstance(target, Sum) else []
    if isinstance(target, Term):
        parts += [part for part in target.parts if isinstance(part, Target)]
    for part in parts:
        yield from inside(part)


def largest_image(target: Target) -> int:
    """The largest image that some part speaks of alone; -1 where none does."""
    return max((part.image for part in inside(target) if isinstance(part, Only)), default=-1)
