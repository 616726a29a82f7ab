"""Who makes which result just now, among all processes that use one store.

A lock is an empty file that the operating system locks for its process, and frees with it: a dead
process is in nobody's way. One that is stopped, or waits for its user, holds its locks; so whoever
makes a result writes into its lock file how far it is, and a lock that has not moved for
:data:`PATIENCE_S` may be taken over. Two processes then make the same result, which does no harm.
Where files cannot be locked (Windows, some network shares, read-only folders) everything is
granted.

In a lock file stand, a line each, who makes the result and how far it is: ``"512 2048"``.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from neuron_widget.durable import Damaged, OpenFolder, this_host

__all__ = ["LONGEST_S", "MOST", "PATIENCE_S", "Lock", "Locks", "Seen", "Watch"]

try:
    import fcntl as _fcntl
except ImportError:  # Windows
    _system: ModuleType | None = None
else:
    _system = _fcntl

PATIENCE_S = 30.0
"""Seconds without a step after which a result is no longer waited for."""

LONGEST_S = 1800.0
"""Seconds after which nothing is waited for, even if it moves."""

MOST = 64
"""Locks that are held at a time, at most: each is an open file."""

_BEAT_S = 1.0
_FOLDER = ("v1", "in-progress")

# Longer than what stands in a lock file can be.
_LONGEST_TEXT = 400

Mark = tuple[int, int] | None


class Lock:
    """A result that this process makes; without a file where it could not be locked."""

    def __init__(self, locks: Locks, name: str, file: int | None = None):
        self._locks = locks
        self._name = name
        self._file = file
        self._beaten = time.monotonic()

    def beat(self, done: int = 0, total: int = 0) -> None:
        """Say that the work has moved, and how far it is; to be called at every step."""
        now = time.monotonic()
        if self._file is not None and now - self._beaten >= _BEAT_S:
            self._beaten = now
            with contextlib.suppress(OSError):
                # One write, of one length: whoever reads it sees no half of it.
                os.pwrite(self._file, f"{done:12d} {total:12d}\n".encode(), len(_signature()))
                os.utime(self._file)

    def release(self) -> None:
        """Give the result free."""
        if self._file is not None:
            found = os.fstat(self._file)
            self._locks.remove(self._name, (found.st_ino, found.st_mtime_ns))
            os.close(self._file)
            self._file = None


class Locks:
    """The locks of one store.

    Parameters
    ----------
    root
        The store's own folder.

    Attributes
    ----------
    take_turns
        Whether those of this process who make results pause where they wait, so that they wait for
        each other too: sessions of one worker.
    """

    def __init__(self, root: Path):
        self._root = root
        self.take_turns = False

    def _open(self, *, create: bool = False) -> OpenFolder:
        with OpenFolder(self._root, create=create) as root:
            return root.enter(*_FOLDER, create=create)

    def take(self, name: str) -> Lock | None:
        """Lock the result of this name; None if another process makes it."""
        if _system is None:
            return Lock(self, name)
        try:
            with self._open(create=True) as folder:
                while True:
                    file = folder.open_shared(name)
                    try:
                        _system.flock(file, _system.LOCK_EX | _system.LOCK_NB)
                        if folder.look(name).st_ino == os.fstat(file).st_ino:
                            _sign(file)
                            return Lock(self, name, file)
                    except BlockingIOError:
                        # Another thread of this process may not go on before this one does.
                        ours = _is_signed_here(file)
                        os.close(file)
                        return Lock(self, name) if ours and not self.take_turns else None
                    except FileNotFoundError:
                        pass
                    except BaseException:
                        os.close(file)
                        raise
                    os.close(file)  # it was given free between the two calls: once more
        except (OSError, Damaged):
            return Lock(self, name)

    @contextmanager
    def some(self, names: Sequence[str], most: int = MOST) -> Iterator[dict[str, Lock]]:
        """Lock up to ``most`` of these results for a while, those that nobody else makes."""
        held: dict[str, Lock] = {}
        try:
            for name in names:
                if len(held) == min(most, MOST):
                    break
                lock = self.take(name)
                if lock is not None:
                    held[name] = lock
            yield held
        finally:
            for lock in held.values():
                lock.release()

    def mark(self, name: str) -> Mark:
        """What changes when the process that makes a result moves; None if nobody makes it."""
        try:
            with self._open() as folder:
                found = folder.look(name)
        except (OSError, Damaged):
            return None
        return found.st_ino, found.st_mtime_ns

    def progress(self, name: str) -> tuple[int, int]:
        """How far the process is that makes a result: ``(done, total)``, or zeros."""
        try:
            with self._open() as folder, folder.open(name) as file:
                lines = file.read(_LONGEST_TEXT).decode("ascii", "replace").splitlines()
            done, total = map(int, lines[1].split())
        except (OSError, Damaged, ValueError, IndexError):
            return 0, 0
        return (done, total) if 0 <= done <= total else (0, 0)

    def remove(self, name: str, mark: Mark) -> None:
        """Remove a lock, if it is the one that was marked: whoever comes next takes it."""
        with contextlib.suppress(OSError, Damaged), self._open() as folder:
            found = folder.look(name)
            if (found.st_ino, found.st_mtime_ns) == mark:
                folder.remove(name)

    def tidy(self, now: float) -> None:
        """Remove what killed processes left a day ago."""
        try:
            with self._open() as folder:
                names = folder.names()
        except (OSError, Damaged):
            return
        for name in names:
            mark = self.mark(name)
            if mark is not None and mark[1] < (now - 86_400) * 1e9:
                self.remove(name, mark)


@dataclass(frozen=True)
class Seen:
    """What :class:`Watch` sees of the results that are waited for.

    ``seconds`` since the first look, ``silent`` seconds since the slowest of their makers moved,
    and how far its work is: ``done`` of ``total``, 0 of 0 where that is not known.
    """

    seconds: float
    silent: float
    done: int
    total: int


class Watch:
    """Tells which results are not to be waited for any longer."""

    def __init__(self, locks: Locks):
        self._locks = locks
        self._begin = time.monotonic()
        self._seen: dict[str, tuple[Mark, float]] = {}
        self.given_up: set[str] = set()

    def look(self, names: Sequence[str]) -> Seen:
        """Look at the locks of results, and give up those whose makers have not moved."""
        now = time.monotonic()
        silence, slowest = 0.0, names[0]
        for name in names:
            mark = self._locks.mark(name)
            seen, since = self._seen.get(name, (mark, now))
            if mark != seen:
                since = now
            self._seen[name] = mark, since
            if now - since > silence:
                silence, slowest = now - since, name
            if now - since >= PATIENCE_S:
                # The next one to ask takes it over: one of those that wait, not all of them.
                self._locks.remove(name, mark)
                if self._locks.mark(name) == mark:  # it cannot be removed
                    self.given_up.add(name)
            elif now - self._begin >= LONGEST_S:
                self.given_up.add(name)
        return Seen(now - self._begin, silence, *self._locks.progress(slowest))


def _sign(file: int) -> None:
    with contextlib.suppress(OSError):  # a full disk: the lock holds nevertheless
        os.ftruncate(file, 0)
        os.pwrite(file, _signature(), 0)


def _is_signed_here(file: int) -> bool:
    return os.pread(file, len(_signature()), 0) == _signature()


def _signature() -> bytes:
    return f"{os.getpid()} {this_host()}\n".encode()
