"""What is maximised: one number for each image, from the activation of one layer.

Named objectives stand in :mod:`neuron_widget.objectives`; ``"channel"`` is the mean of a channel
over all positions (what the course notebook and lucent's ``channel`` maximise), ``"unit"`` its
value at the centre position (lucent's ``neuron``). Besides these, torch-lucent's own objectives and
any function of the activation are accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from neuron_widget.errors import (
    NeuronWidgetError,
    RenderError,
    WrongType,
    WrongValue,
    first_line,
    nearest,
)
from neuron_widget.networks.memory import is_out_of_memory
from neuron_widget.objectives import OBJECTIVES, ImagesObjective, canonical_objective
from neuron_widget.targets import Target

__all__ = ["Given", "Maps", "Objective", "as_objective", "at_positions", "lucents", "number_of"]

Maps = tuple[Tensor, ...]
"""Activations ``(n, C, h, w)`` of one layer, or of each of several."""

Values = Callable[[Maps, Tensor], Tensor]


@dataclass(frozen=True)
class Given:
    """A function of somebody's, to be maximised.

    Attributes
    ----------
    name
        What it is called in settings and errors.
    value
        From one activation of each layer to a tensor.
    of_batches
        Whether it was written for a whole batch (torch-lucent's), not for one image.
    together
        Whether it speaks of all images together; None where nobody said it.
    layers
        Whose activations it gets, in order; empty for the target's own.
    theirs
        The objective of torch-lucent that it is made of.
    """

    name: str
    value: Callable[..., Any]
    of_batches: bool = False
    together: bool | None = None
    layers: tuple[str, ...] = ()
    theirs: Callable[..., Any] | None = None


class Objective:
    """A named function from activations to one value an image, to be maximised.

    Made by :func:`as_objective`.

    Attributes
    ----------
    name
        What it is called in settings and cache keys.
    of_one_neuron
        Whether an image's value depends on its own neuron's activation alone.
    given
        The function of somebody's that it asks; None for a named one.
    together
        Whether it is one value of all images together: then they form as one group.
    """

    def __init__(
        self,
        name: str,
        values: Values,
        *,
        of_one_neuron: bool = False,
        given: Given | None = None,
        together: bool = False,
    ):
        self.name = name
        self.of_one_neuron = of_one_neuron
        self.given = given
        self.together = together
        self._values = values

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that it reads; empty for the target's own."""
        return self.given.layers if self.given is not None else ()

    def of_layers(self, layers: tuple[str, ...]) -> Objective:
        """The same, with activations of these layers."""
        given = self.given
        assert given is not None
        value = lucents(given.theirs, layers) if given.theirs is not None else given.value
        return _of_given(replace(given, value=value, layers=layers))

    def of_a_group(self) -> Objective:
        """The same, asked of all images together; each image's value is that of the group."""
        given = self.given
        assert given is not None

        def values(maps: Maps, _neurons: Tensor) -> Tensor:
            return number_of(given, *maps).expand(len(maps[0]))

        return Objective(self.name, values, given=given, together=True)

    def __call__(self, maps: Tensor | Maps, neurons: Tensor) -> Tensor:
        """``(n, C, h, w)`` and the images' channels ``(n,)`` (int64) -> values ``(n,)``, float32.

        Of an objective across layers one activation of each. The value of an image depends on that
        image alone, unless they are a group.
        """
        return self._values((maps,) if isinstance(maps, Tensor) else maps, neurons).float()


def as_objective(objective: object, layer: str) -> Objective:
    """The objective that ``objective`` means.

    Parameters
    ----------
    objective
        A name in :data:`neuron_widget.objectives.OBJECTIVES` (``"neuron"``, lucent's word, is
        ``"unit"``); an objective of torch-lucent (which is *minimised*, as lucent does); or a
        function of one image's activation ``(1, C, h, w)`` that returns what is to be
        *maximised*, as a tensor (averaged, if it has several elements). Whether it speaks of
        several images is found out by :func:`.several.settle`, or said by
        :func:`neuron_widget.objectives.together` and ``each``.
    layer
        The layer that is read: the only one a torch-lucent objective can ask for.

    Raises
    ------
    ValueError, TypeError
        For another name, and for what is neither a name nor a function.
    """
    if isinstance(objective, Objective):
        return objective
    known = ", ".join(map(repr, OBJECTIVES))
    if isinstance(objective, str):
        name = canonical_objective(objective)
        if name not in OBJECTIVES:
            hint = nearest(objective, OBJECTIVES) or f"expected {known} or a function"
            raise WrongValue(f"unknown objective {objective!r}; {hint}")
        return Objective(name, _of_one_channel(OBJECTIVES[name].values), of_one_neuron=True)
    said: bool | None = None
    layers: tuple[str, ...] = ()
    if isinstance(objective, ImagesObjective):
        said, layers, objective = objective.together, objective.layers, objective.function
    if not callable(objective):
        raise WrongType(
            f"objective must be {known}, a torch-lucent objective or a function of the "
            f"activation, got {type(objective).__name__}"
        )
    if type(objective).__module__.split(".")[0] == "lucent":
        description = getattr(objective, "description", "") or type(objective).__name__
        name = f"lucent {description}"
        value = lucents(objective, layers or (layer,))
        return _of_given(Given(name, value, True, said, layers, objective))
    qualified = getattr(objective, "__qualname__", type(objective).__qualname__)
    name = f"{getattr(objective, '__module__', '')}.{qualified}"
    return _of_given(Given(name, objective, together=said, layers=layers))


def _of_given(given: Given) -> Objective:
    return Objective(given.name, _one_by_one(given), given=given)


def _of_one_channel(values: Callable[[Tensor], Tensor]) -> Values:
    """An objective of every channel, for the channel of each image."""

    def chosen(maps: Maps, neurons: Tensor) -> Tensor:
        # Of every channel, then ours: gathering first would make the gradient a scatter.
        return values(maps[0]).gather(1, neurons[:, None])[:, 0]

    return chosen


def at_positions(activation: Tensor, targets: Sequence[Target], height: int, width: int) -> Tensor:
    """The part of each image's activation that its target speaks of.

    Parameters
    ----------
    activation
        ``(n, C, h, w)``.
    targets
        One an image: all of them with a position, or none.
    height, width
        Size of the layer's map at the network's own input size, on which positions count. On an
        image of another size it is the unit at the same place of the image.

    Returns
    -------
    Tensor
        ``(n, C, 1, 1)`` where the targets have a position, else the activation.
    """
    if targets[0].position is None:
        return activation
    h, w = activation.shape[2:]
    units = []
    for one, target in zip(activation.unbind(), targets, strict=True):
        assert target.position is not None
        row, column = target.position
        r, c = int((row + 0.5) * h / height), int((column + 0.5) * w / width)
        units.append(one[:, r : r + 1, c : c + 1])
    return torch.stack(units)


def _one_by_one(given: Given) -> Values:
    """One call an image, so that no image can depend on its neighbours in the batch."""

    def values(maps: Maps, _neurons: Tensor) -> Tensor:
        each = zip(*(torch.split(one, 1) for one in maps), strict=True)
        return torch.stack([number_of(given, *one) for one in each])

    return values


def number_of(given: Given, *maps: Tensor) -> Tensor:
    """What somebody's function makes of activations, as one number in float32.

    It is given them in float32: what else can be computed in bfloat16 differs from processor to
    processor.

    Raises
    ------
    RenderError
        If it fails, or returns what cannot be maximised.
    """
    maps = tuple(one.float() for one in maps)
    try:
        number = given.value(*maps)
    except NeuronWidgetError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        what = " and ".join(str(tuple(one.shape)) for one in maps)
        whose = ", ".join(given.layers) or "the layer that is rendered"
        raise RenderError(
            f"the objective {given.name} fails on activations {what}: "
            f"{first_line(error)}. It gets (images, channels, height, width) of {whose}"
        ) from error
    if not isinstance(number, Tensor) or number.is_complex() or not number.numel():
        is_one = isinstance(number, Tensor)
        got = f"a tensor {number.dtype} {tuple(number.shape)}" if is_one else type(number).__name__
        raise RenderError(
            f"the objective {given.name} returned {got}, expected a tensor of real numbers "
            "computed from the activation it was given"
        )
    if maps[0].requires_grad and not number.requires_grad:
        raise RenderError(
            f"the objective {given.name} has no gradient: what it returned ({number.dtype}) is not "
            "computed from the activation, or was cut off it (.detach(), .item(), numpy, argmax, a "
            "comparison). Compute it from the activation with torch's functions"
        )
    return number.float().mean()


def lucents(objective: Callable[..., Any], layers: Sequence[str]) -> Callable[..., Tensor]:
    """A torch-lucent objective as a function to maximise, of one activation of each layer.

    Lucent calls an objective with a function from a layer's name to its activation.
    """

    def value(*maps: Tensor) -> Tensor:
        by_name: Mapping[str, Tensor] = {
            name: found
            for layer, found in zip(layers, maps, strict=True)
            for name in (layer.replace(".", "_"), layer)
        }

        def hook(name: str) -> Tensor:
            if name not in by_name:
                raise RenderError(
                    f"the objective reads layer {name!r}, but layer {', '.join(map(repr, layers))} "
                    "is being rendered; make it with lucent's objectives for "
                    f"{layers[-1].replace('.', '_')!r}"
                )
            return by_name[name]

        found: Tensor = -objective(hook)
        return found

    return value
