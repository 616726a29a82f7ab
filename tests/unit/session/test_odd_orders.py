"""What people do in an order that nobody thought of."""

from __future__ import annotations

import io
import threading
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
from neuron_widget.errors import NeuronWidgetError
from neuron_widget.session import Session, Settings, audience, scanning
from neuron_widget.session.handle import handle_message
from neuron_widget.session.jobs import Worker
from neuron_widget.session.pace import PYTHON
from neuron_widget.session.previews import Previews
from neuron_widget.targets import Channel

# Only a test that hangs takes so long.
LIMIT = 120
HALF = ((0.5,) * 3, (0.5,) * 3)


class Two(nn.Module):
    """Two layers, the second with many more neurons."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.few = nn.Conv2d(3, 8, 5, stride=3)
        self.many = nn.Conv2d(8, 30, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.many(torch.relu(self.few(x))).mean((2, 3))


class Page:
    """What was said to the page, and what it asks for."""

    def __init__(self, **how: Any) -> None:
        self.said: list[dict[str, Any]] = []
        self.worker = Worker()
        plain = {"model": load_model(Two(), preprocess=HALF, input_size=32), "dataset": photos()}
        plain |= {"layer": "few", "size": 32, "steps": 12, "auto": False, "store": False}
        view = how.pop("view", True)
        self.session = Session(Settings(**{**plain, **how}), self, lambda: None, self.worker)
        if view:
            self.session.view("a", visible=True)
        self.idle()

    def __call__(self, message: dict[str, Any], _buffers: list[bytes]) -> None:
        self.said.append(message)
        if message["kind"] == "frame":
            self.session.state.frames.acknowledged(message["index"])

    def of(self, kind: str, **more: object) -> list[dict[str, Any]]:
        return [
            m for m in self.said if m["kind"] == kind and all(m[k] == v for k, v in more.items())
        ]

    def errors(self) -> list[str]:
        return [m["message"] for m in self.of("error") if m["message"]]

    def ask(self, kind: str, *buffers: bytes, **more: Any) -> None:
        handle_message(self.session, {"kind": kind, **more}, buffers)

    def wait(self, true: Callable[[], object]) -> None:
        end = time.monotonic() + LIMIT
        while not true():
            assert time.monotonic() < end, [m["kind"] for m in self.said]
            time.sleep(0.005)

    def idle(self) -> None:
        self.wait(lambda: not self.session.state.jobs())


@pytest.fixture
def open_page() -> Iterator[Callable[..., Page]]:
    pages: list[Page] = []

    def make(**how: Any) -> Page:
        pages.append(Page(**how))
        return pages[-1]

    yield make
    for page in pages:
        page.session.close()
        page.worker.close()


def photos(count: int = 12) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)) for _ in range(count)
    ]


def file() -> bytes:
    there = io.BytesIO()
    photos(1)[0].save(there, "PNG")
    return there.getvalue()


def target(neuron: int, layer: str = "few") -> dict[str, Any]:
    return Channel(layer, neuron).as_dict()


class Held(torch.utils.data.Dataset[Any]):
    """Photos that are given one by one, as long as the test wants no more."""

    def __init__(self, first: int) -> None:
        self.left = threading.Semaphore(first)
        self.all = False

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, i: int) -> Image.Image:
        while not self.all and not self.left.acquire(timeout=0.05):
            pass
        return Image.new("RGB", (32, 32), (i % 256, 255 - i % 256, i // 4))


@pytest.mark.parametrize("page_before", [False, True])
def test_work_goes_on_where_only_python_has_looked_on(
    open_page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch, page_before: bool
) -> None:
    monkeypatch.setattr(audience, "GONE_S", 0.01)
    held = Held(60)
    page = open_page(view=page_before, dataset=held)
    session = page.session
    job = session.scan()
    if page_before:
        session.view("a", visible=False, gone=True)
    session.view(f"{PYTHON}1", visible=False)
    session.view(f"{PYTHON}1", visible=False, gone=True)
    # One photo more at each look: the worker comes to what else there is between two batches.
    page.wait(lambda: held.left.release() or "leave" not in [j.task for j in session.state.jobs()])
    held.all = True
    assert job.finished.wait(LIMIT)
    page.idle()
    scanned = session.state.cache.scans["few"].scanned
    assert (scanned < 1000) if page_before else (scanned == 1000)


def test_look_at_this_one_while_the_scan_goes_on(
    open_page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scanning, "FIRST_LOOK", 16)
    monkeypatch.setattr(scanning, "LOOK_EVERY_S", 0)
    held = Held(100)
    page = open_page(dataset=held)
    page.session.scan()
    page.wait(lambda: page.of("photos"))
    page.ask("bring_shown", target=target(0), group="most", rank=0)
    held.all = True
    page.wait(lambda: page.of("looked") or page.errors())
    assert not page.errors()


def test_a_refused_choice_is_taken_back_on_the_page(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.session.select(neuron=3)
    for seq, wrong in enumerate((target(3, "fewer"), target(99)), 7):
        with pytest.raises(NeuronWidgetError, match=r"fewer|99"):
            page.ask("select", seq=seq, target=wrong, steps=12, settled=True)
        said = page.of("selected")[-1]
        assert (said["seq"], said["target"]) == (seq, target(3))


def test_previews_of_a_layer_that_is_left_stay_its_own(open_page: Callable[..., Page]) -> None:
    page = open_page()
    session = page.session
    session.state.settings = session.state.settings.replace(auto=True)
    made: list[list[int]] = []
    session._previews._next = lambda *how: (
        made.append(Previews._next(session._previews, *how)) or []
    )
    session._previews.start()
    with session.state.lock:  # another layer is chosen just now
        session.state.target, session.state.channels = Channel("many", 29), 30
    page.idle()
    assert made
    assert max(made[0]) < 8
    assert not page.errors()


def test_between_goes_on_under_other_settings(open_page: Callable[..., Page]) -> None:
    page = open_page()
    session = page.session
    for neuron in (1, 2):
        session.select(neuron=neuron)
        session.render()
        page.idle()
    session.pin([Channel("few", 1), Channel("few", 2)])
    session.select(steps=2000, auto=False)
    page.ask("between", first=target(1), last=target(2))
    page.wait(lambda: page.of("strip"))
    page.ask("configure", settings={**session.state.settings.page, "seed": 9})
    page.idle()
    for neuron in (1, 2):
        session.select(neuron=neuron, steps=16, auto=False)
        session.render()
        page.idle()
    page.said.clear()
    page.ask("resume", task="between")
    page.wait(lambda: page.of("progress", task="between", state="done"))
    assert page.of("strip")
    assert not page.errors()


def test_nothing_is_kept_of_a_photo_that_was_put_away(open_page: Callable[..., Page]) -> None:
    page = open_page(steps=2000)
    session = page.session
    page.ask("bring", file(), upload="1", name="mine.png", piece=0, pieces=1)
    page.wait(lambda: page.of("looked"))
    brought = {"of": "brought", "number": session.looking._number}
    page.ask("accentuate", target=target(1), photo=brought)
    page.wait(lambda: page.of("strip"))
    page.ask("stop", task="accentuation")
    page.idle()
    page.ask("put_away")
    page.idle()
    assert not session.strips._stopped


def test_an_iterator_that_was_stopped_gives_all_of_its_photos(
    open_page: Callable[..., Page], tmp_path: Path
) -> None:
    for i, photo in enumerate(photos(40)):
        photo.save(tmp_path / f"{i:02}.png")
    half, go = threading.Event(), threading.Event()

    def each() -> Iterator[Path]:
        for i, path in enumerate(sorted(tmp_path.iterdir())):
            if i == 20:
                half.set()
                assert go.wait(LIMIT)
            yield path

    page = open_page(dataset=each())
    page.session.scan()
    assert half.wait(LIMIT)
    page.ask("stop", task="scan")
    go.set()
    page.idle()
    page.ask("resume", task="scan")
    page.idle()
    assert page.session.state.cache.scans["few"].scanned == 40
