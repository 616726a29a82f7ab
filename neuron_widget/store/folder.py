"""One folder of stored results: files found by their names, the least recently used removed first.

There is no index: a look-up is one file opened by its name, whatever the number of files, and
processes need not agree on anything.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from neuron_widget.durable import Damaged, abandoned, read_facts, write_atomically
from neuron_widget.errors import StoreError

__all__ = ["Entry", "Folder", "Pruned", "Verified"]

ROOMS = ("images", "states", "scans", "checkpoints", "maps", "galleries")

_VERSION = "v1"  # other layouts live beside this one
_NAME = re.compile(r"[0-9a-f]{40}(-[a-z]\d+)*\.(webp|safetensors)")

V = TypeVar("V")


@dataclass(frozen=True)
class Entry:
    """A file of the store: its room, size in bytes, and when it was last used (Unix time)."""

    path: Path
    room: str
    size: int
    used: float


@dataclass(frozen=True)
class Pruned:
    """What a tidying removed, and what is left (files and bytes)."""

    removed: int
    removed_bytes: int
    left: int
    left_bytes: int


@dataclass(frozen=True)
class Verified:
    """Whole files, and (path, reason) of those that are torn, changed or foreign."""

    whole: int
    damaged: list[tuple[str, str]]


class Folder:
    """A folder of results.

    Nothing is read or made on opening. Torn and foreign files are ignored, reported once, and
    never deleted; one that stands where a result belongs is renamed before that is written.

    Parameters
    ----------
    root
        The folder; made when the first result is written.
    writable
        False: nothing in it is ever written, touched or removed.
    report
        Called with one line for each torn or foreign file.
    """

    def __init__(self, root: Path, *, writable: bool, report: Callable[[str], None]):
        self.root = root
        self.writable = writable
        self._report = report
        # Size and time of files that turned out to be torn or foreign.
        self._bad: dict[Path, tuple[int, int]] = {}

    def __repr__(self) -> str:
        return f"<Folder {str(self.root)!r}{'' if self.writable else ', read only'}>"

    def path(self, room: str, name: str) -> Path:
        """Return where a file of this name belongs."""
        return self.root / _VERSION / room / name[:2] / name

    def names(self, room: str, family: str) -> list[str]:
        """Return the names of all files of a family; one small folder is listed."""
        try:
            with os.scandir(self.path(room, family).parent) as entries:
                found = [e.name for e in entries if e.name.startswith(family)]
        except OSError:
            return []
        return [name for name in found if _NAME.fullmatch(name)]

    def read(self, room: str, name: str, reader: Callable[[Path], V]) -> V | None:
        """Return what ``reader`` makes of a file; None if it is not there or not whole."""
        path = self.path(room, name)
        if self._known_bad(path):
            return None
        try:
            found = reader(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Damaged as error:
            self._tell(path, error)
            return None
        except OSError as error:  # not ours to read, a share that is gone
            self._tell(path, Damaged(f"cannot be read ({error.strerror or error})"))
            return None
        self._touch(path)
        return found

    def write(self, room: str, name: str, data: bytes) -> None:
        """Write a file; StoreError if that is not possible."""
        path = self.path(room, name)
        self._set_aside(path)
        write_atomically(path, data)

    def _set_aside(self, path: Path) -> None:
        """Rename a torn or foreign file that stands where a result is to be written."""
        try:
            self._look(path)
        except FileNotFoundError:
            pass
        except Damaged as error:
            self._tell(path, error)
            try:
                os.replace(path, path.with_name(f"{path.name}.damaged-{time.time_ns()}"))
            except FileNotFoundError:
                pass  # another process was faster
            except OSError as failure:
                raise StoreError(
                    f"{path} is damaged ({error}) and could not be set aside ({failure}); "
                    "move it away, or name another folder with NEURON_WIDGET_STORE"
                ) from failure
        except OSError:
            pass  # writing will say what is wrong

    def _touch(self, path: Path) -> None:
        if self.writable:
            # A file whose use is not noted goes a little earlier.
            with contextlib.suppress(OSError):
                os.utime(path)

    def _tell(self, path: Path, error: Damaged) -> None:
        if not self._known_bad(path):
            with contextlib.suppress(OSError):
                stat = path.stat()
                self._bad[path] = (stat.st_size, stat.st_mtime_ns)
            self._report(f"ignoring {path}: {error}")

    def _known_bad(self, path: Path) -> bool:
        """Whether the file turned out to be torn or foreign before, and is the same still."""
        if path not in self._bad:
            return False
        try:
            stat = path.stat()
        except OSError:
            return False
        return self._bad[path] == (stat.st_size, stat.st_mtime_ns)

    def _look(self, path: Path) -> None:
        """Raise Damaged for a file that is torn or foreign at a quick look, or known to be."""
        if self._known_bad(path):
            raise Damaged("its content has changed")
        read_facts(path)

    # -------------------------------------------------------------- the whole folder

    def entries(self) -> Iterator[Entry]:
        """Every file with a name of ours, of all rooms."""
        for path in self._files():
            if _NAME.fullmatch(path.name):
                try:
                    stat = path.stat()
                except OSError:
                    continue
                yield Entry(path, path.parts[-3], stat.st_size, stat.st_mtime)

    def _files(self) -> Iterator[Path]:
        for room in ROOMS:
            for folder, _, names in os.walk(self.root / _VERSION / room):
                yield from (Path(folder, name) for name in names)

    def verify(self, check: Callable[[Path], Any]) -> Verified:
        """Read every file whole with ``check``, which raises Damaged."""
        whole = 0
        damaged: list[tuple[str, str]] = []
        for path in self._files():
            if path.name.startswith(".tmp-"):
                continue
            try:
                if not _NAME.fullmatch(path.name):
                    raise Damaged("not a name of the store's")
                check(path)
                whole += 1
            except FileNotFoundError:
                continue  # removed in between
            except (Damaged, OSError) as error:
                damaged.append((str(path), str(error)))
        return Verified(whole, damaged)

    def prune(self, limit: int) -> Pruned:
        """Remove what was used least recently until ``limit`` bytes are left.

        Removes only whole files of ours, and what processes that were killed left half written.
        """
        now = time.time()
        entries = []
        for entry in self.entries():
            if entry.used > now + 60:
                # The clock was set back: count from now, or the file would outlive all others.
                self._touch(entry.path)
            entries.append(entry)
        entries.sort(key=lambda entry: min(entry.used, now))
        left, left_bytes = len(entries), sum(entry.size for entry in entries)
        removed = removed_bytes = 0
        for entry in entries:
            if left_bytes <= limit:
                break
            if self._remove(entry.path):
                removed, removed_bytes = removed + 1, removed_bytes + entry.size
                left, left_bytes = left - 1, left_bytes - entry.size
        self._remove_abandoned(now)
        return Pruned(removed, removed_bytes, left, left_bytes)

    def _remove(self, path: Path) -> bool:
        try:
            self._look(path)
            path.unlink()
        except FileNotFoundError:
            return True  # another process was faster
        except Damaged as error:
            self._tell(path, error)
            return False
        except OSError:
            return False
        return True

    def _remove_abandoned(self, now: float) -> None:
        for path in list(self._files()):
            if path.name.startswith(".tmp-") and abandoned(path, now):
                path.unlink(missing_ok=True)
