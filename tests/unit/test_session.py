"""A session on a tiny network: what it says to the page, without a notebook."""

from __future__ import annotations

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
from neuron_widget.jobs import Worker
from neuron_widget.session import Session, Settings

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
Part = tuple[dict[str, Any], list[bytes]]


class Tiny(nn.Module):
    """Two convolutions and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 5, stride=2, padding=2), nn.ReLU())
        self.late = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU())
        nn.init.constant_(self.late[0].bias, 0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.late(self.stem(x)).mean((2, 3))


class Listener:
    """The page's side: what was said, and waiting for it."""

    def __init__(self) -> None:
        self.heard: list[Part] = []
        self.changed = threading.Condition()

    def send(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        with self.changed:
            self.heard.append((message, buffers))
            self.changed.notify_all()

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [m for m, _ in self.heard if m["kind"] == kind]

    def wait_for(self, kind: str, timeout: float = 30, **more: object) -> Part:
        """The first message that is so, and forget those before it."""

        def found() -> int | None:
            for i, (m, _) in enumerate(self.heard):
                if m["kind"] == kind and all(m.get(k) == v for k, v in more.items()):
                    return i
            return None

        with self.changed:
            there = self.changed.wait_for(lambda: found() is not None, timeout)
            kinds = [m["kind"] for m, _ in self.heard]
            assert there, f"no {kind} {more}; there were {kinds}"
            i = found()
            assert i is not None
            part = self.heard[i]
            del self.heard[: i + 1]
            return part


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return load_model(Tiny(), preprocess=HALF, input_size=32)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for i in range(12):
        name = root / ("smooth" if i % 2 else "rough") / f"{i}.png"
        name.parent.mkdir(exist_ok=True)
        side = 2 if i % 2 else 32
        noise = random.integers(0, 255, (side, side, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((32, 32)).save(name)
    return root


Make = Callable[..., tuple[Session, Listener]]


@pytest.fixture
def make(model: Any, photos: Path) -> Iterator[Make]:
    """A session whose network is open, with a view in sight."""
    worker = Worker()
    sessions = []

    def make_it(**settings: Any) -> tuple[Session, Listener]:
        page = Listener()
        given = {"model": model, "dataset": str(photos), "layer": "late", "size": 32, "steps": 12}
        session = Session(
            Settings(**{**given, "auto": False, **settings}), page.send, lambda: None, worker
        )
        session.view("a", visible=True)
        sessions.append(session)
        page.wait_for("opened")
        return session, page

    yield make_it
    for session in sessions:
        session.close()
    worker.close()


def wait_until(true: Callable[[], object], timeout: float = 20) -> None:
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_frames_say_the_objective(make: Make) -> None:
    session, page = make(steps=40)
    session.render()
    frame, (picture,) = page.wait_for("frame")
    assert frame["value"] > 0
    assert picture.startswith(b"\xff\xd8")


def test_more_steps_go_on_from_the_present_image(make: Make) -> None:
    session, page = make()
    session.render()
    image, _ = page.wait_for("image")
    assert image["step"] == 12
    session.select(steps=30, auto=False)
    session.render()
    frame, _ = page.wait_for("frame")
    assert frame["step"] > 12
    image, _ = page.wait_for("image", step=30)
    assert [step for step, _ in image["history"]] == [1, 8, 16, 24]
