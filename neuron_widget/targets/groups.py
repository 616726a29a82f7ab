"""Images that belong together: one work, one seed, each image a target of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from neuron_widget.errors import TargetError
from neuron_widget.targets.comparing import Distance, Interpolate, inside, largest_image
from neuron_widget.targets.given import as_count
from neuron_widget.targets.target import Activations, ModelLike, Target

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["GroupImage", "check_alone", "group", "group_of", "held_near", "works"]

MOST_IMAGES = 64
"""Images of one group, at most: all of them go through the network side by side."""


@dataclass(frozen=True)
class GroupImage(Target):
    """One image of a group, ``mixed4a:68 - 100*diversity(mixed4a) [image 0 of 4]``.

    Attributes
    ----------
    target
        What the group maximises.
    image, of
        Which of its images it is, counted from 0, and how many there are.
    """

    kind: ClassVar[str] = "image"
    form: ClassVar[str] = "TARGET [image NUMBER of NUMBER]"
    target: Target
    image: int
    of: int

    def __str__(self) -> str:
        return f"{self.target} [image {self.image} of {self.of}]"

    @property
    def layers(self) -> tuple[str, ...]:
        """Those of the group's target."""
        return self.target.layers

    @property
    def layer(self) -> str:  # type: ignore[override]
        """The first that is named."""
        return self.target.layer

    @property
    def neuron(self) -> int:  # type: ignore[override]
        """That of the group's target."""
        return self.target.neuron

    @property
    def random_stream(self) -> str:
        """Its own; images that lead from one to another begin alike, and are moved alike.

        So neighbours have the same things in the same places, and can be compared place by place.
        """
        leads = any(isinstance(part, Interpolate) for part in inside(self.target))
        return str(self.target if leads else self)

    @property
    def channel(self) -> Target:
        """That of the group's target."""
        return self.target.channel

    def check(self, model: ModelLike) -> GroupImage:
        """Return it with its target checked."""
        return replace(self, target=self.target.check(model))

    def values(self, seen: Activations) -> Tensor:
        """What each image of the group is worth: all of them have to be seen."""
        return self.target.values(seen)

    def as_dict(self) -> dict[str, Any]:
        """Return ``kind``, ``text``, and ``layer`` and ``neuron`` of its channel."""
        return self.as_expression()

    def key_parts(self) -> dict[str, Any]:
        """Return ``expression``, ``image`` and ``of``."""
        return {"expression": str(self.target), "image": self.image, "of": self.of}


def group(target: Target, count: object) -> tuple[GroupImage, ...]:
    """So many images of a target that form together.

    Raises
    ------
    TargetError
    """
    images = as_count(count, "the number of images of a group", 2)
    if images > MOST_IMAGES:
        raise TargetError(
            f"a group has at most {MOST_IMAGES} images, which form side by side; got {images:,}"
        )
    if isinstance(target, GroupImage):
        raise TargetError(f"{target} is one image of a group already")
    last = largest_image(target)
    if last >= images:
        raise TargetError(
            f"{target.title} speaks of image {last}, and a group of {images} has images 0 to "
            f"{images - 1}"
        )
    return tuple(GroupImage(target, i, images) for i in range(images))


def group_of(text: str) -> tuple[str, int, int | None] | None:
    """``(target's text, images, which of them)`` of a text that ends as a group's; or None.

    Raises
    ------
    TargetError
        For an image that such a group has not.
    """
    found = re.fullmatch(r"(.*\S)\s*\[(?:image\s+(\d+)\s+of\s+)?(\d+)(\s+images?)?\]", text.strip())
    if found is None or (found[2] is None) == (found[4] is None):
        return None
    image, images = None if found[2] is None else int(found[2]), int(found[3])
    if image is not None and image >= images:
        raise TargetError(
            f"{text!r}: a group of {images} has images 0 to {images - 1}; there is no image {image}"
        )
    return found[1], images, image


def works(targets: Sequence[Target]) -> list[tuple[int, ...]]:
    """For everything that is rendered on its own, the places of its images among ``targets``.

    An image of a group belongs to the others of it; every other target is alone.

    Raises
    ------
    TargetError
        For a group that is not whole.
    """
    found: list[dict[int, int]] = []
    unfinished: list[tuple[GroupImage, dict[int, int]]] = []
    for place, target in enumerate(targets):
        if not isinstance(target, GroupImage):
            found.append({0: place})
            continue
        for i, (one, there) in enumerate(unfinished):
            if (one.target, one.of) == (target.target, target.of) and target.image not in there:
                there[target.image] = place
                if len(there) == target.of:
                    del unfinished[i]
                break
        else:
            found.append({target.image: place})
            unfinished.append((target, found[-1]))
    for one, there in unfinished:
        raise TargetError(
            f"{one.target.title}: {len(there)} of its {one.of} images are named, and they form "
            f"together: expected all of them, '{one.target} [{one.of} images]'"
        )
    return [tuple(work[i] for i in sorted(work)) for work in found]


def held_near(target: Target) -> tuple[str, ...] | None:
    """Layers in which it speaks of the photo that its image began from; None where it does not.

    Of the picture itself it is none.
    """
    whole = target.target if isinstance(target, GroupImage) else target
    near = [part.region.layer for part in inside(whole) if isinstance(part, Distance)]
    return tuple(dict.fromkeys(filter(None, near))) if near else None


def check_alone(target: Target) -> None:
    """Raise TargetError for what cannot be rendered: it compares images, or reads no layer."""
    if not isinstance(target, GroupImage) and target.compares:
        raise TargetError(
            f"{target.title} speaks of several images, and there is one: say how many, such as "
            f"'{target} [4 images]', or neuron_widget.objectives.images(..., 4)"
        )
    if not target.layers:
        raise TargetError(
            f"{target.title} speaks of the picture alone: add what the network is to see in it, "
            f"such as 'mixed4a:68 + {target.title}'"
        )
