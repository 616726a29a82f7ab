"""One client's session at a server: what it has to say waits here until the client has it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from neuron_widget.errors import NeuronWidgetError, WidgetError, WrongValue
from neuron_widget.protocol.messages import PHOTO_BYTES
from neuron_widget.remote.here import SessionHere
from neuron_widget.remote.rules import Rules
from neuron_widget.remote.wire import told_error
from neuron_widget.session import Settings, messages
from neuron_widget.session.jobs import Job, Worker
from neuron_widget.session.messages import Message, Part
from neuron_widget.session.state import Load
from neuron_widget.session.together import Together

__all__ = ["Desk"]

MOST = 4096
"""Messages that wait for a client, at most; beyond that it gets a snapshot of what there is."""

MOST_BYTES = 16_000_000

_BATCH_BYTES = 4_000_000


class Desk:
    """A session and its messages, each with a number.

    Parameters
    ----------
    client
        Whose it is.
    settings, worker, load, together
        Of the session.
    rules
        Checked at each message.
    """

    def __init__(
        self,
        client: str,
        settings: Settings,
        rules: Rules,
        worker: Worker,
        load: Load,
        together: Together,
    ):
        self.client = client
        self.heard = time.monotonic()
        self.greeted = 0
        self._rules = rules
        self._lock = threading.RLock()  # of the next six; the session's own may be held around it
        self._parts: deque[tuple[int, Message, list[bytes]]] = deque()
        self._bytes = 0
        self._last = 0
        self._done: list[Message] = []
        self._state_told: tuple[object, ...] = ()
        self._wakers: list[Callable[[], None]] = []
        self._views_away: dict[str, bool] = {}
        self._numbers = itertools.count(1)
        self._jobs: dict[int, Job] = {}
        self.session = SessionHere(settings, self._post, self._on_change, worker, load, together)

    # -------------------------------------------------------------- to the client

    def _post(self, message: Message, buffers: list[bytes]) -> None:
        with self._lock:
            self._last += 1
            self._parts.append((self._last, message, buffers))
            self._bytes += sum(map(len, buffers))
            while len(self._parts) > MOST or self._bytes > MOST_BYTES:
                self._keep_done(self._drop())
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()

    def _drop(self) -> Message:
        _, message, buffers = self._parts.popleft()
        self._bytes -= sum(map(len, buffers))
        return message

    def _keep_done(self, said: Message) -> None:
        if said["kind"] == "session.done":  # no snapshot says it again
            self._done.append(said)

    def _on_change(self) -> None:
        if "session" in vars(self):
            self.say_state()

    def say_state(self) -> None:
        """Say what Python asks of the session, where it has changed."""
        state = self.session.state
        names = ("status", "progress", "opened", "problem")
        with self._lock:  # of two threads at once the one that looks later speaks later
            now = (state.status, state.progress, state.opened, told_error(state.problem))
            if now != self._state_told:
                self._state_told = now
                told = dict(zip(names, now, strict=True))
                self._post({"kind": "session.state", **told}, [])

    async def take(self, after: int, timeout: float) -> tuple[int, list[Part]]:
        """What is to be said after the message of that number, and the number of the last of it.

        Waits up to ``timeout`` seconds for something, and holds no thread meanwhile. If what is
        wanted is gone, it is a snapshot.
        """
        self._hears()
        there, loop, greeted = asyncio.Event(), asyncio.get_running_loop(), self.greeted

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(there.set)

        with self._lock:
            waits = self._last <= after
            if waits:
                self._wakers.append(wake)
        if waits:
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(there.wait(), timeout)
            finally:
                with self._lock, contextlib.suppress(ValueError):
                    self._wakers.remove(wake)
        if self.greeted != greeted:  # the client came back by another line meanwhile
            return after, []
        return self._next(after)

    def _next(self, after: int) -> tuple[int, list[Part]]:
        with self._lock:
            while self._parts and self._parts[0][0] <= after:
                self._drop()  # the client has them
            first = self._parts[0][0] if self._parts else self._last + 1
            if first <= after + 1:
                found: list[Part] = []
                size, last = 0, after
                for number, message, buffers in self._parts:
                    size += sum(map(len, buffers))
                    if found and size > _BATCH_BYTES:
                        break
                    found.append((message, buffers))
                    last = number
                return last, found
        return self._anew()

    def _anew(self) -> tuple[int, list[Part]]:
        """Everything as it is now, in place of all that waits."""
        state = self.session.state
        with state.lock:  # nothing is said meanwhile
            with self._lock:
                while self._parts:
                    self._keep_done(self._drop())
                last = self._last
                done, self._done = self._done, []
                self._state_told = ()
            part = state.snapshot()
        self.say_state()
        return last, [part, *((said, []) for said in done)]

    def greet(self) -> int:
        """Begin anew, for a client that comes (back): the number before the first message."""
        self.heard = time.monotonic()
        self._views_away = {}
        for name in self.session.state.frames.by_name():  # it says which there are
            self.session.view(name, visible=False, gone=True)
        with self.session.state.lock:
            with self._lock:
                self._parts.clear()
                self._bytes = 0
                self._done.clear()
                self._state_told = ()
                self.greeted += 1
                before = self._last
            self.session.state.send_snapshot()
        self.say_state()
        return before

    # -------------------------------------------------------------- from the client

    def hear(self, parts: Sequence[tuple[object, Sequence[bytes]]]) -> None:
        """Do what messages of the client's page ask; what is wrong with one is told to the page."""
        self._hears()
        for content, buffers in parts:
            try:
                self.session.handle(self._rules.check(content), buffers)
            except Exception as error:  # noqa: BLE001  # the boundary, as in a widget
                expected = isinstance(error, NeuronWidgetError | ValueError | TypeError)
                trace = "" if expected else repr(error)
                said = messages.error("select", "That did not work", error, trace, "", "")
                self._post(said, [])

    def command(self, name: str, given: dict[str, Any]) -> Any:
        """Do what Python asks; a job's number, if there is one to wait for."""
        self._hears()
        if name == "select":
            self._rules.check_steps(given.get("steps"))
            self.session.select(**_only(given, ("layer", "neuron", "steps", "target")))
            return None
        if name == "stop":
            self.session.stop()
            return None
        if name == "scan":
            dataset = given.get("dataset")
            return self._number(
                self.session.scan(self._rules.photos(dataset) if dataset is not None else None)
            )
        if name == "look":
            photo, called = bytes(given["photo"]), str(given["name"])[:200]
            if len(photo) > PHOTO_BYTES:
                raise WrongValue(f"{called!r} is larger than {PHOTO_BYTES // 10**6} MB")
            return self._number(self.session.look(photo, called))
        if name == "render":
            return self._number(self.session.render())
        if name == "measure":
            return self._number(self.session.measure())
        if name == "foreground":
            return [(self._number(job), job.task) for job in self.session.foreground()]
        raise ValueError(f"no session does {name!r}")

    def answer(self, ask: Callable[[SessionHere], Any]) -> Any:
        """What the session answers, in the worker: it may run the network."""

        def steps() -> Any:
            yield
            return ask(self.session)

        found: list[Any] = []
        self.session.state.check_open()
        job = self.session.state.submit(
            f"answer {next(self._numbers)}",
            steps(),
            found.append,
            priority=1,
            on_error=lambda _: None,
        )
        self.wait(job)
        if not found:
            raise WidgetError("the session was closed before it answered")
        return found[0]

    def wait(self, job: Job) -> None:
        """Wait for a job of the session; raises what ended it."""
        job.finished.wait()
        if job.error is not None:
            raise job.error

    def _number(self, job: Job | None) -> int | None:
        """The number of a job; the client hears when it is finished."""
        if job is None:
            return None
        for number, known in list(self._jobs.items()):
            if known is job:
                return number
        number = next(self._numbers)
        self._jobs[number] = job
        threading.Thread(target=self._watch, args=(number, job), daemon=True).start()
        return number

    def _watch(self, number: int, job: Job) -> None:
        job.finished.wait()
        self._jobs.pop(number, None)
        self.say_state()
        self._post({"kind": "session.done", "job": number, "error": told_error(job.error)}, [])

    @property
    def last(self) -> int:
        """The number of the last message."""
        return self._last

    def doing(self) -> list[str]:
        """What it works on, for whoever looks after the server."""
        return [job.task for job in self.session.foreground() if job.active]

    def nobody_looks(self) -> None:
        """The client is not heard of: what only a view wants ends, as in a widget without one."""
        frames = self.session.state.frames
        views = frames.by_name()
        self._views_away |= views
        frames.had_page = True  # a call that waited there is gone, too
        for name in views:
            self.session.view(name, visible=False, gone=True)

    def _hears(self) -> None:
        """The client is there (again), and so are its views."""
        self.heard = time.monotonic()
        views, self._views_away = self._views_away, {}
        for name, visible in views.items():
            self.session.view(name, visible=visible)

    def close(self) -> None:
        """End the session."""
        self.session.close()
        self._wake()


def _only(given: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}
