"""Each result made once, however many processes ask for it at the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

from neuron_widget.store.locks import MOST, PATIENCE_S, Lock, Locks, Watch

__all__ = ["POLL_S", "OnWait", "Waiting", "share"]

POLL_S = 0.1
"""Seconds between two looks at what is waited for."""

T = TypeVar("T")  # what is asked for
R = TypeVar("R")  # its result
Y = TypeVar("Y")  # a step on the way


@dataclass(frozen=True)
class Waiting:
    """Results that another process makes just now, and that are waited for.

    Attributes
    ----------
    results
        How many.
    seconds
        Since when.
    silent
        Seconds since the process has moved; it is not waited for beyond ``locks.PATIENCE_S``.
    done, total
        How far it is, in its own steps or photos; 0 of 0 where it does not say.
    """

    results: int
    seconds: float
    silent: float
    done: int = 0
    total: int = 0

    def __str__(self) -> str:
        what = "this result" if self.results == 1 else f"{self.results} of these results"
        rest = "they are" if self.results > 1 else "it is"
        return (
            f"another process is making {what}: waiting for it ({rest} made here if it takes no "
            f"step for {PATIENCE_S:.0f} s)"
        )


OnWait = Callable[[Waiting], None]


def share(
    locks: Locks,
    names: Mapping[T, str],
    find: Callable[[T], R | None],
    make: Callable[[list[T]], Generator[Y, None, Mapping[T, R]]],
    *,
    on_wait: OnWait | None = None,
    most: int = MOST,
) -> Generator[Y | None, None, dict[T, R]]:
    """Make results, or wait for those that another process makes just now.

    Nothing is held while it waits, so two processes never wait for each other.

    Parameters
    ----------
    locks
        Of the store that the results are kept in.
    names
        The name of each result.
    find
        Returns a result that has been made, or None.
    make
        Makes results, step by step, and keeps them where ``find`` finds them.
    on_wait
        Called about ten times a second while there is nothing to do but wait; None is yielded then.
        Who has something else to do may come back ``POLL_S`` later: then no time is slept away.
        Without it nothing is waited for: everything is made here.
    most
        Results that are made at a time.

    Yields the steps of ``make``, and None while it waits; returns all results. Closed, it frees
    what it was making.
    """
    found: dict[T, R] = {}
    missing, watch = list(names), Watch(locks)

    def look_again() -> list[T]:
        for item in missing:
            result = find(item) if item not in found else None
            if result is not None:
                found[item] = result
        return [item for item in missing if item not in found]

    while missing:
        with locks.some([names[item] for item in missing], most) as held:
            # Another process may have finished one between the look and the lock.
            missing = look_again()
            ours = missing
            if on_wait is not None:
                free = held.keys() | watch.given_up
                ours = [item for item in missing if names[item] in free][:most]
            if ours:
                with closing(make(ours)) as steps:
                    found.update((yield from _beating(steps, list(held.values()))))
        missing = [item for item in missing if item not in found]
        if missing and not ours and on_wait is not None:
            seen = watch.look([names[item] for item in missing])
            on_wait(Waiting(len(missing), seen.seconds, seen.silent, seen.done, seen.total))
            due = time.monotonic() + POLL_S
            yield None
            time.sleep(max(0.0, due - time.monotonic()))
            missing = look_again()
    return found


def _beating(
    steps: Generator[Y, None, Mapping[T, R]], held: Sequence[Lock]
) -> Generator[Y, None, Mapping[T, R]]:
    """The same steps; the locks say at each that the work moves."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            results: Mapping[T, R] = end.value
            return results
        for lock in held:
            lock.beat(int(getattr(step, "done", 0)), int(getattr(step, "total", 0)))
        yield step
