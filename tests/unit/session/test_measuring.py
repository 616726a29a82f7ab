"""How far pictures predict neurons, as a page hears of it."""

from __future__ import annotations

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
from neuron_widget.session import Session, Settings
from neuron_widget.session.handle import handle_message
from neuron_widget.session.jobs import Worker

LIMIT = 120


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for i in range(120):
        path = root / f"class{i % 3}" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((32, 32, 3), random.integers(0, 256, 3), np.uint8)).save(path)
    return root


@pytest.fixture
def open_session(folder: Path) -> Iterator[Callable[..., tuple[Session, list[dict[str, Any]]]]]:
    worker, opened = Worker(), []
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    nn.init.constant_(net[0].bias, 1.0)
    model = load_model(net, preprocess=((0.5,) * 3, (0.5,) * 3), input_size=32)

    def start(photos: object = folder, **more: Any) -> tuple[Session, list[dict[str, Any]]]:
        heard: list[dict[str, Any]] = []
        given = {"size": 32, "steps": 2, "previews": False, "store": False, **more}
        settings = Settings(model=model, layer="1", dataset=photos, **given)
        session = Session(settings, lambda message, _: heard.append(message), lambda: None, worker)
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


def predicted(heard: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [m for m in heard if m["kind"] == "predicted"]


def test_a_page_asks_once_and_hears_of_photos_then_of_each_image(open_session: Any) -> None:
    session, heard = open_session()
    assert not predicted(heard)  # not before somebody wants to know
    handle_message(session, {"kind": "measure"})
    _finish(session)
    assert not [m for m in heard if m["kind"] == "error"]
    progress = [m["state"] for m in heard if m["kind"] == "progress" and m["task"] == "measure"]
    assert (progress[0], progress[-1]) == ("waiting", "done")
    first, last = predicted(heard)[0], predicted(heard)[-1]
    assert all(0 <= share <= 1 for share in first["photos"])
    assert (first["layer"], first["reason"]) == ("1", "")
    assert first["summary"].startswith("EfficientNet-Lite0: 4 neurons, right in")
    assert len(first["chart"]) == 11
    assert "█" in first["chart"]
    # Neuron 0 was rendered before, neuron 2 is rendered now.
    assert [share is not None for share in last["image"]] == [True, False, False, False]
    session.select(neuron=2)
    _finish(session)
    now = predicted(heard)[-1]
    assert [share is not None for share in now["image"]] == [True, False, True, False]
    assert now["photos"] == first["photos"]
    # A page that comes later hears it too; measured is measured.
    message, _ = session.state.snapshot()
    assert [m for m in message["messages"] if m["kind"] == "predicted"] == [now]
    assert session.measure() is None
    # Other pictures, other shares.
    session.configure({"seed": 1})
    _finish(session)
    other = predicted(heard)[-1]
    assert [share is not None for share in other["image"]] == [False, False, True, False]


def test_a_stop_can_be_resumed_and_other_photos_are_asked_about_anew(
    open_session: Any, folder: Path, tmp_path: Path
) -> None:
    session, heard = open_session()
    session.measure()
    session.stop("measure")
    _finish(session)
    assert not predicted(heard)
    assert [m["state"] for m in heard if m["kind"] == "progress"][-1] == "stopped"
    handle_message(session, {"kind": "resume", "task": "measure"})
    _finish(session)
    assert predicted(heard)
    few = tmp_path / "few"
    few.mkdir()
    for file in sorted(folder.rglob("*.png"))[:20]:
        (few / file.name).write_bytes(file.read_bytes())
    session.scan(str(few))
    _finish(session)
    assert session.state.cache.measured("1") is None
    session.measure()
    _finish(session)
    told = predicted(heard)[-1]
    assert "20 photos are too few" in told["reason"]
    assert told["photos"] == [None] * 4


def test_before_the_scan_there_is_nothing_to_measure(open_session: Any) -> None:
    session, _ = open_session(auto=False)
    with pytest.raises(WidgetError, match="not scanned yet"):
        session.measure()
