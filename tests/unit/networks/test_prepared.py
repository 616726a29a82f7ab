"""The prepared copy of a network gives what the network gives: activations, gradients, pictures."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neuron_widget import load_model, render, render_steps
from neuron_widget.networks.layers import RedirectedReLU, layer_reader
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.phases import PhasedGradient
from neuron_widget.networks.prepared.network import PreparedNetwork
from neuron_widget.networks.prepared.recording import record

HALF = ((0.5,) * 3, (0.5,) * 3)
NETWORKS = [
    ("efficientnet_lite0", "blocks.2"),
    ("torchvision/resnet18", "layer2"),
    ("torchvision/mobilenet_v3_small", "features.5"),
    ("torchvision/densenet121", "features.denseblock1"),
    ("timm/resnet10t", "layer2"),
    ("timm/regnety_002", "s2"),
]


def opened(name: str) -> VisionModel:
    trained = name == "efficientnet_lite0"
    return load_model(name, weights=None if trained else "random", device="cpu")


def own(module: nn.Module) -> VisionModel:
    return load_model(module.eval(), preprocess=HALF, input_size=24)


def value_and_gradient(read: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    images = images.clone().requires_grad_()
    activation = read(images)
    weights = torch.linspace(-1, 1, activation.numel()).view_as(activation)
    return activation.detach(), torch.autograd.grad((activation.float() * weights).sum(), images)[0]


@pytest.mark.parametrize(("name", "layer"), NETWORKS)
def test_same_numbers(name: str, layer: str) -> None:
    model = opened(name)
    reader = model.prepared(layer, torch.float32)
    assert reader is not None
    assert reader.serves(2, 64)
    torch.manual_seed(1)
    x = torch.rand(2, 3, 64, 64)
    with model.reading(layer) as read:
        expected, gradient = value_and_gradient(read, x)
    found, ours = value_and_gradient(reader, x)
    near = 1e-4 * expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=near)
    assert (ours - gradient).norm() < 1e-2 * gradient.norm()
    one, _ = value_and_gradient(lambda images: reader(images, False, [3, 1]), x)
    chosen = torch.stack([expected[0, 3], expected[1, 1]])
    torch.testing.assert_close(one[:, 0], chosen, rtol=1e-4, atol=near)


@pytest.mark.parametrize(("name", "layer"), NETWORKS)
def test_same_picture_after_64_steps(name: str, layer: str) -> None:
    """In double precision: in float32 one ReLU's last bit grows into another picture."""
    module = copy.deepcopy(opened(name).module).double()
    torch.manual_seed(2)
    start = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    read = layer_reader(module, layer)
    prepared = PreparedNetwork(*record(read, start.clone()), torch.float64)

    def climb(step: Callable[[Tensor, bool], Tensor]) -> Tensor:
        images = start.clone().requires_grad_()
        adam = torch.optim.Adam([images], lr=0.01)
        for i in range(64):
            (images.grad,) = torch.autograd.grad(-step(images, i < 16), images)
            adam.step()
        return images.detach()

    def by_module(images: Tensor, redirect: bool) -> Tensor:
        if redirect:
            with RedirectedReLU():
                y = read(images)
                return y[0, 3].mean() + y[1, 1].mean()
        y = read(images)
        return y[0, 3].mean() + y[1, 1].mean()

    theirs = climb(by_module)
    ours = climb(lambda images, redirect: prepared(images, redirect, [3, 1]).mean((1, 2, 3)).sum())
    assert (theirs - start).abs().mean() > 0.01
    assert (ours - theirs).abs().max() < 1e-3


def test_a_dead_start_is_redirected_image_by_image() -> None:
    torch.manual_seed(3)
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU6(), nn.Conv2d(6, 4, 3), nn.ReLU())
    with torch.no_grad():
        module[2].bias.fill_(-5)
    model = own(module)
    x = torch.rand(3, 3, 24, 24)
    reader = model.prepared("3", torch.float32)
    assert reader is not None
    assert reader.serves(3, 24)
    with model.reading("3") as read, RedirectedReLU():
        _, expected = value_and_gradient(read, x)
    _, found = value_and_gradient(lambda images: reader(images, True), x)
    _, plain = value_and_gradient(reader, x)
    assert (found - expected).norm() < 1e-4 * expected.norm()
    assert not plain.any()
    assert found.any()


# ------------------------------------------------------------------ sums, padding, steps


class Sums(nn.Module):
    """What is read twice, added to itself, and added by two convolutions: no gradient is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 7, stride=2, padding=3)
        self.one, self.two = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 1)
        self.down, self.beside = nn.Conv2d(6, 6, 1, stride=2), nn.Conv2d(6, 6, 3, 2, padding=1)
        self.apart = nn.Conv2d(6, 6, 3, stride=2, groups=6)
        self.late = nn.Conv2d(6, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.one(x) + x)
        x = nn.functional.relu6(self.two(x) + self.one(x)) + x
        x = x + x
        x = torch.relu(self.down(x) + self.beside(x))
        padded = nn.functional.pad(x, (0, 1, 1, 0))
        return self.late(self.apart(padded) + self.beside(x))


@pytest.mark.parametrize("size", [23, 24])
def test_sums_padding_and_steps_keep_the_gradient(size: int) -> None:
    torch.manual_seed(9)
    module = Sums().eval()
    x = torch.rand(2, 3, size, size)
    prepared = PreparedNetwork(*record(module, x.clone()), torch.float32)
    expected, gradient = value_and_gradient(module, x)
    found, ours = value_and_gradient(prepared, x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours, gradient, rtol=1e-3, atol=1e-5 * gradient.abs().max().item())


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(7, 2, 3), (7, 2, 2), (3, 2, 0), (3, 2, 1), (4, 4, 0), (5, 3, 2)],
)
def test_gradient_by_phases(kernel: int, stride: int, padding: int) -> None:
    torch.manual_seed(10)
    weight = torch.randn(8, 3, kernel, kernel)
    phases = PhasedGradient(weight, stride, padding)
    for size in range(kernel, kernel + 6):
        x = torch.randn(2, 3, size, size + 1, requires_grad=True)
        y = torch.conv2d(x, weight, None, stride, padding)
        grad = torch.randn_like(y)
        (expected,) = torch.autograd.grad(y, x, grad)
        found = phases(grad.contiguous(memory_format=torch.channels_last), size, size + 1, x.dtype)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------ what is not merged


class Shared(nn.Module):
    """One convolution and one normalisation, each used twice, the convolution also without it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.late = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.late(torch.relu(self.bn(self.conv(self.bn(x)))) + x)


def with_normalisation(norm: nn.Module) -> nn.Module:
    module = nn.Sequential(nn.Conv2d(3, 6, 3), norm, nn.ReLU(inplace=True), nn.Conv2d(6, 4, 3))
    torch.manual_seed(4)
    for _ in range(3):
        module(torch.randn(8, 3, 24, 24) * 3 + 1)
    return module


def frozen() -> nn.Module:
    from torchvision.ops import FrozenBatchNorm2d

    norm = FrozenBatchNorm2d(6)
    norm.running_mean.uniform_(-1, 1)
    norm.weight.uniform_(0.5, 2)
    return norm


@pytest.mark.parametrize(
    "make",
    [
        Shared,
        lambda: with_normalisation(nn.BatchNorm2d(6, affine=False)),
        lambda: with_normalisation(nn.BatchNorm2d(6, momentum=None)),
        lambda: with_normalisation(nn.BatchNorm2d(6, track_running_stats=False)),
        lambda: with_normalisation(nn.BatchNorm2d(6, eps=0.5)),
        lambda: with_normalisation(frozen()),
        lambda: with_normalisation(nn.InstanceNorm2d(6, affine=True)),
        lambda: with_normalisation(nn.GroupNorm(2, 6)),
    ],
)
def test_unusual_normalisation_is_unharmed(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(5)
    module = make()
    layer = "late" if isinstance(module, Shared) else "3"
    state = copy.deepcopy(module.state_dict())
    model = own(module)
    options = {"size": 24, "steps": 3, "precision": "float32", "progress": False}
    picture = render(model, layer, [1, 2], **options)
    x = torch.rand(2, 3, 24, 24)
    _ = model.layers
    reader = model.prepared(layer, torch.float32)
    if reader is not None and reader.serves(2, 24):
        with model.reading(layer) as read:
            expected, gradient = value_and_gradient(read, x)
        found, ours = value_and_gradient(reader, x)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert (ours - gradient).norm() < 1e-3 * gradient.norm()
    assert np.isfinite(picture.images).all()
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


class Detached(nn.Module):
    """Its gradient is another than its operations': a straight-through step, and a dead end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.late = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        with torch.no_grad():
            y = x * x
        return self.late(x + y)


class Random(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.late = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.late(self.conv(x) + torch.randn(1))


class Chooses(Random):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.late(x if x.mean() > 0 else -x)


def hooked() -> nn.Module:
    module = Shared()
    module.conv.register_forward_hook(lambda _m, _a, out: out + 1)
    return module


@pytest.mark.parametrize("make", [Detached, Random, Chooses, hooked])
def test_in_doubt_the_network_itself_is_run(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(6)
    model = own(make())
    reader = model.prepared("late", torch.float32)
    assert reader is None or not reader.serves(2, 24)
    render(model, "late", 1, size=24, steps=2, progress=False)


# ------------------------------------------------------------------ weights that change


def in_place(module: nn.Module) -> None:
    with torch.no_grad():
        module.conv.weight.mul_(-2)


def behind_torchs_back(module: nn.Module) -> None:
    module.late.weight.data.neg_()


def another_hook(module: nn.Module) -> None:
    module.conv.register_forward_hook(lambda _m, _a, out: -out)


@pytest.mark.parametrize("change", [in_place, behind_torchs_back, another_hook])
def test_a_picture_is_that_of_the_weights_of_now(change: Callable[[nn.Module], None]) -> None:
    torch.manual_seed(7)
    module, options = Shared(), {"size": 24, "steps": 4, "precision": "float32", "progress": False}
    model = own(module)
    before = render(model, "late", 1, **options)
    change(module)
    after = render(model, "late", 1, **options)
    fresh = render(own(copy.deepcopy(module)), "late", 1, **options)
    assert np.array_equal(after.images, fresh.images)
    assert not np.array_equal(after.images, before.images)


def test_weights_that_change_while_a_picture_forms_are_seen() -> None:
    torch.manual_seed(8)
    module = Shared()
    model = own(module)
    options = {"size": 24, "steps": 6, "precision": "float32"}
    values = []
    for now in render_steps(model, "late", 1, **options):
        values.append(now.values()[0])
        if now.step == 3:
            with torch.no_grad():
                module.late.weight.zero_()
                module.late.bias.zero_()
    assert values[2] != 0
    assert values[3:] == [0, 0, 0]
