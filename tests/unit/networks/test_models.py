"""Opening networks, reading layers, and leaving a user's modules as they were."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neuron_widget import load_model, render, scan
from neuron_widget.errors import (
    ModelError,
    NeuronOutOfRange,
    UnknownLayer,
    WeightsRefused,
    WeightsUnavailable,
)
from neuron_widget.names import (
    EFFICIENTNET_LAYERS,
    INCEPTION_LAYERS,
    INCEPTION_MODULES,
    check_neuron,
)
from neuron_widget.networks.arithmetic import has_fast_bfloat16
from neuron_widget.networks.inception import InceptionV1, LocalResponseNorm
from neuron_widget.networks.layers import RedirectedReLU, layer_reader

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.second = nn.Conv2d(4, 6, 3)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6, 2)
        self.finished = 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.second(self.first(x)))
        self.finished += 1
        return self.head(x.mean((2, 3)))


class Stubborn(Tiny):
    """A model whose forward swallows everything, so that it cannot be stopped early."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        try:
            x = self.second(x)
        except BaseException:  # noqa: BLE001  # this is what the test is about
            x = x.new_zeros(len(x), 6, 4, 4)
        self.finished += 1
        return self.head(x.mean((2, 3)))


def state_of(module: nn.Module) -> list[object]:
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
        for m in module.modules()
    ]
    flags = [
        (p.requires_grad, p.device, p.dtype, p.stride(), p._version) for p in module.parameters()
    ]
    return [hooks, flags, [m.training for m in module.modules()]]


# ------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("mixed4a", "mixed4a"),
        ("mixed_4a", "mixed4a"),
        ("Mixed4a", "mixed4a"),
        ("mixed4a.1x1", "mixed4a.1x1"),
        ("mixed4a_3x3_bottleneck", "mixed4a.3x3_bottleneck"),
    ],
)
def test_layer_names_that_people_write(given: str, found: str) -> None:
    model = load_model("inceptionv1", weights="random", device="cpu")
    assert model.layer(given).name == found


def test_what_is_known_before_a_network_is_loaded_is_true() -> None:
    inception = load_model("inceptionv1", weights="random", device="cpu")
    assert {info.name: info.channels for info in inception.layers} == INCEPTION_LAYERS
    assert {n: inception.layer(n).channels for n in INCEPTION_MODULES} == INCEPTION_MODULES
    embedded = load_model("efficientnet_lite0", weights="random", device="cpu")
    there = {info.name: info.channels for info in embedded.layers}
    assert {n: there[n] for n in EFFICIENTNET_LAYERS} == EFFICIENTNET_LAYERS


# ------------------------------------------------------------------ a user's modules


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layer", ["first", "second", "first.0"])
def test_a_users_module_comes_back_as_it_was(training: bool, layer: str) -> None:
    own = Tiny().train(training)
    own.first[0].requires_grad_(False)
    own.drop.train(not training)
    before = state_of(own)
    model = load_model(own, preprocess=HALF, input_size=16)
    assert state_of(own) == before
    read = model.reader(layer)
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    activation = read(images)
    (gradient,) = torch.autograd.grad(activation.mean(), images)
    assert gradient.abs().sum() > 0
    assert own.finished == 0, "it is not run itself"
    with model.private_copy() as copy:
        finished = copy.finished
    # The probe of layers, and whether it runs in bfloat16; the forward pass ends at the layer.
    assert finished == 1 + has_fast_bfloat16(model.device)
    assert state_of(own) == before
    with pytest.raises(ModelError, match="RuntimeError: The size of tensor"):
        read(torch.rand(2, 5, 16, 16))
    assert state_of(own) == before


def test_a_model_that_cannot_be_stopped_still_works() -> None:
    stubborn = Stubborn().eval()
    expected = stubborn.second(stubborn.first(torch.ones(1, 3, 8, 8)))
    activation = layer_reader(stubborn, "second")(torch.ones(1, 3, 8, 8))
    assert torch.equal(activation, expected)
    assert stubborn.finished == 1


def test_a_layer_that_is_not_reached_is_an_error() -> None:
    module = Tiny()
    module.spare = nn.Conv2d(3, 3, 1)
    with pytest.raises(ModelError, match="'spare' was not reached"):
        layer_reader(module, "spare")(torch.ones(1, 3, 8, 8))
    assert all(not m._forward_hooks for m in module.modules())


def test_two_threads_may_read_one_model() -> None:
    module = Tiny().eval()
    x = torch.rand(1, 3, 32, 32)
    expected = {n: layer_reader(module, n)(x) for n in ("first", "second")}
    wrong: list[str] = []

    def work(name: str) -> None:
        read = layer_reader(module, name)
        wrong.extend(name for _ in range(100) if not torch.equal(read(x), expected[name]))

    threads = [threading.Thread(target=work, args=(n,)) for n in ("first", "second") * 2]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_a_users_module_on_another_device_is_copied_not_moved() -> None:
    own = Tiny()
    model = load_model(own, preprocess=HALF, input_size=16, device="cpu")
    assert model.module is own
    meta = load_model(own, preprocess=HALF, input_size=16, device=None)
    assert meta.device == torch.device("cpu")


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda _: load_model("inceptoinv1"), ModelError, "did you mean 'inceptionv1'"),
        (lambda _: load_model("resnet18"), ModelError, "write 'torchvision/resnet18' or 'timm/res"),
        (lambda _: load_model(3), ModelError, "got int"),
        (lambda _: load_model("torchvision/resnet19"), ModelError, "resnet18"),
        (lambda _: load_model("timm/resnet19"), ModelError, "resnet18"),
        (lambda _: load_model("inceptionv1", device="cudda"), ModelError, "did you mean 'cuda'"),
        (lambda _: load_model("inceptionv1", device="xpu"), ModelError, "available:"),
        (lambda _: load_model(nn.Conv2d(3, 3, 1)), ModelError, "preprocess=(mean, std)"),
        (lambda _: load_model(Tiny(), preprocess=(1, 2)), ModelError, "three numbers"),
        (lambda _: load_model(Tiny(), preprocess="imagenet"), ModelError, "three numbers"),
        (lambda m: m.layer("secnd"), UnknownLayer, "did you mean 'second'"),
        (lambda m: m.layer("zzz"), UnknownLayer, "it has first.0, first, second"),
        (lambda m: m.layer(4), UnknownLayer, "must be a name"),
        (lambda m: m.layer("spare"), ModelError, "'spare' was not reached"),
        (lambda m: m.check_neurons("second", 6), NeuronOutOfRange, "0 to 5; there is no neuron 6"),
        (lambda m: m.check_neurons("second", [0, -1]), NeuronOutOfRange, "no neuron -1"),
        (
            lambda m: m.check_neurons("second", 1.5),
            NeuronOutOfRange,
            "integer from 0 to 5, got 1.5",
        ),
        (lambda _: check_neuron(-1, None, ""), NeuronOutOfRange, "there is no neuron -1"),
        (lambda _: check_neuron("5", None, ""), NeuronOutOfRange, "0 or more, got '5'"),
        (lambda m: m.check_neurons("second", True), NeuronOutOfRange, "got True"),
        (lambda m: m.check_neurons("second", []), NeuronOutOfRange, "no neuron given"),
    ],
)
def test_bad_input_is_named(
    call: Callable[[Any], object], error: type[Exception], says: str
) -> None:
    module = Tiny()
    module.spare = nn.Conv2d(3, 3, 1)
    model = load_model(module, preprocess=HALF, input_size=16)
    with pytest.raises(error) as raised:
        call(model)
    alternatives = says.split("|")
    assert any(s in str(raised.value) for s in alternatives), str(raised.value)


# ------------------------------------------------------------------ preprocessing


def test_preprocessing_is_each_networks_own() -> None:
    import timm
    from torchvision.models import ResNet18_Weights, resnet18

    half = torch.full((1, 3, 2, 2), 0.5)
    resnet = load_model(resnet18(), preprocess=ResNet18_Weights.DEFAULT)
    assert torch.allclose(resnet.preprocess(half)[0, 0, 0, 0], torch.tensor((0.5 - 0.485) / 0.229))
    assert resnet.input_size == 224
    own = load_model(timm.create_model("tf_efficientnet_lite0"))
    assert own.preprocess(half).abs().max() == 0
    inception = load_model(InceptionV1())
    assert torch.allclose(inception.preprocess(half), torch.tensor(0.5 * 255 - 117))
    own = load_model(Tiny(), preprocess=lambda x: x * 2, input_size=16)
    assert own.preprocess(half).max() == 1


class Shared(nn.Module):
    """One pooling module called twice, as in PyTorch's own tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.pool = nn.MaxPool2d(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(F.relu(self.conv2(self.pool(F.relu(self.conv1(x))))))


class ChannelsLast(nn.Module):
    """Convolutions around a layer that has its channels last, as Swin's and ConvNeXt's have."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2d(3, 6, 5), nn.LayerNorm(6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm(self.conv(x).permute(0, 2, 3, 1)))


@pytest.mark.parametrize("kind", [Shared, ChannelsLast])
def test_a_layer_is_what_is_read_of_it(kind: type[nn.Module]) -> None:
    model = load_model(kind(), preprocess=HALF, input_size=32)
    layers = {info.name: info for info in model.layers}
    if kind is Shared:  # a pooling is found by its name
        layers["pool"] = model.layer("pool")
    assert len(layers) == 3
    for layer in layers.values():
        shape = tuple(model.reader(layer.name)(torch.rand(2, 3, 32, 32)).shape)
        assert shape == (2, layer.channels, layer.height, layer.width)
        assert layer.channels in (4, 6, 16)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_of_another_type_is_opened_and_rendered(dtype: torch.dtype) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).to(dtype)
    model = load_model(module, preprocess=HALF, input_size=32)
    assert render(model, "0", 1, steps=2, size=32, progress=False).steps == 2
    assert scan(model, "0", "samples", num_samples=2, progress=False).scanned == 2


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(3072, 4)), "no layer with activations"),
        (nn.Sequential(nn.Conv2d(1, 4, 3)), r"\(2, 3, 32, 32\): .* one channel.*preprocess="),
        (nn.Sequential(nn.Conv2d(5, 4, 3)), r"\(2, 3, 32, 32\): .*input_size=.*preprocess="),
    ],
)
def test_a_network_that_cannot_be_shown_says_why(module: nn.Module, says: str) -> None:
    model = load_model(module, preprocess=HALF, input_size=32)
    with pytest.raises(ModelError, match=says):
        _ = model.default_layer


def test_what_would_be_ignored_is_refused() -> None:
    module = Tiny()
    with pytest.raises(ModelError, match="load_state_dict"):
        load_model(module, weights="w.pth", preprocess=HALF)
    model = load_model(module, preprocess=HALF, input_size=16)
    assert load_model(model) is model
    for ignored in ({"weights": "random"}, {"input_size": 32}, {"preprocess": HALF}):
        with pytest.raises(ModelError, match=next(iter(ignored))):
            load_model(model, **ignored)


def test_preprocessing_made_in_inference_mode_serves_gradients() -> None:
    module = Tiny()
    with torch.inference_mode():
        model = load_model(module, preprocess=HALF, input_size=16)
        model.preprocess(torch.rand(1, 3, 16, 16))
    x = torch.rand(1, 3, 16, 16, requires_grad=True)
    model.reader("second")(x).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_the_callers_autocast_is_not_ours(precision: str) -> None:
    model = load_model(Tiny(), preprocess=HALF, input_size=32)

    def found() -> tuple[Any, Any]:
        seen = scan(model, "second", "samples", num_samples=8, precision=precision, progress=False)
        image = render(model, "second", 1, steps=3, size=32, precision="float32", progress=False)
        return (seen.mean, seen.maps(1)[seen.top(1)[0].index]), image.images

    plain = found()
    with torch.autocast("cpu", torch.bfloat16):
        cast = found()
    for (mean, maps), image in (plain, cast):
        assert (mean == plain[0][0]).all()
        assert (maps == plain[0][1]).all()
        assert (image == plain[1]).all()


def change_in_place(module: Tiny) -> None:
    with torch.no_grad():
        module.second.weight.mul_(-3)


def change_data(module: Tiny) -> None:
    module.second.weight.data[2].zero_()


def assign(module: Tiny) -> None:
    other = {name: value + 1 for name, value in module.state_dict().items()}
    module.load_state_dict(other, assign=True)


@pytest.mark.parametrize("change", [change_in_place, change_data, assign])
def test_identity_follows_the_weights(change: Callable[[Tiny], None]) -> None:
    module = Tiny()
    model = load_model(module, preprocess=HALF, input_size=32)
    before = model.identity
    assert model.identity == before
    found = scan(model, "second", "samples", num_samples=4, progress=False)
    begun = render(model, "second", 0, steps=2, size=32, progress=False)
    change(module)
    assert model.identity != before
    assert found.model_identity == begun.settings["model"] == before
    with pytest.raises(ModelError, match="scan again"):
        found.maps(0)
    with pytest.raises(ValueError, match="model"):
        render(model, "second", 0, steps=4, size=32, resume=begun, progress=False)


def test_identity_is_name_and_content() -> None:
    torch.manual_seed(0)
    one = Tiny()
    same = Tiny()
    same.load_state_dict(one.state_dict())
    first = load_model(one, preprocess=HALF, input_size=16).identity
    assert first.startswith("Tiny-")
    assert load_model(same, preprocess=HALF, input_size=16).identity == first
    with torch.no_grad():
        same.head.bias[0] += 1
    assert load_model(same, preprocess=HALF, input_size=16).identity != first


def test_the_embedded_network_knows_a_cat() -> None:
    from PIL import Image
    from skimage import data
    from torchvision.transforms.functional import to_tensor

    model = load_model("efficientnet_lite0", device="cpu")
    cat = Image.fromarray(data.cat()).resize((336, 224)).crop((56, 0, 280, 224))
    with torch.inference_mode():
        best = model.module(model.preprocess(to_tensor(cat)[None])).topk(3).indices[0]
    assert model.labels is not None
    assert any("cat" in model.labels[i] for i in best.tolist())


# ------------------------------------------------------------------ InceptionV1's parts


def test_normalisation_equals_torchs_with_the_graphs_constants() -> None:
    x = torch.rand(2, 64, 5, 5, dtype=torch.float32) * 300
    ours = LocalResponseNorm(64)(x)
    theirs = F.local_response_norm(x, size=11, alpha=11e-4, beta=0.5, k=2.0)
    assert torch.allclose(ours, theirs, rtol=1e-5)


class TestRedirectedReLU:
    def test_only_a_dead_sample_is_redirected_and_only_upwards(self) -> None:
        # Sample 0 is dead; sample 1 lets a gradient through.
        x = torch.tensor([[-1.0, -2.0, -3.0], [-1.0, 2.0, -3.0]], requires_grad=True)
        wanted = torch.tensor([[-1.0, 1.0, -1.0], [-1.0, 1.0, -1.0]])  # d loss / d relu
        with RedirectedReLU():
            y = F.relu(x)
        assert torch.equal(y, x.clamp(min=0))
        (grad,) = torch.autograd.grad((y * wanted).sum(), x)
        # Descent lowers x where the gradient is positive: a dead unit must not be pushed away.
        assert grad.tolist() == [[-1.0, 0.0, -1.0], [0.0, 1.0, 0.0]]

    @pytest.mark.parametrize(
        "relu",
        [
            F.relu,
            torch.relu,
            lambda x: F.relu(x, inplace=True),
            lambda x: x.relu(),
            lambda x: x.clone().relu_(),
            nn.ReLU(),
            nn.ReLU(inplace=True),
            F.relu6,
            nn.ReLU6(),
            nn.ReLU6(inplace=True),
            nn.Hardtanh(0.0, 6.0),
        ],
    )
    def test_every_spelling_is_caught(self, relu: Callable[[Tensor], Tensor]) -> None:
        x = torch.full((1, 3), -1.0, requires_grad=True)
        with RedirectedReLU():
            y = relu(x * 1)
        (grad,) = torch.autograd.grad(-y.sum(), x)
        assert (grad == -1).all()
        y = relu(x * 1)
        (grad,) = torch.autograd.grad(-y.sum(), x)
        assert (grad == 0).all(), "outside the block nothing is redirected"

    def test_other_functions_pass(self) -> None:
        x = torch.full((1, 3), -2.0, requires_grad=True)
        with RedirectedReLU():
            assert torch.equal(F.hardtanh(x), torch.full((1, 3), -1.0))
            assert torch.equal(F.leaky_relu(x), torch.full((1, 3), -0.02))


# ------------------------------------------------------------------ weights


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """No network, an empty hub cache, no environment variable."""
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.delenv("NEURON_WIDGET_WEIGHTS", raising=False)
    return tmp_path


def write(path: Any, how: str) -> Any:
    state = InceptionV1().state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    match how:
        case "truncated":
            torch.save(state, path)
            path.write_bytes(path.read_bytes()[:100_000])
        case "page":
            path.write_text("<!DOCTYPE html><title>Sign in to the Wi-Fi</title>")
        case "empty":
            path.write_bytes(b"")
        case "other":
            torch.save(nn.Conv2d(3, 8, 3).state_dict(), path)
        case "shape":
            state["conv2d0.weight"] = torch.zeros(64, 3, 5, 5)
            torch.save(state, path)
        case "code":
            torch.save({"weight": print}, path)
        case "list":
            torch.save([torch.zeros(3)], path)
        case "good":
            torch.save(state, path)
        case "safetensors":
            from safetensors.torch import save_file

            save_file(state, path)
    return path


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("truncated", "truncated or damaged"),
        ("page", "web page"),
        ("empty", "looks empty"),
        ("other", "another network"),
        ("shape", "conv2d0.weight is (64, 3, 5, 5), not (64, 3, 7, 7)"),
        ("code", "could run code"),
        ("list", "holds a list"),
    ],
)
def test_a_bad_weights_file_is_refused(offline: Any, how: str, says: str) -> None:
    path = write(offline / "weights.pth", how)
    with pytest.raises(WeightsRefused) as raised:
        load_model("inceptionv1", weights=path, device="cpu")
    text = str(raised.value)
    assert str(path) in text
    assert any(part in text for part in says.split("|")), text


@pytest.mark.parametrize("how", ["good", "safetensors"])
def test_weights_are_found_by_argument_and_by_environment(
    offline: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    path = write(offline / ("w.safetensors" if how == "safetensors" else "w.pth"), how)
    by_argument = load_model("inceptionv1", weights=path, device="cpu")
    monkeypatch.setenv("NEURON_WIDGET_WEIGHTS", str(path))
    assert load_model("inceptionv1", device="cpu").identity == by_argument.identity


def test_missing_weights_name_the_ways_out(offline: Any) -> None:
    with pytest.raises(WeightsUnavailable) as raised:
        load_model("inceptionv1", device="cpu")
    for way in ("weights=", "NEURON_WIDGET_WEIGHTS", "inception5h.pth", "efficientnet_lite0"):
        assert way in str(raised.value)
    assert not list(offline.rglob("*.part")), "a failed download leaves nothing"


def test_without_a_name_the_embedded_network_is_chosen_and_says_why(offline: Any) -> None:
    model = load_model(None, device="cpu")
    assert model.name == "efficientnet_lite0"
    assert "not at hand" in model.note


def test_a_cached_file_that_is_not_what_it_claims_is_refused(offline: Any) -> None:
    path = write(offline / "hub" / "checkpoints" / "inception5h.pth", "good")
    with pytest.raises(WeightsRefused, match="expected git object id 119f77db"):
        load_model("inceptionv1", device="cpu")
    assert path.exists()


def test_a_missing_path_is_named(offline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsUnavailable, match=r"weights= names '.*nothing\.pth'"):
        load_model("inceptionv1", weights=offline / "nothing.pth", device="cpu")
    monkeypatch.setenv("NEURON_WIDGET_WEIGHTS", "/no/such.pth")
    with pytest.raises(WeightsUnavailable, match=r"NEURON_WIDGET_WEIGHTS names '/no/such\.pth'"):
        load_model("inceptionv1", device="cpu")
