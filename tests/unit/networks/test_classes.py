"""The network's outputs as a layer whose neurons have names."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from neuron_widget import load_model, look, open_dataset, render, scan
from neuron_widget.errors import ModelError, TargetError, UnknownLayer
from neuron_widget.networks.classes import display_names, imagenet_labels, inception_labels
from neuron_widget.networks.inception import InceptionV1
from neuron_widget.networks.layer_info import LayerInfo
from neuron_widget.targets import Channel, Named, parse

HALF = ((0.5,) * 3, (0.25,) * 3)
NAMES = ["cat", "Great Dane", "crane", "crane", "kit fox"]


def tiny(outputs: int = 5) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, outputs),
    )  # fmt: skip


def opened(module: nn.Module | None = None, labels: object = NAMES):
    return load_model(module or tiny(), preprocess=HALF, input_size=32, labels=labels)


def photos(count: int = 24) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(count)]


@dataclass
class Output:
    logits: torch.Tensor


class Wrapped(nn.Module):
    """Returns its outputs as other libraries do."""

    def __init__(self, how):
        super().__init__()
        self.body, self.how = tiny(), how

    def forward(self, x):
        return self.how(self.body(x))


@pytest.mark.parametrize(
    "how",
    [
        lambda rows: rows,
        lambda rows: (rows, rows[:, :1]),
        lambda rows: {"logits": rows},
        lambda rows: Output(rows),
        lambda rows: rows[:, :, None, None],
    ],
    ids=["tensor", "pair", "dict", "object", "map of one position"],
)
def test_outputs_are_a_layer(how) -> None:
    module = Wrapped(how)
    model = opened(module)
    info = model.layer("logits")
    assert info == LayerInfo("logits", 5, 1, 1, "class", True, tuple(NAMES))
    assert model.menu[-1] == info
    assert info not in model.layers
    images = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        expected = module.eval().body((images - 0.5) / 0.25)
        found = model.reader("logits")(images)
    assert found.shape == (3, 5, 1, 1)
    assert torch.allclose(found[:, :, 0, 0], expected, atol=1e-5)


def test_a_class_is_scanned_and_rendered_as_any_neuron() -> None:
    model = opened()
    found = scan(model, "logits", photos(), top_k=3, progress=False)
    with torch.no_grad():
        dataset = open_dataset(photos())
        squares = [np.array(dataset.load_square(i, 32)) for i in range(24)]
        stack = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float() / 255
        logits = model.reader("logits")(stack)[:, :, 0, 0]
    for neuron in range(5):
        best = logits[:, neuron].topk(3)
        assert [e.index for e in found.top(neuron)] == best.indices.tolist()
        scores = [e.score for e in found.top(neuron)]
        assert np.allclose(scores, best.values.numpy(), atol=1e-5)
    assert found.dead == (), "a logit below 0 is an answer, and nobody is dead"
    assert list(found.to_frame()["name"]) == NAMES
    assert set(found.to_frame("photos")["name"]) == set(NAMES)
    assert found.top("logits:kit fox")[0].neuron == 4
    made = render(model, "logits:kit fox", steps=3, size=32, progress=False)
    assert made.targets == (Channel("logits", 4),)
    with torch.no_grad():
        again = model.reader("logits")(torch.from_numpy(made.images).permute(0, 3, 1, 2))
    assert np.isclose(made.activation[0], again[0, 4, 0, 0], atol=1e-4)


def test_a_photo_is_asked_for_its_classes() -> None:
    seen = look(opened(), "logits", photos()[0])
    assert [one.name for one in seen.strongest(5)] == [NAMES[i] for i in seen.order]
    assert {one.label for one in seen.without(0).best(5)} == set(NAMES)
    assert seen.without(0).after[0] == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("logits:cat", 0),
        ("logits:great  dane", 1),
        ("logits: Kit Fox", 4),
        ("logits:4", 4),
        ("logits:crane", "2 neurons of logits are called 'crane': 'logits:2', 'logits:3'"),
        ("logits:kit focks", "did you mean 'kit fox'"),
        ("logits:fox", "did you mean 'kit fox'"),
        ("logits:zzzz", "no class of logits is called 'zzzz'; it has names such as 'cat'"),
    ],
)
def test_by_name(text: str, found: int | str) -> None:
    with pytest.raises(TargetError, match="cannot read '0:cat' as a target"):
        parse("0:cat")
    model, target = opened(), parse(text)
    if isinstance(found, int):
        assert target.check(model) == Channel("logits", found)
        return
    assert isinstance(target, Named)
    with pytest.raises(TargetError, match=re.escape(found)):
        target.check(model)


@pytest.mark.parametrize(
    ("labels", "error", "says"),
    [
        (["a"] * 4, ValueError, "has 5 outputs, and 4 names were given"),
        ("abcde", TypeError, "labels must be a list of 5 names"),
        (["a", "b", "c", "d", 5], TypeError, "the name of output 4 must be a text, got 5"),
        ({5: "a"}, ValueError, "5 outputs, 0 to 4; there is no output 5"),
        ({"a": "b"}, TypeError, "got the pair ('a', 'b')"),
        (7, TypeError, "got 7"),
    ],
)
def test_wrong_labels(labels: object, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=re.escape(says)):
        opened(labels=labels)


def test_some_labels_and_odd_ones() -> None:
    assert opened(labels={1: "dog"}).labels == ("", "dog", "", "", "")
    assert opened(labels={"cat": 0, "dog": 1}).labels == ("cat", "dog", "", "", "")
    # Shown as text, on one line; nothing that cannot be seen, nothing that turns the text around.
    odd = opened(labels=["<b>x</b>", "a\nb", "a\u202eb", " c ", "x, y"])
    assert odd.labels == ("<b>x</b>", "a b", "a b", "c", "x, y")
    assert opened(labels={1: "dog"}).layer("logits").title(0) == "logits class 0"


@pytest.mark.parametrize(
    ("module", "error", "says"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 3)), ModelError, "no number for each class"),
        (Wrapped(lambda rows: [rows.sum()]), ModelError, "gives a tensor () for 2 image(s)"),
    ],
)
def test_a_network_without_classes(module: nn.Module, error: type[Exception], says: str) -> None:
    model = load_model(module, preprocess=HALF, input_size=32)
    assert all(info.name != "logits" for info in model.menu)
    with pytest.raises(error, match=re.escape(says)):
        model.layer("logits")


def test_a_module_called_logits_goes_first() -> None:
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.logits(x).mean(dim=(2, 3))

    model = load_model(Own(), preprocess=HALF, input_size=32)
    assert model.layer("logits") == LayerInfo("logits", 4, 30, 30)
    with pytest.raises(UnknownLayer):
        model.layer("logit")


def test_known_names() -> None:
    usual = imagenet_labels()
    assert len(usual) == 1000
    assert (usual[207], usual[0].split(",")[0]) == ("golden retriever", "tench")
    own = inception_labels()
    assert len(own) == 1008
    assert own[0] == own[1001] == ""
    assert own[1].startswith("kit fox")
    assert sorted(own[1:1001]) == sorted(usual), "the same classes in another order"
    assert len(set(display_names(usual))) >= 998, "what two classes share is told with all of it"


@pytest.mark.parametrize(
    ("name", "outputs", "neuron"),
    [
        ("efficientnet_lite0", 1000, 207),
        ("torchvision/resnet18", 1000, 207),
        ("timm/resnet18", 1000, 207),
        ("inceptionv1", 1008, inception_labels().index("golden retriever")),
    ],
)
def test_networks_know_their_classes(name: str, outputs: int, neuron: int) -> None:
    model = load_model(name, weights="random", input_size=64)
    info = model.layer("logits")
    assert (info.channels, info.called(neuron)) == (outputs, "golden retriever")
    assert parse("logits:golden retriever").check(model).neuron == neuron
    module = load_model(model.module, preprocess=HALF, input_size=64) if "1" in name else model
    if module is not model and not isinstance(model.module, InceptionV1):
        assert module.labels is None, "of a module of the user's nothing is guessed"


def test_inception_has_a_fast_way_to_its_classes() -> None:
    from neuron_widget.networks.fast import fast_reader, scan_reader

    model = load_model("inceptionv1", weights="random", device="cpu")
    images = torch.rand(2, 3, 224, 224)
    expected = model.reader("logits")(images)
    for make in (fast_reader, scan_reader):
        reader = make(model, "logits", torch.float32)
        assert reader is not None
        with torch.no_grad():
            assert torch.allclose(reader(images), expected, atol=1e-4)
            one = reader(images, False, [7, 1])
        assert torch.allclose(one[:, 0, 0, 0], expected[[0, 1], [7, 1], 0, 0], atol=1e-4)
