"""Facets of what is selected, and what lies between two pins, as a page hears of them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import load_model
from neuron_widget.errors import WidgetError
from neuron_widget.rendering.accentuation import TRIAL
from neuron_widget.session import Session, Settings
from neuron_widget.session.handle import handle_message
from neuron_widget.session.jobs import Worker

LIMIT = 120
Message = dict[str, Any]
Open = Callable[..., tuple[Session, list[tuple[Message, list[bytes]]]]]


@pytest.fixture
def open_session(tmp_path: Path) -> Iterator[Open]:
    worker, opened = Worker(), []
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (32, 32), (90, 120, 60)).save(photos / "0.png")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Softplus())
    nn.init.constant_(net[0].bias, 1.0)
    model = load_model(net, preprocess=((0.5,) * 3, (0.5,) * 3), input_size=32)

    def start(**more: Any) -> tuple[Session, list[tuple[Message, list[bytes]]]]:
        heard: list[tuple[Message, list[bytes]]] = []
        given = {"size": 32, "steps": 4, "previews": False, "store": False, **more}
        settings = Settings(model=model, layer="3", dataset=photos, **given)
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


def strips(heard: list[tuple[Message, list[bytes]]], task: str = "facets") -> list[Any]:
    return [(m, data) for m, data in heard if m["kind"] == "strip" and m["task"] == task]


def states(heard: list[tuple[Message, list[bytes]]], task: str = "facets") -> list[str]:
    return [m["state"] for m, _ in heard if m["kind"] == "progress" and m["task"] == task]


def configure(session: Session, **change: Any) -> None:
    handle_message(
        session, {"kind": "configure", "settings": {**session.state.settings.page, **change}}
    )
    _finish(session)


def test_facets_follow_the_image_with_what_each_keeps_of_its_activation(
    open_session: Open, tmp_path: Path
) -> None:
    session, heard = open_session(store=tmp_path)
    assert not strips(heard)  # not before somebody wants them
    configure(session, facets=3)
    assert not [m for m, _ in heard if m["kind"] == "error"]
    assert (states(heard)[0], states(heard)[-1]) == ("waiting", "done")
    message, pictures = strips(heard)[-1]
    assert [p[:2] for p in pictures] == [b"\xff\xd8"] * 3
    assert message["of"] == [session.state.target.as_dict()]
    assert (message["step"], message["steps"], "index" in message) == (4, 4, False)
    result = session.state.result
    assert result is not None
    single = float(result.activation[0])
    (values,), (shares,) = message["activation"], message["shares"]
    assert shares == pytest.approx([v / single for v in values])
    # They are a group like any other: a text, and so a place in the store.
    assert message["expression"] == "apart(3:0, 3)"
    # Another neuron's follow its image; those that were made are there again at once.
    session.select(neuron=1)
    _finish(session)
    assert strips(heard)[-1][0]["of"][0]["neuron"] == 1
    heard.clear()
    session.select(neuron=0)
    assert strips(heard)[-1] == (message, pictures)
    # A page that comes later hears of them.
    snapshot, _ = session.state.snapshot()
    assert [m for m in snapshot["messages"] if m["kind"] == "strip"] == [message]
    # One is none beside the image.
    heard.clear()
    configure(session, facets=1)
    assert not strips(heard)
    # Another session finds them in the store, and renders nothing.
    _, later = open_session(store=tmp_path, facets=3)
    assert strips(later)[-1][0]["activation"] == [pytest.approx(values, rel=1e-3)]
    assert not [m for m, _ in strips(later) if "index" in m]


@pytest.mark.parametrize("stored", [False, True])
def test_facets_are_stopped_and_go_on_where_they_were(
    open_session: Open, tmp_path: Path, stored: bool
) -> None:
    store = tmp_path if stored else False
    session, heard = open_session(steps=300, store=store)
    told = session.state.send

    def send(message: Message, data: list[bytes]) -> None:
        told(message, data)
        if message["kind"] == "strip" and "index" in message and message["step"] < 300:
            session.stop("facets")

    session.state.send = send
    configure(session, facets=2)
    session.state.send = told
    assert states(heard)[-1] == "stopped"
    left = strips(heard)[-1][0]
    assert 0 < left["step"] < 300
    assert len(left["activation"][0]) == 2
    # It does not go on by itself.
    session.select(neuron=1)
    session.select(neuron=0)
    _finish(session)
    assert strips(heard)[-1][0]["step"] == left["step"] or strips(heard)[-1][0]["of"][0]["neuron"]
    heard.clear()
    handle_message(session, {"kind": "resume", "task": "facets"})
    _finish(session)
    steps = [m["step"] for m, _ in strips(heard)]
    assert steps[-1] == 300
    assert min(steps) > left["step"]
    whole, _ = open_session(steps=300, facets=2)
    now = [m for m, _ in whole.state.strips.values()]
    assert strips(heard)[-1][0]["activation"][0] == pytest.approx(now[0]["activation"][0], rel=1e-4)


@pytest.mark.parametrize(
    ("objective", "start"),
    [("channel", "apart(3:0, "), ("unit", "apart(3:0@14,14, "), ("least", "apart(-3:0, ")],
)
def test_facets_are_of_what_is_maximised(open_session: Open, objective: str, start: str) -> None:
    _, heard = open_session(objective=objective, facets=2)
    message = strips(heard)[-1][0]
    assert message["expression"].startswith(start)
    image = [m for m, _ in heard if m["kind"] == "image"][-1]
    # Also of the least: what a neuron fires is told, not minus that.
    assert image["activation"] > 0
    assert all(value > 0 for value in message["activation"][0])
    assert [len(row) for row in message["shares"]] == [0 if objective == "least" else 2]
    assert image["comparable"] == (objective != "unit")


def test_the_least_image_fires_less_than_any_other(open_session: Open) -> None:
    _, most = open_session(steps=24)
    _, least = open_session(steps=24, objective="least")
    high, low = ([m for m, _ in heard if m["kind"] == "image"][-1] for heard in (most, least))
    assert low["activation"] < low["history"][0][1]
    assert low["activation"] < high["activation"]


def test_between_two_pins_lie_pictures_that_fire_both(open_session: Open) -> None:
    session, heard = open_session()
    first = session.state.target.as_dict()
    last = {**first, "neuron": 2}
    ask = {"kind": "between", "first": first, "last": last}
    with pytest.raises(WidgetError, match="neuron 2 has no picture yet: render it first"):
        handle_message(session, ask)
    session.select(neuron=2)
    _finish(session)
    with pytest.raises(WidgetError, match="itself"):
        handle_message(session, {**ask, "first": last})
    handle_message(session, ask)
    _finish(session)
    assert (states(heard, "between")[0], states(heard, "between")[-1]) == ("waiting", "done")
    message, pictures = strips(heard, "between")[-1]
    assert message["of"] == [first, last]
    assert len(pictures) == 6
    assert [len(row) for row in message["shares"]] == [6, 6]
    # However much more easily one of them is made, each is a part of the middle.
    assert re.search(r"interpolate\(3:0, ([\d.]+\*)?3:2\)", message["expression"])
    # Asked for again it is there.
    heard.clear()
    handle_message(session, ask)
    assert strips(heard, "between") == [(message, pictures)]


def test_other_settings_end_what_is_made_with_the_old(open_session: Open) -> None:
    session, heard = open_session(facets=2)
    before = strips(heard)[-1]
    configure(session, seed=1)
    after = strips(heard)[-1]
    assert after[1] != before[1]
    snapshot, _ = session.state.snapshot()
    assert [m for m in snapshot["messages"] if m["kind"] == "strip"] == [after[0]]


def accentuate(session: Session, number: int = 0, of: str = "dataset", neuron: int = 0) -> None:
    target = {"kind": "channel", "layer": "3", "neuron": neuron}
    photo = {"of": of, "number": number}
    handle_message(session, {"kind": "accentuate", "target": target, "photo": photo})
    _finish(session)


def errors(heard: list[tuple[Message, list[bytes]]]) -> list[str]:
    return [m["message"] for m, _ in heard if m["kind"] == "error" and m["message"]]


def test_from_a_photo_forms_what_fires_the_neuron_more(open_session: Open, tmp_path: Path) -> None:
    session, heard = open_session(store=tmp_path / "store")
    accentuate(session)
    assert not errors(heard)
    assert (states(heard, "accentuation")[0], states(heard, "accentuation")[-1]) == (
        "waiting",
        "done",
    )
    message, pictures = strips(heard, "accentuation")[-1]
    assert message["photo"] == {"of": "dataset", "number": 0}
    assert message["at"] == [0, 1, 2, 4, 8, 16, 32, 64]
    assert len(pictures) == 8
    # The first is the photo, which is of one colour.
    colour = np.asarray(Image.open(io.BytesIO(pictures[0])))
    assert np.abs(colour.astype(int) - [90, 120, 60]).max() <= 3
    (worth,) = message["activation"]
    assert worth[-1] > worth[0]
    assert message["shares"] == [[]]
    assert re.fullmatch(r"3:0 - [\d.]+\*distance\(2\)", message["expression"])
    # It may be of a private photo: the store has the image of the neuron, and nothing else.
    kept = "".join(map(str, (tmp_path / "store").rglob("*")))
    assert "distance" not in kept
    assert "distance" not in "".join(
        file.read_bytes().decode("latin-1") for file in tmp_path.rglob("*.webp")
    )
    # A later page hears of it; asked for again it is there.
    snapshot, _ = session.state.snapshot()
    assert [m for m in snapshot["messages"] if m["kind"] == "strip"] == [message]
    heard.clear()
    accentuate(session)
    assert strips(heard, "accentuation") == [(message, pictures)]


def test_from_a_photo_goes_on_where_it_was_stopped(
    open_session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, heard = open_session()
    monkeypatch.setattr(session.state.frames, "due", lambda: True)
    told = session.state.send

    def send(message: Message, data: list[bytes]) -> None:
        told(message, data)
        # Past the trial, which says how near the photo it is to be held.
        if message["kind"] == "strip" and "index" in message and message["step"] > TRIAL:
            session.stop("accentuation")

    session.state.send = send
    accentuate(session)
    session.state.send = told
    assert states(heard, "accentuation")[-1] == "stopped"
    left, pictures = strips(heard, "accentuation")[-1]
    assert len(left["at"]) == len(pictures)
    assert left["at"][0] == 0
    assert left["at"][-1] == left["step"] < 64
    handle_message(session, {"kind": "resume", "task": "accentuation"})
    _finish(session)
    whole, _ = strips(heard, "accentuation")[-1]
    assert whole["at"] == [0, 1, 2, 4, 8, 16, 32, 64]
    assert whole["expression"] == left["expression"]


@pytest.mark.parametrize(
    ("how", "expression"),
    [
        ({"objective": "unit"}, r"3:0@14,14 - [\d.]+\*distance\(2\)"),
        ({"objective": "least"}, r"-3:0 - [\d.]+\*distance\(2\)"),
        ({"param": "maco"}, r"3:0 - [\d.]+\*distance\(2\)"),
    ],
)
def test_from_a_photo_is_what_is_maximised(
    open_session: Open, how: dict[str, str], expression: str
) -> None:
    session, heard = open_session(**how)
    accentuate(session)
    assert not errors(heard)
    assert re.fullmatch(expression, strips(heard, "accentuation")[-1][0]["expression"])


def test_what_forms_of_a_photo_that_is_put_away_is_not_kept(
    open_session: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, heard = open_session()
    monkeypatch.setattr(session.state.frames, "due", lambda: True)
    session.look(Image.new("RGB", (40, 40), (10, 200, 30)))
    _finish(session)
    number = [m for m, _ in heard if m["kind"] == "looked"][-1]["look"]
    told = session.state.send

    def send(message: Message, data: list[bytes]) -> None:
        told(message, data)
        if message["kind"] == "strip" and message["step"] == 5:
            handle_message(session, {"kind": "put_away"})

    session.state.send = send
    accentuate(session, number, "brought")
    assert [m["step"] for m, _ in strips(heard, "accentuation")][-1] == 5
    assert states(heard, "accentuation")[-1] == "stopped"
    assert not session.state.strips
    handle_message(session, {"kind": "resume", "task": "accentuation"})
    assert not session.state.jobs()


def test_a_photo_that_was_brought_is_forgotten_with_what_was_made_of_it(
    open_session: Open, tmp_path: Path
) -> None:
    session, heard = open_session()
    session.look(Image.new("RGB", (40, 40), (10, 200, 30)))
    _finish(session)
    number = [m for m, _ in heard if m["kind"] == "looked"][-1]["look"]
    accentuate(session, number, "brought")
    assert strips(heard, "accentuation")[-1][0]["photo"] == {"of": "brought", "number": number}
    handle_message(session, {"kind": "put_away"})
    snapshot, _ = session.state.snapshot()
    assert not [m for m in snapshot["messages"] if m["kind"] == "strip"]
    accentuate(session, number, "brought")
    assert errors(heard)[-1] == "that photo was put away: bring it again"
    assert states(heard, "accentuation")[-1] == "failed"
    # One of the data set's goes with the data set.
    accentuate(session)
    others = tmp_path / "others"
    others.mkdir()
    Image.new("RGB", (32, 32), (9, 9, 90)).save(others / "0.png")
    session.scan(others)
    _finish(session)
    assert not session.state.strips
    heard.clear()
    accentuate(session, 7)
    assert "photo 7 is none of those any more that fire" in errors(heard)[-1]
    accentuate(session)
    assert strips(heard, "accentuation")[-1][0]["photo"]["number"] == 0
    configure(session, seed=4)
    assert not session.state.strips
