"""What holds an image near its photo, and what makes a mixture of two fair."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neuron_widget import load_model, render
from neuron_widget.networks.model import VisionModel
from neuron_widget.rendering.accentuation import accentuated, earlier_layer, options_from_photo
from neuron_widget.rendering.start import as_start
from neuron_widget.rendering.together import RATIOS, fair, worth
from neuron_widget.targets import parse


def block(channels: int, out: int) -> nn.Module:
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(channels, out, 3), act=nn.Softplus()))


@pytest.fixture(scope="module")
def model() -> VisionModel:
    torch.manual_seed(0)
    widths = (3, 6, 6, 6, 6)
    names = ("one", "two", "three", "four")
    parts = {n: block(*pair) for n, *pair in zip(names, widths, widths[1:], strict=False)}
    head = {"pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(), "fc": nn.Linear(6, 5)}
    net = nn.Sequential(OrderedDict({**parts, **head}))
    return load_model(net, preprocess=((0.5,) * 3, (0.5,) * 3), input_size=32)


@pytest.mark.parametrize(
    ("layer", "near"),
    [
        ("one.conv", "image"),
        ("one", "one.conv"),
        ("two", "two.conv"),
        ("three", "two"),
        ("four.conv", "two"),
        ("four.act", "three.conv"),
        ("logits", "three.conv"),
        ("elsewhere", "image"),
    ],
)
def test_an_image_is_held_near_its_photo_half_way(
    model: VisionModel, layer: str, near: str
) -> None:
    names = ("one.conv", "one", "two.conv", "two", "three.conv", "three", "four.conv", "four")
    assert tuple(info.name for info in model.layers) == names
    assert earlier_layer(model, layer) == near


@pytest.mark.parametrize("param", ["fourier", "maco", "pixel"])
def test_the_distance_weighs_as_much_as_the_photo_can_gain(model: VisionModel, param: str) -> None:
    photo = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    start = as_start(photo)
    given: dict[str, Any] = {"size": 32, "param": param, "precision": "float32"}
    how = options_from_photo(given, start)
    assert how["param"] == ("fourier" if param == "maco" else param)
    work = accentuated(model, parse("three:2"), "channel", how)
    steps = 0
    while True:
        try:
            next(work)
        except StopIteration as end:
            whole = end.value
            break
        steps += 1
    assert steps == 8
    weight = -whole.terms[1][0]
    reached = worth(model, parse("three:2"), "channel", render_after(model, how, 8))[0]
    assert weight == pytest.approx(reached, rel=0.6)  # 1, 2 or 5 times a power of ten
    made = render(model, whole, steps=24, progress=False, **how).images
    free = render(model, "three:2", steps=24, progress=False, **how).images
    near, far = (distance(model, images, start) for images in (made, free))
    assert near < far
    value, first = worth(model, parse("three:2"), "channel", [made[0], start.at(32)])
    assert value > first


def render_after(model: VisionModel, how: dict[str, Any], steps: int) -> Any:
    return render(model, "three:2", steps=steps, progress=False, **how).images


def distance(model: VisionModel, images: Any, start: Any) -> float:
    return worth(model, parse("distance(two)"), "channel", images, start)[0]


@pytest.mark.parametrize(
    ("first", "factor"),
    [
        ([1, 1, 1, 0, 0, 0], 1.0),
        ([1, 0, 0, 0, 0, 0], 0.5),  # half way, in powers, to the 0.25 where it changes
        ([1, 1, 1, 1, 1, 0], 2.0),
        ([0.5] * 6, 1.0),
        ([0.9, 0.7, 0.6, 0.4, 0.3, 0.1], 1.0),
    ],
)
def test_a_mixture_is_fair_where_either_keeps_as_much(first: list[float], factor: float) -> None:
    assert len(RATIOS) == len(first)
    assert fair(first, [1 - share for share in first]) == pytest.approx(factor)
    # What fires neither, or less than nothing, says nothing.
    assert fair([0.0] * 6, [-1.0] * 6) == pytest.approx(1.0)
