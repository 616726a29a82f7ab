"""The size of a picture is one that the network takes, by whatever way it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from neuron_widget import (
    Analyzer,
    NeuronQuiz,
    NeuronWidget,
    export_html,
    load_model,
    render,
    render_steps,
    scan,
)
from neuron_widget.cli import jobs
from neuron_widget.cli.app import app
from neuron_widget.errors import ModelError
from neuron_widget.networks.model import VisionModel
from neuron_widget.session.settings import Settings
from neuron_widget.settings import PREVIEW
from neuron_widget.store import Store
from neuron_widget.store.fill import fill_images

HALF = ((0.5,) * 3, (0.5,) * 3)


class Sized(nn.Module):
    """Takes the sizes that a rule allows."""

    def __init__(self, takes: Callable[[int], bool]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.takes = takes
        self.conv = nn.Conv2d(3, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        assert self.takes(x.shape[-1]), f"no {x.shape[-1]} px"
        return self.conv(x)


class Digits(nn.Module):
    """Takes one channel and 28 px."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(1, 6, 5), nn.Linear(6 * 12 * 12, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.max_pool2d(F.relu(self.conv(x)), 2).flatten(1))


def sized(only: int = 64) -> VisionModel:
    return load_model(Sized(lambda side: side == only), preprocess=HALF, input_size=only)


@pytest.fixture
def photos() -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 64, 64, 3), np.uint8)
    return [Image.fromarray(photo) for photo in pixels]


def by_render(model: VisionModel, _photos: Any, _folder: Path) -> int:
    return render(model, "conv", [1], steps=2, progress=False).images.shape[1]


def by_steps(model: VisionModel, _photos: Any, _folder: Path) -> int:
    return next(render_steps(model, "conv", 1, steps=2)).images().shape[1]


def by_widget(model: VisionModel, photos: Any, folder: Path) -> int:
    widget = NeuronWidget("conv", model=model, dataset=photos, steps=2, store=folder / "store")
    try:
        widget.wait()
        return widget.image.size[0]  # type: ignore[union-attr]
    finally:
        widget.close()


def by_prerender(model: VisionModel, _photos: Any, folder: Path) -> int:
    store = Store(folder / "store")
    for _ in fill_images(store, model, "conv", [1], steps=2):
        pass
    return store.find_render(model, "conv", 1, steps=2).images.shape[1]  # type: ignore[union-attr]


def by_export(model: VisionModel, photos: Any, folder: Path) -> int:
    images = render(model, "conv", [1], steps=2, progress=False)
    found = scan(model, "conv", photos, progress=False)
    export_html(folder / "page.html", model, "conv", images=images, scan=found)
    return images.images.shape[1]


def by_analyzer(model: VisionModel, photos: Any, _folder: Path) -> int:
    analyzer = Analyzer("conv", model=model, dataset_root=photos, store=False)
    return analyzer.activation_maximization(1, steps=2, progress=False).shape[0]


def by_quiz(model: VisionModel, photos: Any, _folder: Path) -> int:
    quiz = NeuronQuiz(
        "conv", model=model, dataset=photos * 4, neurons=1, references=1, steps=2, progress=False
    )
    return 64 if quiz.questions else 0


@pytest.mark.parametrize(
    "by", [by_render, by_steps, by_widget, by_prerender, by_export, by_analyzer, by_quiz]
)
def test_nobody_has_to_name_the_size(by: Any, photos: Any, tmp_path: Path) -> None:
    assert by(sized(), photos, tmp_path) == 64


@pytest.mark.parametrize("command", ["render", "prerender", "export"])
def test_nor_on_the_command_line(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    model = sized()
    monkeypatch.setattr(jobs, "open_model", lambda *_: model)
    store = ["--store", str(tmp_path / "store"), "--steps", "2", "--model", "efficientnet_lite0"]
    out = {"render": ["conv:1", "--out", str(tmp_path / "out")], "prerender": ["conv", "-n", "1"]}
    out["export"] = ["conv", "-n", "1", "--out", str(tmp_path / "page.html")]
    for step in dict.fromkeys(["prerender", command]):
        done = CliRunner().invoke(app, [step, *out[step], *store])
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("takes", "usual", "wrong", "says"),
    [
        (lambda s: s == 64, 64, 80, r"no images of 80 px .*64 px alone: choose size=64 \(Assert"),
        (lambda s: s == 64, 64, 224, r"no images of 224 px .*64 px alone: choose size=64"),
        (lambda s: s % 14 == 0, 224, 100, r"no images of 100 px \(up to layer conv\): .*size=98"),
        (lambda s: s >= 32, 64, 20, r"no images of 20 px .*choose size=32"),
    ],
)
def test_a_wrong_size_is_told_before_any_work(
    takes: Any, usual: int, wrong: int, says: str, photos: Any
) -> None:
    model = load_model(Sized(takes), preprocess=HALF, input_size=usual)
    for way in (render, render_steps):
        with pytest.raises(ModelError, match=says):
            way(model, "conv", [1], size=wrong)
    widget = NeuronWidget("conv", model=model, dataset=photos, size=wrong, steps=2, store=False)
    try:
        with pytest.raises(ModelError, match=says):
            widget.render(wait=True)
        with pytest.raises(ModelError, match=says):
            widget.wait()
    finally:
        widget.close()


def test_what_is_refused_only_deep_in_a_network_is_told_in_our_words() -> None:
    vgg = load_model("torchvision/vgg11", weights="random", device="cpu")
    for size in (16, 24, 31):
        with pytest.raises(ModelError, match=rf"no images of {size} px .*choose size=32"):
            render(vgg, "features", 0, size=size)
    assert render(vgg, "features.3", 0, size=16, steps=1, progress=False).images.shape[1] == 16


@pytest.mark.parametrize(
    ("takes", "usual", "preview", "limits"),
    [
        (lambda s: s == 64, 64, 64, (64, 64)),
        (lambda s: s % 14 == 0, 224, 84, (28, 1024)),
        (lambda s: s >= 32, 64, 80, (32, 1024)),
        (lambda _: True, 224, PREVIEW["size"], (16, 1024)),
    ],
)
def test_previews_and_the_page_follow_the_network(
    takes: Any, usual: int, preview: int, limits: tuple[int, int], photos: Any
) -> None:
    model = load_model(Sized(takes), preprocess=HALF, input_size=usual)
    assert model.image_size(PREVIEW["size"], "conv") == preview
    assert model.size_limits(16, 1024) == limits
    widget = NeuronWidget("conv", model=model, dataset=photos, steps=2, store=False)
    try:
        widget.wait()
        session = widget._session
        how = session._previews._quick("conv", session.state.settings.recipe)
        assert how["size"] == preview
        (configured,) = [
            message
            for message in session.state.snapshot()[0]["messages"]
            if message["kind"] == "configured"
        ]
        assert configured["limits"] == {"size": list(limits)}
        assert configured["settings"]["size"] == configured["usual"]["size"]
        for wrong in {limits[0] - 1, limits[1] + 1} - {15, 1025}:
            with pytest.raises(ValueError, match=f"size must be .*{limits[0]}.*got {wrong}"):
                session.configure({"size": wrong})
    finally:
        widget.close()


@pytest.mark.parametrize(
    ("network", "layer"), [("efficientnet_lite0", "blocks.4"), ("inceptionv1", "mixed4a")]
)
def test_pictures_that_were_made_before_are_found(network: str, layer: str) -> None:
    """Sizes are in the keys of results: those of the built-in networks stay as they were."""
    model = load_model(network, weights="random", device="cpu")
    recipe = Settings(model=model).fitted(model, layer)[0].recipe.as_options()
    assert (recipe["size"], model.image_size(PREVIEW["size"], layer)) == (224, 80)
    assert recipe["redirect_relu"] is True


def test_a_network_of_28_px_and_one_channel(photos: Any) -> None:
    model = load_model(Digits(), preprocess=((0.13,), (0.3,)), input_size=28)
    widget = NeuronWidget("conv", model=model, dataset=photos, size=28, steps=4, store=False)
    try:
        widget.render(wait=True)
        image = np.asarray(widget.image)
        assert image.shape == (28, 28, 3)
        assert np.ptp(image, axis=2).max() <= 1  # no colour that it cannot see
        session = widget._session
        # A preview is no larger than the picture that it stands for.
        assert session._previews._quick("conv", session.state.settings.recipe)["size"] == 28
    finally:
        widget.close()


def test_memory_that_runs_out_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(Sized(lambda _: True), preprocess=HALF, input_size=64)

    def full(size: int, name: str | None) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    monkeypatch.setattr(model, "_attempt", full)
    model.check_size(4096, "conv")
