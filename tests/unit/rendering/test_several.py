"""Objectives that speak of several images: found out, and then asked of all of them together."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neuron_widget import load_model, render, render_steps
from neuron_widget.errors import RenderError
from neuron_widget.networks.model import VisionModel
from neuron_widget.objectives import each, together
from neuron_widget.rendering.objective import as_objective
from neuron_widget.rendering.several import settle
from neuron_widget.targets import as_targets

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lucent.optvis import objectives as lucent

HOW: dict[str, Any] = {"steps": 40, "size": 32, "precision": "float32", "progress": False}
FOUR = ["conv:1"] * 4


@pytest.fixture(scope="module")
def model() -> VisionModel:
    torch.manual_seed(0)
    module = nn.Sequential()
    module.add_module("conv", nn.Conv2d(3, 6, 7, padding=3))
    return load_model(module, preprocess=((0.5,) * 3, (0.5,) * 3), input_size=32)


def grams(maps: Tensor) -> Tensor:
    """Of each image, as torch-lucent's diversity has it."""
    flat = maps.flatten(2)
    return torch.nn.functional.normalize(flat @ flat.transpose(1, 2), p=2, dim=(1, 2))


def likeness(images: np.ndarray, model: VisionModel) -> float:
    """Mean likeness of two images of a group, 1 for the same."""
    with torch.inference_mode():
        found = grams(model.reader("conv")(torch.from_numpy(images).permute(0, 3, 1, 2)))
    pairs = torch.einsum("iab,jab->ij", found, found)
    return float((pairs.sum() - pairs.trace()) / (len(pairs) * (len(pairs) - 1)))


def diverse(maps: Tensor) -> Tensor:
    """Of somebody's own: a channel, and no two images alike."""
    flat = grams(maps)
    pairs = torch.einsum("iab,jab->ij", flat, flat)
    return maps[:, 1].mean() - (pairs.sum() - pairs.trace())


def needs_two(maps: Tensor) -> Tensor:
    return maps[0, 1].mean() - (maps[0] * maps[1]).mean()


def loudest(maps: Tensor) -> Tensor:
    return maps[:, 1].amax()


def first_alone(maps: Tensor) -> Tensor:
    (one,) = maps
    return one[1].mean()


def length(maps: Tensor) -> Tensor:
    return maps[:, 1].norm()


CHANNEL = lucent.channel("conv", 1)


@pytest.mark.parametrize(
    ("objective", "group"),
    [
        (CHANNEL, False),
        (lucent.neuron("conv", 1), False),
        (2 * CHANNEL - lucent.channel("conv", 2), False),
        (lucent.direction("conv", torch.ones(6)), False),
        (CHANNEL - 100 * lucent.diversity("conv"), True),
        (CHANNEL + 0.1 * lucent.alignment("conv"), True),
        (lucent.channel_interpolate("conv", 1, "conv", 2), True),
        (lucent.channel("conv", 1, batch=0) + lucent.channel("conv", 2, batch=1), True),
        (lambda a: a[:, 1].mean(), False),
        (lambda a: a[0, 1].mean(), False),
        (lambda a: a[:, 1].sum(), False),
        (lambda a: a[:, 1].amax(dim=(1, 2)), False),
        (loudest, False),
        (first_alone, False),
        (needs_two, True),
        (each(length), False),
        (each(diverse), False),
        (together(diverse), True),
        (together(length), True),
        ("channel", False),
        ("unit", False),
    ],
)
def test_what_an_objective_speaks_of_is_found_out(
    objective: Any, group: bool, model: VisionModel
) -> None:
    targets = as_targets(FOUR)
    settled = settle(as_objective(objective, "conv"), model, targets, 32)
    assert settled.together is group


@pytest.mark.parametrize(
    "objective",
    [CHANNEL - 100 * lucent.diversity("conv"), together(diverse)],
    ids=["torch-lucent", "own"],
)
def test_images_that_are_to_differ_do(objective: Any, model: VisionModel) -> None:
    result = render(model, FOUR, objective=objective, **HOW)
    alike = render(model, FOUR, objective=CHANNEL, **HOW)
    assert likeness(alike.images, model) > 0.999
    assert likeness(result.images, model) < 0.9
    assert len(set(result.activation.tolist())) == 1  # that of the group
    assert len(result.history) > 1


def test_a_group_is_torch_lucents_loss(model: VisionModel) -> None:
    """What is reported is what torch-lucent would have minimised for these very images."""
    loss = CHANNEL - 10 * lucent.diversity("conv")
    result = render(model, FOUR, objective=loss, **HOW)
    with torch.inference_mode():
        maps = model.reader("conv")(torch.from_numpy(result.images).permute(0, 3, 1, 2))
        theirs = -float(loss(lambda _layer: maps))
    assert result.activation == pytest.approx(theirs, rel=1e-4)


def test_a_group_goes_on_as_it_was(model: VisionModel) -> None:
    how = {**HOW, "objective": together(diverse)}
    whole = render(model, FOUR, **how)
    half = render(model, FOUR, **{**how, "steps": 24})
    rest = render(model, FOUR, **how, resume=half)
    assert np.array_equal(rest.images, whole.images)
    again = render(model, FOUR, **how)
    assert np.array_equal(again.images, whole.images)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (
            {"target": ["conv:0", "conv:1"], "objective": diverse},
            ValueError,
            r"diverse gives several images together another value.*objectives\.each.*together",
        ),
        (
            {"target": ["conv:0", "conv:1"], "objective": length},
            ValueError,
            r"length gives several images together another value",
        ),
        (
            {"target": "conv:0", "objective": needs_two},
            ValueError,
            r"needs_two speaks of several images, and there is one target.*\['conv:0'\] \* 4",
        ),
        (
            {"target": FOUR, "objective": together(diverse), "batch_size": 2},
            ValueError,
            "batch_size must be at least 4, got 2: .*all 4 images together",
        ),
        (
            {"target": ["conv:0", "conv:1@3,3"], "objective": together(diverse)},
            ValueError,
            "whole neurons and single units",
        ),
        (
            {"target": FOUR, "objective": together(diverse), "engine": "lucent"},
            ValueError,
            "use engine='fast'",
        ),
        (
            {"target": "conv:0", "objective": lambda a: a[:, 1].detach().mean()},
            RenderError,
            "has no gradient: .*detach",
        ),
        (
            {"target": "conv:0", "objective": lambda a: a[:, 1].mean().item()},
            RenderError,
            "returned float, expected a tensor",
        ),
        (
            {"target": "conv:0", "objective": lucent.channel("other", 1)},
            RenderError,
            "reads layer 'other', but layer 'conv'",
        ),
        ({"target": "conv:0", "objective": together(3)}, TypeError, "got int"),
    ],
)
def test_what_cannot_be_is_told_before_the_first_step(
    arguments: dict[str, Any], error: type[Exception], says: str, model: VisionModel
) -> None:
    how = {**HOW, **arguments}
    del how["progress"]
    with pytest.raises(error, match=says):
        render_steps(model, **how)


def test_a_group_of_other_targets_is_not_gone_on_from(model: VisionModel) -> None:
    how = {**HOW, "objective": together(diverse)}
    half = render(model, FOUR, **{**how, "steps": 4})
    with pytest.raises(ValueError, match="must be those of the result: conv:1, conv:1"):
        render(model, FOUR[:3], **how, resume=half)


def test_one_image_of_an_objective_that_compares_is_told(
    model: VisionModel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "neuron_widget"):
        render(model, "conv:1", objective=CHANNEL - lucent.diversity("conv"), **HOW)
    assert "compares images, and there is one target" in caplog.text


@pytest.fixture(scope="module")
def deep() -> VisionModel:
    torch.manual_seed(0)
    module = nn.Sequential()
    module.add_module("conv", nn.Conv2d(3, 6, 7, padding=3))
    module.add_module("late", nn.Conv2d(6, 4, 3, stride=2))
    return load_model(module, preprocess=((0.5,) * 3, (0.5,) * 3), input_size=32)


def early_less_late(early: Tensor, late: Tensor) -> Tensor:
    return early[:, 1].mean() - late[:, 2].mean()


def late_differ(early: Tensor, late: Tensor) -> Tensor:
    return early[:, 1].mean() + late.std(dim=0).mean()


@pytest.mark.parametrize(
    ("objective", "group"),
    [
        (each(early_less_late, layers=["conv", "late"]), False),
        (together(late_differ, layers=["conv", "late"]), True),
        (CHANNEL - lucent.channel("late", 2), False),
        (CHANNEL - 100 * lucent.diversity("late"), True),
        (lucent.channel("late", 2), False),  # the target only says whose picture it is
    ],
)
def test_an_objective_across_layers(objective: Any, group: bool, deep: VisionModel) -> None:
    targets = ["conv:1"] * 3
    settled = settle(as_objective(objective, "conv"), deep, as_targets(targets), 32)
    assert settled.together is group
    result = render(deep, targets, objective=objective, **HOW)
    begun = render(deep, targets, objective=objective, **{**HOW, "steps": 1})
    assert (result.activation > begun.activation).all()
    with torch.inference_mode(), deep.reading_each(("conv", "late")) as read:
        maps = read(torch.from_numpy(result.images).permute(0, 3, 1, 2))
    if hasattr(objective, "function"):
        expected = float(objective.function(maps["conv"], maps["late"]))
    else:
        expected = -float(objective(lambda name: maps[name]))
    assert float(result.activation.mean()) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"objective": each(early_less_late, layers=["conv", "lat"])}, "did you mean 'late'"),
        ({"objective": each(early_less_late, layers=["conv"])}, "fails on activations .*of conv"),
        ({"target": "conv:1@3,3"}, "whole maps of them: name neurons"),
        ({"engine": "lucent"}, "reads conv, late, and engine 'lucent' reads one layer"),
    ],
)
def test_what_is_wrong_with_an_objective_across_layers(
    arguments: dict[str, Any], says: str, deep: VisionModel
) -> None:
    across = each(early_less_late, layers=["conv", "late"])
    how = {"target": "conv:1", "objective": across, **HOW, **arguments}
    del how["progress"]
    with pytest.raises((ValueError, RenderError), match=says):
        render_steps(deep, **how)
    with pytest.raises(TypeError, match="layers must be a list of names"):
        each(early_less_late, layers="conv")
