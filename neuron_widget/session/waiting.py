"""Calls from Python that wait for a session's work."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real

from neuron_widget.errors import ModelError, WidgetError, WrongType, WrongValue
from neuron_widget.session.interface import Awaited, WidgetSession
from neuron_widget.session.jobs import in_worker
from neuron_widget.session.pace import PYTHON
from neuron_widget.session.updates import Updates

__all__ = ["Waiting"]

# Waited for in slices: an interrupt is noticed between them on every platform.
SLICE_S = 0.2

# How long a job may take to end that was interrupted.
END_S = 5.0

_numbers = itertools.count()


class Waiting:
    """Waits for a session's work, and lets the traits follow it meanwhile.

    The thread that waits may be the event loop's, where traits are set: nothing else would.
    """

    def __init__(self, session: WidgetSession, updates: Updates):
        self._session = session
        self._updates = updates

    def until_open(self) -> None:
        """Wait for the network.

        Raises
        ------
        NeuronWidgetError
            What kept it from opening, or what is wrong with the layer or neuron asked for.
        """
        with self._looking_on():
            # One after the other: a session elsewhere has to be found first.
            while jobs := [job for job in self._session.foreground() if job.task == "open"]:
                self._wait(jobs[0])
            self._raise_problem()
            if not self._session.state.opened:
                raise ModelError("the network was stopped from opening")

    def until_done(self, job: Awaited | None) -> None:
        """Wait for one job; raise what ended it."""
        if job is not None:
            with self._looking_on():
                self._wait(job)
            if job.error is not None:
                raise job.error

    def until_idle(self, timeout: float | None) -> None:
        """Wait for everything but the gallery's previews; TimeoutError after ``timeout`` s.

        Raises what :meth:`until_open` raises, as soon as it is known.
        """
        end = float("inf") if timeout is None else time.monotonic() + _seconds(timeout)
        with self._looking_on():
            while jobs := self._session.foreground():
                self._raise_problem()
                left = end - time.monotonic()
                if left <= 0:
                    status = self._session.state.status
                    raise TimeoutError(f"still working after {timeout} s: {status}")
                self._slice(jobs[0], left)
            self._raise_problem()

    def _raise_problem(self) -> None:
        problem = self._session.state.problem
        if problem is not None:
            # A traceback would grow with every raise, and keep alive what is in it.
            raise problem.with_traceback(None)

    def _wait(self, job: Awaited) -> None:
        while not job.finished.is_set():
            self._slice(job)

    def _slice(self, job: Awaited, left: float = SLICE_S) -> None:
        job.finished.wait(min(SLICE_S, left))
        # Not from inside an observer that waits itself: each would wait in the one before it.
        self._updates.flush(nested=False)

    @contextmanager
    def _looking_on(self) -> Iterator[None]:
        """Python looks on, as a view does; an interrupt stops the work."""
        if in_worker():
            raise WidgetError(
                "the work that this would wait for is what calls it (a function that observes the "
                "widget, a network or a data set): it would wait for itself. Call render() or "
                "scan() without wait=True, and observe 'status' to hear of the end"
            )
        session = self._session
        session.state.check_open()
        name = f"{PYTHON}{next(_numbers)}"
        session.view(name, visible=False)
        try:
            yield
        except KeyboardInterrupt:
            jobs = session.foreground()
            session.stop()
            for job in jobs:
                job.finished.wait(END_S)
            raise
        finally:
            session.view(name, visible=False, gone=True)
            self._updates.flush()


def _seconds(timeout: object) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise WrongType(f"timeout must be a number of seconds, such as 60, got {timeout!r}")
    seconds = float(timeout)
    if not seconds >= 0:  # NaN would be waited for without end
        raise WrongValue(f"timeout must be a number of seconds, 0 or more, got {timeout!r}")
    return seconds
