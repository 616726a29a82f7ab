"""Pictures that form together: what is wanted, and what the page is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from neuron_widget.protocol.encode import jpeg, to_pil
from neuron_widget.session.messages import Message, Part, sign_of
from neuron_widget.targets import Target

if TYPE_CHECKING:
    from neuron_widget.rendering import RenderResult, RenderStep
    from neuron_widget.session.settings import Recipe

__all__ = ["StripTask", "Wish", "strip", "strip_frame"]

StripTask = Literal["facets", "between"]


@dataclass(frozen=True)
class Wish:
    """What is to be made.

    Attributes
    ----------
    task
        Facets of one target, or pictures between two.
    of
        That target, or those two.
    single
        For each of them what its own picture activates.
    count
        How many pictures.
    recipe, steps
        How they are made.
    """

    task: StripTask
    of: tuple[Target, ...]
    single: tuple[float, ...]
    count: int
    recipe: Recipe
    steps: int


def strip(wish: Wish, result: RenderResult, found: Sequence[Sequence[float]]) -> Part:
    """See :class:`.protocol.Strip`; ``found``: for each of ``wish.of`` what pictures are worth."""
    sign = sign_of(wish.recipe.as_options()["objective"])
    pairs = zip(found, wish.single, strict=True)
    message = {
        **_strip(wish, result.steps, result.targets[0]),
        "activation": [[sign * v for v in values] for values in found],
        "shares": [[v / own for v in values] if own > 0 else [] for values, own in pairs],
    }
    return message, [jpeg(result.to_pil(i), quality=92) for i in range(len(result))]


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
        "expression": str(image).partition(" [image ")[0],
    }
