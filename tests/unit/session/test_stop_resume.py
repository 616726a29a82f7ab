"""Stop ends what it stands beside and nothing else, and whatever was stopped can go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import load_model
from neuron_widget.session import Session, Settings
from neuron_widget.session.handle import handle_message
from neuron_widget.session.jobs import Job, Worker
from neuron_widget.session.pace import Throttle

# Only a test that hangs takes so long.
LIMIT = 120

TASKS = ("render", "scan", "preview")
PHOTOS = [Image.new("RGB", (32, 32), (i, 255 - i, i // 2)) for i in range(80)]


class Page:
    """What a session said: how far each task is, and a hook."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.on_message: Callable[[dict[str, Any]], None] = lambda _: None

    def send(self, message: dict[str, Any], _buffers: list[bytes]) -> None:
        self.heard.append(message)
        self.on_message(message)

    def of(self, kind: str, **more: object) -> list[dict[str, Any]]:
        found = [m for m in self.heard if m["kind"] == kind]
        said = [{**(m.get("target") or {}), **m} for m in found]
        return [m for m in said if all(m.get(k) == v for k, v in more.items())]

    def begun(self, task: str) -> bool:
        """Whether a first step of a task is done."""
        return any(m["done"] for m in self.of("progress", task=task, state="running"))

    def rows(self) -> dict[str, str]:
        """What the progress rows say."""
        return {m["task"]: m["state"] for m in self.of("progress")}


Make = Callable[..., tuple[Session, Page]]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    # Every step is told of, however fast this machine is.
    monkeypatch.setattr(Throttle, "due", lambda _: True)
    worker = Worker()
    sessions: list[Session] = []

    def make_it(**more: Any) -> tuple[Session, Page]:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=3), nn.ReLU(), nn.Conv2d(4, 17, 1))
        model = load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
        given = {"model": model, "dataset": PHOTOS, "layer": "2", "size": 32, "steps": 60}
        page = Page()
        session = Session(
            Settings(**{**given, "store": False, **more}), page.send, lambda: None, worker
        )
        session.view("a", visible=True)
        sessions.append(session)
        return session, page

    yield make_it
    for session in sessions:
        session.close()
    worker.close()


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def idle(session: Session) -> None:
    until(lambda: not session.state.jobs())


@pytest.mark.parametrize("task", TASKS)
def test_stop_ends_its_task_alone_and_resume_goes_on(make: Make, task: str) -> None:
    session, page = make()

    def stop_early(message: dict[str, Any]) -> None:
        if message["kind"] == "progress" and message["task"] == task and message["done"]:
            page.on_message = lambda _: None
            handle_message(session, {"kind": "stop", "task": task})

    page.on_message = stop_early
    idle(session)
    others = {other: "done" for other in TASKS if other != task}
    assert page.rows() == {**others, task: "stopped"}
    (stopped,) = page.of("progress", task=task, state="stopped")
    assert 0 < stopped["done"] < stopped["total"]

    page.heard.clear()
    handle_message(session, {"kind": "resume", "task": task})
    idle(session)
    assert page.rows() == {task: "done"}
    # Where it was: never behind it.
    goes_on = page.of("progress", task=task, state="running")
    assert all(m["done"] >= stopped["done"] for m in goes_on)
    assert page.of("progress", task=task)[-1]["done"] == stopped["total"]


@pytest.mark.parametrize("stored", [True, False], ids=["with a store", "without a store"])
def test_a_scan_that_went_on_found_what_a_scan_in_one_go_finds(
    make: Make, stored: bool, tmp_path: Path
) -> None:
    session, page = make(auto=False, store=tmp_path if stored else False)
    idle(session)
    session.scan()
    until(lambda: page.begun("scan"))
    session.stop("scan")
    idle(session)
    part = session.state.scan_result
    assert part is not None
    assert 0 < part.scanned < len(PHOTOS)
    session.resume("scan")
    idle(session)
    other, _ = make(auto=False)
    other.scan()
    idle(other)
    found, expected = session.state.scan_result, other.state.scan_result
    assert found is not None
    assert expected is not None
    arrays, wanted = found.tables.arrays(), expected.tables.arrays()
    assert all(np.array_equal(arrays[name], wanted[name]) for name in wanted)
    # A scan that is whole is not made again.
    assert session.resume("scan") is None


def test_more_steps_that_were_stopped_go_on_as_far_as_they_were_to_go(make: Make) -> None:
    session, page = make(auto=False, steps=4)
    session.render()
    idle(session)
    session.render(steps=200)
    until(lambda: page.begun("render"))
    session.stop("render")
    idle(session)
    assert session.state.result is not None
    assert 4 <= session.state.result.steps < 200
    session.resume("render")
    idle(session)
    assert session.state.result.steps == 200
    assert session.state.steps == 4
    assert session.resume("render") is None


@pytest.mark.parametrize("after", range(0, 30, 5))
def test_a_stop_in_the_first_seconds_leaves_nothing_stuck(make: Make, after: int) -> None:
    session, page = make(steps=20)

    def stop_then(_: dict[str, Any]) -> None:
        if len(page.heard) > after:
            page.on_message = lambda _: None
            for task in TASKS:
                session.stop(task)  # type: ignore[arg-type]

    page.on_message = stop_then
    if not after:
        stop_then({})
    idle(session)
    rows = page.rows()
    assert set(rows) == set(TASKS)
    assert set(rows.values()) <= {"stopped", "done"}
    for task in TASKS:
        handle_message(session, {"kind": "resume", "task": task})
    idle(session)
    assert page.rows() == dict.fromkeys(TASKS, "done")
    assert session.state.result is not None
    assert session.state.scan_result is not None
    assert session.state.scan_result.scanned == len(PHOTOS)
    assert page.of("photos", neuron=0)
    assert len(session.state.cache.thumbs("2")) == 17


def test_what_was_asked_for_and_stopped_before_the_network_is_open(make: Make) -> None:
    session, _ = make(auto=False)
    with held(session.state.worker):
        other, heard = make(auto=False)
        other.render(5)
        other.scan()
        other.stop("render")
    idle(other)
    assert other.state.result is None
    assert heard.rows() == {"scan": "done"}
    with held(session.state.worker):
        third, heard = make()
        third.stop()
        third.resume("scan")
    idle(third)
    assert heard.rows() == {"render": "stopped", "scan": "done", "preview": "stopped"}


def test_a_data_set_that_was_stopped_before_it_was_open_is_opened_after_all(make: Make) -> None:
    session, page = make(auto=False)
    session.scan()
    idle(session)
    others = PHOTOS[:24]
    with held(session.state.worker):
        session.scan(others)
        session.stop("scan")
    idle(session)
    assert page.rows()["scan"] == "stopped"
    assert session.state.settings.dataset is PHOTOS
    session.resume("scan")
    idle(session)
    assert session.state.settings.dataset is others
    assert session.state.scan_result is not None
    assert session.state.scan_result.scanned == 24


class held:  # noqa: N801
    """A block in which the worker does nothing."""

    def __init__(self, worker: Worker):
        self.worker = worker
        self.over = threading.Event()

    def __enter__(self) -> None:
        entered = threading.Event()

        def wait() -> Generator[None, None, None]:
            entered.set()
            self.over.wait(LIMIT)
            yield

        self.worker.submit(Job(self, "hold", wait(), priority=-1))
        assert entered.wait(LIMIT)

    def __exit__(self, *_: object) -> None:
        self.over.set()


NOWHERE = "/no/such/folder"


def alone(session: Session, _: Page) -> None:
    session.scan(NOWHERE)


def two_in_a_row(session: Session, _: Page) -> None:
    with held(session.state.worker):
        session.scan(NOWHERE)
        session.scan(NOWHERE + "s")


def with_a_scan_asked_for_meanwhile(session: Session, _: Page) -> None:
    with held(session.state.worker):
        session.scan(NOWHERE)
        session.scan()


def beside_a_scan(*then: Callable[[Session], object]) -> Callable[[Session, Page], None]:
    def do(session: Session, page: Page) -> None:
        def at_the_first_step(message: dict[str, Any]) -> None:
            if page.begun("scan"):
                page.on_message = lambda _: None
                session.scan(NOWHERE)
                for act in then:
                    act(session)

        page.on_message = at_the_first_step
        session.scan()

    return do


@pytest.mark.parametrize(
    "do",
    [
        alone,
        two_in_a_row,
        with_a_scan_asked_for_meanwhile,
        beside_a_scan(),
        beside_a_scan(lambda session: session.select(layer="0")),
        beside_a_scan(lambda session: session.stop("scan")),
        beside_a_scan(lambda session: session.scan(NOWHERE + "s")),
    ],
    ids=["alone", "twice", "scan again", "beside", "other layer", "stopped", "twice beside"],
)
@pytest.mark.parametrize("dataset", [PHOTOS, NOWHERE], ids=["a data set", "none"])
def test_a_mistyped_path_leaves_nothing_waiting(
    make: Make, do: Callable[[Session, Page], None], dataset: object
) -> None:
    session, page = make(auto=False, dataset=dataset)
    idle(session)
    do(session, page)
    idle(session)
    assert page.rows()["scan"] in ("done", "failed", "stopped")
    assert not session.state.status.startswith("scanning")
