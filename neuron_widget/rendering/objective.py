"""What is maximised: one number for each image, from the activation of one layer.

``"channel"`` is the mean of a channel over all positions (what the seed notebook and lucent's
``channel`` maximise), ``"neuron"`` its value at the centre position (lucent's ``neuron``).
Besides these, torch-lucent's own objectives and any function of the activation are accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from neuron_widget.errors import RenderError, nearest

__all__ = ["NAMES", "Objective", "as_objective"]

NAMES = ("channel", "neuron")

Values = Callable[[Tensor, Tensor], Tensor]


class Objective:
    """A named function from activations to one value an image, to be maximised.

    Made by :func:`as_objective`.

    Attributes
    ----------
    name
        What it is called in settings and cache keys.
    of_one_neuron
        Whether an image's value depends on its own neuron's activation alone.
    """

    def __init__(self, name: str, values: Values, *, of_one_neuron: bool = False):
        self.name = name
        self.of_one_neuron = of_one_neuron
        self._values = values

    def __call__(self, activation: Tensor, neurons: Tensor) -> Tensor:
        """``(n, C, h, w)`` and the images' channels ``(n,)`` (int64) -> values ``(n,)``, float32.

        The value of an image depends on that image alone.
        """
        return self._values(activation, neurons).float()


def as_objective(objective: object, layer: str) -> Objective:
    """The objective that ``objective`` means.

    Parameters
    ----------
    objective
        ``"channel"``, ``"neuron"``; an objective of torch-lucent (which is *minimised*, as lucent
        does); or a function of one image's activation ``(1, C, h, w)`` that returns what is to be
        *maximised*, as a tensor (averaged, if it has several elements).
    layer
        The layer that is read: the only one a torch-lucent objective can ask for.

    Raises
    ------
    ValueError, TypeError
        For another name, and for what is neither a name nor a function.
    """
    if isinstance(objective, Objective):
        return objective
    if objective == "channel":
        return Objective("channel", _channel, of_one_neuron=True)
    if objective == "neuron":
        return Objective("neuron", _centre, of_one_neuron=True)
    if isinstance(objective, str):
        hint = nearest(objective, NAMES) or "expected 'channel', 'neuron' or a function"
        raise ValueError(f"unknown objective {objective!r}; {hint}")
    if not callable(objective):
        raise TypeError(
            "objective must be 'channel', 'neuron', a torch-lucent objective or a function of the "
            f"activation, got {type(objective).__name__}"
        )
    if type(objective).__module__.split(".")[0] == "lucent":
        description = getattr(objective, "description", "") or type(objective).__name__
        return Objective(f"lucent {description}", _one_by_one(_lucents(objective, layer)))
    name = getattr(objective, "__qualname__", type(objective).__qualname__)
    module = getattr(objective, "__module__", "")
    return Objective(f"{module}.{name}", _one_by_one(objective))


def _channel(activation: Tensor, neurons: Tensor) -> Tensor:
    # The mean of every channel, then ours: gathering first would make the gradient a scatter.
    means = activation.flatten(2).mean(dim=2, dtype=torch.float32)
    return means.gather(1, neurons[:, None])[:, 0]


def _centre(activation: Tensor, neurons: Tensor) -> Tensor:
    # As lucent's: of an even number of positions, the one right and below the middle.
    centre = activation[:, :, activation.shape[2] // 2, activation.shape[3] // 2]
    return centre.gather(1, neurons[:, None])[:, 0]


def _one_by_one(value: Callable[[Tensor], Any]) -> Values:
    """One call an image, so that no image can depend on its neighbours in the batch."""

    def values(activation: Tensor, _neurons: Tensor) -> Tensor:
        each = []
        for one in torch.split(activation, 1):
            number = value(one)
            if not isinstance(number, Tensor):
                raise RenderError(
                    f"the objective returned {type(number).__name__}, expected a tensor computed "
                    "from the activation it was given"
                )
            each.append(number.float().mean())
        return torch.stack(each)

    return values


def _lucents(objective: Callable[[Callable[[str], Tensor]], Tensor], layer: str) -> Any:
    """A torch-lucent objective as a function to maximise.

    Lucent calls an objective with a function from a layer's name to its activation.
    """
    spellings: Sequence[str] = (layer, layer.replace(".", "_"))

    def value(activation: Tensor) -> Tensor:
        def hook(name: str) -> Tensor:
            if name not in spellings:
                raise RenderError(
                    f"the objective reads layer {name!r}, but layer {layer!r} is being rendered; "
                    f"make it with lucent's objectives for {spellings[-1]!r}"
                )
            return activation

        return -objective(hook)

    return value
