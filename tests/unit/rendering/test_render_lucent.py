"""The reference engine: torch-lucent's own loop, and nothing of it left behind."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from neuron_widget.errors import RenderError
from neuron_widget.networks.inception import InceptionV1
from neuron_widget.networks.zoo import load_model
from neuron_widget.rendering import render, render_steps
from neuron_widget.rendering.lucent_engine import RightLRN, lucent_module, lucents, seed_transforms
from neuron_widget.rendering.param import generator_for
from neuron_widget.targets import Channel

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SMALL = {"size": 40, "steps": 6, "engine": "lucent", "progress": False}


class Net(nn.Module):
    """Two blocks."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU())
        self.late = nn.Conv2d(8, 4, 3)

    def forward(self, x):
        return self.late(self.block(x))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return load_model(Net(), preprocess=HALF, input_size=40)


@pytest.fixture(scope="module")
def inception():
    return load_model("inceptionv1", weights="random", device="cpu")


def test_module_is_lucents_with_our_weights(inception):
    theirs = lucent_module(inception)
    assert type(theirs).__module__.startswith("lucent.")
    image = torch.rand(1, 3, 96, 96)
    seen = []
    handle = theirs.mixed4a.register_forward_hook(lambda *a: seen.append(a[2]))
    with torch.no_grad(), RightLRN():
        theirs(inception.preprocess(torch.rand(1, 3, 224, 224)))
        seen.clear()
        image = torch.rand(1, 3, 224, 224)
        theirs(inception.preprocess(image))
    handle.remove()
    with torch.no_grad(), inception.reading("mixed4a") as read:
        ours = read(image)
    torch.testing.assert_close(ours, seen[0], rtol=1e-4, atol=1e-4 * ours.abs().max().item())
    assert isinstance(inception.module, InceptionV1)


def test_it_is_lucents_render_vis_step_by_step(model):
    """As one call of ``render_vis`` with all steps, from the same random numbers."""
    ours = render(model, "late", 2, **SMALL)
    seed = generator_for("lucent", 0, Channel("late", 2)).initial_seed()
    param, objectives = lucents("optvis.param"), lucents("optvis.objectives")
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = lucents("optvis.render").render_vis(
            model.module,
            objectives.channel("late", 2),
            param_f=lambda: param.image(40, fft=True, decorrelate=True),
            optimizer=lambda params: torch.optim.Adam(params, lr=0.05),
            transforms=[*seed_transforms(), model.preprocess],
            preprocess=False,
            thresholds=(6,),
            fixed_image_size=40,
            progress=False,
            show_image=False,
        )
    np.testing.assert_allclose(ours.images, images[0], atol=1e-5)


def test_result(model):
    result = render(model, "block.1", [3, 1], **SMALL)
    assert result.images.shape == (2, 40, 40, 3)
    assert result.neurons == (3, 1)
    assert result.settings["engine"] == "lucent"
    assert result.settings["torch-lucent"]
    assert result.state is None
    images = torch.from_numpy(result.images).permute(0, 3, 1, 2)
    with torch.no_grad(), model.reading("block.1") as read:
        means = read(images).mean((2, 3))
    np.testing.assert_allclose(result.activation, [means[0, 3], means[1, 1]], rtol=1e-5)
    np.testing.assert_array_equal(render(model, "block.1", 1, **SMALL).images[0], result.images[1])


def test_it_can_be_stopped(model):
    work = render_steps(model, "late", [3, 1], size=40, steps=5, engine="lucent")
    steps = [next(work) for _ in range(7)]
    assert [(s.step, s.done, s.neurons) for s in steps[4:]] == [
        (5, 5, (3,)),
        (1, 6, (1,)),
        (2, 7, (1,)),
    ]
    assert steps[-1].total == 10
    assert steps[-1].images().shape == (1, 40, 40, 3)
    work.close()
    stopped = steps[-1].result()
    assert stopped.neurons == (3, 1)
    assert stopped.steps == 2


def test_global_generators_are_not_touched(model):
    torchs, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    work = render_steps(model, "late", 0, size=40, steps=3, engine="lucent")
    for _ in work:
        assert torch.equal(torchs, torch.get_rng_state())
        assert np.array_equal(numpys, np.random.get_state()[1])


def test_no_warning_gets_out_of_a_fresh_import():
    code = (
        "import torch; from torch import nn; from neuron_widget.networks.zoo import load_model;"
        "from neuron_widget.rendering import render;"
        "m = load_model(nn.Sequential(nn.Conv2d(3, 4, 3)), preprocess=((0.5,)*3, (0.5,)*3),"
        "               input_size=32);"
        "render(m, '0', 0, steps=1, size=32, engine='lucent', progress=False)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


def test_error_of_the_forward_pass_is_not_swallowed(model):
    def fail(*_args):
        raise RuntimeError("on purpose")

    model.layer("late")
    handle = model.module.block.register_forward_hook(fail)
    with pytest.raises(RenderError, match=r"torch-lucent failed.*on purpose"):
        render(model, "late", 0, **SMALL)
    handle.remove()


def test_layer_lucent_does_not_have(inception):
    with pytest.raises(RenderError, match="no layer 'localresponsenorm0'"):
        render(inception, "localresponsenorm0", 0, engine="lucent", steps=1, progress=False)


def test_other_device_than_lucents(model, monkeypatch):
    monkeypatch.setattr(lucents("optvis.param.spatial"), "device", torch.device("cuda:0"))
    with pytest.raises(RenderError, match=r"renders on cuda:0.*model is on cpu.*device='cuda'"):
        render(model, "late", 0, **SMALL)


def test_it_cannot_be_resumed(model):
    done = render(model, "late", 0, **{**SMALL, "engine": "fast"})
    with pytest.raises(ValueError, match="resume"):
        render(model, "late", 0, **SMALL, resume=done)
