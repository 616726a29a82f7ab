"""Networks as people have them: sizes, layouts, wrappers, preprocessing, batch statistics."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms
from torchvision.transforms import v2

from neuron_widget import load_model, render, scan
from neuron_widget.errors import ModelError, UnknownLayer
from neuron_widget.networks.menu import main_layers
from neuron_widget.networks.model import VisionModel

HALF = ((0.5,) * 3, (0.5,) * 3)


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1))


def opened(module: nn.Module, size: int = 32, preprocess: Any = HALF) -> VisionModel:
    return load_model(module, preprocess=preprocess, input_size=size)


# ------------------------------------------------------------------ redirected ReLU


@pytest.mark.parametrize(
    ("activation", "redirects"),
    [
        (nn.ReLU(), True),
        (nn.ReLU6(inplace=True), True),
        (nn.GELU(), False),
        (nn.SiLU(inplace=True), False),
        (nn.LeakyReLU(), False),
    ],
)
def test_relu_is_redirected_where_it_was_seen(activation: nn.Module, redirects: bool) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), activation)
    model = opened(module)
    assert model.redirect_relu is redirects
    result = render(model, "0", 0, steps=1, size=32, progress=False)
    assert result.settings["redirect_relu"] is redirects
    model.redirect_relu = not redirects
    assert model.redirect_relu is not redirects


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))


def test_relu_is_seen_without_a_module_of_that_name() -> None:
    assert opened(Functional()).redirect_relu
    assert load_model("torchvision/resnet18", weights="random", device="cpu").redirect_relu
    assert load_model("efficientnet_lite0", weights="random", device="cpu").redirect_relu
    assert not load_model("torchvision/convnext_tiny", weights="random", device="cpu").redirect_relu


def test_a_trained_network_of_the_users_gives_no_grey_pictures(inception_weights: Any) -> None:
    class Mine(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = load_model("inceptionv1", weights=inception_weights, device="cpu").module

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x * 255 - 117)

    model = opened(Mine(), size=224, preprocess=lambda x: x)
    result = render(model, "body.mixed5b", range(8), steps=32, size=112, lr=0.1, progress=False)
    assert (result.activation > 0).all()
    assert (result.images.std(axis=(1, 2, 3)) > 0.05).all()


# ------------------------------------------------------------------ sizes


class Strict(nn.Module):
    """Checks its input's size, as vision transformers do."""

    def __init__(self, fits: Callable[[int], bool]) -> None:
        super().__init__()
        self.conv, self.late, self.fits = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3), fits

    def forward(self, x: Tensor) -> Tensor:
        assert self.fits(x.shape[-1]), f"no {x.shape[-1]} px"
        return self.late(self.conv(x))


@pytest.mark.parametrize(
    ("module", "size", "fixed", "nearest"),
    [
        (Strict(lambda s: s == 64), 64, True, {80: 64, 224: 64, 64: 64}),
        (Strict(lambda s: s % 14 == 0), 224, False, {80: 84, 224: 224, 70: 70}),
        (Strict(lambda s: s >= 32), 64, False, {16: 32, 20: 32, 80: 80}),
        (small(), 32, False, {80: 80, 21: 21}),
    ],
)
def test_a_network_knows_which_sizes_it_takes(
    module: nn.Module, size: int, fixed: bool, nearest: dict[int, int]
) -> None:
    model = opened(module, size)
    assert model.fixed_input_size is fixed
    for wanted, found in nearest.items():
        assert model.image_size(wanted) == found
        if wanted == found:
            model.check_size(wanted)
        else:
            with pytest.raises(ModelError, match=f"no images of {wanted} px.*size={found} "):
                model.check_size(wanted)


def test_a_wrong_size_names_the_one_that_works() -> None:
    model = opened(Strict(lambda s: s == 64), 64)
    with pytest.raises(ModelError, match=r"Strict takes no images of 224 px .*size=64"):
        render(model, "conv", [1], size=224, steps=1, progress=False)
    vgg = load_model("torchvision/vgg11", weights="random", device="cpu")
    with pytest.raises(ModelError, match=r"no images of 16 px .*size=32"):
        render(vgg, "features", [1], size=16, steps=1, progress=False)
    # Where the forward pass ends before the size matters, there is nothing to refuse.
    assert render(vgg, "features.3", [1], size=16, steps=1, progress=False).steps == 1


def test_a_network_opened_at_a_wrong_size_says_which_works() -> None:
    with pytest.raises(ModelError, match=r"input_size=64 \(AssertionError: no 224 px\)"):
        _ = load_model(Strict(lambda s: s == 64), preprocess=HALF).layers


def test_errors_inside_a_network_are_told_in_our_words_with_theirs_behind() -> None:
    module = small()
    model = opened(module)
    _ = model.layers

    def fails(*_: object) -> None:
        raise KeyError("mine")

    module[0].register_forward_hook(fails)
    words = r"Sequential fails on images \(1, 3, 32, 32\), up to layer 2: KeyError: 'mine'\. It ran"
    with pytest.raises(ModelError, match=words) as told:
        model.reader("2")(torch.rand(1, 3, 32, 32))
    assert isinstance(told.value.__cause__, KeyError)


def test_a_network_that_is_run_in_inference_mode_can_be_scanned_and_says_why_not_rendered() -> None:
    class Runs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = small()

        def forward(self, x: Any) -> Any:
            with torch.inference_mode():
                return self.body(x)

    model = opened(Runs())
    assert scan(model, "body.2", [torch.rand(3, 32, 32)] * 3, progress=False).scanned == 3
    with pytest.raises(ModelError, match=r"no gradient leads from layer 'body.2'"):
        render(model, "body.2", 1, steps=1, size=32, progress=False)


def test_a_network_without_numbers_says_how_to_load_them() -> None:
    with torch.device("meta"):
        empty = small()
    with pytest.raises(
        ModelError, match=r"'meta' device .*net.load_state_dict\(weights, assign=True"
    ):
        opened(empty)


# ------------------------------------------------------------------ the menu of layers


class Block(nn.Module):
    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(a, b, 1, stride)
        self.layer = nn.Sequential(
            nn.Conv2d(a, b, 3, stride, 1), nn.ReLU(), nn.Conv2d(b, b, 3, 1, 1)
        )
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.layer(x) + self.shortcut(x))


class Stage(nn.Module):
    def __init__(self, a: int, b: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(Block(a, b, stride), Block(b, b, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([Stage(4, 4, 1), Stage(4, 8, 2), Stage(8, 8, 2)])

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        for stage in self.stages:
            x = stage(x)
        return {"last": x}


class Embedder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.pooler = nn.Conv2d(3, 4, 7, 2, 3), nn.MaxPool2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pooler(self.convolution(x))


class LaidOutAsTransformers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedder, self.encoder = Embedder(), Encoder()
        self.pooler = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        last = self.encoder(self.embedder(x))["last"]
        return {"last": last, "pooled": self.pooler(last)}


class Wrapping(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Any:
        return self.net(x)


@pytest.mark.parametrize("around", ["", "net.", "net.net."])
def test_the_menu_follows_the_structure(around: str) -> None:
    module: nn.Module = LaidOutAsTransformers()
    for _ in range(around.count("net")):
        module = Wrapping(module)
    model = opened(module, 64)
    names = [info.name.removeprefix(around) for info in model.layers]
    assert names == [
        "embedder.convolution", "embedder",
        "encoder.stages.0.layers.0", "encoder.stages.0",
        "encoder.stages.1.layers.0", "encoder.stages.1",
        "encoder.stages.2.layers.0", "encoder.stages.2",
    ]  # fmt: skip
    assert model.default_layer == f"{around}encoder.stages.1"


@pytest.mark.parametrize(
    ("make", "some", "default"),
    [
        (torchvision.models.resnet18, ["conv1", "layer1.0", "layer1", "layer4"], "layer3.0"),
        (torchvision.models.vgg11, ["features.1", "features.4"], "features.12"),
        (torchvision.models.densenet121, ["features.denseblock2"], "features.denseblock3"),
        (lambda: timm.create_model("convnext_atto"), ["stages.2.blocks.3"], "stages.2.blocks.2"),
    ],
)
def test_menus_of_usual_networks(
    make: Callable[[], nn.Module], some: list[str], default: str
) -> None:
    model = opened(make(), 64)
    names = [info.name for info in model.layers]
    assert set(some) <= set(names)
    assert len(names) <= 64
    assert model.default_layer == default


def test_a_long_stage_is_no_trunk() -> None:
    stages = {f"layer{s}.{b}.conv{c}": (8, 64 >> s, 64 >> s)
              for s in (1, 2, 3) for b in range(3 if s < 3 else 40) for c in (1, 2)}  # fmt: skip
    blocks = {f"layer{s}.{b}": (8, 64 >> s, 64 >> s) for s in (1, 2, 3) for b in range(3)}
    assert set(main_layers({**stages, **blocks})) == set(blocks)


def test_the_default_is_never_a_pooling_layer() -> None:
    module = nn.Sequential(*[m for _ in range(3) for m in (nn.Conv2d(3, 3, 1), nn.MaxPool2d(2))])
    model = opened(module)
    kinds = {type(module[int(info.name)]) for info in model.layers}
    assert kinds == {nn.Conv2d}
    assert model.layer("1").height == 16
    assert isinstance(module[int(model.default_layer)], nn.Conv2d)


# ------------------------------------------------------------------ wrappers


def compiled(module: nn.Module) -> nn.Module:
    return torch.compile(module)


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        torch.optim.swa_utils.AveragedModel,
        compiled,
        lambda m: compiled(nn.DataParallel(m)),
    ],
)
def test_what_wraps_a_network_is_looked_through(wrap: Callable[[nn.Module], nn.Module]) -> None:
    plain, wrapped = opened(small()), opened(wrap(small()))
    assert [info.name for info in wrapped.layers] == ["0", "1", "2"]
    assert wrapped.identity == plain.identity
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(wrapped.reader("2")(x), plain.reader("2")(x))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
@pytest.mark.parametrize("how", ["trace", "script"])
def test_a_program_says_that_it_cannot_be_looked_into(how: str) -> None:
    module = small().eval()
    program = (
        torch.jit.trace(module, torch.rand(1, 3, 32, 32))
        if how == "trace"
        else torch.jit.script(module)
    )
    with pytest.raises(ModelError, match=r"TorchScript .*load_state_dict"):
        opened(program)


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_a_lazy_network_is_not_made_up_by_looking_at_it() -> None:
    module = nn.Sequential(nn.LazyConv2d(4, 3))
    with pytest.raises(ModelError, match="run it once"):
        opened(module)
    module(torch.rand(1, 3, 32, 32))
    assert opened(module).layer("0").channels == 4


# ------------------------------------------------------------------ preprocessing


def half_off(x: Tensor) -> Tensor:
    return (x - 0.5) / 0.5


TO_HALF = ([0.5] * 3, [0.5] * 3)


@pytest.mark.parametrize(
    ("given", "side"),
    [
        (timm.data.create_transform(96, mean=TO_HALF[0], std=TO_HALF[1]), 96),
        (timm.data.create_transform(96, is_training=True, mean=TO_HALF[0], std=TO_HALF[1]), 96),
        (
            transforms.Compose(
                [
                    transforms.Resize(128),
                    transforms.CenterCrop(96),
                    transforms.ToTensor(),
                    transforms.Normalize(*TO_HALF),
                ]
            ),
            96,
        ),
        (
            v2.Compose(
                [
                    v2.ToImage(),
                    v2.RandomResizedCrop(96),
                    v2.RandomHorizontalFlip(),
                    v2.ColorJitter(0.5),
                    v2.ToDtype(torch.float32, scale=True),
                    v2.Normalize(*TO_HALF),
                ]
            ),
            96,
        ),
        (nn.Sequential(transforms.Normalize(*TO_HALF)), None),
        (transforms.Normalize(*TO_HALF), None),
        (half_off, None),
    ],
)
def test_what_changes_colours_is_taken_out_of_a_preprocessing(given: Any, side: int | None) -> None:
    model = load_model(small(), preprocess=given)
    assert model.input_size == (side or 224)
    x = torch.rand(2, 3, 40, 40)
    assert torch.allclose(model.preprocess(x), half_off(x), atol=1e-6)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (transforms.Resize(224), "makes \\(224, 224\\) of images of"),
        (lambda x: F.interpolate(x, size=(64, 64)), "makes \\(64, 64\\) of images of"),
        (lambda x: F.interpolate(x, size=(300, 300))[..., 38:262, 38:262], "moves pixels"),
        (lambda x: x.flip(-1), "moves pixels"),
        (lambda x: x.roll(3, dims=2), "moves pixels"),
        (transforms.RandomResizedCrop(224), "makes \\(224, 224\\)|moves pixels"),
        (lambda x: x[0], "makes \\(3, 224, 224\\) of images"),
        (lambda x: x.numpy(), "makes ndarray"),
        (lambda _: 1 / 0, "fails on a tensor .* \\(ZeroDivisionError"),
        (transforms.Compose([transforms.Resize(64)]), "no step that changes colours"),
        (
            transforms.Compose(
                [transforms.PILToTensor(), transforms.Normalize([123.0] * 3, [58.0] * 3)]
            ),
            "divided by 255",
        ),
    ],
)
def test_a_preprocessing_that_moves_pixels_is_refused(given: Any, says: str) -> None:
    with pytest.raises(ModelError, match=says) as raised:
        load_model(small(), preprocess=given)
    assert "preprocess=(mean, std)" in str(raised.value)


def test_a_preprocessing_may_look_at_the_whole_image() -> None:
    def standardised(x: Tensor) -> Tensor:
        return (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True)

    assert opened(small(), preprocess=standardised).layer("0").channels == 8


# ------------------------------------------------------------------ networks of grey images


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return self.fc(F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1))


@pytest.mark.parametrize(
    "preprocess", [((0.13,), (0.3,)), lambda x: x[:, :1], lambda x: x.mean(1, keepdim=True)]
)
def test_a_network_of_grey_images_is_shown_in_grey(preprocess: Any) -> None:
    model = opened(LeNet(), 28, preprocess)
    assert model.grey
    result = render(model, "conv2", [1, 3], steps=4, size=28, progress=False)
    assert result.images.shape == (2, 28, 28, 3)
    assert np.ptp(result.images, axis=3).max() < 1e-6
    assert result.images.std() > 0.01
    seen = model.reader("conv2")(torch.from_numpy(result.images).permute(0, 3, 1, 2))
    measured = seen.mean((2, 3))[[0, 1], [1, 3]].detach()
    assert np.allclose(measured, result.activation, rtol=1e-4, atol=1e-6)


def test_photos_are_grey_to_it_as_to_pillow() -> None:
    model = opened(LeNet(), 28, ((0.0,), (1.0,)))
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8))
    pixels = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float() / 255
    grey = torch.from_numpy(np.array(photo.convert("L"))).float() / 255
    assert torch.allclose(model.preprocess(pixels)[0, 0], grey, atol=1 / 255)
    assert scan(model, "conv1", [photo] * 3, progress=False).scanned == 3


def test_colours_are_colours_to_all_others() -> None:
    model = opened(small())
    assert not model.grey
    result = render(model, "2", 1, steps=2, size=32, progress=False)
    assert np.ptp(result.images, axis=3).max() > 0.01


def test_timms_networks_of_one_channel() -> None:
    model = load_model(timm.create_model("resnet10t", in_chans=1), input_size=32)
    assert model.grey
    assert model.preprocess(torch.full((1, 3, 8, 8), 0.449)).abs().max() < 0.01


def test_the_wrong_number_of_channels_says_the_way_out() -> None:
    with pytest.raises(ModelError, match=r"one channel.*preprocess=\(\(mean,\), \(std,\)\)"):
        _ = opened(LeNet(), 28).layers


# ------------------------------------------------------------------ one image at a time


class Windows(nn.Module):
    """Attention in windows, as Swin's: its first axis counts windows, not images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.softmax, self.out = (
            nn.Conv2d(3, 4, 4, 4),
            nn.Softmax(-1),
            nn.Conv2d(4, 4, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        n, c, h, w = x.shape
        tokens = (
            x.view(n, c, 2, h // 2, 2, w // 2).permute(0, 2, 4, 3, 5, 1).reshape(n * 4, 1, -1, c)
        )
        weights = self.softmax(tokens @ tokens.transpose(-1, -2))
        mixed = (weights @ tokens).view(n, 2, 2, h // 2, w // 2, c)
        return self.out(mixed.permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w))


def test_a_layer_of_windows_is_refused() -> None:
    model = opened(Windows(), 32)
    assert [info.name for info in model.layers] == ["conv", "out"]
    with pytest.raises(ModelError, match="first axis is not the images"):
        model.layer("softmax")
    with pytest.raises(ModelError, match="first axis is not the images"):
        scan(model, "softmax", "samples", num_samples=4, progress=False)


class MixesImages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.out = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.out(x - x.mean(0, keepdim=True))


def batch_statistics() -> nn.Module:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    return nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.ReLU())


def for_one_image() -> nn.Module:
    class OneImage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            (image,) = x
            return self.conv(image[None])

    return OneImage()


@pytest.mark.parametrize("make", [batch_statistics, MixesImages, for_one_image])
def test_images_that_would_mix_are_read_alone(make: Callable[[], nn.Module]) -> None:
    model = opened(make())
    layer = model.layers[-1].name
    assert "read alone" in model.note
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    read = model.reader(layer)
    alone = torch.cat([read(image[None]) for image in x])
    assert torch.equal(read(x), alone)
    two = render(model, layer, [1, 2], steps=3, size=32, precision="float32", progress=False)
    one = render(model, layer, [2], steps=3, size=32, precision="float32", progress=False)
    assert np.array_equal(two.images[1], one.images[0])


def test_images_that_do_not_mix_are_read_together() -> None:
    assert opened(small()).note == ""


class Reuses(nn.Module):
    """Calls a layer twice, and cannot be stopped at the first call."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(2):
            try:
                x = self.conv(x)
            except BaseException:  # noqa: BLE001  # this is what the test is about
                x = x + 1
        return x


def test_a_layer_that_is_used_twice_is_read_at_its_first_use() -> None:
    module = Reuses()
    x = torch.rand(1, 3, 32, 32)
    expected = copy.deepcopy(module.conv)(half_off(x))
    assert torch.equal(opened(module).reader("conv")(x), expected)


@pytest.mark.parametrize("size", [32, 64, 24])
def test_channels_that_stand_last_are_known_at_every_size(size: int) -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 16, 4, 4), nn.LayerNorm(16)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.conv(x).permute(0, 2, 3, 1))

    torch.manual_seed(0)
    module = Last()
    model = opened(module, 32)
    x = torch.rand(1, 3, size, size)
    # At 64 px there are 16 rows, 16 columns and 16 channels.
    expected = module(half_off(x)).permute(0, 3, 1, 2)
    assert torch.equal(model.reader("norm")(x), expected)


# ------------------------------------------------------------------ messages


def test_a_module_instead_of_a_name_is_told_its_name() -> None:
    module = small()
    model = opened(module)
    with pytest.raises(UnknownLayer, match="that module is layer '2'") as raised:
        model.layer(module[2])  # type: ignore[arg-type]
    assert "kernel_size" not in str(raised.value)
    with pytest.raises(UnknownLayer, match="is not of it"):
        model.layer(nn.Conv2d(3, 3, 1))  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore")  # torch.ao is going
def test_a_network_in_integers_is_scanned_and_not_rendered() -> None:
    from torch.ao import quantization

    torch.backends.quantized.engine = "qnnpack"
    module = nn.Sequential(
        quantization.QuantStub(), nn.Conv2d(3, 4, 3), nn.ReLU(), quantization.DeQuantStub()
    ).eval()
    module.qconfig = quantization.get_default_qconfig("qnnpack")
    prepared = quantization.prepare(module)
    prepared(torch.rand(4, 3, 32, 32))
    model = opened(quantization.convert(prepared))
    assert scan(model, "1", "samples", num_samples=4, progress=False).scanned == 4
    with pytest.raises(ModelError, match=r"scanned, but not rendered.*quantised"):
        render(model, "1", 1, steps=1, size=32, progress=False)


@pytest.mark.parametrize("name", ["inceptionv1", "torchvision/resnet18", "timm/resnet10t"])
def test_an_untrained_network_is_the_same_every_time(name: str) -> None:
    before = torch.get_rng_state()
    one = load_model(name, weights="random", device="cpu")
    assert torch.equal(torch.get_rng_state(), before), "the user's random numbers are the user's"
    torch.manual_seed(99)
    assert load_model(name, weights="random", device="cpu").identity == one.identity
