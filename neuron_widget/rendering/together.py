"""Pictures of one neuron that differ, and pictures from one neuron to another.

Both are groups of an expression (:mod:`neuron_widget.targets.groups`). The weights of a strip come
from what single pictures activate: layers differ a thousandfold in that, and a weight that leads
from picture to picture in one makes noise in another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuron_widget.networks.model import VisionModel
from neuron_widget.objectives import OBJECTIVES
from neuron_widget.objectives.compose import alignment, apart, interpolate
from neuron_widget.rendering.objective import as_objective
from neuron_widget.rendering.run import clean_activation
from neuron_widget.targets import Channel, Target
from neuron_widget.targets.kinds import Centre

__all__ = ["between", "facets", "worth"]

ALIGNMENT = 0.1
"""What it costs, as a share of what the first activates, that neighbours differ as much as the two
single pictures."""

Pictures = Sequence[NDArray[np.float32]] | NDArray[np.float32]


def facets(target: Target, objective: str) -> Target:
    """What pictures of a target maximise that are to differ from each other.

    ``objective`` is a name in :data:`neuron_widget.objectives.OBJECTIVES`.
    """
    return apart(_said(target, objective), target.layer)


def between(
    model: VisionModel,
    pair: tuple[Target, ...],
    objective: str,
    singles: tuple[float, ...],
    pictures: Pictures,
) -> Target:
    """What a strip of pictures maximises that leads from one target to another.

    Parameters
    ----------
    pair
        The two targets. Both weigh alike: where one of them fires more strongly, it counts less.
    singles, pictures
        Of each its own picture ``(H, W, 3)`` in 0..1, and what that activates.
    """
    first, last = (_said(target, objective) for target in pair)
    ratio = _round(abs(singles[0] / singles[1])) if all(singles) else 1.0
    layer = pair[0].layer
    with torch.inference_mode(), model.reading_each((layer,)) as read:
        # One by one: their sizes may differ.
        maps = [read(_tensor([one], model))[layer].float() for one in pictures]
    apart = 0.0
    if len(maps) == 2 and maps[0].shape == maps[1].shape:
        apart = float((maps[0] - maps[1]).square().mean()) / 2
    weight = _round(ALIGNMENT * abs(singles[0]) / apart) if apart else 0.0
    strip = interpolate(first, ratio * last)
    return strip + weight * alignment(layer) if weight else strip


def worth(model: VisionModel, target: Target, objective: str, pictures: Pictures) -> list[float]:
    """What each picture activates of a target: one forward pass in float32."""
    images = _tensor(pictures, model)
    return clean_activation(
        model, as_objective(objective, target.layer), images, (target,) * len(images)
    )


def _said(target: Target, objective: str) -> Target:
    """The target with what of it is maximised, as an expression."""
    if objective == "unit" and isinstance(target, Channel):
        return Centre(target.layer, target.neuron)
    return OBJECTIVES[objective].sign * target


def _tensor(pictures: Pictures, model: VisionModel) -> Tensor:
    images = torch.from_numpy(np.ascontiguousarray(np.stack(list(pictures))))
    return images.permute(0, 3, 1, 2).to(model.device)


def _round(number: float) -> float:
    """The nearest of 1, 2 and 5 times a power of ten: an expression is to be read."""
    if number == 0 or not math.isfinite(number):
        return 0.0
    ten = 10.0 ** math.floor(math.log10(number))
    digit = min((1.0, 2.0, 5.0, 10.0), key=lambda one: abs(math.log(one) - math.log(number / ten)))
    return float(f"{digit * ten:.3g}")
