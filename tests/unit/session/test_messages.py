"""What the messages say of results."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from neuron_widget import VisionModel, load_model, render
from neuron_widget.session.messages import image_facts


@pytest.fixture(scope="module")
def model() -> VisionModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.ReLU())
    return load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)


@pytest.mark.parametrize(
    ("target", "objective", "comparable"),
    [("0:1", "channel", True), ("0:1", "unit", False), ("0:1@2,3", "channel", False)],
)
def test_only_the_mean_of_a_map_is_compared_with_photos(
    model: VisionModel, target: Any, objective: str, comparable: bool
) -> None:
    result = render(model, target, steps=2, size=32, objective=objective, progress=False)
    assert image_facts(result)["comparable"] is comparable
