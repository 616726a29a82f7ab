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
        self._rules = rules
        self._changed = threading.Condition()
        self._parts: deque[tuple[int, Message, list[bytes]]] = deque()
        self._bytes = 0
        self._last = 0
        self._wakers: list[Callable[[], None]] = []
        self._done: list[Message] = []
        self.greeted = 0
        self._state_told: tuple[object, ...] = ()
        self._numbers = itertools.count(1)
        self._jobs: dict[int, Job] = {}
        self.heard = time.monotonic()
        self.session = SessionHere(settings, self._post, self._on_change, worker, load, together)

    # -------------------------------------------------------------- to the client

    def _post(self, message: Message, buffers: list[bytes]) -> None:
        with self._changed:
            self._last += 1
            self._parts.append((self._last, message, buffers))
            self._bytes += sum(map(len, buffers))
            while len(self._parts) > MOST or self._bytes > MOST_BYTES:
                said, _ = self._drop()
                if said["kind"] == "session.done":  # no snapshot says it again
                    self._done.append(said)
            self._changed.notify_all()
            wakers, self._wakers = self._wakers, []
        for wake in wakers:
            wake()

    def _drop(self) -> Part:
        _, message, buffers = self._parts.popleft()
        self._bytes -= sum(map(len, buffers))
        return message, buffers

    def _on_change(self) -> None:
        session = vars(self).get("session")
        if session is not None:
            self.say_state()

    def say_state(self) -> None:
        """Say what Python asks of the session, where it has changed."""
        state = self.session.state
        now = (state.status, state.progress, state.opened, told_error(state.problem))
        with self._changed:
            if now == self._state_told:
                return
            self._state_told = now
        names = ("status", "progress", "opened", "problem")
        self._post({"kind": "session.state", **dict(zip(names, now, strict=True))}, [])

    def take(self, after: int, timeout: float) -> tuple[int, list[Part]]:
        """What is to be said after the message of that number, and the number of the last of it.

        Waits up to ``timeout`` seconds for something. If what is wanted is gone, it is a snapshot.
        """
        self.heard = time.monotonic()
        with self._changed:
            while self._parts and self._parts[0][0] <= after:
                self._drop()  # the client has them
            self._changed.wait_for(lambda: self._last > after, timeout)
            missed = bool(self._parts) and self._parts[0][0] > after + 1
        if missed:
            return self._anew()
        found: list[Part] = []
        size, last = 0, after
        with self._changed:
            for number, message, buffers in self._parts:
                size += sum(map(len, buffers))
                if found and size > _BATCH_BYTES:
                    break
                found.append((message, buffers))
                last = number
        self.heard = time.monotonic()
        return last, found

    async def take_later(self, after: int, timeout: float) -> tuple[int, list[Part]]:
        """The same; no thread waits."""
        there, loop = asyncio.Event(), asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(there.set)

        self.heard, greeted = time.monotonic(), self.greeted
        with self._changed:
            waits = self._last <= after
            if waits:
                self._wakers.append(wake)
        if waits:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(there.wait(), timeout)
            with self._changed, contextlib.suppress(ValueError):
                self._wakers.remove(wake)
        if self.greeted != greeted:  # the client came back by another line meanwhile
            return after, []
        return self.take(after, 0.0)

    def _anew(self) -> tuple[int, list[Part]]:
        """Everything as it is now, in place of all that waits."""
        state = self.session.state
        with state.lock:  # nothing is said meanwhile
            with self._changed:
                last = self._last
                done, self._done = self._done, []
                while self._parts:
                    said, _ = self._drop()
                    done += [said] if said["kind"] == "session.done" else []
                self._state_told = ()
            part = state.snapshot()
        self.say_state()
        return last, [part, *((said, []) for said in done)]

    def greet(self) -> int:
        """Begin anew, for a client that comes (back): the number before the first message."""
        with self.session.state.lock:
            with self._changed:
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
        self.heard = time.monotonic()
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
        self.heard = time.monotonic()
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
        for name in self.session.state.frames.names():
            self.session.view(name, visible=False, gone=True)

    def close(self) -> None:
        """End the session."""
        self.session.close()
        with self._changed:
            self._changed.notify_all()


def _only(given: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: given[name] for name in names if name in given}
