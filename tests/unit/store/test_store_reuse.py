"""Rendering that asks the store first, stopped at any step and gone on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neuron_widget.errors import RenderError
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.rendering import RenderResult, render
from neuron_widget.scanning import scan
from neuron_widget.store import Store
from neuron_widget.store.fill import fill_images
from neuron_widget.store.reuse import render_steps, scan_steps

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


@pytest.mark.parametrize(
    ("neurons", "batch_size", "size", "steps", "left"),
    [
        (range(12), 12, 32, 5, 1),  # more than have their states kept when they are finished
        (range(12), 8, 32, 8, 4),  # eight finished, four begun
        (3, 1, 400, 4, 2),  # a state of more than 4 MB
    ],
)
def test_an_unfinished_image_can_always_go_on(
    store: Store, neurons: Any, batch_size: int, size: int, steps: int, left: int
) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 12, 1))
    model = load_model(module, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
    how = {**HOW, "batch_size": batch_size, "size": size}
    work = render_steps(store, model, "2", neurons, **how)
    for _ in range(steps):
        next(work)
    work.close()
    assert finish(render_steps(store, model, "2", neurons, **how))[0] == left


def test_a_result_given_to_go_on_from_is_used(store: Store, model: VisionModel) -> None:
    half = render(model, "2", 1, progress=False, **{**HOW, "steps": 3})
    assert finish(render_steps(store, model, "2", 1, resume=half, **HOW))[0] == 3


class _Nan(nn.Module):
    """Neuron 3 is NaN."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x[:, :1].repeat(1, 4, 1, 1) * 2
        return torch.cat([y[:, :3], y[:, 3:].detach() * torch.nan], dim=1)


def test_one_bad_neuron_costs_no_other_image(store: Store) -> None:
    model = load_model(nn.Sequential(_Nan()), preprocess=lambda x: x, input_size=32)
    how = {**HOW, "batch_size": 1}
    with pytest.raises(RenderError, match="0:3"):
        finish(render_steps(store, model, "0", range(4), **how))
    assert finish(render_steps(store, model, "0", range(3), **how))[0] == 0


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


class UserModule(nn.Module):
    """A network with something of everything that can be changed."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.late = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.slope, self.act = 0.0, torch.relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.late(self.between(self.first(x)))

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(x) + self.slope * x


def _ablated(module: UserModule) -> None:
    module.first.register_forward_hook(lambda _module, _args, output: output * 0)


def _another_act(module: UserModule) -> None:
    module.act = torch.tanh


def _another_slope(module: UserModule) -> None:
    module.slope = 0.3


def _another_method(module: UserModule) -> None:
    module.between = lambda x: x.abs()  # type: ignore[method-assign]


def _data(module: UserModule) -> None:
    module.first.weight.data[1] = 0


def _assigned(module: UserModule) -> None:
    module.load_state_dict({k: v + 0.1 for k, v in module.state_dict().items()}, assign=True)


CHANGES = [_ablated, _another_act, _another_slope, _another_method, _data, _assigned]


@pytest.mark.parametrize("anew", [False, True], ids=["opened before", "opened anew"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_network_gets_nothing_of_what_it_was(
    change: Callable[[UserModule], None], anew: bool, store: Store
) -> None:
    def opened() -> VisionModel:
        return load_model(module, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)

    def scanned() -> tuple[int, Any]:
        return finish(scan_steps(store, model, "late", "samples", num_samples=4))

    module = UserModule()
    model = opened()
    taken, before = scanned()
    assert taken > 0
    assert scanned()[0] == 0
    change(module)
    model = opened() if anew else model
    taken, found = scanned()
    assert taken > 0
    fresh = scan(model, "late", "samples", num_samples=4, progress=False)
    assert np.array_equal(found.mean, fresh.mean)
    assert not np.array_equal(found.mean, before.mean)
    work = render_steps(store, model, "late", 0, **HOW)
    assert finish(work)[0] == HOW["steps"]


def test_a_named_network_that_was_changed_gets_nothing_of_what_it_was(store: Store) -> None:
    def taken() -> int:
        return finish(scan_steps(store, model, "blocks.0", "samples", num_samples=4))[0]

    model = load_model("efficientnet_lite0", weights="random")
    assert [taken() > 0, taken()] == [True, 0]
    with torch.no_grad():
        model.module.conv_stem.weight.mul_(0.5)
    assert taken() > 0
    handle = model.module.conv_stem.register_forward_hook(lambda _m, _a, output: output * 0)
    assert taken() > 0
    handle.remove()
    assert taken() == 0


def test_what_was_begun_with_another_network_is_not_kept(store: Store) -> None:
    module = UserModule()
    model = load_model(module, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
    work = render_steps(store, model, "late", 0, **HOW)
    next(work)
    module.late.weight.data.mul_(2)
    finish(work)
    assert not list(store.own.root.rglob("*.webp"))
