"""How layers give their activation: recognised from evidence, said, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from neuron_widget import load_model, look, render, scan
from neuron_widget.errors import ModelError, UnknownLayer
from neuron_widget.networks.answers import answers
from neuron_widget.networks.layouts import LAYOUTS, as_layout
from neuron_widget.networks.model import VisionModel
from neuron_widget.targets import parse

HALF = ((0.5,) * 3, (0.5,) * 3)
SIZE, PATCH, WIDTH = 48, 8, 12


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.weights, self.heads = nn.Softmax(-1), nn.Identity()
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(2, (2, -1)).transpose(1, 2)
            for part in self.qkv(self.norm(x)).chunk(3, dim=-1)
        )
        mixed = self.weights(q @ k.transpose(-1, -2)) @ self.heads(v)
        x = x + mixed.transpose(1, 2).flatten(2)
        return x + self.mlp(x)


class Transformer(nn.Module):
    """Patches, prefix tokens, three blocks, a classifier on the mean or the class token."""

    def __init__(self, cls: int = 1, reg: int = 0, *, any_size: bool = False, turned: bool = False):
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.cls_token = nn.Parameter(torch.randn(1, cls, WIDTH)) if cls else None
        self.reg_token = nn.Parameter(torch.randn(1, reg, WIDTH)) if reg else None
        self.positions = nn.Parameter(0.1 * torch.randn(1, WIDTH, SIZE // PATCH, SIZE // PATCH))
        self.any_size, self.turned = any_size, turned
        self.drop = nn.Dropout(0.1)
        self.blocks = nn.Sequential(*(Block() for _ in range(3)))
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 5)

    def forward(self, x: Tensor) -> Tensor:
        x, places = self.patches(x), self.positions
        if self.any_size:
            places = F.interpolate(places, x.shape[2:], mode="bilinear")
        x = (x + places).flatten(2).transpose(1, 2)
        if self.turned:  # the order of Hiera's tokens, nearly
            x = x.unflatten(1, (3, 2, 3, 2)).permute(0, 2, 4, 1, 3, 5).flatten(1, 4)
        for tokens in (self.reg_token, self.cls_token):
            if tokens is not None:
                x = torch.cat([tokens.expand(len(x), -1, -1), x], dim=1)
        x = self.norm(self.blocks(self.drop(x)))
        return self.head(x[:, 0] if self.cls_token is not None else x.mean(1))


class Mixed(nn.Module):
    """A layer of each kind."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.maps = nn.Conv2d(3, 6, 4, 4)
        self.maps_last = nn.LayerNorm(6)
        self.tokens = nn.Linear(6, 7)
        self.vector = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maps_last(self.maps(x).permute(0, 2, 3, 1))
        return self.vector(self.tokens(x.flatten(1, 2)).mean(1))


def opened(module: nn.Module, size: int = SIZE, **how: Any) -> VisionModel:
    return load_model(module, preprocess=HALF, input_size=size, **how)


def noise(n: int = 2, size: int = SIZE) -> Tensor:
    return torch.rand((n, 3, size, size), generator=torch.Generator().manual_seed(3))


def given(model: VisionModel, layer: str, images: Tensor) -> Tensor:
    """What the module itself gives."""
    found: list[Tensor] = []
    with model.private_copy() as network:
        handle = network.get_submodule(layer).register_forward_hook(
            lambda _m, _a, output: found.append(output)
        )
        network(model.preprocess(images))
        handle.remove()
    return found[0]


@pytest.mark.parametrize(
    ("layer", "shape", "kind"),
    [
        ("maps", (6, 12, 12), "maps"),
        ("maps_last", (6, 12, 12), "maps"),
        ("tokens", (7, 12, 12), "tokens"),
        ("vector", (4, 1, 1), "vector"),
    ],
)
def test_every_layout_becomes_a_map(layer: str, shape: tuple[int, ...], kind: str) -> None:
    model, x = opened(Mixed()), noise()
    info = model.layer(layer)
    assert ((info.channels, info.height, info.width), info.kind) == (shape, kind)
    assert model.place(layer)[1].kind == layer
    found, raw = model.reader(layer)(x), given(model, layer, x)
    assert found.shape == (2, *shape)
    first = {"maps": raw, "maps_last": raw.movedim(-1, 1), "vector": raw}
    expected = first.get(layer, raw.movedim(-1, 1)).reshape(2, *shape)
    assert torch.equal(found, expected)
    layout = model.place(layer)[1]
    assert torch.equal(layout.write(raw, found), raw), "written back, it is what it was"


@pytest.mark.parametrize(
    ("cls", "reg", "tokens"),
    [
        (0, 0, []),
        (1, 0, ["cls"]),
        (1, 4, ["cls", "reg1", "reg2", "reg3", "reg4"]),
        (0, 2, ["reg1", "reg2"]),
        (3, 0, ["token1", "token2", "token3"]),
    ],
)
@pytest.mark.parametrize("any_size", [False, True])
def test_prefix_tokens_are_layers_of_their_own(
    cls: int, reg: int, tokens: list[str], any_size: bool
) -> None:
    model, x = opened(Transformer(cls, reg, any_size=any_size)), noise()
    assert model.place("blocks.1")[1].prefix == len(tokens)
    raw = given(model, "blocks.1", x)
    patches = raw[:, len(tokens) :].transpose(1, 2).reshape(2, WIDTH, 6, 6)
    assert torch.equal(model.reader("blocks.1")(x), patches)
    for i, token in enumerate(tokens):
        info = model.layer(f"blocks.1.{token}")
        assert (info.channels, info.height, info.width, info.kind) == (WIDTH, 1, 1, "token")
        assert torch.equal(model.reader(info.name)(x)[:, :, 0, 0], raw[:, i])
    with pytest.raises(UnknownLayer):
        model.layer("blocks.1.reg9")


def test_a_text_names_a_neuron_of_a_token() -> None:
    model = opened(Transformer())
    target = parse("blocks.1.cls:5").check(model)
    assert (target.layer, target.neuron) == ("blocks.1.cls", 5)
    result = render(model, "blocks.1.cls:5", steps=3, size=SIZE, progress=False)
    image = torch.from_numpy(result.images).movedim(-1, 1)
    with torch.no_grad():
        assert np.isclose(given(model, "blocks.1", image)[0, 0, 5], result.activation, atol=1e-4)


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        ("blocks.1.weights", "attention's weights"),  # (N, heads, T, T)
        ("blocks.1.heads", "where on the image"),  # (N, heads, T, d)
    ],
)
def test_what_has_no_places_is_refused(layer: str, why: str) -> None:
    model = opened(Transformer())
    with pytest.raises(ModelError, match=f"(?s){why}.*layout="):
        model.layer(layer)
    assert layer not in {info.name for info in model.layers}


@pytest.mark.parametrize("any_size", [False, True])
def test_tokens_in_another_order_are_refused_though_their_number_is_square(any_size: bool) -> None:
    model = opened(Transformer(0, turned=True, any_size=any_size))
    for layer in ("blocks.0", "blocks.2", "norm"):
        with pytest.raises(ModelError, match="tokens in another order"):
            model.layer(layer)
    said = opened(Transformer(0, turned=True), layout={"blocks.*": "tokens"})
    assert (said.layer("blocks.0").height, said.layer("blocks.2").width) == (6, 6)
    with pytest.raises(ModelError, match="tokens in another order"):
        said.layer("norm")


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        ("token", "did you mean 'tokens'"),
        ("maps+1", "did you mean 'maps'"),
        ({"blocks.*": "grid"}, "expected 'maps'"),
        ("tokens+99", "tokens"),
        (3, "expected 'maps'"),
    ],
)
def test_a_wrong_layout_names_the_right_ones(layout: Any, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        opened(Transformer(), layout=layout)


def test_a_layout_that_does_not_fit_is_told() -> None:
    model = opened(Transformer(), layout="tokens+2")
    with pytest.raises(ModelError, match=r"37 tokens for 48 px, which is not 2 and as many rows"):
        _ = model.layers
    assert [str(as_layout(name)) for name in (*LAYOUTS, "tokens+5")] == [*LAYOUTS, "tokens+5"]


def test_what_was_said_is_part_of_the_key(tmp_path: Any) -> None:
    from neuron_widget.store.keys import ModelKeys

    keys = [ModelKeys()(opened(Transformer(), layout=x)) for x in (None, {"x": "tokens"})]
    assert "layout" not in keys[0]
    assert "layout" in keys[1]


def test_sizes_follow_the_patches() -> None:
    fixed, free = opened(Transformer()), opened(Transformer(any_size=True))
    assert fixed.fixed_input_size
    assert not free.fixed_input_size
    assert (fixed.image_size(80, "blocks.1"), free.image_size(80, "blocks.1")) == (SIZE, 80)
    assert free.reader("blocks.1")(noise(1, 80)).shape == (1, WIDTH, 10, 10)
    wide = torch.rand(1, 3, 32, 80)
    assert free.reader("blocks.1")(wide).shape == (1, WIDTH, 4, 10)
    assert free.reader("blocks.1.cls")(wide).shape == (1, WIDTH, 1, 1)


@pytest.mark.parametrize("layer", ["blocks.1", "blocks.1.cls", "blocks.1.mlp.1", "norm"])
def test_tokens_are_scanned_rendered_and_looked_at(layer: str) -> None:
    model = opened(Transformer(any_size=True))
    photos = photos_of_noise()
    found = scan(model, layer, photos, top_k=3, progress=False)
    info = model.layer(layer)
    assert found.top(3)[0].activation_map().shape == (info.height, info.width)
    assert found.top(3)[0].receptive_field == (0.0, 0.0, 1.0, 1.0)
    assert found.dead == ()
    result = render(model, layer, [1, 4], steps=3, size=32, progress=False)
    assert np.isfinite(result.activation).all()
    unit = render(model, f"{layer}:1@0,0", steps=2, size=SIZE, progress=False)
    assert np.isfinite(unit.activation).all()
    seen = look(model, layer, photos[0], scan=found)
    assert seen.map(2).shape == (info.height, info.width)
    assert np.abs(seen.without(2).after - seen.without(2).before).max() >= 0


def test_a_change_of_a_token_reaches_the_answer() -> None:
    model, x = opened(Transformer(1, 2)), noise(1)
    plain = answers(model, x)
    for layer in ("blocks.1", "blocks.1.cls", "blocks.1.reg1"):
        same = answers(model, x, layer, lambda maps: maps)
        other = answers(model, x, layer, lambda maps: maps.flip(1))
        assert torch.allclose(same, plain, atol=1e-6)
        assert not torch.allclose(other, plain, atol=1e-4)


def test_a_neuron_that_is_never_positive_is_not_dead() -> None:
    class Low(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 3, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return torch.cat([-x[:, :1].abs() - 1, x[:, 1:2] * 0, x[:, 2:].relu()], dim=1)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.low = Low()

        def forward(self, x: Tensor) -> Tensor:
            return self.low(x)

    found = scan(opened(Whole()), "low", photos_of_noise(), progress=False)
    assert found.dead == (1,)


def photos_of_noise() -> list[Image.Image]:
    return [Image.fromarray(np.uint8(p * 255)) for p in noise(4).movedim(1, -1).numpy()]
