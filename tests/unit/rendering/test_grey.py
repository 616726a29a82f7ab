"""A picture that stayed grey is never silent: what happened, and the way out."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neuron_widget import load_model, render
from neuron_widget.networks.model import VisionModel
from neuron_widget.session.messages import image_facts

HOW: dict[str, Any] = {"size": 32, "precision": "float32", "progress": False}


@pytest.fixture
def model() -> VisionModel:
    """Neuron 0 is silent on noise, neuron 1 fires, neuron 2 nothing can fire."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU())
    with torch.no_grad():
        net[0].weight[:2] = 1.0  # brightness
        net[0].weight[2] = 0.0
        net[0].bias[:] = torch.tensor([-3.0, 20.0, -1.0])
    return load_model(net, preprocess=((0.5,) * 3, (0.5,) * 3), input_size=32)


@pytest.mark.parametrize(
    ("neuron", "redirect", "says"),
    [
        (0, False, "Switch redirected ReLU on (redirect_relu=True)"),
        (0, True, ""),
        (0, None, ""),
        (1, False, ""),
        (2, False, "Switch redirected ReLU on (redirect_relu=True)"),
        (2, True, "it may be a neuron that nothing fires"),
    ],
)
def test_what_stayed_grey_says_so(
    neuron: int, redirect: bool | None, says: str, model: VisionModel, caplog: Any
) -> None:
    with caplog.at_level(logging.WARNING, "neuron_widget"):
        result = render(model, "1", neuron, steps=60, redirect_relu=redirect, **HOW)
    (note,) = result.notes
    assert (says in note) if says else note == ""
    assert (f"1:{neuron}" in caplog.text) is bool(says)
    assert ("note" in image_facts(result)) is bool(says)
    assert (float(result.activation[0]) == 0) is bool(says)
    if says and not redirect:
        assert np.ptp(result.images) < 0.3  # as grey as it began


def test_of_many_those_that_stayed_grey_are_named(model: VisionModel, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING, "neuron_widget"):
        result = render(model, "1", [0, 1, 2], steps=4, redirect_relu=False, **HOW)
    assert [bool(note) for note in result.notes] == [True, False, True]
    assert "2 of 3 images (1:0, 1:2)" in caplog.text
