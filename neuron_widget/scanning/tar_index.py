"""What is in a tar: where each photo's bytes are, found by reading its headers alone.

Nothing is unpacked, so that no name in a tar can lead anywhere: names are what photos are called.
"""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from neuron_widget.durable import MALFORMED, Damaged, open_regular
from neuron_widget.errors import DatasetError
from neuron_widget.scanning.listing import is_of_other_programs

__all__ = ["Place", "TarIndex", "TarPhoto", "read_bytes", "read_index"]

_SLICE = 500  # headers read between two chances to stop
_LABELS = ("cls", "json")
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd")  # gzip, bzip2, xz, zstd


class Place(NamedTuple):
    """Where the bytes of a file are in its tar."""

    offset: int
    size: int


class TarPhoto(NamedTuple):
    """A photo in a tar, and the file beside it that says its class (``"cls"``, ``"json"``)."""

    name: str
    place: Place
    label: Place = Place(0, 0)
    label_kind: str = ""


@dataclass
class TarIndex:
    """The photos of a tar in its order, and how many other files it has of which ending.

    ``ended``: whether it has the empty block that ends a tar; without, more may have followed.
    """

    photos: list[TarPhoto] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    ended: bool = True


class _Member(NamedTuple):
    name: str
    key: str
    ending: str  # all behind the key, as in WebDataset: "jpg", "seg.png"
    place: Place


def read_index(path: Path, suffixes: frozenset[str]) -> Generator[None, None, TarIndex]:
    """Read the headers of a tar, in steps that can be stopped.

    Raises DatasetError for what cannot be opened, is no tar, is compressed, or is cut short.
    """
    index, members, size = TarIndex(), [], 0
    try:
        with open_regular(path) as file:
            head = file.read(6)
            size = file.seek(0, 2)
            if head.startswith(_COMPRESSED):
                raise DatasetError(
                    f"'{path}' is compressed, and photos are read out of the middle of a tar; "
                    "decompress it first (gunzip, unxz, unzstd): photos hardly get smaller anyway"
                )
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for count, found in enumerate(_members(tar, path, size)):
                    if count % _SLICE == 0:
                        yield
                    member = _member(found, index.left_out)
                    if member is not None:
                        members.append(member)
                end = tar.offset
            # tarfile takes any header that it cannot read for the end.
            file.seek(end)
            last = file.read(tarfile.BLOCKSIZE)
            if last.strip(tarfile.NUL) or len(last) % tarfile.BLOCKSIZE:
                raise _broken(path, f"no header at {end:,}")
            index.ended = bool(last)
    except Damaged as error:
        raise DatasetError(f"'{path}' is {error}; expected a tar of photos") from error
    except (tarfile.TarError, EOFError, RecursionError, *MALFORMED) as error:
        if isinstance(error, DatasetError):
            raise
        raise _broken(path, str(error)) from error
    except OSError as error:
        raise DatasetError(f"the tar '{path}' cannot be read: {error.strerror or error}") from error
    for _, sample in groupby(members, lambda member: member.key):
        _take(list(sample), suffixes, index)
    return index


def _members(tar: tarfile.TarFile, path: Path, size: int) -> Iterator[tarfile.TarInfo]:
    """The members one after the other, each of which lies behind the last and in the file."""
    last = -1
    for found in tar:
        if found.offset <= last or found.size < 0 or found.offset_data < found.offset:
            raise _broken(path, f"its headers lead back, at {found.offset:,}")
        if found.isreg() and found.offset_data + found.size > size:
            raise _broken(path, f"cut short within {found.name!r}")
        last = found.offset
        yield found


def _member(found: tarfile.TarInfo, left_out: Counter[str]) -> _Member | None:
    """A regular file that is nobody else's; its name without what leads out of the tar."""
    parts = [
        part for part in found.name.replace("\0", "").split("/") if part not in ("", ".", "..")
    ]
    if found.isdir() or not parts or any(is_of_other_programs(part) for part in parts):
        return None
    if not found.isreg() or found.issparse():
        left_out["links, devices and sparse files"] += 1
        return None
    base, _, ending = parts[-1].partition(".")
    place = Place(found.offset_data, found.size)
    return _Member("/".join(parts), "/".join([*parts[:-1], base]), ending.lower(), place)


def _take(sample: list[_Member], suffixes: frozenset[str], index: TarIndex) -> None:
    """The photos of one sample: files of one name but for their endings.

    Beside ``0001.jpg`` lies ``0001.cls``, and ``0001.seg.png`` is no photo of its own.
    """
    images = [m for m in sample if f".{m.ending.rpartition('.')[2]}" in suffixes]
    plain = [m for m in images if "." not in m.ending]
    labels = {m.ending: m.place for m in sample if m.ending in _LABELS}
    kind = next((name for name in _LABELS if name in labels), "")
    for member in plain or images:
        index.photos.append(
            TarPhoto(member.name, member.place, labels.get(kind, Place(0, 0)), kind)
        )
    taken = {id(member) for member in plain or images}
    for member in sample:
        if id(member) not in taken and member.ending not in _LABELS:
            index.left_out[f".{member.ending}" if member.ending else "no ending"] += 1


def read_bytes(path: str | Path, place: Place) -> bytes:
    """Return the bytes at a place of a tar; DatasetError if it is not as long any more."""
    try:
        with open_regular(Path(path)) as file:
            file.seek(place.offset)
            data = file.read(place.size)
    except Damaged as error:
        raise DatasetError(f"'{path}' is {error}") from error
    if len(data) != place.size:
        raise DatasetError(f"the tar '{path}' has become shorter")
    return data


def _broken(path: Path, why: str) -> DatasetError:
    return DatasetError(
        f"the tar '{path}' is broken or none ({why}); expected an uncompressed tar. Fetch or make "
        "it again, or leave it out"
    )
