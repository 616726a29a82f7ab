"""Where the user's code runs: on the event loop's thread, never in ours, never under a lock."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Updates"]


class Updates:
    """Calls a function where the code of the user's that it may call can do no harm.

    Setting a trait calls whatever observes it: that may wait, raise, or resolve a future of the
    event loop. So it is done on the loop's thread (a future that is resolved there wakes at once),
    and many requests before the loop's next turn are one call. Without a running loop (a script)
    the function is called in the thread that asks, by one thread at a time: what is asked for
    meanwhile is done by the one that is at it.

    Parameters
    ----------
    update
        Brings everything up to date, and raises nothing.
    loop
        The event loop, if there is one.
    """

    def __init__(self, update: Callable[[], None], loop: asyncio.AbstractEventLoop | None):
        self._update = update
        self._loop = loop
        self._lock = threading.Lock()  # of the next three, not held while `update` runs
        self._wanted = False
        self._scheduled = False
        self._updating: int | None = None  # the thread
        self._holding = threading.local()

    def request(self) -> None:
        """Something changed: update soon. From any thread; on the loop's thread nothing waits."""
        with self._lock:
            self._wanted = True
        if not getattr(self._holding, "depth", 0):
            self._pass_on()

    @contextmanager
    def held(self) -> Iterator[None]:
        """What this thread asks for inside is done at the end: a command is not interrupted."""
        self._holding.depth = getattr(self._holding, "depth", 0) + 1
        try:
            yield
        finally:
            self._holding.depth -= 1
            if not self._holding.depth:
                self.flush()

    def flush(self, *, nested: bool = True) -> None:
        """Do now what was asked for, if this thread may; else soon.

        ``nested=False``: not from inside an update that this thread is at.
        """
        if not nested and self._updating == threading.get_ident():
            return
        if self._loop_runs() and not self._on_loop():
            self._pass_on()
        else:
            self._run()

    def _pass_on(self) -> None:
        """Run, or have it run on the loop's thread."""
        if not self._loop_runs():
            self._run()
            return
        with self._lock:
            if self._scheduled or not self._wanted:
                return
            self._scheduled = True
        try:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._run_scheduled)
        except RuntimeError:  # closed in this moment
            self._scheduled = False
            self._run()

    def _run_scheduled(self) -> None:
        with self._lock:
            self._scheduled = False
        self._run()

    def _run(self) -> None:
        me = threading.get_ident()
        with self._lock:
            if self._updating not in (None, me):
                return  # that thread looks again before it ends
            before, self._updating = self._updating, me
        try:
            while True:
                with self._lock:
                    if not self._wanted:
                        self._updating = before
                        return
                    self._wanted = False
                self._update()
        except BaseException:  # an interrupt
            with self._lock:
                self._updating = before
            raise

    def _loop_runs(self) -> bool:
        return self._loop is not None and self._loop.is_running()

    def _on_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:  # this thread runs none
            return False
