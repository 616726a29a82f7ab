"""Messages that background threads send, where a page has to ask for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from neuron_widget.session.outbox import HOLD_S, Outbox


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def in_background(work: Callable[[], Any]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


@pytest.fixture
def made() -> tuple[Outbox, list[Any], Clock]:
    sent: list[Any] = []
    clock = Clock()
    return Outbox(lambda m, _: sent.append(m), clock), sent, clock


def frame(index: int) -> dict[str, Any]:
    return {"kind": "frame", "index": index}


def progress(task: str, done: int) -> dict[str, Any]:
    return {"kind": "progress", "task": task, "done": done}


def test_without_asking_all_is_sent_at_once(made: Any) -> None:
    outbox, sent, _ = made
    in_background(lambda: outbox.send(frame(1), []))
    outbox.send(frame(2), [])
    assert sent == [frame(1), frame(2)]


def test_while_asked_the_background_waits_and_the_newest_frame_is_kept(made: Any) -> None:
    outbox, sent, clock = made
    assert outbox.poll()

    def work() -> None:
        for i in range(3):
            outbox.send(frame(i), [])
            outbox.send(progress("render", i), [])
            outbox.send(progress("scan", i), [])
        outbox.send({"kind": "image"}, [])

    in_background(work)
    assert sent == []
    clock.now = 0.25
    assert not outbox.poll()
    assert sent == [frame(2), progress("render", 2), progress("scan", 2), {"kind": "image"}]


def test_what_a_handler_sends_comes_after_what_was_held(made: Any) -> None:
    outbox, sent, _ = made
    outbox.poll()
    in_background(lambda: outbox.send(frame(1), []))

    def handler() -> None:
        with outbox.handling():
            outbox.send({"kind": "configured"}, [])

    # JupyterLab handles messages in a subshell's thread: that is no background thread.
    in_background(handler)
    assert [m["kind"] for m in sent] == ["frame", "configured"]


def test_a_page_that_asks_no_more_gets_all(made: Any) -> None:
    outbox, sent, clock = made
    outbox.poll()
    in_background(lambda: outbox.send(frame(1), []))
    clock.now = HOLD_S + 1
    in_background(lambda: outbox.send({"kind": "image"}, []))
    assert [m["kind"] for m in sent] == ["frame", "image"]
    assert outbox.poll()
    in_background(lambda: outbox.send(frame(2), []))
    outbox.end()
    in_background(lambda: outbox.send(frame(3), []))
    assert sent[2:] == [frame(2), frame(3)]


def test_the_pulse_comes_from_the_background_and_is_never_held(made: Any) -> None:
    outbox, sent, _ = made
    outbox.poll()
    outbox.pulse().join()
    assert sent == [{"kind": "pulse"}]


def test_where_the_host_refuses_the_background_it_waits_for_the_page_to_ask() -> None:
    sent: list[Any] = []

    def send(message: dict[str, Any], _: list[bytes]) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("outside of a session")
        sent.append(message)

    outbox = Outbox(send, Clock())
    in_background(lambda: outbox.send({"kind": "opened"}, []))
    in_background(lambda: outbox.send(frame(1), []))
    in_background(lambda: outbox.send(frame(2), []))
    outbox.pulse().join()
    assert sent == []
    assert outbox.poll()
    assert sent == [{"kind": "opened"}, frame(2)]
    # What goes wrong in the thread of the cell is told there.
    broken = Outbox(lambda *_: 1 / 0, Clock())
    with pytest.raises(ZeroDivisionError):
        broken.send(frame(1), [])
