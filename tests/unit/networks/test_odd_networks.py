"""Ways to write a network that are ordinary, and easily forgotten."""

from __future__ import annotations

import collections
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from neuron_widget import load_model, render, scan
from neuron_widget.networks import model as of_a_network
from neuron_widget.rendering import settings as of_a_rendering

HALF = ((0.5,) * 3, (0.25,) * 3)


def opened(net: nn.Module, size: int = 32, **how: Any) -> Any:
    return load_model(net, **{"preprocess": HALF, "input_size": size, **how})


# ------------------------------------------------------------------ what is kept for a size


@functools.lru_cache
def table(length: int) -> Tensor:
    return torch.linspace(0.5, 1, length)


class Remembers(nn.Module):
    """Multiplies by a table that it makes when it first meets a size."""

    def __init__(self, shared: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.shared, self.grid = shared, None
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        if self.shared:
            return self.b(x * table(x.shape[-1]))
        if self.grid is None or self.grid.shape[-1] != x.shape[-1]:
            self.grid = torch.linspace(0.5, 1, x.shape[-1])
        return self.b(x * self.grid)


@pytest.mark.parametrize("shared", [False, True], ids=["an attribute", "lru_cache"])
def test_tables_made_for_a_size_serve_gradients(shared: bool) -> None:
    table.cache_clear()
    net = Remembers(shared)
    model = opened(net, 64)
    for size in (64, 96, 40):
        assert np.isfinite(render(model, "b:3", size=size, steps=2, progress=False).activation)
        net(torch.rand(2, 3, size, size)).mean().backward()  # the user's own training
    assert net.a.weight.grad is not None


# ------------------------------------------------------------------ modules held in other ways

Pair = collections.namedtuple("Pair", "conv norm")


class Stages(list):  # type: ignore[type-arg]
    """A kind of list."""


def in_turn(parts: list[nn.Module]) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        for part in parts:
            x = part(x)
        return x

    return run


class Holds(nn.Module):
    def __init__(self, hold: Callable[[nn.Module, nn.Module], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.late = (
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.Conv2d(8, 8, 3),
        )
        self.pair = hold(self.conv, self.norm)

    def forward(self, x: Tensor) -> Tensor:
        if callable(self.pair):
            return self.late(self.pair(x))
        conv, norm = self.pair if isinstance(self.pair, (list, tuple)) else vars(self.pair).values()
        return self.late(norm(conv(x)))


HELD = {
    "list": lambda *two: [*two],
    "named tuple": Pair,
    "SimpleNamespace": lambda conv, norm: types.SimpleNamespace(conv=conv, norm=norm),
    "a kind of list": lambda *two: Stages(two),
    "a closure over a list": lambda *two: in_turn([*two]),
    "a partial of a list": lambda *two: functools.partial(lambda parts, x: in_turn(parts)(x), two),
}


@pytest.mark.parametrize("how", HELD)
def test_a_network_in_training_is_left_alone_however_it_holds_its_modules(how: str) -> None:
    net = Holds(HELD[how]).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = render(opened(net), "late:3", steps=3, progress=False)
    plain = render(opened(Holds(HELD["list"]).train()), "late:3", steps=3, progress=False)
    assert np.array_equal(found.activation, plain.activation)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.norm.training


# ------------------------------------------------------------------ images that mix


class Mixes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 5, stride=2), nn.ReLU(), nn.Conv2d(6, 4, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.body((x - x.mean()) / (x.std() + 1e-5))


def test_a_network_that_normalises_by_the_batch_reads_each_photo_alone() -> None:
    model = opened(Mixes(), 64)
    assert model.layers
    assert model.reads_alone
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    photo, black = Image.fromarray(noise), Image.new("RGB", (64, 64))
    alone = scan(model, "body.2", [photo], progress=False).top(1)[0].score
    beside = scan(model, "body.2", [photo, black, black], progress=False).top(1, 3)
    assert alone in [example.score for example in beside]


# ------------------------------------------------------------------ what bfloat16 does not do


class Spread(nn.Module):
    """Writes into what it made, as sparse and multi-scale heads do."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        out = torch.zeros(y.shape, dtype=torch.float32)
        out[:, [0, 2, 4]] = y[:, [1, 3, 5]]
        return self.b(out)


def test_a_network_that_does_not_run_in_bfloat16_runs_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(of_a_network, "has_fast_bfloat16", lambda _device: True)
    monkeypatch.setattr("neuron_widget.networks.arithmetic.has_fast_bfloat16", lambda _: True)
    for net, precision in ((Spread(), "float32"), (nn.Sequential(nn.Conv2d(3, 4, 3)), "bfloat16")):
        assert of_a_rendering.default_precision(opened(net)) == precision
    assert np.isfinite(render(opened(Spread()), "b:3", steps=2, progress=False).activation)


# ------------------------------------------------------------------ the caller's defaults


@pytest.fixture
def defaults() -> Iterator[None]:
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


@pytest.mark.parametrize("change", ["float64", "bfloat16", "meta"])
def test_the_callers_default_type_and_device_change_nothing(defaults: None, change: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU())
    photos = [Image.new("RGB", (32, 32), (i * 20, 90, 200 - i * 9)) for i in range(9)]

    def both() -> tuple[Any, Any]:
        model = opened(net, preprocess=lambda x: x * 2 - 1)
        picture = render(model, "1:3", steps=2, progress=False)
        return picture.images, scan(model, "1", photos, progress=False).tables.mean

    expected = both()
    if change == "meta":  # any device that the network is not on
        torch.set_default_device("meta")
    else:
        torch.set_default_dtype(getattr(torch, change))
    for found, plain in zip(both(), expected, strict=True):
        np.testing.assert_array_equal(found, plain)


def test_a_fully_connected_network_is_rendered() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 28 * 28, 20), nn.ReLU(), nn.Linear(20, 10))
    model = opened(net, 28)
    for target in ("2:3", "logits:1"):
        assert render(model, target, steps=2, progress=False).images.shape == (1, 28, 28, 3)
    with pytest.raises(Exception, match=r"takes no images of 64 px.*; it takes 28 px alone"):
        render(model, "logits:1", steps=2, size=64, progress=False)
