"""What every data set looks like to a scan."""

from __future__ import annotations

import hashlib
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image

from neuron_widget.photos.decode import square

__all__ = [
    "PER_GROUP",
    "ImageDataset",
    "PicklableLock",
    "digest",
    "digest_images",
    "file_state",
    "join_notes",
]

PER_GROUP = 2
"""Photos of one group among a neuron's most activating ones, and among its least."""


class ImageDataset(ABC):
    """Photos by number. Safe to load from several threads, and picklable.

    Subclass it for photos that :func:`~neuron_widget.scanning.open_dataset` cannot open, and give
    an instance wherever a data set is taken. Reading a photo twice must give the same pixels.

    Attributes
    ----------
    name
        What to call it beside its photos: ``"imagenette/train"``, ``"samples"``.
    note
        What a person should know of it, shown beside its name: files left out, photos that are
        not the same twice. ``""`` for nothing.
    groups
        What each photo belongs to, where some belong together: the photograph that it is a crop of,
        its video, its patient. One entry a photo, anything hashable, ``None`` for a photo that
        stands alone. At most two photos of one group are among a neuron's most activating ones, and
        among its least. ``None``: no photo belongs to another.
    group_name
        What to call a group: ``"at most two of one photograph"``.
    run
        Neighbouring photos that are read one after the other, where that is much faster than each
        alone: a scan goes through the photos in random order, run by run.
    """

    name: str
    note: str = ""
    groups: Sequence[Hashable] | None = None
    group_name: str = "group"
    run: int = 1

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def load(self, i: int) -> Image.Image:
        """Return photo ``i``, upright, 8-bit RGB, in its own size.

        Raises whatever reading it raises (``OSError``, ``DatasetError``, ...): a scan skips it.
        """

    def encoded(self, i: int) -> bytes | bytearray | None:  # noqa: ARG002  # most have no files
        """Return the file of photo ``i``, where :meth:`load` gives just what is in it.

        A GPU decodes it then, if it is a JPEG. None elsewhere. Raises as :meth:`load` does.
        """
        return None

    def _loads_as(self, kind: type[ImageDataset]) -> bool:
        """Whether photos are loaded as a class says; a subclass may make others of the files."""
        own = type(self)
        return own.load is kind.load and own.load_square is kind.load_square

    def label(self, i: int) -> str:  # noqa: ARG002  # a data set without classes has no use for it
        """Return the class name of photo ``i``, ``""`` where there is none."""
        return ""

    def path(self, i: int) -> str:
        """Return the file of photo ``i``, or a stand-in such as ``"samples[3]"``."""
        return f"{self.name}[{i}]"

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A hash that changes when the data set or its grouping does; in stored results' keys."""

    @property
    def remarks(self) -> str:
        """The note, and what the grouping does to a neuron's photos; ``""`` for nothing."""
        grouped = f"at most {_IN_WORDS} of one {self.group_name} among a neuron's photos"
        return join_notes(self.note, grouped if self.groups is not None else "")

    def load_square(self, i: int, input_size: int) -> Image.Image:
        """Return the square of photo ``i`` that a network with this input size sees."""
        return square(self.load(i), input_size)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}, {len(self)} photos>"


_IN_WORDS = {1: "one", 2: "two", 3: "three"}.get(PER_GROUP, str(PER_GROUP))


class PicklableLock:
    """A lock for data sets that only one thread may read; a copy gets a lock of its own.

    The thread that has it may take it again: the code of a user's data set may read another item.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[PicklableLock], tuple[()]]:
        return PicklableLock, ()


def join_notes(*notes: str) -> str:
    """Return the notes that say something, one after the other."""
    return ". ".join(note for note in notes if note)


def digest(parts: Iterable[object]) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of the parts' texts."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(str(part).encode("utf-8", "surrogateescape") + b"\0")
    return sha.hexdigest()[:16]


def file_state(path: str | Path, name: str | None = None) -> tuple[object, ...]:
    """Name, size and modification time of a file; the name alone where there is no such file."""
    name = str(path) if name is None else name
    try:
        stat = os.stat(path)
    except (OSError, ValueError):  # ValueError: a null character in the name
        return (name,)
    return name, stat.st_size, stat.st_mtime_ns


def digest_images(dataset: ImageDataset, images: int = 8) -> list[str]:
    """Hashes of a few evenly spaced photos, as the data set loads them.

    A sample: it tells data sets, and what they do to their photos, apart. A change to one of the
    other photos goes unseen.
    """
    found = []
    for i in np.unique(np.linspace(0, len(dataset) - 1, images).astype(int)):
        try:
            pixels = dataset.load(int(i)).tobytes()
        except Exception as error:  # noqa: BLE001  (an unreadable photo is part of the identity too)
            pixels = type(error).__name__.encode()
        found.append(hashlib.sha256(pixels).hexdigest())
    return found
