"""A composed target in a widget: its image, its text, its Python line, and its neuron's photos."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import load_model
from neuron_widget.errors import TargetError, UnknownLayer, WrongValue
from neuron_widget.networks.model import VisionModel
from neuron_widget.session import Session
from neuron_widget.session.arguments import check_arguments
from neuron_widget.session.export import file_name, python_line
from neuron_widget.session.handle import handle_message
from neuron_widget.session.jobs import Worker
from neuron_widget.targets import parse

LIMIT = 120
Message = dict[str, Any]
Heard = list[tuple[Message, list[bytes]]]
Open = Callable[..., tuple[Session, Heard]]
TEXT = "late:1 - 0.5*early:3"
TOLD = {"kind": "expression", "layer": "late", "neuron": 1, "text": TEXT}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.early = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Softplus())
        self.late = nn.Sequential(nn.Conv2d(6, 4, 3), nn.Softplus())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.late(self.early(x))


@pytest.fixture
def model() -> VisionModel:
    torch.manual_seed(0)
    return load_model(Net(), preprocess=((0.5,) * 3, (0.5,) * 3), input_size=32)


@pytest.fixture
def open_session(tmp_path: Path, model: VisionModel) -> Iterator[Open]:
    worker, opened = Worker(), []
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(3):
        Image.new("RGB", (32, 32), (90, 120 - 40 * i, 60)).save(photos / f"{i}.png")

    def start(layer: Any = TEXT, **more: Any) -> tuple[Session, Heard]:
        heard: Heard = []
        given = {"size": 32, "steps": 4, "previews": False, "store": False, **more}
        settings = check_arguments(
            layer=layer, model=model, weights=None, dataset=photos, neuron=0, device=None, **given
        )
        session = Session(
            settings, lambda message, data: heard.append((message, data)), lambda: None, worker
        )
        handle_message(session, {"kind": "ready", "view": "a"})
        opened.append(session)
        _finish(session)
        return session, heard

    yield start
    for session in opened:
        session.close()
    worker.close()


def _finish(session: Session) -> None:
    while jobs := session.state.jobs():
        assert jobs[0].finished.wait(LIMIT)


def of(heard: Heard, kind: str) -> list[Message]:
    return [m for m, _ in heard if m["kind"] == kind]


def test_an_expression_is_shown_like_a_neuron(open_session: Open, tmp_path: Path) -> None:
    session, heard = open_session("late:1-early:3/2", store=tmp_path / "store")
    assert not of(heard, "error")
    assert str(session.state.target) == TEXT
    assert of(heard, "selected")[-1]["target"] == TOLD
    image = of(heard, "image")[-1]
    assert (image["target"], image["step"], image["comparable"]) == (TOLD, 4, False)
    assert of(heard, "frame") == [] or of(heard, "frame")[-1]["target"] == TOLD
    # Gallery and photos are of its first neuron.
    assert of(heard, "photos")[-1]["target"] == {"kind": "channel", "layer": "late", "neuron": 1}
    assert not of(heard, "thumbs")  # a tile shows a whole neuron
    line, _ = python_line(session.state.settings, session.state.target, 4)
    assert line.startswith(f'NeuronWidget("{TEXT}", model=model, dataset=')
    assert file_name(session.state.target, "figure") == "late-1-0.5-early_3_figure.png"
    # Its own neuron alone, another spelling of it, and back.
    session.select(neuron=2)
    _finish(session)
    assert str(session.state.target) == "late:2"
    heard.clear()
    handle_message(
        session,
        {"kind": "select", "seq": 5, "target": TOLD, "steps": 4, "settled": True},
    )
    _finish(session)
    assert of(heard, "selected")[-1]["target"] == TOLD
    assert of(heard, "image")[-1]["activation"] == image["activation"]
    # Another widget finds it in the store.
    _, later = open_session(parse(TEXT), store=tmp_path / "store")
    assert of(later, "image")[-1]["activation"] == pytest.approx(image["activation"], rel=1e-3)
    assert not of(later, "frame")


def test_an_expression_is_pinned_and_has_facets_and_ways(open_session: Open) -> None:
    session, heard = open_session(facets=2)
    strip = of(heard, "strip")[-1]
    assert strip["of"] == [TOLD]
    assert strip["expression"] == f"apart({TEXT}, late)"
    session.select("late:0")
    _finish(session)
    pins = [TOLD, session.state.target.as_dict()]
    handle_message(session, {"kind": "pin", "pins": pins})
    assert of(heard, "pins")[-1]["pins"] == pins
    handle_message(session, {"kind": "between", "first": pins[0], "last": pins[1]})
    _finish(session)
    assert not of(heard, "error")
    assert of(heard, "strip")[-1]["of"] == pins


def test_a_photo_is_held_near_where_an_expression_says_so(
    open_session: Open, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (32, 32), (20, 30, 200)).save(photo)
    session, heard = open_session("late:1 - 9*distance(early)", start=photo, facets=2)
    assert not of(heard, "error")
    assert of(heard, "image")[-1]["target"]["text"] == "late:1 - 9*distance(early)"
    assert len(of(heard, "strip")[-1]["activation"][0]) == 2
    assert session.state.settings.options["start"] is not None


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("late:1 +", TargetError, "at its end"),
        ("late:1 - erly:3", UnknownLayer, "did you mean 'early'"),
        ("late:1 - diversity(late)", TargetError, "speaks of several images"),
        ("late:1 - distance(early)", WrongValue, "say start=PHOTO"),
    ],
)
def test_a_wrong_expression_changes_nothing(
    open_session: Open, text: str, error: type[Exception], says: str
) -> None:
    session, heard = open_session("late:0")
    heard.clear()
    with pytest.raises(error, match=says):
        session.select(text)
    with pytest.raises(error, match=says):
        session.pin([text])
    assert str(session.state.target) == "late:0"
    assert not heard
    assert not session.state.jobs()


def test_what_only_the_network_can_tell_is_said_when_it_is_open(open_session: Open) -> None:
    session, heard = open_session("late:1 - 0.5*erly:3")
    said = of(heard, "error")[-1]
    assert said["title"] == "Showing late neuron 0 instead"
    assert "did you mean 'early'" in said["message"]
    assert isinstance(session.state.problem, UnknownLayer)


def test_a_maco_image_has_a_transparency(open_session: Open, tmp_path: Path) -> None:
    store = tmp_path / "store"
    _, heard = open_session("late:1", param="maco", store=store)
    sent = next(data for m, data in reversed(heard) if m["kind"] == "image")
    image, alpha = (Image.open(io.BytesIO(data)) for data in sent)
    assert (alpha.size, alpha.mode) == (image.size, "LA")
    seen = np.asarray(alpha)[..., 1]
    assert (seen.max(), (seen == 255).mean()) == (255, pytest.approx(0.2, abs=0.02))
    assert seen.min() < 255
    # The store has none, nor have other images one.
    for how in ({"param": "maco", "store": store}, {}):
        _, heard = open_session("late:1", **how)
        assert len(next(data for m, data in reversed(heard) if m["kind"] == "image")) == 1
