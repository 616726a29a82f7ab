"""Rendering that asks the store first, stopped at any step and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neuron_widget.models import VisionModel
from neuron_widget.rendering import RenderResult, render
from neuron_widget.store import Store
from neuron_widget.store.fill import fill_images
from neuron_widget.store.reuse import render_steps
from neuron_widget.zoo import load_model

HOW: dict[str, Any] = {"steps": 6, "size": 32, "precision": "float32", "batch_size": 2}


@pytest.fixture
def model() -> VisionModel:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
    return load_model(module, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def finish(work: Any) -> tuple[int, Any]:
    """How many steps it took, and what came of them."""
    taken = 0
    while True:
        try:
            next(work)
        except StopIteration as end:
            return taken, end.value
        taken += 1


def test_a_stopped_rendering_goes_on_where_it_was(store: Store, model: VisionModel) -> None:
    neurons = [4, 1, 3]
    whole = render(model, "2", neurons, progress=False, **HOW)
    work = render_steps(store, model, "2", neurons, **HOW)
    for _ in range(8):  # 6 of the first two images, 2 of the third
        next(work)
    work.close()
    taken, result = finish(render_steps(store, model, "2", neurons, **HOW))
    assert taken == 4
    assert isinstance(result, RenderResult)
    assert result.neurons == whole.neurons
    # What comes from the store is as it was on screen: to half a level.
    assert np.abs(result.images - whole.images).max() <= 1 / 509
    assert np.allclose(result.activation, whole.activation, rtol=1e-5)
    assert finish(render_steps(store, model, "2", neurons, **HOW))[0] == 0


def test_images_begun_apart_go_on_together(store: Store, model: VisionModel) -> None:
    neurons = [0, 5, 2]
    for neuron, steps in ((0, 4), (5, 2)):
        finish(render_steps(store, model, "2", neuron, **{**HOW, "steps": steps}))
    taken, result = finish(render_steps(store, model, "2", neurons, **{**HOW, "batch_size": 3}))
    assert taken == 2 + 4 + 6  # images of one batch begin at one step
    whole = render(model, "2", neurons, progress=False, **HOW)
    assert np.allclose(result.images, whole.images, atol=1e-4)
    assert [step for step, _ in result.history] == [step for step, _ in whole.history]


def test_a_stopped_filling_goes_on_where_it_was(store: Store, model: VisionModel) -> None:
    how = {k: v for k, v in HOW.items() if k != "batch_size"}

    def filling() -> Any:
        return fill_images(store, model, "2", range(2), batch_size=2, **how)

    work = filling()
    while next(work).part < 1:  # of two images: three steps of six
        pass
    work.close()
    assert not store.has_render(model, "2", 0, **how)
    steps, made = finish(filling())
    assert (steps, made) == (1 + 3 + 1, 2)  # how far it is before and after, too
    assert store.has_render(model, "2", 0, **how)
