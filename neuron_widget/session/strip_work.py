"""What pictures that form together maximise, and the photo that they may begin from."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import DatasetError
from neuron_widget.session.state import State
from neuron_widget.session.strip_messages import Wish
from neuron_widget.targets import Target, group

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from neuron_widget.rendering import RenderResult, RenderStep

__all__ = ["of_brought", "photo_read", "wanted"]


def of_brought(wish: Wish) -> bool:
    """Whether pictures begin from the photo that a person brought."""
    return wish.photo is not None and wish.photo.of == "brought"


def photo_read(
    state: State, brought: Callable[[int], Image.Image], wish: Wish
) -> tuple[Wish, NDArray[np.float32]]:
    """The wish with its photo, and that as it is before the first step, ``(H, W, 3)`` in 0..1.

    Raises
    ------
    DatasetError
        If it is not there any more.
    """
    from neuron_widget.rendering.start import as_start

    photo, start = wish.photo, wish.start
    assert photo is not None
    if start is None and photo.of == "brought":
        start = as_start(brought(photo.number))
    elif start is None:
        channel = wish.of[0].channel
        scan = state.cache.looked_into(channel.layer)
        sides = (scan.top, scan.bottom) if scan is not None else ()
        shown = [example for side in sides for example in side(channel.neuron)]
        found = next((one for one in shown if one.index == photo.number), None)
        if found is None:
            raise DatasetError(
                f"photo {photo.number} is none of those any more that fire {state.title(channel)} "
                "most or least: open one of them"
            )
        start = as_start(found.image())
    return replace(wish, start=start), start.at(wish.recipe.as_options()["size"])


def wanted(
    state: State, wish: Wish, begun: RenderResult | None
) -> Generator[RenderStep, None, tuple[tuple[Target, ...], dict[str, Any]]]:
    """What the pictures of a wish maximise, and the settings that they are made with.

    ``begun``: what there is of them, to go on from.
    """
    from neuron_widget.rendering.accentuation import accentuated, options_from_photo
    from neuron_widget.rendering.together import between, facets

    model = state.model
    assert model is not None
    options = wish.recipe.as_options()
    objective = options.pop("objective")
    how: dict[str, Any] = {**options, "steps": wish.steps}
    if wish.start is not None:
        how = options_from_photo(how, wish.start)
    if begun is not None:
        return begun.targets, how
    if wish.start is not None:
        one = yield from accentuated(model, wish.of[0], objective, how)
        return (one,), how
    if wish.task == "facets":
        return group(facets(wish.of[0], objective), wish.count), how
    pictures = [state.cache.rendering(target, wish.recipe) for target in wish.of]
    images = [result.images[0] for result in pictures if result is not None]
    one = yield from between(model, wish.of, objective, wish.single, images, how)
    return group(one, wish.count), how
