"""Threads that wait for PyTorch, and what they cost others.

PyTorch's builds for Linux compute with GNU OpenMP, which keeps helper threads for every thread that
computes. When the process has more of them than cores, a helper that waits goes to sleep at once
instead of looking out for work for a moment, and is woken for each of a step's many parallel loops.
A cell that had used PyTorch once so made every later step of the worker take up to twice as long
(28 ms instead of 14 on 2 cores).

Looking out for work has its price where other programs want the cores: by default a thread that has
done its part of a loop looks out for 3 ms and more, and takes that time from the very thread that
it waits for, when that was pushed aside. With seven programs on each of two cores a step took 16
times the processor time of one without helpers. A look-out of 50 microseconds, a loop's length,
costs hardly more there than one thread alone, and changes no result, as fewer threads would.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["end_helpers", "short_look_out"]

# GNU OpenMP reads it once, when it is loaded; a turn takes some 50 nanoseconds.
_TURNS = "GOMP_SPINCOUNT"
_FEW_TURNS = "1000"

_SOFT = 1  # omp_pause_soft, of the OpenMP standard 5.0


@contextmanager
def short_look_out() -> Iterator[None]:
    """PyTorch that is imported inside for the first time has helpers that go to sleep soon.

    Unless the user has chosen how they wait. The environment is what it was afterwards.
    """
    chosen = _TURNS in os.environ or "OMP_WAIT_POLICY" in os.environ
    if chosen or "torch" in sys.modules:
        yield
        return
    os.environ[_TURNS] = _FEW_TURNS
    try:
        yield
    finally:
        os.environ.pop(_TURNS, None)


def end_helpers() -> None:
    """End the calling thread's OpenMP helpers; its next parallel loop starts new ones.

    For a thread that is about to leave the computing to another. Does nothing before PyTorch is
    imported, or where it computes with another OpenMP than GNU's.
    """
    if "torch" in sys.modules:
        for library in _gnu_openmp():
            library.omp_pause_resource_all(_SOFT)


@functools.cache
def _gnu_openmp() -> list[Any]:
    import ctypes

    maps = Path("/proc/self/maps")
    if not maps.exists():
        return []
    mapped = {Path(line.split(maxsplit=5)[-1]) for line in maps.read_text().splitlines()}
    paths = sorted(path for path in mapped if path.name.startswith("libgomp") and path.exists())
    libraries = [ctypes.CDLL(str(path)) for path in paths]
    return [library for library in libraries if hasattr(library, "omp_pause_resource_all")]
