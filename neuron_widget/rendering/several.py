"""Whether an objective speaks of each image or of several together.

torch-lucent's objectives get a whole batch: ``channel`` is a mean over its images, ``diversity``
and ``alignment`` compare them. What the second kind makes of one image alone is another thing, so
its images are optimised as one group. Which kind it is, is tried on made-up activations.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from neuron_widget.errors import RenderError, WrongValue
from neuron_widget.networks.model import VisionModel
from neuron_widget.rendering.objective import Given, Objective, number_of
from neuron_widget.targets import Target

__all__ = ["settle"]

_log = logging.getLogger("neuron_widget.rendering")

_TRIED = 3


def settle(
    objective: Objective, model: VisionModel, targets: tuple[Target, ...], size: int
) -> Objective:
    """The objective, with :attr:`.Objective.together` as it is to be for these targets.

    Raises
    ------
    ValueError
        For a function whose value of several images is no mean of its values of each: which of
        the two is meant is not guessed. For one that needs several images, and gets one.
    RenderError
        For what it returns, or that it gives no gradient.
    """
    given = objective.given
    if given is None:
        return objective
    layers = tuple(model.layer(name).name for name in _layers_of(given, model))
    if given.layers or (layers and layers != (targets[0].layer,)):
        if any(target.position is not None for target in targets):
            raise WrongValue(
                f"objective {objective.name} reads {', '.join(layers)}, whole maps of them: name "
                "neurons, not single units"
            )
        for layer in layers:
            model.check_size(size, layer)
        objective = objective.of_layers(layers)
        given = objective.given
        assert given is not None
    maps = _made_up(model, targets[0], layers or (targets[0].layer,), size)
    _check(given, maps)
    if given.together is not None:
        several = given.together
    else:
        several, needed = _speaks_of_several(given.value, maps)
        if len(targets) == 1:
            if needed:
                raise WrongValue(
                    f"objective {objective.name} speaks of several images, and there is one "
                    f"target: name as many as there are to be images, such as "
                    f"['{targets[0]}'] * 4"
                )
            if several and given.of_batches:
                _log.warning(
                    "objective %s compares images, and there is one target: nothing to compare "
                    "it with; name several, such as ['%s'] * 4",
                    objective.name,
                    targets[0],
                )
        elif several and not (needed or given.of_batches):
            raise WrongValue(
                f"objective {objective.name} gives several images together another value than "
                f"one by one, and there are {len(targets)} targets: pass "
                "neuron_widget.objectives.each(objective) to ask it of each image alone, or "
                "neuron_widget.objectives.together(objective) to make the images as one group"
            )
    if not several or len(targets) == 1:
        return objective
    if len({target.position is not None for target in targets}) > 1:
        raise WrongValue(
            f"objective {objective.name} speaks of several images together, and the targets are "
            "whole neurons and single units: name targets of one kind"
        )
    return objective.of_a_group()


def _layers_of(given: Given, model: VisionModel) -> tuple[str, ...]:
    """The layers that an objective reads; torch-lucent's says it when it is asked for a value."""
    if given.layers or given.theirs is None:
        return given.layers
    asked: list[str] = []

    def hook(name: str) -> Tensor:
        info = model.layer(name)
        if info.name not in asked:
            asked.append(info.name)
        return torch.zeros(
            (2, info.channels, info.height, info.width), dtype=torch.float32, device=model.device
        )

    try:
        with torch.no_grad():
            given.theirs(hook)
    except Exception:  # noqa: BLE001  # what is wrong with it is told when it is checked
        return ()
    return tuple(asked)


def _made_up(
    model: VisionModel, target: Target, layers: tuple[str, ...], size: int
) -> tuple[Tensor, ...]:
    """Activations of as many images as are tried, of the shapes that the layers' will have."""
    noise = torch.Generator().manual_seed(0)
    image = torch.rand((1, 3, size, size), generator=noise, dtype=torch.float32, device="cpu").to(
        model.device
    )
    found = []
    with torch.inference_mode(False), torch.no_grad(), model.reading_each(layers) as read:
        seen = read(image)
        for layer in layers:
            shape = list(seen[layer].shape[1:])
            if target.position is not None:
                shape[1:] = [1, 1]
            found.append(
                torch.rand((_TRIED, *shape), generator=noise, dtype=torch.float32, device="cpu").to(
                    model.device
                )
            )
    return tuple(found)


def _check(given: Given, maps: tuple[Tensor, ...]) -> None:
    """Raise what is wrong with it before the first step."""
    with torch.inference_mode(False), torch.enable_grad():
        wanted = [one.clone().requires_grad_() for one in maps]
        try:
            number_of(given, *wanted)
        except RenderError:  # it may take no more than one image
            number_of(given, *(one[:1] for one in wanted))


def _speaks_of_several(value: Callable[..., object], maps: tuple[Tensor, ...]) -> tuple[bool, bool]:
    """Whether images together are another thing than each; whether it needs several."""
    with torch.inference_mode(False), torch.no_grad():
        together = _finite(value, maps)
        split = zip(*(torch.split(one, 1) for one in maps), strict=True)
        each = [_finite(value, one) for one in split]
    if together is None:
        return False, False
    alone = [one for one in each if one is not None]
    if len(alone) < len(each):
        return True, True
    likely = (sum(alone) / len(alone), sum(alone), *alone)
    near = [abs(together - one) <= 1e-3 * max(abs(one), abs(together)) for one in likely]
    return not any(near), False


def _finite(value: Callable[..., object], maps: tuple[Tensor, ...]) -> float | None:
    """Its value; None where it has none for so many images."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a mean of nothing, say
        try:
            number = value(*maps)
        except RenderError:
            raise
        except Exception:  # noqa: BLE001  # somebody's function, asked what it may not expect
            return None
    if not isinstance(number, Tensor):
        return None
    found = float(number.float().mean())
    return found if found - found == 0 else None
