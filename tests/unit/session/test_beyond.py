"""Classes and dictionaries in a session: what the page hears of them, and what it can ask for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neuron_widget import Dictionary, load_model
from neuron_widget.errors import DatasetError, WrongValue
from neuron_widget.session import Session
from neuron_widget.session.arguments import check_arguments
from neuron_widget.session.dictionaries import read_wish
from neuron_widget.session.export import python_line
from neuron_widget.session.handle import handle_message
from neuron_widget.session.jobs import Worker
from neuron_widget.targets import Channel

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
LIMIT = 120  # only a test that hangs takes so long


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.late = nn.Sequential(nn.Conv2d(3, 8, 5, stride=4), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.late(x).mean((2, 3)))


class Page:
    """A session, and what it says."""

    def __init__(self, layer: str | None, dataset: Any = None) -> None:
        rng = np.random.default_rng(0)
        photos = [rng.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(24)]
        self.model = load_model(Tiny(), preprocess=HALF, input_size=32, labels=["a", "<b>", "kit"])
        self.said: list[dict[str, Any]] = []
        self.changed = threading.Condition()
        self.worker = Worker()
        settings = check_arguments(
            layer=layer, model=self.model, weights=None, neuron=0, device=None, store=False,
            dataset=photos if dataset is None else dataset, steps=4, size=32, previews=False,
        )  # fmt: skip
        self.session = Session(settings, self.send, lambda: None, self.worker)

    def send(self, message: dict[str, Any], _buffers: list[bytes]) -> None:
        with self.changed:
            self.said.append(message)
            self.changed.notify_all()
        if message["kind"] == "frame":
            self.session.state.frames.acknowledged(message["index"])

    def wait(self, good: Any) -> dict[str, Any]:
        with self.changed:
            assert self.changed.wait_for(lambda: any(map(good, self.said)), LIMIT), [
                m["message"] if m["kind"] == "error" else m["kind"] for m in self.said
            ]
            return next(m for m in reversed(self.said) if good(m))

    def layers(self) -> dict[str, dict[str, Any]]:
        told = [m for m in self.said if m["kind"] == "opened"][-1]
        return {layer["name"]: layer for layer in told["network"]["layers"]}


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Iterator[Any]:
    pages: list[Page] = []

    def make(*args: Any) -> Page:
        pages.append(Page(*args))
        return pages[-1]

    yield make
    for one in pages:
        one.session.close()
        one.worker.close()


def test_the_page_hears_the_names_of_classes(page) -> None:
    own = page("logits:KIT")
    photos = own.wait(lambda m: m["kind"] == "photos")
    assert photos["target"] == Channel("logits", 2).as_dict()
    assert photos["dead"] is False
    assert own.layers()["logits"] == {
        "name": "logits", "channels": 3, "height": 1, "width": 1, "word": "class",
        "names": ["a", "<b>", "kit"], "signed": True, "kind": "vector", "group": "head",
    }  # fmt: skip
    assert "word" not in own.layers()["late.1"]
    own.wait(lambda m: m["kind"] == "image")
    state = own.session.state
    assert state.title(state.target) == "logits class kit"
    assert python_line(state.settings, state.target, 4)[0].startswith('NeuronWidget("logits"')
    strengths = own.wait(lambda m: m["kind"] == "strengths")
    assert strengths["dead"] == []


def test_a_name_that_is_none_is_told_and_the_layer_shown(page) -> None:
    own = page("logits:kid")
    error = own.wait(lambda m: m["kind"] == "error")
    assert "did you mean 'kit'" in error["message"]
    assert own.session.state.target == Channel("late", 0) or own.session.state.layer == "logits"


@pytest.mark.parametrize(("wish", "features"), [("nmf 3", 3), ("PCA 4", 4), ("sae  5", 5)])
def test_learnt_from_the_photos_on_screen(page, wish: str, features: int) -> None:
    own = page("late")
    own.wait(lambda m: m["kind"] == "photos")
    handle_message(own.session, {"kind": "dictionary", "wish": wish})
    name = f"late/{wish.split()[0].lower()}{features}"
    own.wait(lambda m: m["kind"] == "selected" and m["target"]["layer"] == name)
    assert own.layers()[name]["channels"] <= features
    assert own.layers()[name]["word"] == "feature"
    own.wait(lambda m: m["kind"] == "photos" and m["target"]["layer"] == name)
    own.wait(lambda m: m["kind"] == "image" and m["target"]["layer"] == name)
    line, note = python_line(own.session.state.settings, own.session.state.target, 4)
    assert "model=model" in line
    assert f'model.add_dictionary("late", dictionary, name="{name[5:]}")' in note


def test_opened_from_a_file(page, tmp_path) -> None:
    own = page("late")
    own.wait(lambda m: m["kind"] == "photos")
    path = Dictionary(np.eye(8)[:3] + 0.1).save(tmp_path / "my rows.safetensors")
    handle_message(own.session, {"kind": "dictionary", "wish": f'"{path}"'})
    own.wait(lambda m: m["kind"] == "selected" and m["target"]["layer"] == "late/my-rows")


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ("nowhere.safetensors", "cannot read 'nowhere.safetensors'"),
        ("pca 9", "features must be at most 8"),
    ],
)
def test_what_cannot_be_had_is_told(page, wish: str, says: str) -> None:
    own = page("late")
    own.wait(lambda m: m["kind"] == "photos")
    handle_message(own.session, {"kind": "dictionary", "wish": wish})
    error = own.wait(lambda m: m["kind"] == "error" and m["message"])
    assert says in error["message"]
    assert (error["where"], error["traceback"]) == ("scan", "")
    assert own.session.state.layer == "late"


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("nmf 64", ("nmf", 64)),
        (" SAE", ("sae", 64)),
        ("pca:12 ", ("pca", 12)),
        ("nmf64", ("nmf", 64)),
        ("./nmf 64.safetensors", "./nmf 64.safetensors"),
        ("file:///a/b.safetensors", "/a/b.safetensors"),
    ],
)
def test_what_a_person_types(text: str, wish: object) -> None:
    assert read_wish(text) == wish


@pytest.mark.parametrize("text", ["", "  ", "nmf 0", "nmf 99999999"])
def test_what_is_no_wish(text: str) -> None:
    with pytest.raises(WrongValue):
        read_wish(text)


def test_without_photos(page, tmp_path) -> None:
    (tmp_path / "a.txt").write_text("x")
    own = page("late", tmp_path)
    own.wait(lambda m: m["kind"] == "error" and m["where"] == "scan")
    with pytest.raises(DatasetError, match="no photos to learn from"):
        handle_message(own.session, {"kind": "dictionary", "wish": "nmf 4"})
