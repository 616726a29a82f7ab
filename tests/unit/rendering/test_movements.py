"""How far an image is moved: by the kind of its target, or as somebody says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from neuron_widget import load_model, render
from neuron_widget.errors import WrongValue
from neuron_widget.networks.known import describe
from neuron_widget.rendering.augment import Augmentation, AugmentationStream
from neuron_widget.rendering.manifest import join, take
from neuron_widget.rendering.movements import MOVEMENTS, WIDE, moves, moves_of
from neuron_widget.rendering.settings import known_settings, render_settings
from neuron_widget.store import Store
from neuron_widget.targets import as_targets, parse

SMALL = MOVEMENTS["fourier"]
HOW = {"size": 32, "progress": False}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 5),
    )  # fmt: skip
    return load_model(module, preprocess=((0.5,) * 3, (0.25,) * 3), input_size=32)


@pytest.mark.parametrize(
    ("target", "given", "expected"),
    [
        ("0:3", {}, SMALL),
        ("1:3@4,4", {}, SMALL),
        ("logits:3", {}, WIDE),
        ("logits:3 - 0.1*0:2", {}, WIDE),
        ("0:3 - 1:2", {}, SMALL),
        ("0:3", {"param": "maco"}, MOVEMENTS["maco"]),
        ("logits:3", {"param": "maco"}, WIDE),
        ("logits:3", {"param": "pixel"}, WIDE),
        ("logits:3", {"movements": "small"}, SMALL),
        ("logits:3", {"movements": "small", "param": "maco"}, MOVEMENTS["maco"]),
        ("0:3", {"movements": "wide"}, WIDE),
        ("0:3", {"movements": "wide", "param": "maco"}, WIDE),
        ("logits:3", {"engine": "lucent"}, SMALL),
    ],
)
def test_a_class_is_moved_widely_unless_told_otherwise(model, target, given, expected):
    target = parse(target)
    told = render_settings(model, (target,), {"size": 32, **given})
    assert told.augmentations == (Augmentation.of(expected),)
    assert told.as_dict()["augmentation"] == expected.as_dict()
    network = describe(model, {"model": "x", "input": "y"})
    assert known_settings(network, target, given)["augmentation"] == expected.as_dict()


def test_wide_movements_go_as_far_as_they_say():
    stream = AugmentationStream(Augmentation.of(WIDE), 0, as_targets("layer", range(200)), 224, 224)
    matrices = torch.cat([stream.matrices(step) for step in range(20)])
    scale = 1 / matrices[:, :, :2].det().sqrt()
    angle = torch.rad2deg(torch.atan2(matrices[:, 0, 1], matrices[:, 0, 0]))
    shift = matrices[:, :, 2] * 223 / 2
    assert 0.6 <= scale.min() < 0.61
    assert 1.39 < scale.max() <= 1.4001
    assert 14.9 < angle.max() <= 15.001
    # 7 % of the side before, half of 3 pixels after (enlarged by at most 1 / 0.6).
    assert 15 < shift.abs().max() <= 0.07 * 224 + 1.5 * 1.4 / 0.6


def test_pictures_of_both_kinds_in_one_call_are_those_they_are_alone(model, tmp_path):
    texts = ["0:3", "logits:3", "0:1"]
    both = render(model, texts, steps=6, **HOW)
    for i, text in enumerate(texts):
        alone = render(model, text, steps=6, **HOW)
        np.testing.assert_array_equal(both.images[i], alone.images[0])
        assert take(both, i).settings["augmentation"] == alone.settings["augmentation"]
    assert take(both, 0).settings["augmentation"] != take(both, 1).settings["augmentation"]
    again = join([take(both, i) for i in range(3)], both.targets)
    assert again.settings["augmentation"] == both.settings["augmentation"]
    store = Store(tmp_path)
    store.put_render(model, both)
    for i, text in enumerate(texts):
        found = store.find_render(model, text, steps=6, size=32)
        assert np.abs(found.images[0] - both.images[i]).max() <= 0.5 / 255 + 1e-6
    # What "auto" comes to may be said; another word is another picture.
    assert store.find_render(model, "logits:3", steps=6, size=32, movements="wide") is not None
    assert store.find_render(model, "logits:3", steps=6, size=32, movements="small") is None


def test_they_go_on_as_they_began(model):
    texts = ["0:3", "logits:3"]
    whole = render(model, texts, steps=12, **HOW)
    half = render(model, texts, steps=6, **HOW)
    np.testing.assert_array_equal(render(model, texts, steps=12, resume=half, **HOW).images,
                                  whole.images)  # fmt: skip
    # By other words.
    half = render(model, "logits:3", steps=6, **HOW)
    one = render(model, "logits:3", steps=12, resume=half, movements="wide", **HOW)
    np.testing.assert_array_equal(one.images[0], whole.images[1])
    with pytest.raises(ValueError, match="augmentation"):
        render(model, "logits:3", steps=12, resume=half, movements="small", **HOW)


def test_what_settings_tell_of_several():
    both = moves({"a": SMALL, "b": WIDE, "c": WIDE})
    assert moves_of(both, ["b", "c"]) == WIDE.as_dict()
    assert moves_of(both, ["a"]) == SMALL.as_dict()
    assert moves_of(both, ["c", "a"]) == {"each": {"c": WIDE.as_dict(), "a": SMALL.as_dict()}}
    assert moves({"a": WIDE, "b": WIDE}) == moves_of(WIDE.as_dict(), ["b"]) == WIDE.as_dict()


def test_lucents_engine_has_its_own(model):
    with pytest.raises(WrongValue, match="movements 'wide': engine 'lucent'"):
        render(model, "0:3", engine="lucent", movements="wide", **HOW)
    with pytest.raises(ValueError, match=r"unknown movements 'wild'; did you mean 'wide'"):
        render(model, "0:3", movements="wild", **HOW)
