"""One worker thread that runs generators: newest request wins, a stop takes one step.

Long work in this package is a generator that yields progress. The worker advances one job by one
step, then looks again at what is most wanted. So a job can be set aside in the middle (a scan,
while something urgent is done) and resumed, and a stop or a newer request takes effect within one
step. A job that can do nothing but wait yields a Pause; the others have its time. All callbacks run
in the worker thread, without a lock held. A job is listed until its last callback has run: who
waits until none is listed finds every result in its place.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from neuron_widget.openmp import end_helpers

__all__ = ["Job", "Pause", "Worker", "in_worker", "shared_worker"]

# Threads that help the worker (they load photos) have names that begin so, too.
THREAD_NAME = "neuron-widget"

# The thread ends when there has been nothing to do for so long; the next job starts a new one.
IDLE_S = 1.0


def _nothing(*_: Any) -> None:
    pass


@dataclass(frozen=True)
class Pause:
    """What a job yields that can do nothing for so many seconds. No callback hears of it."""

    seconds: float


@dataclass(eq=False)
class Job:
    """A generator and what to do with what it yields.

    Attributes
    ----------
    owner
        Whose job it is. A newer job of the same owner and task replaces this one.
    task
        What kind of work: ``"open"``, ``"dataset"``, ``"photos"``, ``"render"``, ``"scan"``,
        ``"preview"``.
    steps
        The generator. It is advanced and closed in the worker thread only, and must leave no
        thread-local state (grad mode, autocast) behind when it yields: jobs take turns.
    priority
        A job of a lower number goes first. Jobs of the same priority share the time.
    share
        How much of the time this job gets beside others of the same priority.
    delay
        Seconds to wait before the first step, so that a person can go on choosing.
    on_step, on_done
        Called with what the generator yields, and with what it returns.
    on_stop
        Called when the job is stopped or replaced. What it had was given to ``on_step``.
    on_error
        Called with the exception that ended the job.
    finished
        Set when the job is over and its last callback has run.
    error
        What ended the job, if an exception did.
    stopped, ended
        It is to end at its next step; it makes no further step (its last callback may still run).
    """

    owner: object
    task: str
    steps: Generator[Any, None, Any]
    priority: int = 0
    share: float = 1.0
    delay: float = 0.0
    on_step: Callable[[Any], None] = _nothing
    on_done: Callable[[Any], None] = _nothing
    on_stop: Callable[[], None] = _nothing
    on_error: Callable[[BaseException], None] = _nothing
    finished: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None
    stopped: bool = False
    ended: bool = False
    _ready_at: float = 0.0
    _spent: float = 0.0
    _rested: bool = False

    @property
    def active(self) -> bool:
        """Whether it has further steps to make."""
        return not (self.stopped or self.ended)

    def _let_go(self) -> None:
        """Who still has the job keeps nothing alive of what it worked on."""
        self.on_step = self.on_done = self.on_stop = self.on_error = _nothing
        self.steps.close()


class Worker:
    """Runs jobs in one thread. All methods may be called from any thread.

    ``clock`` tells how much time a step took, in seconds. ``fair``: jobs of the same priority share
    the time owner by owner, so that who has three at work gets no more of it than who has one.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, *, fair: bool = False
    ) -> None:
        self._clock = clock
        self._fair = fair
        self._spent: dict[object, float] = {}  # by owner
        self._changed = threading.Condition()
        self._jobs: list[Job] = []
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, job: Job) -> Job:
        """Queue a job; an older one of the same owner and task is stopped."""
        end_helpers()
        with self._changed:
            if self._closed:  # the process ends: what a last callback asks for is not begun
                job.stopped = job.ended = True
                job._let_go()
                job.finished.set()
                return job
            for other in self._jobs:
                if other.owner is job.owner and other.task == job.task:
                    other.stopped = True
            self._rest(job, job.delay)
            self._jobs.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return job

    def stop(self, owner: object, *tasks: str) -> None:
        """Stop the owner's jobs (of the tasks named, or all); returns at once."""
        with self._changed:
            for job in self._jobs:
                if job.owner is owner and (not tasks or job.task in tasks):
                    job.stopped = True
            self._changed.notify_all()

    def rename(self, owner: object, task: str, new: str) -> None:
        """A job of the owner goes on as another task, whose older job is stopped."""
        with self._changed:
            for job in self._jobs:
                if job.owner is owner and job.task == new:
                    job.stopped = True
            for job in self._jobs:
                if job.owner is owner and job.task == task and job.active:
                    job.task = new

    def reprioritise(self, job: Job, priority: int) -> None:
        """A job goes on beside those of another priority, as one that is new to them."""
        with self._changed:
            if job.priority != priority:
                job.priority = priority
                self._rest(job, 0.0)

    def jobs(self, owner: object) -> list[Job]:
        """The owner's jobs that are not finished, those about to end too; oldest first."""
        with self._changed:
            return [j for j in self._jobs if j.owner is owner]

    def close(self) -> None:
        """Stop everything for good and wait for the thread to end (a few seconds at the most)."""
        with self._changed:
            self._closed = True
            for job in self._jobs:
                job.stopped = True
            thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5)

    # -------------------------------------------------------------- the thread

    def _rest(self, job: Job, seconds: float) -> None:
        """Let a job, that is new or waits, make its next step no sooner; under the lock."""
        job._ready_at = time.monotonic() + seconds
        job._rested = True

    def _join(self, job: Job) -> None:
        """A job that is new or has paused neither waits for, nor makes up for, others' time."""
        peers = [
            j._spent
            for j in self._jobs
            if j.priority == job.priority and j.active and not j._rested
        ]
        job._spent = max(job._spent, min(peers, default=0.0))
        others = {j.owner for j in self._jobs if j.active and not j._rested}
        if job.owner not in others:
            # Nor does one who had the machine alone until now: those who come have spent nothing.
            spent = [self._spent.get(owner, 0.0) for owner in others]
            own = max(self._spent.get(job.owner, 0.0), min(spent, default=0.0))
            self._spent[job.owner] = min(own, max(spent, default=0.0))
        job._rested = False

    def _spent_by(self, owner: object) -> float:
        return self._spent.get(owner, 0.0) if self._fair else 0.0

    def _run(self) -> None:
        while self._advance_one():
            pass

    def _advance_one(self) -> bool:
        """Advance the most wanted job by one step; False, and the thread ends, if there is none.

        A function of its own: while the thread waits, no variable of it keeps a job alive.
        """
        with self._changed:
            job = self._next()
            if job is None:
                self._thread = None
                return False
        self._advance(job)
        return True

    def _next(self) -> Job | None:
        """The job to advance by one step; None when there has been nothing to do for a while."""
        idle_since = time.monotonic()
        while True:
            # A stopped job goes first: closing it frees what it holds.
            for job in self._jobs:
                if job.stopped:
                    return job
            now = time.monotonic()
            ready = [job for job in self._jobs if job._ready_at <= now]
            for job in ready:
                if job._rested:
                    self._join(job)
            if ready:
                most_urgent = min(job.priority for job in ready)
                return min(
                    (job for job in ready if job.priority == most_urgent),
                    key=lambda job: (self._spent_by(job.owner), job._spent),
                )
            if self._jobs:
                self._changed.wait(min(job._ready_at for job in self._jobs) - now)
                idle_since = time.monotonic()
            elif now - idle_since >= IDLE_S:
                return None
            else:
                self._changed.wait(IDLE_S - (now - idle_since))

    def _advance(self, job: Job) -> None:
        """One step of a job; where it ends, its owner hears of it, then those who wait for it."""
        started = self._clock()
        try:
            if job.stopped:
                job.steps.close()
                job.ended = True
                job.on_stop()
            else:
                try:
                    value = next(job.steps)
                except StopIteration as end:
                    job.ended = True
                    job.on_done(end.value)
                else:
                    if isinstance(value, Pause):
                        with self._changed:
                            self._rest(job, value.seconds)
                    elif not job.stopped:
                        job.on_step(value)
        except BaseException as error:  # noqa: BLE001  # errors are values: shown, never lost
            job.ended = True
            job.error = error
            self._report(job, error)
        spent = self._clock() - started
        job._spent += spent / job.share
        self._spent[job.owner] = self._spent.get(job.owner, 0.0) + spent
        if job.ended:
            self._forget(job)

    def _report(self, job: Job, error: BaseException) -> None:
        """Give an error to the job's owner. The worker must live on, whatever the owner does."""
        with contextlib.suppress(BaseException):
            job.steps.close()
        try:
            job.on_error(error)
        except BaseException:
            logging.getLogger(__name__).exception("while reporting %r", error)

    def _forget(self, job: Job) -> None:
        with contextlib.suppress(BaseException):
            job._let_go()
        with self._changed:
            self._jobs.remove(job)
            if not any(other.owner is job.owner for other in self._jobs):
                self._spent.pop(job.owner, None)
        job.finished.set()


def in_worker() -> bool:
    """Whether the thread that asks does the work, and so must not wait for it."""
    return threading.current_thread().name.startswith(THREAD_NAME)


@functools.cache
def shared_worker() -> Worker:
    """The one worker of this process: two widgets share the device, so they share a thread."""
    worker = Worker()
    # A thread inside torch while the interpreter goes away ends the process with a crash message.
    atexit.register(worker.close)
    return worker
