"""Pictures of one neuron that differ, and pictures from one neuron to another.

Both are groups of an expression (:mod:`neuron_widget.targets.groups`). The weights of a strip come
from what single pictures activate: layers differ a thousandfold in that, and a weight that leads
from picture to picture in one makes noise in another.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuron_widget.networks.model import VisionModel
from neuron_widget.objectives import OBJECTIVES
from neuron_widget.objectives.compose import alignment, apart, interpolate, only
from neuron_widget.rendering.engine import render_steps
from neuron_widget.rendering.objective import as_objective
from neuron_widget.rendering.result import RenderStep
from neuron_widget.rendering.run import clean_activation
from neuron_widget.rendering.start import Start
from neuron_widget.targets import Channel, Target, group
from neuron_widget.targets.kinds import Centre

__all__ = ["between", "facets", "rounded", "said", "worth"]

ALIGNMENT = 0.04
"""What it costs, as a share of what the first activates, that neighbours differ as much as the two
single pictures."""

RATIOS = tuple(2.0 ** (i - 2.5) for i in range(6))
"""How much more the second of two targets may have to weigh, to be a fair part of a mixture."""

TRIAL = 16
"""Steps after which it is told which of two targets a mixture is of."""

Pictures = Sequence[NDArray[np.float32]] | NDArray[np.float32]


def facets(target: Target, objective: str) -> Target:
    """What pictures of a target maximise that are to differ from each other.

    ``objective`` is a name in :data:`neuron_widget.objectives.OBJECTIVES`.
    """
    return apart(said(target, objective), target.layer)


def between(
    model: VisionModel,
    pair: tuple[Target, ...],
    objective: str,
    singles: tuple[float, ...],
    pictures: Pictures,
    options: dict[str, Any],
) -> Generator[RenderStep, None, Target]:
    """What a strip of pictures maximises that leads from one target to another.

    Of a mixture one of the two takes nearly all where the other is harder to make, so that each
    weighs as much as makes the middle one a fair mixture. A few steps of mixtures of all kinds,
    which are yielded, say how much that is.

    Parameters
    ----------
    pair
        The two targets.
    singles, pictures
        Of each its own picture ``(H, W, 3)`` in 0..1, and what that activates.
    options
        How the pictures are made: settings of :func:`neuron_widget.render`.
    """
    first, last = (said(target, objective) for target in pair)
    ratio = abs(singles[0] / singles[1]) if all(singles) else 1.0
    if min(singles) > 0:
        mixtures = [
            only(i, first + two_digits(ratio * more) * last) for i, more in enumerate(RATIOS)
        ]
        tried = yield from render_steps(
            model, group(sum(mixtures[1:], mixtures[0]), len(RATIOS)), **{**options, "steps": TRIAL}
        )
        start = options.get("start")
        found = [worth(model, target, objective, tried.images, start) for target in pair]
        ratio *= fair(
            *([value / own for value in row] for row, own in zip(found, singles, strict=True))
        )
    layer = pair[0].layer
    with torch.inference_mode(), model.reading_each((layer,)) as read:
        # One by one: their sizes may differ.
        maps = [read(_tensor([one], model))[layer].float() for one in pictures]
    apart = 0.0
    if len(maps) == 2 and maps[0].shape == maps[1].shape:
        apart = float((maps[0] - maps[1]).square().mean()) / 2
    weight = rounded(ALIGNMENT * abs(singles[0]) / apart) if apart else 0.0
    strip = interpolate(first, two_digits(ratio) * last)
    return strip + weight * alignment(layer) if weight else strip


def fair(first: Sequence[float], last: Sequence[float]) -> float:
    """The factor at which mixtures change from the first target to the last.

    ``first`` and ``last`` are what mixtures with each of :data:`RATIOS` keep of either. As a curve
    over the logarithm of the factor, the share of the first falls from 1 to 0, and the area below
    it is as wide as where it is a half: noise in single mixtures matters little. After few steps a
    neuron that is slow to make loses everywhere, so that half of the way (in powers) is right.
    """
    area = 0.0
    for one, other in zip(first, last, strict=True):
        one, other = max(0.0, one), max(0.0, other)
        area += one / (one + other) if one + other else 0.5
    return math.sqrt(RATIOS[0] * (RATIOS[1] / RATIOS[0]) ** (area - 0.5))


def worth(
    model: VisionModel,
    target: Target,
    objective: str,
    pictures: Pictures,
    start: Start | None = None,
) -> list[float]:
    """What each picture activates of a target: one forward pass in float32.

    ``start``: the photo that they began from, where the target may speak of it.
    """
    images = _tensor(pictures, model)
    photo = _tensor([start.at(images.shape[-1])], model)[0] if start is not None else None
    return clean_activation(
        model, as_objective(objective, target.layer), images, (target,) * len(images), photo
    )


def said(target: Target, objective: str) -> Target:
    """The target with what of it is maximised, as an expression."""
    if target.composed:
        return target
    if objective == "unit" and isinstance(target, Channel):
        return Centre(target.layer, target.neuron)
    return OBJECTIVES[objective].sign * target


def _tensor(pictures: Pictures, model: VisionModel) -> Tensor:
    images = torch.from_numpy(np.ascontiguousarray(np.stack(list(pictures))))
    return images.permute(0, 3, 1, 2).to(model.device)


def two_digits(number: float) -> float:
    """A number as an expression shows it."""
    return float(f"{number:.2g}")


def rounded(number: float) -> float:
    """The nearest of 1, 2 and 5 times a power of ten: an expression is to be read."""
    if number == 0 or not math.isfinite(number):
        return 0.0
    ten = 10.0 ** math.floor(math.log10(number))
    digit = min((1.0, 2.0, 5.0, 10.0), key=lambda one: abs(math.log(one) - math.log(number / ten)))
    return float(f"{digit * ten:.3g}")
