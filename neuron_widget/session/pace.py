"""When things are begun and sent: settled choices, a frame window, a throttle, an honest rate."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from neuron_widget.protocol.messages import (
    ACK_TIMEOUT_S,
    MAX_FRAMES_IN_FLIGHT,
    MAX_FRAMES_PER_SECOND,
)

__all__ = ["PYTHON", "FrameWindow", "Rate", "Settling", "Throttle"]

Clock = Callable[[], float]

PYTHON = "python "
"""Begins the name of a call that waits, which looks on as a view does."""


class FrameWindow:
    """Decides when a moving picture may be sent (see the head of :mod:`.protocol`)."""

    def __init__(self, clock: Clock = time.monotonic):
        self._clock = clock
        self._in_flight: dict[int, float] = {}
        self._index = 0
        self._last = float("-inf")
        self._visible: dict[str, bool] = {}
        # A page has shown a view at some time: calls from Python that wait are none.
        self.had_page = False

    def due(self) -> bool:
        """Whether a frame may be sent now."""
        now = self._clock()
        lost = [i for i, sent in self._in_flight.items() if now - sent > ACK_TIMEOUT_S]
        for index in lost:
            del self._in_flight[index]
        return self.seen and now - self._last >= 1 / MAX_FRAMES_PER_SECOND and not self.full

    def begin(self) -> None:
        """Another picture begins: its first frame need not wait for the last one's time."""
        self._last = float("-inf")

    def sent(self) -> int:
        """Note that a frame is sent; its index."""
        self._index += 1
        self._last = self._clock()
        self._in_flight[self._index] = self._last
        return self._index

    @property
    def full(self) -> bool:
        """Whether no further frame may be sent before an answer: the one sent last asks for it."""
        return len(self._in_flight) >= MAX_FRAMES_IN_FLIGHT

    def acknowledged(self, index: int) -> None:
        """Frame ``index`` was drawn; so were, or never will be, those before it."""
        for other in [i for i in self._in_flight if i <= index]:
            del self._in_flight[other]

    def view(self, view: str, *, visible: bool, gone: bool = False) -> None:
        """A view came into sight, left it, or was removed."""
        if gone:
            self._visible.pop(view, None)
        else:
            self._visible[view] = visible
            self.had_page |= not view.startswith(PYTHON)

    def by_name(self) -> dict[str, bool]:
        """The views, and whether each is in sight."""
        return dict(self._visible)

    @property
    def views(self) -> int:
        """How many views there are, in sight or not."""
        return len(self._visible)

    @property
    def seen(self) -> bool:
        """Whether any view is in sight."""
        return any(self._visible.values())


class Settling:
    """Tells a choice that stands alone from one of many in a row.

    A key held down on a slider chooses thirty neurons a second: what each asks for would be begun
    and thrown away. Who chooses one is not to wait for that.
    """

    WAIT_S = 0.25

    def __init__(self, clock: Clock = time.monotonic):
        self._clock = clock
        self._last = float("-inf")

    def wait(self) -> float:
        """Note a choice; the seconds to wait before what it asks for is begun."""
        now = self._clock()
        before, self._last = self._last, now
        return self.WAIT_S if now - before < self.WAIT_S else 0.0


class Throttle:
    """Lets something through at most every ``interval`` seconds."""

    def __init__(self, interval: float, clock: Clock = time.monotonic):
        self._interval = interval
        self._clock = clock
        self._last = float("-inf")

    def due(self) -> bool:
        """Whether it may happen now; if so, it counts as having happened."""
        now = self._clock()
        if now - self._last < self._interval:
            return False
        self._last = now
        return True


class Rate:
    """Units a second over the last few seconds, and the seconds left."""

    WINDOW_S = 4.0

    def __init__(self, clock: Clock = time.monotonic):
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def update(self, done: int, total: int) -> tuple[float, float]:
        """Note that ``done`` of ``total`` are done; (rate, seconds left), 0 = not yet known."""
        now = self._clock()
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > self.WINDOW_S:
            self._seen.popleft()
        first, before = self._seen[0]
        if now <= first or done <= before:
            return 0.0, 0.0
        rate = (done - before) / (now - first)
        return rate, max(0, total - done) / rate
