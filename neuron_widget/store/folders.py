"""Several folders as one: looked into in turn, written to the last."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from neuron_widget.durable import Record
from neuron_widget.errors import StoreError
from neuron_widget.names import as_path
from neuron_widget.store.folder import Entry, Folder, Pruned, Verified
from neuron_widget.store.keys import ModelKeys
from neuron_widget.store.locks import Locks

__all__ = ["DEFAULT_LIMIT", "Folders", "number_in"]

DEFAULT_LIMIT = 4 * 2**30
"""Bytes in the writable folder; the least recently used results go first."""

# The folder is measured when so much of the limit has been written since the last time.
_MEASURE_EVERY = 1 / 32

_log = logging.getLogger("neuron_widget.store")


class Folders:
    """Files by room and name.

    Parameters
    ----------
    folder
        Where results are written. It is made when there is something to write.
    read_only
        Folders looked into before it; never written to, touched or removed from.
    limit
        Bytes in ``folder``; when they are exceeded, what was used least recently is removed.
    report
        Called with one line for what goes wrong beside the work: torn files, a full disk. Each is
        reported once. Default: the log ``neuron_widget.store``.
    packaged
        The folder that comes with the package: looked into last, and nothing of the user's. None
        for none.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        read_only: Sequence[str | os.PathLike[str]] = (),
        limit: int = DEFAULT_LIMIT,
        report: Callable[[str], None] = _log.warning,
        packaged: Path | None = None,
    ):
        self._report = report
        # What kept the last result from being written; None once writing works again.
        self.failure: StoreError | None = None
        self._lock = threading.Lock()
        self.limit = limit
        self.own = Folder(_folder(folder), writable=True, report=report)
        self.folders = [
            *(Folder(_folder(f), writable=False, report=report) for f in read_only),
            self.own,
        ]
        self.packaged: Folder | None = None
        if packaged is not None:
            self.packaged = Folder(packaged, writable=False, report=report)
        self.model_key = ModelKeys()
        self.locks = Locks(self.own.root)
        self._unmeasured = float("inf")

    def __repr__(self) -> str:
        others = "".join(f", {str(f.root)!r} read only" for f in self.folders[:-1])
        return f"<Store {str(self.own.root)!r}{others}>"

    def fail(self, error: StoreError) -> None:
        """Report that writing failed, once until it works again."""
        if self.failure is None:
            self._report(f"results are not kept on disk: {error}")
        self.failure = error

    def write(self, room: str, name: str, data: bytes) -> None:
        """Write a file into the writable folder, and keep to the limit; raises StoreError."""
        self.own.write(room, name, data)
        with self._lock:
            self._unmeasured += len(data)
            due = self._unmeasured > self.limit * _MEASURE_EVERY
            if due:
                self._unmeasured = 0.0
        if due:
            self.own.prune(self.limit)

    def find(
        self, room: str, name: str, reader: Callable[[Record], Any], *, packaged: bool = False
    ) -> Any:
        """Return what ``reader`` makes of a file of this name, from the first folder that has it.

        ``reader`` raises Damaged for what is not what it should be. None if no folder has it whole.
        ``packaged``: look also into the folder that comes with the package.
        """
        for folder in self._looked_into(packaged):
            found = folder.read(room, name, reader)
            if found is not None:
                return found
        return None

    def names(self, room: str, key: str, *, packaged: bool = False) -> set[str]:
        """Return the names of a key's files in all folders."""
        return {name for folder in self._looked_into(packaged) for name in folder.names(room, key)}

    def _looked_into(self, packaged: bool) -> list[Folder]:
        last = [self.packaged] if packaged and self.packaged is not None else []
        return [*self.folders, *last]

    # -------------------------------------------------------------- the whole store

    def entries(self) -> Iterator[tuple[Folder, Entry]]:
        """Every file of every folder."""
        for folder in self.folders:
            for entry in folder.entries():
                yield folder, entry

    def facts(self, room: str) -> Iterator[dict[str, Any]]:
        """What the files of a room say of themselves, in all folders."""
        for folder in self.folders:
            yield from folder.facts(room)

    def verify(self) -> dict[Folder, Verified]:
        """Read every file of every folder whole."""
        return {folder: folder.verify(_check) for folder in self.folders}

    def prune(self, limit: int | None = None) -> Pruned:
        """Keep the writable folder to ``limit`` bytes (default: the store's)."""
        self.locks.tidy(time.time())
        return self.own.prune(self.limit if limit is None else limit)


def _folder(given: str | os.PathLike[str]) -> Path:
    return as_path(given, "store", StoreError, example="~/store")


def number_in(name: str, letter: str) -> int:
    """The number after ``-letter`` in a file's name; -1 if there is none."""
    found = re.search(rf"-{letter}([0-9]+)", name)
    return int(found[1]) if found else -1


def _check(record: Record) -> None:
    if record.facts.get("kind") == "image":
        from neuron_widget.rendering.files import read_image

        read_image(record)
    else:
        record.arrays()
