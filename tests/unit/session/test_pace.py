"""Frames, throttle and rate, with a clock that the test moves."""

from __future__ import annotations

from neuron_widget.protocol.messages import (
    ACK_TIMEOUT_S,
    MAX_FRAMES_IN_FLIGHT,
    MAX_FRAMES_PER_SECOND,
)
from neuron_widget.session.pace import FrameWindow, Rate, Settling, Throttle


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_frames_need_a_view_in_sight() -> None:
    window = FrameWindow(Clock())
    assert not window.due()
    window.view("a", visible=True)
    assert window.due()
    window.view("a", visible=False)
    assert not window.due()
    window.view("b", visible=True)
    assert window.due()
    window.view("b", visible=True, gone=True)
    assert not window.due()


def test_at_most_two_in_flight_and_so_many_a_second() -> None:
    clock = Clock()
    window = FrameWindow(clock)
    window.view("a", visible=True)
    sent = 0
    for _ in range(100):
        clock.now += 0.01
        if window.due():
            window.acknowledged(window.sent())
            sent += 1
    assert MAX_FRAMES_PER_SECOND - 2 <= sent <= MAX_FRAMES_PER_SECOND + 1
    sent = 0
    for _ in range(50):
        clock.now += ACK_TIMEOUT_S / 60
        if window.due():
            window.sent()
            sent += 1
    assert sent == MAX_FRAMES_IN_FLIGHT, "without an answer it waits"
    clock.now += ACK_TIMEOUT_S * 1.1
    assert window.due(), "an answer that never comes is not waited for"


def test_another_pictures_first_frame_does_not_wait_for_its_time() -> None:
    clock = Clock()
    window = FrameWindow(clock)
    window.view("a", visible=True)
    window.sent()
    assert not window.due()
    window.begin()
    assert window.due()
    window.sent()  # but for answers
    window.begin()
    assert not window.due()


def test_one_answer_frees_all_that_came_before() -> None:
    clock = Clock()
    window = FrameWindow(clock)
    window.view("a", visible=True)
    window.sent()
    clock.now += 0.2
    second = window.sent()
    clock.now += 0.2
    assert not window.due()
    window.acknowledged(second)
    assert window.due()


def test_only_the_frame_that_fills_the_window_asks_for_an_answer() -> None:
    clock = Clock()
    window = FrameWindow(clock)
    window.view("a", visible=True)
    asked = []
    for _ in range(40):
        clock.now += 1 / MAX_FRAMES_PER_SECOND
        assert window.due(), "what is waited for was asked for"
        index = window.sent()
        asked.append(window.full)
        if window.full:
            window.acknowledged(index)
    assert asked == [False, True] * 20
    # Answers that do not come: the newest that is waited for has been asked for, always.
    asking = {}
    for _ in range(200):
        clock.now += ACK_TIMEOUT_S / 7
        if window.due():
            index = window.sent()
            asking[index] = window.full
        elif window.full:
            assert asking[index]


def test_who_chooses_one_waits_for_nothing_and_a_key_held_down_chooses_the_last() -> None:
    clock = Clock()
    settling = Settling(clock)
    clock.now = 10.0
    assert settling.wait() == 0.0
    for _ in range(30):
        clock.now += 1 / 30
        assert settling.wait() == Settling.WAIT_S
    clock.now += Settling.WAIT_S
    assert settling.wait() == 0.0


def test_throttle() -> None:
    clock = Clock()
    throttle = Throttle(0.25, clock)  # binary fractions, so that sums are exact
    times = []
    for i in range(100):
        clock.now = i / 64
        if throttle.due():
            times.append(i)
    assert times == list(range(0, 100, 16))


def test_rate_is_that_of_the_last_seconds() -> None:
    clock = Clock()
    rate = Rate(clock)
    assert rate.update(0, 100) == (0.0, 0.0)
    for i in range(1, 51):
        clock.now = i * 1.0
        per_second, left = rate.update(min(i, 10) + max(0, i - 10) * 2, 110)
    assert abs(per_second - 2.0) < 1e-9
    assert abs(left - 10.0) < 1e-9
