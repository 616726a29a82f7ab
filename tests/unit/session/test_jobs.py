"""The worker: newest wins, a stop takes one step, jobs share the time, nothing is left over."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Generator

import pytest

from neuron_widget.session import jobs
from neuron_widget.session.jobs import Job, Worker


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
    assert job.finished.wait(5)
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
    assert started.wait(5)
    before = len(log)
    new = worker.submit(Job("me", "render", counting(2, log, "new")))
    assert new.finished.wait(5)
    assert stopped.is_set()
    assert old.finished.is_set()
    assert sum(isinstance(e, tuple) and e[0] == "old" for e in log[before:]) <= 1
    assert log.index("closedold") < log.index(("new", 0))


def test_another_owner_is_left_alone(worker: Worker) -> None:
    log: list[object] = []
    mine = worker.submit(Job("me", "render", counting(5, log, "mine", 0.005)))
    yours = worker.submit(Job("you", "render", counting(5, log, "yours", 0.005)))
    worker.stop("you")
    assert mine.finished.wait(5)
    assert yours.finished.wait(5)
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

    started = threading.Event()
    job = worker.submit(Job("me", "a", endless(), on_step=lambda _: started.set()))
    assert started.wait(5)
    worker.stop("me")
    assert job.finished.wait(1)
    assert threads == ["neuron-widget"]
    assert worker.jobs("me") == []


def test_the_more_urgent_goes_first_and_equals_share_by_time(worker: Worker) -> None:
    log: list[object] = []
    gate = threading.Event()

    def wait_for_gate() -> Generator[None, None, None]:
        gate.wait(5)
        yield

    worker.submit(Job("me", "gate", wait_for_gate(), priority=0))
    slow = worker.submit(Job("me", "scan", counting(10, log, "slow", 0.02), priority=2))
    quick = worker.submit(Job("me", "render", counting(40, log, "quick", 0.005), priority=2))
    urgent = worker.submit(Job("me", "photos", counting(2, log, "urgent"), priority=1))
    gate.set()
    for job in (slow, quick, urgent):
        assert job.finished.wait(10)
    assert log[:3] == [("urgent", 0), ("urgent", 1), "closedurgent"]
    # While both are there, the quick one makes about four steps for one of the slow one.
    half = log[3:28]
    assert 3 <= sum(e[0] == "slow" for e in half if isinstance(e, tuple)) <= 8


def test_a_delayed_job_waits_and_can_be_replaced_meanwhile(worker: Worker) -> None:
    log: list[object] = []
    first = worker.submit(Job("me", "render", counting(1, log, "first"), delay=0.2))
    second = worker.submit(Job("me", "render", counting(1, log, "second"), delay=0.05))
    assert second.finished.wait(5)
    assert first.finished.wait(5)
    assert ("first", 0) not in log


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
    assert job.finished.wait(5)
    assert [type(e) for e in errors] == [KeyError]
    assert isinstance(job.error, KeyError)
    after = worker.submit(Job("me", "b", counting(1, [])))
    assert after.finished.wait(5)
    assert after.error is None


def test_the_thread_ends_when_idle_and_comes_back(worker: Worker) -> None:
    def alive() -> int:
        return sum(t.name == "neuron-widget" for t in threading.enumerate())

    for _ in range(2):
        job = worker.submit(Job("me", "a", counting(1, [])))
        assert job.finished.wait(5)
        end = time.monotonic() + 5
        while alive() and time.monotonic() < end:
            time.sleep(0.01)
        assert alive() == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU OpenMP: Linux only")
def test_threads_that_helped_a_cell_are_gone_when_the_worker_computes() -> None:
    """Else there are more of them than cores, and a step takes up to twice as long."""
    script = """
import os, time, torch
from neuron_widget.session.jobs import Job, Worker

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
