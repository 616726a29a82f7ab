"""Who renders what, when several processes fill one store: locks that die with their process."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

__all__ = ["Locks"]

try:
    import fcntl as _fcntl
except ImportError:  # Windows
    _locks: ModuleType | None = None
else:
    _locks = _fcntl


class Locks:
    """Locks on single bytes of one empty file; the operating system frees those of a dead process.

    Where files cannot be locked (Windows, some network shares) everything is granted: two
    processes then make the same result, which does no harm.
    """

    def __init__(self, root: Path):
        self._path = root / "v1" / "locks"
        self._file: int | None = None
        if _locks is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError:
                self._file = None  # a folder that cannot be written to: the first result says so

    def close(self) -> None:
        """Give back everything."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def take(self, name: str) -> bool:
        """Claim a name; False if another process has it."""
        if self._file is None or _locks is None:
            return True
        try:
            _locks.lockf(self._file, _locks.LOCK_EX | _locks.LOCK_NB, 1, _place(name))
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            return True  # locks are not supported here
        return True

    def give(self, name: str) -> None:
        """Give a name back."""
        if self._file is not None and _locks is not None:
            try:
                _locks.lockf(self._file, _locks.LOCK_UN, 1, _place(name))
            except OSError:
                return

    @contextmanager
    def some(self, names: list[str], most: int) -> Iterator[list[str]]:
        """Claim up to ``most`` of the names for a while."""
        taken: list[str] = []
        for name in names:
            if len(taken) == most:
                break
            if self.take(name):
                taken.append(name)
        try:
            yield taken
        finally:
            for name in taken:
                self.give(name)


def _place(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
