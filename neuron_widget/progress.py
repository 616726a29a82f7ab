"""Work to its end, with a progress bar."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
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

    The bar appears with the first step: of what a store has already there is nothing to show.
    """
    from tqdm.auto import tqdm

    bar: tqdm[None] | None = None
    with closing(work):
        try:
            while True:
                step = next(work)
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
