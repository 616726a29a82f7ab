"""Pictures that form together: what is wanted, and what the page is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from neuron_widget.protocol.encode import jpeg, to_pil
from neuron_widget.session.messages import Message, Part, sign_of
from neuron_widget.targets import Target

if TYPE_CHECKING:
    from neuron_widget.rendering import RenderStep
    from neuron_widget.rendering.start import Start
    from neuron_widget.session.settings import Recipe

__all__ = ["PhotoName", "StripTask", "Wish", "of_photo", "strip", "strip_frame"]

StripTask = Literal["facets", "between", "accentuation"]


@dataclass(frozen=True)
class PhotoName:
    """What the page calls a photo; see :class:`.protocol.PhotoName`."""

    of: Literal["dataset", "brought"]
    number: int


@dataclass(frozen=True)
class Wish:
    """What is to be made.

    Attributes
    ----------
    task
        Facets of one target, pictures between two, or pictures from a photo to what fires a target
        more.
    of
        That target, or those two.
    single
        For each of them what its own picture activates; of a photo nothing.
    count
        How many pictures.
    recipe, steps
        How they are made.
    photo, start
        What the page calls the photo, and the photo itself, once it was read. The same photo may
        come by another name.
    """

    task: StripTask
    of: tuple[Target, ...]
    single: tuple[float, ...]
    count: int
    recipe: Recipe
    steps: int
    photo: PhotoName | None = field(default=None, compare=False)
    start: Start | None = None


def strip(
    wish: Wish,
    image: Target,
    pictures: Sequence[NDArray[np.float32]],
    at: Sequence[int],
    found: Sequence[Sequence[float]],
) -> Part:
    """See :class:`.protocol.Strip`.

    Parameters
    ----------
    image
        What a picture maximises.
    pictures, at
        Each ``(H, W, 3)`` in 0..1, and the steps it has had.
    found
        For each of ``wish.of`` what the pictures are worth.
    """
    sign = sign_of(wish.recipe.as_options()["objective"])
    singles = wish.single or (0.0,) * len(wish.of)
    message = {
        **_strip(wish, at[-1], image),
        "at": list(at),
        "activation": [[sign * v for v in values] for values in found],
        "shares": [
            [v / own for v in values] if own > 0 else []
            for values, own in zip(found, singles, strict=True)
        ],
    }
    return message, [jpeg(to_pil(picture), quality=92) for picture in pictures]


def of_photo(part: Part, photo: PhotoName | None) -> Part:
    """The same pictures, of the photo by the name that it has now."""
    message, buffers = part
    return {**message, **_named(photo)}, buffers


def strip_frame(wish: Wish, index: int, step: RenderStep, *, ack: bool) -> Part:
    """The same while the pictures form. Reads them from the device."""
    message = {**_strip(wish, step.step, step.targets[0]), "index": index, "ack": ack}
    return message, [jpeg(to_pil(image)) for image in step.images()]


def _strip(wish: Wish, step: int, image: Target) -> Message:
    return {
        "kind": "strip",
        "task": wish.task,
        "of": [target.as_dict() for target in wish.of],
        "step": step,
        "steps": wish.steps,
        "activation": [],
        "shares": [],
        "at": [],
        "expression": str(image).partition(" [image ")[0],
        **_named(wish.photo),
    }


def _named(photo: PhotoName | None) -> Message:
    return {"photo": asdict(photo)} if photo is not None else {}
