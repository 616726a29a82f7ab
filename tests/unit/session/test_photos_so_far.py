"""Photos from a scan that goes on: counted in photos, steps and messages, on no clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import load_model
from neuron_widget.scanning.order import sample
from neuron_widget.scanning.running import ScanPass
from neuron_widget.session import Session, Settings, messages, scanning
from neuron_widget.session.export import still
from neuron_widget.session.handle import handle_message
from neuron_widget.session.jobs import Worker
from neuron_widget.targets import Channel

# Only a test that hangs takes so long.
LIMIT = 120

COUNT = 240
ORDER = sample(COUNT, None, 0).tolist()


def photos(shades: Callable[[int], int]) -> list[Image.Image]:
    """Grey pictures; ``shades`` says how bright the one is that is looked at as the n-th."""
    found = {index: Image.new("L", (32, 32), shades(n)) for n, index in enumerate(ORDER)}
    return [found[i].convert("RGB") for i in range(COUNT)]


# The best photo is always the newest; the best and the darkest are among the first.
BRIGHTER = photos(lambda n: 10 + n)
FIRST_ARE_BEST = photos(lambda n: 240 - n if n < 18 else n if n < 36 else 100)


def shines(count: int) -> nn.Module:
    """Neurons that fire the more the brighter a photo is, and one that never fires."""
    net = nn.Sequential(nn.Conv2d(3, count, 4, stride=4), nn.ReLU())
    for parameter, value in ((net[0].weight, 0.01), (net[0].bias, 1.0)):
        nn.init.constant_(parameter, value)
    with torch.no_grad():
        net[0].bias[-1] = -100.0
    return net


class Page:
    """What a session said; ``on_message`` is called in the thread that says it."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.on_message: Callable[[dict[str, Any]], object] = lambda _: None

    def send(self, message: dict[str, Any], _: list[bytes]) -> None:
        self.heard.append(message)
        self.on_message(message)

    def photos(self, neuron: int = 0) -> list[dict[str, Any]]:
        return [m for m in self.heard if m["kind"] == "photos" and m["target"]["neuron"] == neuron]


Make = Callable[..., tuple[Session, Page]]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """A session whose network is open; it looks at every step of a scan, or every ``every`` s."""
    model = load_model(shines(6), preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
    open_sessions: list[tuple[Session, Worker]] = []

    def make_it(
        every: float = 0.0, clock: Callable[[], float] = time.perf_counter, **settings: Any
    ) -> tuple[Session, Page]:
        monkeypatch.setattr(scanning, "LOOK_EVERY_S", every)
        page, worker = Page(), Worker(clock)
        given = {"layer": "1", "size": 32, "auto": False, "store": False, "dataset": BRIGHTER}
        session = Session(
            Settings(model=model, **{**given, **settings}), page.send, lambda: None, worker
        )
        session.view("a", visible=True)
        open_sessions.append((session, worker))
        idle(session)
        return session, page

    yield make_it
    for session, worker in open_sessions:
        session.close()
        worker.close()


def idle(session: Session) -> None:
    end = time.monotonic() + LIMIT
    while session.state.jobs():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_photos_appear_after_the_first_sixty_four_and_settle_at_the_end(make: Make) -> None:
    session, page = make()
    before_the_end = []

    def look(message: dict[str, Any]) -> None:
        if message["kind"] == "photos" and message["scanned"] < COUNT:
            kinds = {m["kind"] for m in session.state.snapshot()[0]["messages"]}
            before_the_end.append(
                (session.state.scan_result, still(session.state), "strengths" in kinds)
            )

    page.on_message = look
    session.scan()
    idle(session)
    scanned = [m["scanned"] for m in page.photos()]
    # Every batch of eight brings better ones.
    assert scanned == list(range(64, COUNT + 1, 8))
    for message in page.photos():
        best = [photo["index"] for photo in message["most"]]
        assert best == ORDER[: message["scanned"]][: -len(best) - 1 : -1]
        assert not message["dead"]
    # None of them was taken for a scan that has ended, nor for what a page without a kernel shows.
    assert before_the_end == [(None, {}, False)] * (len(scanned) - 1)
    kinds = [m["kind"] for m in page.heard]
    assert kinds.count("strengths") == 1
    assert session.state.scan_result is not None
    assert not session.state.cache.so_far


def test_nothing_is_sent_where_nothing_changed(make: Make) -> None:
    session, page = make(dataset=FIRST_ARE_BEST)
    session.scan()
    idle(session)
    assert [m["scanned"] for m in page.photos()] == [64, COUNT]
    # Of a neuron that never fires all photos are alike.
    session, page = make(neuron=5)
    session.scan()
    idle(session)
    assert all(m["dead"] for m in page.photos(5))


def test_another_neuron_shows_what_was_found_so_far_at_once(make: Make) -> None:
    session, page = make(every=1e9)

    def choose(message: dict[str, Any]) -> None:
        if message["kind"] == "photos":
            page.on_message = lambda _: None
            session.select(neuron=3)
            handle_message(session, enlarge)

    enlarge = {
        "kind": "enlarge",
        "target": Channel("1", 3).as_dict(),
        "group": "most",
        "rank": 0,
    }
    page.on_message = choose
    session.scan()
    idle(session)
    assert [m["scanned"] for m in page.photos()] == [64]
    so_far, ended = page.photos(3)
    assert (so_far["scanned"], ended["scanned"]) == (64, COUNT)
    (large,) = [m for m in page.heard if m["kind"] == "photo"]
    assert large["photo"]["index"] == so_far["most"][0]["index"]


def test_a_scan_that_was_stopped_goes_on_and_shows_no_less_than_before(make: Make) -> None:
    session, page = make()

    def stop(message: dict[str, Any]) -> None:
        if message["kind"] == "photos" and message["scanned"] == 96:
            page.on_message = lambda _: None
            session.stop("scan")

    page.on_message = stop
    session.scan()
    idle(session)
    part = session.state.scan_result
    assert part is not None
    assert [m["scanned"] for m in page.photos()] == [64, 72, 80, 88, 96, 96]
    page.heard.clear()
    session.resume("scan")
    idle(session)
    scanned = [m["scanned"] for m in page.photos()]
    assert scanned == list(range(104, COUNT + 1, 8))
    # Begun anew, it shows nothing before it is as far.
    page.heard.clear()
    session.scan()
    idle(session)
    assert [m["scanned"] for m in page.photos()] == [COUNT]


def test_a_look_costs_the_scan_its_time_and_not_the_image(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, cost = [0.0], 40
    log: list[str] = []
    show, take = messages.photos, ScanPass.take

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    def looked(*given: Any) -> Any:
        now[0] += cost
        log.append("look")
        return show(*given)

    def taken(scan: ScanPass, *given: Any) -> None:
        log.append("scan")
        take(scan, *given)

    session, page = make(clock=clock, steps=4000, previews=False)
    monkeypatch.setattr(messages, "photos", looked)
    monkeypatch.setattr(ScanPass, "take", taken)
    steps_at_end: list[int] = []

    def at_end(message: dict[str, Any]) -> None:
        if message["kind"] == "strengths":
            progress = [m for m in page.heard if m["kind"] == "progress" and m["task"] == "render"]
            steps_at_end.append(progress[-1]["done"])
            session.stop("render")

    monkeypatch.setattr("neuron_widget.session.pace.Throttle.due", lambda _: True)
    page.on_message = at_end
    session.render()
    session.scan()
    idle(session)
    spent = log.count("scan") + cost * (log.count("look") - 1)
    assert log.count("look") > 20
    # The image has two thirds of the time.
    assert 1.8 < steps_at_end[0] / spent < 2.2


def test_a_look_that_fails_does_not_end_the_scan(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, page = make()
    show, calls = messages.photos, []

    def fails_first(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 1:
            raise OSError("the photo is gone")
        return show(*given)

    monkeypatch.setattr(messages, "photos", fails_first)
    session.scan()
    idle(session)
    assert [m["scanned"] for m in page.photos()] == [COUNT]
    assert not [m for m in page.heard if m["kind"] == "error"]


def test_a_scan_sends_no_picture_again(make: Make) -> None:
    session, page = make(steps=4, previews=False)
    session.render()
    session.scan()
    idle(session)
    assert len([m for m in page.heard if m["kind"] == "image"]) == 1
