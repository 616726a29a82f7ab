"""Work to its end, with a progress bar."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Protocol, TypeVar

__all__ = ["drain"]


class Step(Protocol):
    """How far a piece of work is."""

    @property
    def done(self) -> int:
        """What is behind it."""

    @property
    def total(self) -> int:
        """All there is to do."""


T = TypeVar("T")


def drain(work: Generator[Step, None, T], *, progress: bool, title: str, unit: str) -> T:
    """Return what the generator returns; an interrupt closes it, so that what is there is kept.

    Ctrl-C (a notebook's stop button) takes effect when the present step is done, the second one at
    once: inside a step, what there is may be half of one.

    The bar appears with the first step: of what a store has already there is nothing to show.
    """
    from tqdm.auto import tqdm

    bar: tqdm[None] | None = None
    with closing(work), _interrupts_between_steps() as check:
        try:
            while True:
                step = next(work)
                check()
                if progress and bar is None:
                    bar = tqdm(desc=title, unit=unit)
                if bar is not None:
                    bar.total = step.total
                    bar.update(step.done - bar.n)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            if bar is not None:
                bar.close()


@contextmanager
def _interrupts_between_steps() -> Iterator[Callable[[], None]]:
    """What is given raises KeyboardInterrupt where one came before; called between two steps."""
    pressed: list[int] = []

    def on_signal(number: int, _frame: object) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    # Somebody's own handler, and other threads, which get no signals, are left alone.
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield check
        return
    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
