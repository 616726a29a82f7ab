"""The hand-written InceptionV1 gives what the module gives: activations, gradients, pictures."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from neuron_widget.networks.arithmetic import onednn_takes
from neuron_widget.networks.inception import InceptionV1
from neuron_widget.networks.inception.fused import fused_reader
from neuron_widget.networks.inception.parts import masked
from neuron_widget.networks.layers import RedirectedReLU, layer_reader
from neuron_widget.networks.zoo import load_model
from neuron_widget.rendering import render, render_steps


@pytest.fixture(scope="module")
def model():
    model = load_model("inceptionv1", weights="random", device="cpu")
    # These numbers and no others: in some a maximum is nearly a tie, and float32 decides it in
    # another way than float64 (with seed 0 alone: one of maxpool1, 2 % of mixed3a's gradient).
    torch.manual_seed(0)
    InceptionV1()
    with torch.no_grad():
        # An untrained network's signal dies out on the way; this keeps every layer alive.
        for m in model.module.modules():
            if isinstance(m, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(m.weight)
                m.bias.uniform_(-0.1, 0.1)
    return model


def mean(activation):
    return activation.mean()


def value_and_gradient(read, images):
    images = images.clone().requires_grad_()
    activation = read(images)
    weights = torch.linspace(-1, 1, activation.numel()).view_as(activation)
    return activation.detach(), torch.autograd.grad((activation.float() * weights).sum(), images)[0]


@pytest.mark.parametrize("layer", ["mixed3a", "mixed4a", "mixed5a"])
@pytest.mark.parametrize(
    ("images", "size", "chunk"), [(1, 64, 0), (2, 64, 0), (3, 97, 2), (2, 70, 1)]
)
def test_same_numbers_as_the_module(model, layer, images, size, chunk):
    torch.manual_seed(1)
    x = torch.rand(images, 3, size, size)
    fused = fused_reader(model, layer, torch.float32, chunk)
    # In double precision: one maximum that float32 decides otherwise is 3e-4 of a gradient.
    read = layer_reader(copy.deepcopy(model.module).double(), layer)
    expected, gradient = value_and_gradient(lambda i: read(model.preprocess(i)), x.double())
    found, ours = value_and_gradient(fused, x)
    expected, ours = expected.float(), ours.double()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    assert (ours - gradient).norm() < 1e-4 * gradient.norm()


@pytest.mark.parametrize("dead", ["mixed3a.3x3", "mixed3b.1x1", "conv2d2", "mixed4a.5x5"])
def test_redirected_as_in_the_module(model, dead):
    """A layer that lets nothing through at all is given gradients that wake it."""
    torch.manual_seed(1)
    x = torch.rand(2, 3, 64, 64)
    layer = model.module.get_submodule(dead)
    bias = layer.bias.detach().clone()
    try:
        with torch.no_grad():
            layer.bias.sub_(1e4)
        fused = fused_reader(model, "mixed4a", torch.float32)
        with model.reading("mixed4a") as read, RedirectedReLU():
            _, expected = value_and_gradient(read, x)
        _, found = value_and_gradient(lambda images: fused(images, True), x)
        _, plain = value_and_gradient(fused, x)
    finally:
        with torch.no_grad():
            layer.bias.copy_(bias)
    assert (found - expected).norm() < 1e-4 * expected.norm()
    assert (found - plain).norm() > 1e-2 * expected.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_redirected_image_by_image(dtype):
    """One alive, one by a single pixel, one dead: as the module's rule has it."""
    torch.manual_seed(2)
    x = torch.randn(3, 4, 16, 16, dtype=dtype)
    x[1:] = -x[1:].abs()
    x[1, 2, 3, 5] = 1.0
    grad = torch.randn_like(x)
    x.requires_grad_()
    with RedirectedReLU():
        y = torch.relu(x)
    (expected,) = torch.autograd.grad(y, x, grad)
    found = masked(grad, y.detach(), redirect=True)
    assert torch.equal(found, expected)
    assert (found[2] < 0).any()
    assert (found[1] != 0).sum() == 1


def test_bfloat16_is_as_near_as_autocast(model):
    x = torch.rand(2, 3, 96, 96)
    with model.reading("mixed4a") as read:
        exact, exact_gradient = value_and_gradient(read, x)
        with torch.autocast("cpu", torch.bfloat16):
            cast, cast_gradient = value_and_gradient(read, x)
    fused = fused_reader(model, "mixed4a", torch.bfloat16)
    found, gradient = value_and_gradient(fused, x)
    assert found.dtype == torch.bfloat16
    assert (found - exact).norm() <= 1.1 * (cast - exact).norm()
    assert (gradient - exact_gradient).norm() <= 1.1 * (cast_gradient - exact_gradient).norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_reader_keeps_the_weights_it_was_made_with(model, dtype):
    x = torch.rand(1, 3, 64, 64)
    fused, other = fused_reader(model, "mixed3a", dtype), fused_reader(model, "mixed3a", dtype)
    before = fused(x)
    state = copy.deepcopy(model.module.state_dict())
    try:
        with torch.no_grad():
            for weight in model.module.parameters():
                weight.zero_()
        assert torch.equal(other(x), before)
    finally:
        model.module.load_state_dict(state)


def test_no_graph_is_kept_where_no_gradient_is_wanted(model):
    fused = fused_reader(model, "mixed3a", torch.float32)
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        fused(x)
    with torch.no_grad():
        assert fused(x.requires_grad_()).grad_fn is None
    assert all(p.grad is None for p in model.module.parameters())


@pytest.mark.parametrize("layer", ["conv2d0", "mixed4a.3x3", "maxpool4"])
def test_other_layers_are_read_from_the_module(model, layer):
    assert fused_reader(model, layer, torch.float32) is None


def test_hooks_are_not_passed_by(model):
    seen = []
    handle = model.module.mixed3a.get_submodule("1x1").register_forward_hook(
        lambda *_: seen.append(1)
    )
    try:
        assert fused_reader(model, "mixed4a", torch.float32) is None
        render(model, "mixed3a", 3, size=32, steps=3, progress=False)
    finally:
        handle.remove()
    assert seen
    assert fused_reader(model, "mixed4a", torch.float32) is not None


def test_same_picture_as_from_the_module(model, monkeypatch):
    options = {"size": 64, "steps": 20, "precision": "float32", "progress": False}
    ours = render(model, "mixed3b", [3, 400], **options)
    monkeypatch.setattr("neuron_widget.rendering.run.fast_reader", lambda *_: None)
    theirs = render(model, "mixed3b", [3, 400], **options)
    np.testing.assert_allclose(ours.activation, theirs.activation, rtol=0.02)
    assert np.abs(ours.images - theirs.images).mean() < 0.02


@pytest.mark.parametrize("redirect", [False, True])
@pytest.mark.parametrize("layer", ["mixed3a", "mixed4a"])
def test_one_neuron_for_each_image(model, layer, redirect):
    """Every branch, in any mixture: the same as from the whole activation."""
    torch.manual_seed(1)
    block = model.module.get_submodule(layer)
    names = ("1x1", "3x3", "5x5", "pool_reduce")
    sizes = [block.get_submodule(name).out_channels for name in names]
    last = [sum(sizes[: i + 1]) - 1 for i in range(4)]
    neurons = [0, *last, sizes[0] + 1, sum(sizes[:3])]
    x = torch.rand(len(neurons), 3, 64, 64)
    fused = fused_reader(model, layer, torch.float32, chunk=3)
    place = torch.arange(len(neurons))

    def whole(images):
        return fused(images, redirect)[place, neurons].unsqueeze(1)

    expected, gradient = value_and_gradient(whole, x)
    found, ours = value_and_gradient(lambda images: fused(images, redirect, neurons), x)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
    assert (ours - gradient).norm() < 1e-4 * gradient.norm()


@pytest.mark.parametrize("neurons", [None, [3, 300]])
def test_same_numbers_without_onednn(model, monkeypatch, count_operations, neurons):
    x = torch.rand(2, 3, 64, 64)
    fused = fused_reader(model, "mixed3b", torch.float32)
    ours = value_and_gradient(lambda images: fused(images, False, neurons), x)
    monkeypatch.setattr("neuron_widget.networks.convolutions.onednn_takes", lambda _dtype: False)
    other = fused_reader(model, "mixed3b", torch.float32)
    with count_operations() as ops:
        plain = value_and_gradient(lambda images: other(images, False, neurons), x)
    assert ops.count["mkldnn._convolution_pointwise"] == 0
    for a, b in zip(ours, plain, strict=True):
        assert (a - b).norm() < 1e-4 * b.norm()


@pytest.mark.parametrize(
    ("neurons", "convolutions"),
    [
        # Forward: 3 of the stem, 2 bands, 4 a block; backward as many.
        (None, 3 + 2 + 3 * 4),
        # Of the last block a branch for each image: one 1x1; a bottleneck and one 3x3.
        ([0, 1], 3 + 2 + 2 * 4 + 2 * 1),
        ([0, 200], 3 + 2 + 2 * 4 + 1 + 2),
    ],
)
def test_what_a_pass_costs(model, count_operations, neurons, convolutions):
    """As many convolutions as there must be; no weight is cast or laid out, no gradient made."""
    dtype = torch.bfloat16 if onednn_takes(torch.bfloat16) else torch.float32
    fused = fused_reader(model, "mixed4a", dtype)
    x = torch.rand(2, 3, 64, 64).requires_grad_()
    torch.autograd.grad(fused(x, False, neurons).sum(), x)  # lays the weights out
    with count_operations() as ops:
        torch.autograd.grad(fused(x, False, neurons).sum(), x)
    assert ops.count["mkldnn._convolution_pointwise"] == 2 * convolutions
    assert ops.count["aten.mkldnn_reorder_conv2d_weight"] == 0
    assert ops.count["aten.convolution"] == ops.count["aten.convolution_backward"] == 0
    assert ops.weight_gradients == 0
    assert ops.count["aten._to_copy"] <= 3
    waits = ("_local_scalar_dense", "item", "nonzero", "equal", "masked_select")
    assert {w: ops.count[f"aten.{w}"] for w in waits} == dict.fromkeys(waits, 0)


@pytest.mark.parametrize(
    ("objective", "convolutions"),
    [("channel", 3 + 2 + 2 * 4 + 1 + 2), ("neuron", 3 + 2 + 2 * 4 + 1 + 2), (mean, 3 + 2 + 3 * 4)],
)
def test_a_step_computes_what_its_objective_reads(model, count_operations, objective, convolutions):
    work = render_steps(model, "mixed4a", [0, 200], size=64, steps=20, objective=objective)
    for _ in range(17):
        next(work)
    with count_operations() as ops:
        next(work)
    assert ops.count["mkldnn._convolution_pointwise"] == 2 * convolutions
    assert ops.count["aten.convolution"] == ops.weight_gradients == 0
    assert ops.count["aten._local_scalar_dense"] == 0


def _hooked_forward(module):
    conv = module.conv2d1
    forward = conv.forward
    conv.forward = lambda x: forward(x) * 0


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m, "localresponsenorm0", nn.LocalResponseNorm(9, 0.9, 0.5, 1.0)),
        lambda m: setattr(m, "maxpool1", nn.AvgPool2d(3, 2, ceil_mode=True)),
        lambda m: setattr(m, "conv2d1", nn.Conv2d(64, 64, 1)),
        lambda m: setattr(m.mixed3a, "pool_reduce", nn.Conv2d(192, 32, 1)),
        lambda m: nn.utils.parametrizations.weight_norm(m.conv2d2),
        _hooked_forward,
    ],
    ids=["norm", "pool", "no ReLU", "branch", "parametrized", "forward"],
)
def test_a_network_with_parts_replaced_is_read_itself(change):
    model = load_model("inceptionv1", weights="random", device="cpu", input_size=64)
    assert fused_reader(model, "mixed3a", torch.float32) is not None
    change(model.module)
    assert fused_reader(model, "mixed3a", torch.float32) is None
