"""What a notebook file holds of a widget: only what changed is sent, and never too much."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import load_model
from neuron_widget.page import notebook_state
from neuron_widget.page.notebook_state import NotebookState
from neuron_widget.session import Session, Settings
from neuron_widget.session.jobs import Worker

LIMIT = 120


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 7, stride=4, padding=3), nn.ReLU(), nn.Conv2d(4, 80, 1))
    return load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("private")
    random = np.random.default_rng(0)
    for i in range(12):
        name = root / ("a" if i % 2 else "b") / f"{i}.png"
        name.parent.mkdir(exist_ok=True)
        noise = random.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((64, 64)).save(name)
    return root


class Page:
    """The page's copy of the widget's state."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.came: list[str] = []

    def update(self, news: dict[str, Any]) -> None:
        self.came += news
        self.state |= json.loads(json.dumps(news, allow_nan=False))


Made = tuple[Session, NotebookState, Page]


@pytest.fixture
def make(model: Any, photos: Path) -> Iterator[Callable[[], Made]]:
    worker, sessions = Worker(), []

    def make_it() -> Made:
        page = Page()
        saved = NotebookState(page.update)
        given = {"model": model, "dataset": str(photos), "layer": "2", "size": 32, "steps": 6}
        session = Session(
            Settings(**{**given, "auto": False}),
            lambda message, _: saved.heard(message["kind"]),
            lambda: None,
            worker,
        )
        saved.follow(session.state)
        sessions.append(session)
        return session, saved, page

    yield make_it
    for session in sessions:
        session.close()
    worker.close()


def rest(session: Session) -> None:
    end = time.monotonic() + LIMIT
    while session.foreground():
        assert time.monotonic() < end
        time.sleep(0.01)


def pack(session: Session, saved: NotebookState) -> None:
    rest(session)
    assert saved.packing().finished.wait(LIMIT)
    saved.send()


def render(session: Session, neuron: int) -> None:
    rest(session)
    session.select(neuron=neuron)
    session.render()
    rest(session)


def test_it_holds_what_the_page_was_told_and_sends_only_news(
    make: Callable[[], Made], photos: Path
) -> None:
    session, saved, page = make()
    session.scan()
    render(session, 3)
    pack(session, saved)
    assert set(page.state) == {"_saved", "_saved_3", "_saved_tiles_0"}
    base, part = page.state["_saved"], page.state["_saved_3"]
    assert base["parts"] == ["_saved_3", "_saved_tiles_0"]
    assert base["holds"] == [3]
    assert base["selected"]["target"]["neuron"] == 3
    assert [m["kind"] for m in base["messages"]] == ["opened", "dataset", "strengths"]
    assert "neuronWidgetSaved" in base["code"]
    assert part["neuron"]["image"]["step"] == 6
    shots = part["neuron"]["photos"]
    assert len(shots["most"]) == len(shots["least"]) == 9
    assert {shot[0] for shot in (*shots["most"], *shots["least"])} == part["photos"].keys()
    # Where the photos are on this machine is in none of it but the line that was typed.
    said = json.dumps({**page.state, "_saved": {**base, "line": "", "messages": []}})
    assert str(photos) not in said

    page.came.clear()
    pack(session, saved)
    assert page.came == []
    render(session, 70)
    pack(session, saved)
    # Its picture and its tile; the names of the parts come last.
    assert page.came == ["_saved_70", "_saved_tiles_1", "_saved"]
    assert page.state["_saved"]["holds"] == [3, 70]


def test_a_page_loaded_again_gets_all_of_it_and_an_unwatched_widget_packs_nothing(
    make: Callable[[], Made],
) -> None:
    session, saved, page = make()
    render(session, 3)
    assert saved.parts == {}
    saved.watched = True
    saved.heard("image")
    end = time.monotonic() + LIMIT
    while "_saved" not in page.state:
        assert time.monotonic() < end
        time.sleep(0.02)
    page.state.clear()
    saved.send_again()
    while "_saved" not in page.state:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert "_saved_3" in page.state


def test_the_latest_stay_when_there_is_too_much(
    make: Callable[[], Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, saved, page = make()
    for neuron in (1, 2):
        render(session, neuron)
    pack(session, saved)
    assert page.state["_saved"]["holds"] == [1, 2]
    sizes = {name: len(json.dumps(part)) for name, part in page.state.items()}
    room = sizes["_saved_tiles_0"] + sizes["_saved_2"] + sizes["_saved_1"] // 2
    monkeypatch.setattr(notebook_state, "MOST_BYTES", room)
    pack(session, saved)
    assert page.state["_saved"]["holds"] == [2]
    assert page.state["_saved_1"] is None


def test_a_host_that_takes_nothing_from_a_worker_is_no_fault_of_the_work(
    make: Callable[[], Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, saved, _page = make()

    def refuse(news: dict[str, Any]) -> None:
        raise RuntimeError("Cannot send outside of a session")

    monkeypatch.setattr(saved, "_send", refuse)
    saved.watched = True
    render(session, 3)
    assert saved.packing().finished.wait(LIMIT)
    kinds = [m["kind"] for m in session.state.snapshot()[0]["messages"]]
    assert "image" in kinds
    assert "error" not in kinds
