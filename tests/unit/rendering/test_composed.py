"""Composed targets rendered: across layers, in groups, with the store, beside others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neuron_widget import load_model, render, render_steps
from neuron_widget import objectives as o
from neuron_widget.errors import NeuronWidgetError, TargetError
from neuron_widget.networks.dictionaries import Dictionary
from neuron_widget.networks.model import VisionModel
from neuron_widget.rendering.manifest import read_result
from neuron_widget.rendering.result import RenderState
from neuron_widget.store import Store
from neuron_widget.store.reuse import render_steps as stored_steps
from neuron_widget.targets import parse

HOW: dict[str, Any] = {"steps": 12, "size": 32, "precision": "float32"}
ACROSS = "first:1 - 0.5*third:2"
FACETS = "first:1 - 10*diversity(first) [3 images]"
STRIP = "interpolate(first:1, third:2) + 0.1*alignment(first) [3 images]"


class Net(nn.Module):
    """Three convolutions; what is behind is counted, and works in place."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 5, padding=2), nn.Conv2d(4, 5, 3, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.third, self.last = nn.Conv2d(5, 6, 1), nn.Conv2d(6, 7, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        x = self.relu(self.second(x))
        return self.last(self.relu(self.third(x))).mean((2, 3))


def opened() -> VisionModel:
    return load_model(Net(), preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)


@pytest.fixture(scope="module")
def model() -> VisionModel:
    return opened()


def values_of(model: VisionModel, text: str, images: np.ndarray) -> float:
    """The weighted mean of two channels, read one layer at a time."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    total = 0.0
    with torch.no_grad():
        for weight, target in parse(text).terms:  # type: ignore[attr-defined]
            total += weight * float(model.reader(target.layer)(x)[:, target.neuron].mean())
    return total


def test_an_expression_across_layers_is_maximised(model: VisionModel) -> None:
    result = render(model, ACROSS, progress=False, **HOW)
    begun = render(model, ACROSS, progress=False, **{**HOW, "steps": 1})
    assert result.activation[0] > begun.activation[0]
    assert result.activation[0] == pytest.approx(values_of(model, ACROSS, result.images), rel=1e-4)
    assert [str(target) for target in result.targets] == [ACROSS]
    assert result.layer == "first, third"
    assert result.settings["targets"] == (ACROSS,)


def test_the_forward_pass_ends_at_the_last_layer_that_is_needed(model: VisionModel) -> None:
    ran: list[str] = []
    with model.private_copy() as network:
        handles = [
            module.register_forward_hook(lambda _m, _a, _o, name=name: ran.append(name))
            for name, module in network.named_children()
        ]
    try:
        with model.reading_each(("third", "first")) as read, torch.no_grad():
            found = read(torch.rand(2, 3, 32, 32))
    finally:
        for handle in handles:
            handle.remove()
    assert "last" not in ran
    assert ran.count("first") == ran.count("third") == 1
    assert set(found) == {"first", "third"}


def test_layers_are_read_as_they_are_alone(model: VisionModel) -> None:
    """Though what comes behind works in place; outputs and dictionaries among them."""
    own = opened()
    own.add_dictionary("second", Dictionary(np.eye(5, dtype=np.float32)[:3]), name="three")
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    layers = ("logits", "second/three", "first", "second", "third")
    with torch.no_grad(), own.reading_each(layers) as read:
        found = read(images)
        for layer in layers:
            assert torch.equal(found[layer], own.reader(layer)(images)), layer
    assert float(found["first"].min()) < 0


@pytest.mark.parametrize(
    "text",
    [
        ACROSS,
        "2*first:1",
        "first:1@3,3 + first:2@centre",
        "layer(second) - 0.01*tv(image) + 0.1*l2(image, 0.5)",
        "logits:3 - first:0",
        "direction(first, [1, 0, 0, -1])",
        FACETS,
        STRIP,
        "only(0, first:1) + only(1, second:2) [2 images]",
        "second:1 [2 images]",
    ],
)
def test_what_is_composed_does_not_depend_on_what_is_beside_it(
    text: str, model: VisionModel
) -> None:
    alone = render(model, text, progress=False, **HOW)
    assert np.isfinite(alone.activation).all()
    assert alone.images.std() > 0.01
    for beside in (["first:0", text, "third:3", FACETS], ["first:2 - second:1", text]):
        result = render(model, beside, progress=False, batch_size=2, **HOW)
        places = [result.targets.index(target) for target in alone.targets]
        assert np.array_equal(result.images[places], alone.images)
        assert np.array_equal(result.activation[places], alone.activation)
    other = render(model, text, progress=False, seed=1, **HOW)
    assert not np.array_equal(other.images, alone.images)


def test_facets_differ_and_a_strip_goes_from_one_to_the_other(model: VisionModel) -> None:
    how = {**HOW, "steps": 40, "progress": False}
    facets = render(model, o.images(o.channel("first", 1) - 10 * o.diversity("first"), 3), **how)
    plain = render(model, "first:1 [3 images]", **how)

    def alike(images: np.ndarray) -> float:
        with torch.no_grad():
            maps = model.reader("first")(torch.from_numpy(images).permute(0, 3, 1, 2))
        flat = maps.flatten(2)
        grams = nn.functional.normalize((flat @ flat.transpose(1, 2)).flatten(1), dim=1)
        return float((grams @ grams.T).sum() - len(grams))

    assert alike(facets.images) < alike(plain.images)
    strip = render(model, STRIP, **how)
    with torch.no_grad():
        x = torch.from_numpy(strip.images).permute(0, 3, 1, 2)
        first, last = (
            model.reader(n)(x)[:, i].mean((1, 2)) for n, i in (("first", 1), ("third", 2))
        )
    assert first[0] > first[1] > first[2]
    assert last[2] > last[1] > last[0]


@pytest.mark.parametrize("text", [ACROSS, FACETS])
def test_it_goes_on_as_it_was(text: str, model: VisionModel) -> None:
    whole = render(model, text, progress=False, **HOW)
    half = render(model, text, progress=False, **{**HOW, "steps": 5})
    rest = render(model, text, progress=False, resume=half, **HOW)
    assert np.array_equal(rest.images, whole.images)
    with pytest.raises(NeuronWidgetError, match="other settings"):
        render_steps(model, text, resume=half, **{**HOW, "seed": 3})


def test_a_group_of_which_a_part_is_there_begins_anew(model: VisionModel) -> None:
    """And what is beside it goes on."""
    both = [FACETS, "first:0"]
    whole = render(model, both, progress=False, **HOW)
    half = render(model, both, progress=False, **{**HOW, "steps": 5})
    state, left = half.state, [0, 3]
    assert state is not None
    kept = RenderState(
        state.spectra.each(lambda t: t[left]),
        tuple(state.steps[i] for i in left),
        tuple(state.history[i] for i in left),
    )
    part = replace(half, targets=tuple(half.targets[i] for i in left), state=kept)
    work = render_steps(model, both, resume=part, **HOW)
    assert next(work).total == HOW["steps"] + (HOW["steps"] - 5)
    work.close()
    rest = render(model, both, resume=part, progress=False, **HOW)
    assert np.array_equal(rest.images, whole.images)
    assert [step for step, _ in rest.history] == [step for step, _ in whole.history]


def finish(work: Any) -> tuple[int, Any]:
    taken = 0
    while True:
        try:
            next(work)
        except StopIteration as end:
            return taken, end.value
        taken += 1


@pytest.mark.parametrize("text", [ACROSS, FACETS, "2*first:1"])
def test_the_store_keeps_it(text: str, tmp_path: Path, model: VisionModel) -> None:
    store = Store(tmp_path)
    whole = render(model, text, progress=False, **HOW)
    work = stored_steps(store, model, text, **HOW)
    for _ in range(5):
        next(work)
    work.close()
    taken, result = finish(stored_steps(store, model, text, **HOW))
    assert taken == 7
    assert np.abs(result.images - whole.images).max() <= 1 / 509
    again = opened()  # another process, the same network
    taken, found = finish(stored_steps(store, again, f" {text} ", **HOW))
    assert taken == 0
    assert found.targets == whole.targets
    assert np.allclose(found.activation, whole.activation, rtol=1e-5)
    assert finish(stored_steps(store, again, "first:1", **HOW))[0] == HOW["steps"]
    more = stored_steps(store, model, text, **{**HOW, "steps": 14})
    assert finish(more)[0] == 2


def test_a_group_of_which_an_image_was_lost_is_made_again(
    tmp_path: Path, model: VisionModel
) -> None:
    store = Store(tmp_path)
    whole = finish(stored_steps(store, model, FACETS, **HOW))[1]
    lost = store.render_name(model, whole.targets[1], **HOW)
    (file,) = tmp_path.rglob(lost)
    file.unlink()
    for state in tmp_path.rglob("*.safetensors"):
        state.unlink()
    taken, result = finish(stored_steps(store, model, FACETS, **HOW))
    assert taken == HOW["steps"]
    assert np.array_equal(result.images, whole.images)


def test_keys_are_of_the_canonical_text(tmp_path: Path, model: VisionModel) -> None:
    store = Store(tmp_path)

    def name(text: str, **more: Any) -> str:
        return store.render_name(model, parse(text), **{**HOW, **more})

    assert name("first:1+third:2") == name("third:2 + first:1")
    others = [ACROSS, "first:1 - 0.6*third:2", "first:1", "2*first:1", "first:1@3,3"]
    others += [
        f"first:1 - diversity(first) [image {i} of {n}]" for i, n in ((0, 2), (1, 2), (0, 3))
    ]
    assert len({name(text) for text in others}) == len(others)
    assert name(ACROSS) != name(ACROSS, seed=1)


def test_files_say_what_they_are(tmp_path: Path, model: VisionModel) -> None:
    result = render(model, [ACROSS, FACETS, "first:0@2,3"], progress=False, **HOW)
    files = result.save(tmp_path)
    assert len(set(files)) == 5
    assert [file.name for file in files][::4] == [
        "first_1_-_0.5_third_2.webp",
        "first_neuron_0_at_2_3.webp",
    ]
    for file, target in zip(files, result.targets, strict=True):
        again = read_result(file)
        assert again.targets == (target,)
        assert again.settings["targets"] == (str(target),)
    long = render(
        model,
        o.mean([("third", i) for i in range(6)]) - 0.1 * o.layer("second"),
        progress=False,
        **HOW,
    )
    (file,) = long.save(tmp_path)
    assert len(file.name) < 110
    json.dumps(long.picture()[1])


def test_all_images_of_a_group_are_saved(tmp_path: Path, model: VisionModel) -> None:
    """Those of ``together`` are of one target, which files are called by."""

    def spread(maps: torch.Tensor) -> torch.Tensor:
        means = maps.mean(dim=(2, 3))
        return means[:, 2].mean() + means.std(dim=0).mean()

    how = {**HOW, "objective": o.together(spread), "progress": False}
    result = render(model, "first", [2] * 3, **how)
    files = result.save(tmp_path)
    names = ["first_neuron_2.webp", "first_neuron_2_2.webp", "first_neuron_2_3.webp"]
    assert [file.name for file in files] == names
    again = [read_result(file).images[0] for file in files]
    assert len({image.tobytes() for image in again}) == 3


def test_the_widget_says_what_it_does_not_show() -> None:
    from neuron_widget import NeuronWidget

    for given in (FACETS, STRIP, "first:1 - diversity(first)"):
        with pytest.raises(TargetError, match=r"several images, .*render.*\[4 images\]"):
            NeuronWidget(given)


@pytest.mark.parametrize("param", ["fourier", "maco", "pixel"])
@pytest.mark.parametrize("text", [f"{ACROSS} - 0.1*tv(image)", FACETS])
def test_every_form_is_composed_and_gone_on_with(model: VisionModel, text: str, param: str) -> None:
    how = {**HOW, "param": param, "progress": False}
    whole = render(model, text, **how)
    begun = render(model, text, **{**how, "steps": 5})
    more = render(model, text, resume=begun, **how)
    assert np.array_equal(more.images, whole.images)
    assert np.isfinite(whole.activation).all()
    assert (whole.alpha is not None) == (param == "maco")
    if whole.alpha is not None:
        assert np.array_equal(more.alpha, whole.alpha)
        assert (whole.alpha > 0).any()
