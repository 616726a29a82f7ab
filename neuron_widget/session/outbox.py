"""Messages to the page, also in notebooks that show none from background threads."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Outbox"]

Message = dict[str, Any]
Send = Callable[[Message, list[bytes]], None]

# A page that has not asked for so long is gone, or needs no asking any more.
HOLD_S = 5.0

# More than this waiting: the oldest are of a page that does not come.
MOST_HELD = 4096


class Outbox:
    """Sends at once; or, while a page asks (``poll``), holds what comes from background threads.

    Colab shows nothing that a background thread sends (googlecolab/colabtools#3373), only what a
    handler of a message sends. There the page asks four times a second, and the answer brings what
    was held. Of frames and of a task's progress only the newest is held. Shiny raises instead: then
    too it is held until the page asks.

    Parameters
    ----------
    send
        Sends a message with its buffers now.
    clock
        Seconds, for tests.
    """

    def __init__(self, send: Send, clock: Callable[[], float] = time.monotonic):
        self._send = send
        self._clock = clock
        self._lock = threading.RLock()
        self._held: list[tuple[Message, list[bytes]]] = []
        self._until = float("-inf")
        self._handling = threading.local()

    @contextmanager
    def handling(self) -> Iterator[None]:
        """What this thread sends inside is part of the answer to a message, and arrives."""
        before = getattr(self._handling, "now", False)
        self._handling.now = True
        try:
            yield
        finally:
            self._handling.now = before

    def send(self, message: Message, buffers: list[bytes]) -> None:
        """Send now, or hold. In order: what was held goes before what is sent now."""
        with self._lock:
            if self._clock() < self._until and self._in_background():
                self._hold(message, buffers)
                return
            if not self._in_background():
                self._drain()
                self._send(message, buffers)
                return
            try:
                self._drain()
                self._send(message, buffers)
            except RuntimeError:
                self._hold(message, buffers)

    def poll(self) -> bool:
        """A page asks: send what is held. True if nobody had asked before."""
        with self._lock:
            first = self._clock() >= self._until
            self._until = self._clock() + HOLD_S
            self._drain()
        return first

    def end(self) -> None:
        """No page asks any more: send what is held, and hold nothing."""
        with self._lock:
            self._until = float("-inf")
            self._drain()

    def pulse(self) -> threading.Thread:
        """Say from a background thread that such messages arrive, if they do."""

        def send() -> None:
            with contextlib.suppress(RuntimeError):
                self._send({"kind": "pulse"}, [])

        thread = threading.Thread(target=send, name="neuron-widget-pulse", daemon=True)
        thread.start()
        return thread

    def _in_background(self) -> bool:
        main = threading.current_thread() is threading.main_thread()
        return not main and not getattr(self._handling, "now", False)

    def _hold(self, message: Message, buffers: list[bytes]) -> None:
        passing = {"frame": ("kind",), "progress": ("kind", "task")}.get(message["kind"])
        if passing is not None:
            same = [message[name] for name in passing]
            self._held = [
                (m, b) for m, b in self._held if [m.get(name) for name in passing] != same
            ]
        self._held.append((message, buffers))
        del self._held[:-MOST_HELD]

    def _drain(self) -> None:
        while self._held:
            self._send(*self._held[0])
            del self._held[0]
