"""The worker: newest wins, a stop takes one step, jobs share the time, nothing is left over."""

from __future__ import annotations

import gc
import itertools
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Generator

import pytest

from neuron_widget.session import jobs
from neuron_widget.session.jobs import Job, Pause, Worker

# Only a test that hangs takes so long.
LIMIT = 60


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr(jobs, "IDLE_S", 0.05)
    return Worker()


def counting(
    n: int, log: list[object], name: str = "", pause: float = 0.0
) -> Generator[int, None, int | None]:
    try:
        for i in range(n):
            time.sleep(pause)
            log.append((name, i) if name else i)
            yield i
        return n
    finally:
        log.append(f"closed{name}")


def test_steps_then_result(worker: Worker) -> None:
    log: list[object] = []
    seen: list[object] = []
    job = worker.submit(
        Job(
            "me",
            "a",
            counting(3, log),
            on_step=seen.append,
            on_done=lambda r: seen.append(("r", r)),
        )
    )
    assert job.finished.wait(LIMIT)
    assert seen == [0, 1, 2, ("r", 3)]
    assert log == [0, 1, 2, "closed"]


def test_a_newer_job_of_the_same_task_replaces_the_older_within_a_step(worker: Worker) -> None:
    log: list[object] = []
    stopped = threading.Event()
    started = threading.Event()
    old = Job(
        "me",
        "render",
        counting(10_000, log, "old", 0.005),
        on_step=lambda _: started.set(),
        on_stop=stopped.set,
    )
    worker.submit(old)
    assert started.wait(LIMIT)
    before = len(log)
    new = worker.submit(Job("me", "render", counting(2, log, "new")))
    assert new.finished.wait(LIMIT)
    assert stopped.is_set()
    assert old.finished.is_set()
    assert sum(isinstance(e, tuple) and e[0] == "old" for e in log[before:]) <= 1
    assert log.index("closedold") < log.index(("new", 0))


def test_another_owner_is_left_alone(worker: Worker) -> None:
    log: list[object] = []
    mine = worker.submit(Job("me", "render", counting(5, log, "mine", 0.005)))
    yours = worker.submit(Job("you", "render", counting(5, log, "yours", 0.005)))
    worker.stop("you")
    assert mine.finished.wait(LIMIT)
    assert yours.finished.wait(LIMIT)
    assert ("mine", 4) in log


def test_stop_ends_a_job_within_one_step_and_closes_it_in_the_worker(worker: Worker) -> None:
    threads: list[str] = []

    def endless() -> Generator[None, None, None]:
        try:
            while True:
                time.sleep(0.005)
                yield
        finally:
            threads.append(threading.current_thread().name)

    steps: list[object] = []
    started = threading.Event()

    def on_step(step: object) -> None:
        steps.append(step)
        started.set()

    job = worker.submit(Job("me", "a", endless(), on_step=on_step))
    assert started.wait(LIMIT)
    before = len(steps)
    worker.stop("me")
    assert job.finished.wait(LIMIT)
    assert len(steps) <= before + 1
    assert threads == ["neuron-widget"]
    assert worker.jobs("me") == []


def test_the_more_urgent_goes_first_and_equals_share_by_time() -> None:
    log: list[str] = []
    now = 0.0
    gate = threading.Event()
    worker = Worker(clock=lambda: now)

    def wait_for_gate() -> Generator[None, None, None]:
        gate.wait(LIMIT)
        yield

    def taking(name: str, n: int, seconds: float) -> Generator[None, None, None]:
        nonlocal now
        for _ in range(n):
            now += seconds
            log.append(name)
            yield

    worker.submit(Job("me", "gate", wait_for_gate(), priority=0))
    submitted = [
        worker.submit(Job("me", "scan", taking("slow", 10, 4.0), priority=2)),
        worker.submit(Job("me", "render", taking("quick", 40, 1.0), priority=2)),
        worker.submit(Job("me", "photos", taking("urgent", 2, 1.0), priority=1)),
    ]
    gate.set()
    for job in submitted:
        assert job.finished.wait(LIMIT)
    assert log[:2] == ["urgent"] * 2
    # While both are there, the quick one makes four steps for one of the slow one.
    assert [log[2:].count("slow"), log[2:27].count("slow")] == [10, 5]


def test_one_that_was_urgent_goes_on_as_one_that_is_new() -> None:
    """It has spent nothing yet: beside those at work for long it would have all the time."""
    now = [0.0]
    worker, log = Worker(clock=lambda: now[0]), []
    asked: list[Job] = []

    def taking(name: str, count: int) -> Generator[None, None, None]:
        for i in range(count):
            now[0] += 1.0
            log.append(name)
            if name == "scan" and i == 9:
                asked.append(Job("me", "render", taking("render", 20), priority=1))
                asked[0].on_step = lambda _: worker.reprioritise(asked[0], 2)
                worker.submit(asked[0])
            yield

    scan = worker.submit(Job("me", "scan", taking("scan", 30), priority=2))
    assert scan.finished.wait(LIMIT)
    assert asked[0].finished.wait(LIMIT)
    assert log[:11] == ["scan"] * 10 + ["render"]
    assert sorted(log[11:13]) == sorted(log[13:15]) == ["render", "scan"]
    worker.close()


def test_a_delayed_job_waits_and_can_be_replaced_meanwhile(worker: Worker) -> None:
    log: list[object] = []
    first = worker.submit(Job("me", "render", counting(1, log, "first"), delay=0.2))
    second = worker.submit(Job("me", "render", counting(1, log, "second"), delay=0.05))
    assert second.finished.wait(LIMIT)
    assert first.finished.wait(LIMIT)
    assert ("first", 0) not in log


@pytest.mark.parametrize("how", ["on_done", "on_stop", "on_error"])
def test_a_job_is_listed_until_its_last_callback_has_run(worker: Worker, how: str) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def steps() -> Generator[None, None, None]:
        while how == "on_stop":
            yield
        if how == "on_error":
            raise KeyError("broken")
        yield

    def last(*_: object) -> None:
        entered.set()
        assert go_on.wait(LIMIT)

    job = worker.submit(Job("me", "a", steps(), **{how: last}))
    if how == "on_stop":
        worker.stop("me")
    assert entered.wait(LIMIT)
    # What it made may not be in its place yet; but it makes no further step.
    assert worker.jobs("me") == [job]
    assert not job.active
    assert not job.finished.is_set()
    go_on.set()
    assert job.finished.wait(LIMIT)
    assert worker.jobs("me") == []


def test_what_begins_in_the_last_callback_is_listed_before_the_job_is_over(worker: Worker) -> None:
    """Else somebody who waits sees a moment without any work, and takes it for the end."""
    seen: list[list[str]] = []
    ended: list[Job] = []

    def follow(_: object) -> None:
        ended.append(worker.submit(Job("me", "b", counting(1, []))))
        seen.append([job.task for job in worker.jobs("me")])

    first = worker.submit(Job("me", "a", counting(1, []), on_done=follow))
    assert first.finished.wait(LIMIT)
    assert seen == [["a", "b"]]
    assert ended[0].finished.wait(LIMIT)


def test_a_finished_job_keeps_nothing_alive(worker: Worker) -> None:
    class Heavy:
        def hear(self, _: object) -> None:
            pass

    heavy = Heavy()
    gone = weakref.ref(heavy)

    def steps(held: Heavy) -> Generator[Heavy, None, Heavy]:
        yield held
        return held

    jobs_ = [
        worker.submit(Job("me", "a", steps(heavy), on_done=heavy.hear)),
        worker.submit(Job("me", "b", steps(heavy), on_step=heavy.hear, delay=1e6)),
    ]
    del heavy
    worker.stop("me", "b")
    for job in jobs_:
        assert job.finished.wait(LIMIT)
    gc.collect()
    # The thread is there still, and waits for the next job.
    assert gone() is None


@pytest.mark.parametrize("where", ["step", "on_step", "on_done"])
def test_an_error_is_a_value_and_the_worker_goes_on(worker: Worker, where: str) -> None:
    errors: list[BaseException] = []

    def steps() -> Generator[int, None, int | None]:
        yield 1
        if where == "step":
            raise KeyError("broken")

    def fail(_: object) -> None:
        raise KeyError("broken")

    how = {where: fail} if where != "step" else {}
    job = worker.submit(Job("me", "a", steps(), on_error=errors.append, **how))
    assert job.finished.wait(LIMIT)
    assert [type(e) for e in errors] == [KeyError]
    assert isinstance(job.error, KeyError)
    after = worker.submit(Job("me", "b", counting(1, [])))
    assert after.finished.wait(LIMIT)
    assert after.error is None


@pytest.mark.parametrize("error", [KeyError, SystemExit, KeyboardInterrupt])
def test_whatever_an_owner_raises_the_worker_goes_on(
    worker: Worker, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    def broken(*_: object) -> None:
        raise error("broken")

    job = worker.submit(Job("me", "a", counting(1, []), on_done=broken, on_error=broken))
    assert job.finished.wait(LIMIT)
    assert isinstance(job.error, error)
    assert len(caplog.records) == 1
    after = worker.submit(Job("me", "b", counting(1, [])))
    assert after.finished.wait(LIMIT)


def test_a_closed_worker_begins_nothing_that_a_last_callback_asks_for(worker: Worker) -> None:
    """Else the interpreter goes away under a thread that is inside torch, and aborts."""
    begun, inside = threading.Event(), threading.Event()
    asked: list[Job] = []

    def last_step() -> Generator[None, None, None]:
        yield
        inside.set()
        assert begun.wait(LIMIT)

    def more(_: object) -> None:
        asked.append(worker.submit(Job("me", "preview", counting(3, []))))

    worker.submit(Job("me", "open", last_step(), on_done=more))
    assert inside.wait(LIMIT)
    threading.Timer(0.05, begun.set).start()
    worker.close()
    assert [job.active for job in asked] == [False]
    assert asked[0].finished.is_set()
    assert worker.jobs("me") == []


def test_the_thread_ends_when_idle_and_comes_back(worker: Worker) -> None:
    def alive() -> int:
        return sum(t.name == "neuron-widget" for t in threading.enumerate())

    for _ in range(2):
        job = worker.submit(Job("me", "a", counting(1, [])))
        assert job.finished.wait(LIMIT)
        end = time.monotonic() + LIMIT
        while alive() and time.monotonic() < end:
            time.sleep(0.01)
        assert alive() == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU OpenMP: Linux only")
def test_threads_that_helped_a_cell_are_gone_when_the_worker_computes() -> None:
    """Else there are more of them than cores, and a step takes up to twice as long."""
    script = """
import os, time, torch
from neuron_widget.session.jobs import Job, Pause, Worker

def threads():
    return len(os.listdir("/proc/self/task"))

def look():
    until = time.monotonic() + 5
    while threads() > before + 1 and time.monotonic() < until:
        time.sleep(0.01)
    yield threads() - before

torch.set_num_threads(3)
before = threads()
torch.ones(1_000_000).exp()
print(threads() - before)
seen = []
Worker().submit(Job("me", "a", look(), on_step=seen.append)).finished.wait()
print(*seen)
torch.ones(1_000_000).exp()  # and the cell goes on as before
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    # Two helpers; then the worker's thread alone.
    assert done.stdout.split() == ["2", "1"]


def test_a_job_that_pauses_leaves_the_time_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "IDLE_S", 0.05)
    ticks = itertools.count()
    worker = Worker(clock=lambda: float(next(ticks)))  # every step takes as long
    log: list[object] = []
    over = threading.Event()

    def pausing() -> Generator[object, None, None]:
        while not over.is_set():
            log.append("pause")
            yield Pause(0.05)
        yield from counting(20, log, "woken")

    began = time.monotonic()
    heard: list[object] = []
    waits = worker.submit(Job("me", "a", pausing(), on_step=heard.append))
    # Its peer is not kept from one step by it, nor is a job that comes after both.
    peer = worker.submit(Job("me", "b", counting(300, log, "peer", 0.001)))
    after = worker.submit(Job("me", "c", counting(3, log, "after"), priority=1))
    assert after.finished.wait(LIMIT)
    assert peer.finished.is_set()
    # It is asked no more often than it said, and nobody hears of that.
    assert log.count("pause") <= 2 + (time.monotonic() - began) / 0.05
    assert heard == []
    # Awake, it does not make up for the time that it gave away.
    beside = worker.submit(Job("me", "d", counting(500, log, "beside", 0.001)))
    while ("beside", 100) not in log:
        time.sleep(0.001)
    over.set()
    assert waits.finished.wait(LIMIT)
    assert beside.finished.wait(LIMIT)
    assert heard == list(range(20))
    woken = log[log.index(("woken", 0)) : log.index(("woken", 19))]
    assert sum(isinstance(e, tuple) and e[0] == "beside" for e in woken) in (18, 19, 20)


def test_a_stop_wakes_a_job_that_pauses(worker: Worker) -> None:
    def pausing() -> Generator[object, None, None]:
        yield "begun"
        while True:
            yield Pause(10 * LIMIT)

    begun = threading.Event()
    job = worker.submit(Job("me", "a", pausing(), on_step=lambda _: begun.set()))
    assert begun.wait(LIMIT)
    worker.stop("me")
    assert job.finished.wait(LIMIT)


def test_owners_share_the_time_whatever_each_has_at_work() -> None:
    """Three jobs of one get as much as the one job of another."""
    now = [0.0]
    worker, log = Worker(clock=lambda: now[0], fair=True), []
    held = threading.Event()

    def hold() -> Generator[None, None, None]:
        assert held.wait(LIMIT)
        yield

    def steps(owner: str) -> Generator[None, None, None]:
        for _ in range(30):
            now[0] += 1.0
            log.append(owner)
            yield

    worker.submit(Job("nobody", "hold", hold()))
    jobs_of = {"a": ("render", "scan", "preview"), "b": ("render",), "c": ("render",)}
    all_jobs = [
        worker.submit(
            Job(owner, task, steps(owner), priority=2, share=8.0 if owner == "a" else 1.0)
        )
        for owner, tasks in jobs_of.items()
        for task in tasks
    ]
    held.set()
    assert all(job.finished.wait(LIMIT) for job in all_jobs)
    first = log[:60]
    assert {owner: first.count(owner) for owner in "abc"} == {"a": 20, "b": 20, "c": 20}
    assert all(len(set(first[i : i + 3])) == 3 for i in range(0, 60, 3))
    assert not worker._spent
    worker.close()


def test_who_had_the_machine_alone_does_not_wait_until_all_others_had_as_much() -> None:
    """A student who has just rendered asks again as others come: all make their steps by turns."""
    now = [0.0]
    worker, log = Worker(clock=lambda: now[0], fair=True), []
    asked: list[Job] = []

    def steps(owner: str, count: int) -> Generator[None, None, None]:
        for _ in range(count):
            now[0] += 1.0
            log.append(owner)
            yield

    def again() -> Generator[None, None, None]:
        yield from steps("a", 50)
        jobs = [Job(owner, "render", steps(owner, 20), priority=2) for owner in ("b", "c", "a")]
        asked.extend(map(worker.submit, jobs))  # the first job of "a" is still about to end

    first = worker.submit(Job("a", "render", again(), priority=2))
    assert first.finished.wait(LIMIT)
    assert all(job.finished.wait(LIMIT) for job in asked)
    together = log[50:]
    assert all(len(set(together[i : i + 3])) == 3 for i in range(0, 60, 3)), together
    worker.close()
