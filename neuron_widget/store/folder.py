"""One folder of stored results: files found by their names, the least recently used removed first.

There is no index: a look-up is one file opened by its name, whatever the number of files, and
processes need not agree on anything. Nothing that is read is believed: every file says under which
name it was written, that and everything else it says is covered by a hash, and what reads it checks
the rest.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from neuron_widget.durable import (
    FORMAT,
    MALFORMED,
    MARK,
    Damaged,
    OpenFolder,
    Record,
    abandoned,
    open_record,
    write_inside,
)
from neuron_widget.errors import StoreError

__all__ = ["LARGEST", "Entry", "Folder", "Pruned", "Verified"]

LARGEST = {
    "images": 128 * 2**20,  # 4096 x 4096 px, incompressible: 50 MB
    "states": 1024 * 2**20,  # of 4096 px: 605 MB
    "scans": 1024 * 2**20,  # 4 kB a neuron, and 48 bytes for each of its photos
    "parts": 1024 * 2**20,  # of scans: 8 kB a neuron
    "checkpoints": 2048 * 2**20,  # 25 kB a neuron
    "maps": 1024 * 2**20,  # .maps.LARGEST_MAPS, and what is beside them
    "vectors": 1024 * 2**20,  # 0.5 kB a photo for the embedded observer
    "networks": 2**20,  # some hundred layers
    "galleries": 256 * 2**20,  # 64 x 64 px a neuron: 3 kB
}
"""Bytes that a file of each room can have at most; a larger one is not ours."""

_VERSION = "v1"  # other layouts live beside this one
_NAME = re.compile(r"[0-9a-f]{40}(-[a-z][0-9]{1,12})*\.(webp|safetensors)")

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
    """A folder of results, which other people may be able to write to.

    Nothing is read or made on opening. Torn and foreign files are ignored, reported once, and
    never deleted; one that stands where a result belongs is renamed before that is written. Links
    below the folder itself are not followed.

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
        # What identifies files that turned out to be torn or foreign.
        self._bad: dict[Path, object] = {}

    def __repr__(self) -> str:
        return f"<Folder {str(self.root)!r}{'' if self.writable else ', read only'}>"

    def path(self, room: str, name: str) -> Path:
        """Return where a file of this name belongs."""
        return self.root.joinpath(*self._parts(room, name))

    def _parts(self, room: str, name: str) -> tuple[str, ...]:
        return _VERSION, room, name[:2], name

    @contextmanager
    def _open(self, path: Path) -> Iterator[OpenFolder]:
        """The small folder that a file is in."""
        parts = path.relative_to(self.root).parts[:-1]
        with OpenFolder(self.root) as root, root.enter(*parts) as opened:
            yield opened

    def names(self, room: str, key: str) -> list[str]:
        """Return the names of all files of a key; one small folder is listed."""
        try:
            with self._open(self.path(room, key)) as folder:
                found = [name for name in folder.names() if name.startswith(key)]
        except (OSError, Damaged):
            return []
        return [name for name in found if _NAME.fullmatch(name)]

    def read(self, room: str, name: str, reader: Callable[[Record], V]) -> V | None:
        """Return what ``reader`` makes of a file; None if it is not there or not whole."""
        path = self.path(room, name)
        if self._known_bad(path):
            return None
        try:
            with self._open(path) as folder:
                with folder.open(name) as file:
                    found = reader(_ours(open_record(file, largest=LARGEST[room]), name))
                if self.writable:
                    # A file whose use is not noted goes a little earlier.
                    with contextlib.suppress(OSError):
                        folder.touch(name)
                return found
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Damaged as error:
            self._tell(path, error)
        except OSError as error:  # not ours to read, a share that is gone
            self._tell(path, Damaged(f"cannot be read ({error.strerror or error})"))
        except (*MALFORMED, MemoryError, RecursionError) as error:  # crafted
            self._tell(path, Damaged(f"not what belongs here ({error!r})"))
        return None

    def write(self, room: str, name: str, data: bytes) -> None:
        """Write a file; StoreError if that is not possible."""
        self._set_aside(room, name)
        write_inside(self.root, self._parts(room, name), data)

    def _set_aside(self, room: str, name: str) -> None:
        """Rename a torn or foreign file that stands where a result is to be written."""
        path = self.path(room, name)
        try:
            with self._open(path) as folder:
                try:
                    if self._known_bad(path):
                        raise Damaged("its content has changed")
                    with folder.open(name) as file:
                        _ours(open_record(file, largest=LARGEST[room]), name)
                except Damaged as error:
                    self._tell(path, error)
                    self._rename(folder, name, error)
        except (OSError, Damaged):
            pass  # nothing is there; or writing will say what is wrong

    def _rename(self, folder: OpenFolder, name: str, why: Damaged) -> None:
        try:
            folder.rename(name, f"{name}.damaged-{time.time_ns()}")
        except FileNotFoundError:
            pass  # another process was faster
        except OSError as failure:
            raise StoreError(
                f"{folder.path / name} is damaged ({why}) and could not be set aside ({failure}); "
                "move it away, or name another folder with NEURON_WIDGET_STORE"
            ) from failure

    def _tell(self, path: Path, error: Damaged) -> None:
        """Report a file once, as long as it is the same."""
        path = error.path or path
        identity = _identity(path)
        if path not in self._bad or self._bad[path] != identity:
            self._bad[path] = identity
            self._report(f"ignoring {path}: {error}")

    def _known_bad(self, path: Path) -> bool:
        """Whether the file turned out to be torn or foreign before, and is the same still."""
        return self._bad.get(path) is not None and self._bad[path] == _identity(path)

    # -------------------------------------------------------------- the whole folder

    def entries(self) -> Iterator[Entry]:
        """Every file with a name of ours, of all rooms."""
        for folder, name, found in self._files():
            if _NAME.fullmatch(name) and stat.S_ISREG(found.st_mode):
                room = folder.path.relative_to(self.root / _VERSION).parts[0]
                yield Entry(folder.path / name, room, found.st_size, found.st_mtime)

    def facts(self, room: str) -> Iterator[dict[str, Any]]:
        """What the files of a room say of themselves, also those of versions before."""
        for entry in self.entries():
            if entry.room == room:
                with contextlib.suppress(OSError, Damaged), self._open(entry.path) as at:
                    with at.open(entry.path.name) as file:
                        record = open_record(file, older=True, largest=LARGEST[room])
                    yield record.facts

    def _files(self) -> Iterator[tuple[OpenFolder, str, os.stat_result]]:
        """Everything in the rooms that is no folder: where, name, and what it is."""
        for room in LARGEST:
            try:
                with OpenFolder(self.root) as root, root.enter(_VERSION, room) as opened:
                    yield from opened.walk()
            except OSError:
                continue
            except Damaged as error:
                self._tell(self.root / _VERSION / room, error)

    def verify(self, check: Callable[[Record], Any]) -> Verified:
        """Read every file whole with ``check``, which raises Damaged."""
        whole = 0
        damaged: list[tuple[str, str]] = []
        for folder, name, _ in self._files():
            if name.startswith(".tmp-"):
                continue
            try:
                if not _NAME.fullmatch(name):
                    raise Damaged("not a name of the store's")
                with folder.open(name) as file:
                    record = open_record(file, older=True, largest=max(LARGEST.values()))
                    check(_ours(record, name) if record.facts[MARK] == FORMAT else record)
                whole += 1
            except FileNotFoundError:
                continue  # removed in between
            except (Damaged, OSError, *MALFORMED, MemoryError, RecursionError) as error:
                damaged.append((str(folder.path / name), str(error)))
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
                self._each(entry, lambda folder, name: folder.touch(name))
            entries.append(entry)
        entries.sort(key=lambda entry: min(entry.used, now))
        left, left_bytes = len(entries), sum(entry.size for entry in entries)
        removed = removed_bytes = 0
        for entry in entries:
            if left_bytes <= limit:
                break
            if self._each(entry, _remove):
                removed, removed_bytes = removed + 1, removed_bytes + entry.size
                left, left_bytes = left - 1, left_bytes - entry.size
        self._remove_abandoned(now)
        return Pruned(removed, removed_bytes, left, left_bytes)

    def _each(self, entry: Entry, do: Callable[[OpenFolder, str], None]) -> bool:
        """Do something with a file; False if that is not possible."""
        try:
            if self._known_bad(entry.path):
                return False
            with self._open(entry.path) as folder:
                do(folder, entry.path.name)
        except FileNotFoundError:
            return True  # another process was faster
        except Damaged as error:
            self._tell(entry.path, error)
            return False
        except OSError:
            return False
        return True

    def _remove_abandoned(self, now: float) -> None:
        for folder, name, found in self._files():
            if name.startswith(".tmp-") and abandoned(name, found.st_mtime, now):
                with contextlib.suppress(OSError):
                    folder.remove(name)


def _ours(record: Record, name: str) -> Record:
    """The record, if it was written under this name; Damaged for one moved here from elsewhere."""
    if record.facts.get("name") != name:
        raise Damaged("it is another result, moved here: it was stored under another name")
    return record


def _remove(folder: OpenFolder, name: str) -> None:
    with folder.open(name) as file:
        open_record(file, older=True)
    folder.remove(name)


def _identity(path: Path) -> object:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
