"""What another process makes just now is waited for, not made twice; and nobody waits for ever."""

from __future__ import annotations

import os
import signal
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
from neuron_widget.rendering.batch import Batch
from neuron_widget.scanning.running import ScanPass
from neuron_widget.session import Session, Settings, store_adapter
from neuron_widget.session.handle import handle_message
from neuron_widget.session.jobs import Worker
from neuron_widget.store import locks

# Only a test that hangs takes so long.
LIMIT = 120

BOTH = pytest.mark.parametrize("task", ["render", "scan"])


class View:
    """A session on the store that the other processes use, and what the page hears of it."""

    def __init__(self, store: Path, photos: Path):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
        model = load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
        self.store, self.photos = store, photos
        self.heard: list[dict[str, Any]] = []
        self.worker = Worker()
        self.session = Session(
            Settings(
                model=model,
                dataset=str(photos),
                layer="2",
                neuron=1,
                store=store,
                auto=False,
                steps=8,
                size=32,
                precision="float32",
            ),
            lambda message, _buffers: self.heard.append(message),
            lambda: None,
            self.worker,
        )
        self.session.view("a", visible=True)
        self.until(lambda: not self.session.state.jobs())

    def begin_in(self, others: Any, task: str, pause: float) -> int:
        """Another process begins it."""
        argument = self.photos if task == "scan" else "1"
        return int(others.begin(self.store, task, argument, pause))

    def begin(self, task: str) -> None:
        (self.session.scan if task == "scan" else self.session.render)()

    def rows(self, task: str) -> list[dict[str, Any]]:
        """What was said of a task."""
        return [m for m in self.heard if m["kind"] == "progress" and m["task"] == task]

    def states(self, task: str) -> list[str]:
        """The states that a task was in, one after the other."""
        rows = [m["state"] for m in self.rows(task)]
        return [s for i, s in enumerate(rows) if i == 0 or s != rows[i - 1]]

    def has(self, task: str) -> bool:
        state = self.session.state
        return (state.result if task == "render" else state.scan_result) is not None

    def until(self, true: Callable[[], object]) -> None:
        end = time.monotonic() + LIMIT
        while not true():
            assert time.monotonic() < end, self.heard
            time.sleep(0.005)

    def idle(self) -> None:
        self.until(lambda: not self.session.state.jobs())

    def waits(self, task: str) -> None:
        self.until(lambda: "elsewhere" in self.states(task))


@pytest.fixture
def view(tmp_path: Path) -> Iterator[View]:
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(12):
        noise = random.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / f"{i}.png")
    made = View(tmp_path / "store", tmp_path / "photos")
    yield made
    made.session.close()
    made.worker.close()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many steps each task made in this process."""
    made = {"render": 0, "scan": 0}

    def count(task: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any) -> Any:
            made[task] += 1
            return step(*given)

        return counted

    monkeypatch.setattr(Batch, "advance", count("render", Batch.advance))
    monkeypatch.setattr(ScanPass, "take", count("scan", ScanPass.take))
    return made


@BOTH
def test_it_is_made_once_and_the_page_says_where(
    others: Any, view: View, steps: dict[str, int], task: str
) -> None:
    view.begin_in(others, task, 0.1)
    view.begin(task)
    view.idle()
    assert others.read().startswith("made")
    assert view.has(task)
    assert steps[task] == 0
    # Nothing is "waiting" while another process is at work: the page says that it is.
    assert view.states(task) == ["waiting", "elsewhere", "done"]
    assert "another notebook or program makes it" in view.rows(task)[1]["note"]
    assert "note" not in view.rows(task)[-1]
    assert view.session.state.status == "ready"


@BOTH
def test_of_a_killed_process_it_is_taken_over_at_once(
    others: Any, view: View, steps: dict[str, int], task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 1e9)
    child = view.begin_in(others, task, 0.5)
    view.begin(task)
    view.waits(task)
    os.kill(child, signal.SIGKILL)
    view.idle()
    assert view.has(task)
    assert steps[task] > 0
    assert view.states(task) == ["waiting", "elsewhere", "running", "done"]
    notes = {m.get("note") for m in view.rows(task) if m["state"] == "running"}
    assert notes == {"taken over from another notebook or program"}


@BOTH
def test_of_a_stopped_process_it_is_taken_over_after_a_while_with_a_word(
    others: Any, view: View, steps: dict[str, int], task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 1.5)
    monkeypatch.setattr(store_adapter, "SILENT_S", 0.5)
    child = view.begin_in(others, task, 0.2)
    os.kill(child, signal.SIGSTOP)
    view.begin(task)
    view.idle()
    assert view.has(task)
    assert steps[task] > 0
    words = [m["note"] for m in view.rows(task) if m["state"] == "elsewhere"]
    assert "took no step for" not in words[0]
    assert "took no step for" in words[-1]
    assert "made here after" in words[-1]
    os.kill(child, signal.SIGCONT)  # it ends as if nothing had been
    assert others.read().startswith("made")
    assert view.session.store.store is not None
    assert all(not found.damaged for found in view.session.store.store.verify().values())


@BOTH
def test_stop_ends_the_waiting_at_once_and_resume_goes_on(
    others: Any, view: View, steps: dict[str, int], task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 1e9)
    child = view.begin_in(others, task, 0.5)
    os.kill(child, signal.SIGSTOP)
    view.begin(task)
    view.waits(task)
    handle_message(view.session, {"kind": "stop", "task": task})
    view.idle()
    assert view.states(task)[-1] == "stopped"
    handle_message(view.session, {"kind": "resume", "task": task})
    view.until(lambda: view.states(task)[-1] == "elsewhere")
    assert steps[task] == 0
    os.kill(child, signal.SIGCONT)
    view.idle()
    assert others.read().startswith("made")
    assert view.states(task)[-1] == "done"
    assert steps[task] == 0


def test_whoever_wants_to_see_it_form_presses_render_once_more(
    others: Any, view: View, steps: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 1e9)
    child = view.begin_in(others, "render", 0.5)
    os.kill(child, signal.SIGSTOP)
    start = {"kind": "start", "target": view.session.state.target.as_dict(), "steps": 8}
    handle_message(view.session, start)
    view.waits("render")
    assert "Render makes it here" in view.rows("render")[-1]["note"]
    view.session.render()  # a cell that is run by many is no such wish
    assert steps["render"] == 0
    handle_message(view.session, start)
    view.idle()
    assert steps["render"] == 8
    assert any(m["kind"] == "frame" for m in view.heard)
    assert view.states("render")[-1] == "done"
    os.kill(child, signal.SIGKILL)


def test_other_work_goes_on_meanwhile(
    others: Any, view: View, steps: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 1e9)
    child = view.begin_in(others, "render", 0.5)
    os.kill(child, signal.SIGSTOP)
    view.begin("render")
    view.waits("render")
    view.begin("scan")
    view.until(lambda: view.has("scan"))
    assert steps["scan"] > 0
    assert view.states("render")[-1] == "elsewhere"
    os.kill(child, signal.SIGKILL)
    view.idle()
    assert steps["render"] == 8
