"""A photo that is changed to fire a neuron more, and held near itself.

After Hamblin et al., *Feature Accentuation* (2024): the image begins as the photo, and what it
differs from it in an earlier layer is taken away from what it fires.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from neuron_widget.names import OUTPUT
from neuron_widget.networks.model import VisionModel
from neuron_widget.objectives.compose import distance
from neuron_widget.rendering.engine import render_steps
from neuron_widget.rendering.result import RenderStep
from neuron_widget.rendering.start import Start
from neuron_widget.rendering.together import rounded, said
from neuron_widget.targets import Target

__all__ = ["SHOTS", "STEPS", "accentuated", "earlier_layer", "options_from_photo"]

SHOTS = (1, 2, 4, 8, 16, 32)
"""Steps after which pictures are kept, from the photo to the last step: a photo changes most at
first."""

STEPS = 64

TRIAL = 8
"""Steps without the term: what they gain says how much it has to weigh."""

WEIGHT = 1.0
"""What it costs to be as far from the photo as the photo's own strength in that layer, as a share
of what the trial reaches."""


def earlier_layer(model: VisionModel, layer: str) -> str:
    """The layer half way from the picture to a layer; ``"image"`` where there is none before it."""
    names = [info.name for info in model.layers if info.name != OUTPUT]
    # A dictionary's layer, a token's, or a part of a block is where its block is.
    inside = [name for name in names if layer == name or layer.startswith((f"{name}.", f"{name}/"))]
    place = names.index(max(inside, key=len)) if inside else 0
    if layer == OUTPUT:
        place = len(names)
    near = min((place + 1) // 2, place - 1)
    return names[near] if near >= 0 else "image"


def options_from_photo(options: dict[str, Any], start: Start) -> dict[str, Any]:
    """Settings of pictures as those of one that begins from a photo.

    MACO images cannot: in their place come Fourier images.
    """
    if options.get("param") == "maco":
        options = {**options, "param": "fourier", "spectrum": None}
    return {**options, "engine": "fast", "start": start}


def accentuated(
    model: VisionModel, target: Target, objective: str, options: dict[str, Any]
) -> Generator[RenderStep, None, Target]:
    """What an image maximises that begins from a photo and stays near it.

    The target, less its distance from the photo in an earlier layer. How much that weighs comes
    from a few steps without it, which are yielded.

    Parameters
    ----------
    objective
        A name in :data:`neuron_widget.objectives.OBJECTIVES`.
    options
        Those of :func:`options_from_photo`.
    """
    whole = said(target, objective)
    trial = yield from render_steps(model, whole, **{**options, "steps": TRIAL})
    weight = rounded(WEIGHT * abs(float(trial.activation[0])))
    return whole - weight * distance(earlier_layer(model, target.layer)) if weight else whole
