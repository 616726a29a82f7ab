"""Rendering on a tiny network: results, arguments, resuming, independence of the batch."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from neuron_widget.errors import NeuronOutOfRange, UnknownLayer
from neuron_widget.networks.zoo import load_model
from neuron_widget.rendering import RenderResult, render, render_steps
from neuron_widget.settings import PREVIEW
from neuron_widget.targets import Channel

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
FAST = {"size": 32, "steps": 12, "progress": False}


class Tiny(nn.Module):
    """Three convolutions and a classifier."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU())
        self.middle = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU())
        self.late = nn.Sequential(nn.Conv2d(12, 16, 3, stride=2, padding=1), nn.ReLU(inplace=True))
        self.head = nn.Linear(16, 5)
        nn.init.constant_(self.late[0].bias, 0.2)

    def forward(self, x):
        x = self.late(self.middle(self.stem(x)))
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return load_model(Tiny(), preprocess=HALF, input_size=32)


def test_result(model):
    result = render(model, "late", [3, 1], **FAST)
    assert isinstance(result, RenderResult)
    assert result.images.shape == (2, 32, 32, 3)
    assert result.images.dtype == np.float32
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    assert result.neurons == (3, 1)
    assert result.layer == "late"
    assert result.steps == 12
    assert result.seconds > 0
    assert [step for step, _ in result.history] == [1, 8]
    assert all(values.shape == (2,) for _, values in result.history)
    picture = result.to_pil(1)
    assert picture.size == (32, 32)
    assert picture.mode == "RGB"
    assert len(result) == 2


def test_settings_say_what_made_it_and_are_plain(model):
    settings = render(model, "late", 2, **FAST, seed=5).settings
    assert settings["model"] == model.identity
    assert (settings["layer"], settings["neurons"], settings["seed"]) == ("late", (2,), 5)
    assert settings["objective"] == "channel"
    assert settings["augmentation"]["rotate"] == 5.0
    assert settings["torch"] == torch.__version__
    assert settings["algorithm"] >= 1
    json.dumps(settings)


def test_activation_is_that_of_the_clean_image(model):
    result = render(model, "middle", [4, 0], **FAST)
    images = torch.from_numpy(result.images).permute(0, 3, 1, 2)
    with torch.no_grad(), model.reading("middle") as read:
        means = read(images).mean((2, 3))
    np.testing.assert_allclose(result.activation, [means[0, 4], means[1, 0]], rtol=1e-5)


def test_activation_rises(model):
    start = render(model, "late", range(6), size=32, steps=1, progress=False)
    end = render(model, "late", range(6), size=32, steps=60, progress=False)
    assert (end.activation > start.activation).all()


@pytest.mark.parametrize("objective", ["channel", "neuron", lambda a: a[:, 2].amax()])
def test_objectives_are_maximised(model, objective):
    short = render(model, "late", 2, size=32, steps=1, objective=objective, progress=False)
    long = render(model, "late", 2, size=32, steps=60, objective=objective, progress=False)
    assert long.activation[0] > short.activation[0]


@pytest.mark.parametrize("size", [32, 33, 47])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_picture_does_not_depend_on_its_company(model, precision, size):
    neurons = (3, 1, 0, 7, 12, 5, 9, 2)
    options = {"size": size, "steps": 24, "progress": False, "precision": precision}
    together = render(model, "late", neurons, batch_size=8, **options)
    for order, batch_size in ((neurons[::-1], 8), (neurons, 3), (neurons[2:5], 1)):
        other = render(model, "late", order, batch_size=batch_size, **options)
        for i, neuron in enumerate(order):
            where = neurons.index(neuron)
            np.testing.assert_allclose(other.images[i], together.images[where], atol=1e-4)
            np.testing.assert_allclose(other.activation[i], together.activation[where], rtol=1e-4)


def test_same_seed_same_picture_other_seed_other_picture(model):
    one = render(model, "late", 3, **FAST)
    again = render(model, "late", 3, **FAST)
    other = render(model, "late", 3, **FAST, seed=1)
    np.testing.assert_array_equal(one.images, again.images)
    assert np.abs(one.images - other.images).max() > 0.01


def test_layer_is_named_the_same_however_it_is_spelt(model):
    one, other = (render(model, name, 3, **FAST) for name in ("late.0", "late_0"))
    assert one.layer == other.layer == "late.0"
    np.testing.assert_array_equal(one.images, other.images)


def test_global_generators_are_not_touched(model):
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    render(model, "late", 3, **FAST)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpys, np.random.get_state()[1])


@pytest.mark.parametrize("scope", [torch.no_grad, torch.inference_mode])
def test_works_inside_the_callers_modes(model, scope):
    expected = render(model, "late", 3, **FAST)
    with scope():
        result = render(model, "late", 3, **FAST)
    np.testing.assert_array_equal(result.images, expected.images)
    again = render(model, "late", 3, size=32, steps=20, resume=result, progress=False)
    assert again.steps == 20


# ------------------------------------------------------------------ resuming


def test_resuming_is_as_if_it_had_never_stopped(model):
    options = {"size": 32, "progress": False}
    whole = render(model, "late", [3, 1], steps=40, **options)
    half = render(model, "late", [3, 1], steps=20, **options)
    rest = render(model, "late", [3, 1], steps=40, resume=half, **options)
    np.testing.assert_array_equal(rest.images, whole.images)
    np.testing.assert_array_equal(rest.activation, whole.activation)
    assert [s for s, _ in rest.history] == [s for s, _ in whole.history]
    for (_, ours), (_, theirs) in zip(rest.history, whole.history, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert rest.seconds > half.seconds


def test_resuming_with_other_neurons_beside(model):
    options = {"size": 32, "progress": False}
    half = render(model, "late", [3, 1], steps=20, **options)
    more = render(model, "late", [1, 5, 3], steps=30, resume=half, **options)
    whole = render(model, "late", [1, 5, 3], steps=30, **options)
    np.testing.assert_allclose(more.images, whole.images, atol=1e-5)


def test_resuming_what_is_complete_returns_it(model):
    done = render(model, "late", 3, **FAST)
    again = render(model, "late", 3, **FAST, resume=done)
    np.testing.assert_array_equal(again.images, done.images)
    assert again.steps == done.steps


def test_resuming_a_stopped_job(model):
    work = render_steps(model, "late", [3, 1, 5], size=32, steps=20, batch_size=2)
    for _ in range(27):
        step = next(work)
    work.close()
    stopped = step.result()
    assert stopped.neurons == (3, 1, 5)
    assert stopped.steps == 7
    assert np.isfinite(stopped.activation).all()
    rest = render(model, "late", [3, 1, 5], size=32, steps=20, resume=stopped, progress=False)
    whole = render(model, "late", [3, 1, 5], size=32, steps=20, progress=False)
    np.testing.assert_allclose(rest.images, whole.images, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"seed": 1}, ValueError, "seed 0 -> 1"),
        ({"lr": 0.1}, ValueError, r"lr 0.05 -> 0.1"),
        ({"size": 48}, ValueError, "size 32 -> 48"),
        ({"objective": "neuron"}, ValueError, "objective 'channel' -> 'unit'"),
        ({"steps": 5}, ValueError, "has had 12 steps already"),
        ({"resume": "x"}, TypeError, "RenderResult, got str"),
    ],
)
def test_what_cannot_be_resumed(model, change, error, words):
    done = render(model, "late", 3, **FAST)
    with pytest.raises(error, match=words):
        render(model, "late", 3, **{**FAST, "resume": done, **change})


# ------------------------------------------------------------------ the generator


def test_steps_count_over_all_batches(model):
    work = render_steps(model, "late", range(5), size=32, steps=6, batch_size=2)
    steps = list(work)
    assert [s.done for s in steps] == list(range(1, 19))
    assert {s.total for s in steps} == {18}
    assert [s.step for s in steps] == [1, 2, 3, 4, 5, 6] * 3
    assert [s.neurons for s in steps[::6]] == [(0, 1), (2, 3), (4,)]


def test_images_of_a_step(model):
    work = render_steps(model, "late", [3, 1], size=32, steps=6)
    seen = [step.images() for step in work]
    assert all(i.shape == (2, 32, 32, 3) and i.dtype == np.float32 for i in seen)
    assert all(np.abs(a - b).max() > 0 for a, b in pairwise(seen))
    result = render(model, "late", [3, 1], size=32, steps=6, progress=False)
    np.testing.assert_array_equal(seen[-1], result.images)


def test_values_of_a_step_are_those_of_the_history(model):
    steps = {}
    work = render_steps(model, "late", [3, 1], steps=8, size=32)
    for step in work:
        steps[step.step] = step.values()
        result = step.result()
    assert steps[8].shape == (2,)
    for step, values in result.history:
        np.testing.assert_array_equal(values, steps[step])


def test_result_of_a_step_is_that_of_a_shorter_rendering(model):
    work = render_steps(model, "late", [3, 1, 5], size=32, steps=12, batch_size=2)
    for _ in range(5):
        step = next(work)
    result = step.result()
    expected = render(model, "late", [3, 1], size=32, steps=5, progress=False)
    assert result.neurons == (3, 1)
    assert result.steps == 5
    np.testing.assert_array_equal(result.images, expected.images)
    np.testing.assert_array_equal(result.activation, expected.activation)
    # Asking for it changes nothing.
    *_, last = work
    whole = render(model, "late", [3, 1, 5], size=32, steps=12, progress=False)
    np.testing.assert_allclose(last.result().images, whole.images, atol=1e-5)


def test_arguments_are_checked_in_the_call_itself(model):
    with pytest.raises(UnknownLayer):
        render_steps(model, "nowhere", 0)


def test_progress_bar(model, capsys):
    render(model, "late", 3, size=32, steps=3)
    assert "Rendering late" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"steps": 0}, ValueError, "steps must be from 1 to 100,000, got 0"),
        ({"steps": 2.5}, TypeError, "steps must be an integer from 1 to 100,000, got 2.5"),
        ({"steps": True}, TypeError, "steps must be an integer"),
        ({"size": 8}, ValueError, "size must be from 16 to 4,096, got 8"),
        ({"size": "224"}, TypeError, "size must be an integer from 16 to 4,096, got '224'"),
        ({"lr": 0}, ValueError, "lr must be above 0"),
        ({"lr": float("nan")}, ValueError, "lr must be above 0"),
        (
            {"lr": "x"},
            TypeError,
            "lr must be a number above 0 and at most 10, such as 0.05, got 'x'",
        ),
        ({"seed": -1}, ValueError, "seed must be from 0"),
        ({"seed": None}, TypeError, "seed must be an integer"),
        ({"batch_size": 0}, ValueError, "batch_size must be from 1 to 4,096, got 0"),
        ({"engine": "lucid"}, ValueError, "unknown engine 'lucid'; did you mean 'lucent'"),
        ({"engine": "slow"}, ValueError, "expected 'fast', 'lucent'"),
        ({"engine": 1}, TypeError, "engine must be one of 'fast', 'lucent', got 1"),
        ({"precision": "bfloat"}, ValueError, "did you mean 'bfloat16'"),
        ({"precision": "bfloat16", "engine": "lucent"}, ValueError, "'float32' only"),
        ({"redirect_relu": 1}, TypeError, "redirect_relu must be True, False or None, got 1"),
        ({"objective": "chanel"}, ValueError, "did you mean 'channel'"),
        ({"target": "lat"}, UnknownLayer, "did you mean 'late"),
        ({"neurons": 16}, NeuronOutOfRange, "0 to 15"),
        ({"neurons": []}, NeuronOutOfRange, "no neuron of layer late"),
        ({"model": nn.ReLU()}, TypeError, r"what load_model\(\) returns, got ReLU"),
    ],
)
def test_wrong_arguments(model, change, error, words):
    arguments = {"model": model, "target": "late", "neurons": 0, "size": 32, "steps": 2, **change}
    with pytest.raises(error, match=words):
        render_steps(**arguments)


def test_preview_settings_are_arguments_of_render(model):
    work = render_steps(model, "late", range(3), **PREVIEW)
    assert next(work).images().shape == (3, PREVIEW["size"], PREVIEW["size"], 3)
    work.close()


# ------------------------------------------------------------------ targets


def test_a_layer_and_a_neuron_are_the_short_form_of_a_target(model):
    pair, text = render(model, "late", 3, **FAST), render(model, "late:3", **FAST)
    np.testing.assert_array_equal(pair.images, text.images)
    assert text.targets == (Channel("late", 3),)
    assert text.settings["targets"] == ("late:3",)


def test_a_unit_is_maximised_at_its_place(model):
    info = model.layer("late")
    row, column = info.height - 1, 0
    options = {"steps": 24, "size": model.input_size, "progress": False}
    corner = render(model, f"late:3@{row},{column}", **options)
    whole = render(model, "late:3", **options)
    with torch.no_grad():
        read = model.reader("late")
        maps = [read(torch.from_numpy(r.images).permute(0, 3, 1, 2))[0, 3] for r in (corner, whole)]
    np.testing.assert_allclose(corner.activation[0], maps[0][row, column], rtol=1e-4, atol=1e-5)
    assert maps[0][row, column] > maps[1][row, column]
    assert maps[0].mean() < maps[1].mean()


def test_targets_of_several_layers_and_kinds_keep_their_pictures(model):
    together = render(model, ["late:3", "stem:1", "late:3@1,1", "late:0"], **FAST)
    assert [str(t) for t in together.targets] == ["late:3", "stem:1", "late:3@1,1", "late:0"]
    for i, target in enumerate(together.targets):
        alone = render(model, target, **FAST)
        np.testing.assert_allclose(together.images[i], alone.images[0], atol=1e-4)
        np.testing.assert_allclose(together.activation[i], alone.activation[0], rtol=1e-4)


def test_an_objective_of_ones_own_reads_one_layer(model):
    with pytest.raises(ValueError, match="render each layer by itself"):
        render(model, ["late:3", "stem:1"], objective=lambda a: a.mean(), **FAST)
