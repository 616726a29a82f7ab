"""Our two kinds of files, of which every byte that is used is checked.

Both are readable without this package: lossless WebP with what made the picture as JSON in its
Exif ``ImageDescription``, and safetensors with a JSON manifest in its header. The manifest holds
the key :data:`MARK`, which tells our files from others, a hash of itself (``checksum``), and hashes
of what it describes (``sha256`` of all arrays; of a picture, ``pixels``). Nothing is ever pickled.
Nothing is allocated or decoded because a file says so: sizes must fit the file's own size first.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from neuron_widget.durable.folders import Damaged, open_regular

__all__ = [
    "DESCRIPTION",
    "FORMAT",
    "MALFORMED",
    "MARK",
    "Arrays",
    "Record",
    "number",
    "open_record",
    "pack_arrays",
    "parse_facts",
    "read_arrays",
    "read_facts",
    "seal",
    "sha256_of",
    "size_text",
    "whole",
]

FORMAT = 2
"""Version of the files. Since 2 the manifest is covered by a hash. It is part of every stored
result's name, so that results of another version are neither found nor in the way."""

OLDER = (1,)
"""Versions that can be read where a person names the file; the store takes none of them."""

MARK = "neuron_widget_format"
DESCRIPTION = 0x010E  # Exif's ImageDescription

# What reading a well-formed manifest with the wrong content in it can raise.
MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)

_LARGEST_HEADER = 64 * 2**20
_MOST_ARRAYS = 64
_DTYPES = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
    "F32": "<f4",
    "F64": "<f8",
}

Arrays = dict[str, NDArray[Any]]


# ------------------------------------------------------------------ what a file says of itself


def seal(facts: Mapping[str, Any]) -> str:
    """Return facts as the JSON text of a manifest, with :data:`MARK` and their hash.

    Raises ValueError for what JSON does not know (NaN, infinity), TypeError for other objects.
    """
    text = json.dumps({MARK: FORMAT, **facts}, default=_plain, allow_nan=False)
    plain = json.loads(text)
    # ASCII: a photo's file name may hold what is no Unicode (surrogates), JSON escapes it.
    return json.dumps({**plain, "checksum": _checksum(plain)})


def parse_facts(text: str | None, *, older: bool = False) -> dict[str, Any]:
    """Return the manifest in a JSON text; Damaged for any text that :func:`seal` did not make.

    ``older``: take manifests of versions before too, which no hash covers.
    """
    try:
        facts = json.loads(text or "", parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise Damaged("it does not say what made it; not a file of neuron-widget") from error
    if not isinstance(facts, dict) or MARK not in facts:
        raise Damaged("it does not say what made it; not a file of neuron-widget")
    version = facts[MARK]
    if version != FORMAT and not (older and version in OLDER):
        raise Damaged(f"its format is {_short(version)}, this version reads {FORMAT}")
    checksum = facts.pop("checksum", None)
    if version == FORMAT and checksum != _checksum(facts):
        raise Damaged("what it says of itself has changed: the hash is another")
    return facts


def _checksum(facts: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    except RecursionError as error:
        raise Damaged("it is nested too deeply; not a file of neuron-widget") from error
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} has no place in a manifest")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _plain(value: object) -> int | float:
    """A number of numpy's as one of Python's."""
    if hasattr(value, "__index__"):
        return int(value.__index__())
    if isinstance(value, np.floating):
        return float(value)
    raise TypeError(f"{type(value).__name__} {value!r} has no place in a manifest")


def whole(value: object, least: int = 0, most: int = 2**53) -> int:
    """A whole number of a manifest, within its range; ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{_short(value)} is no whole number from {least} to {most}")
    return value


def number(value: object) -> float:
    """A finite number of a manifest; ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{_short(value)} is no number")
    return float(value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


# ------------------------------------------------------------------ an open file


@dataclass(frozen=True)
class _Layout:
    """Where an array is in its file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class Record:
    """An open file of ours whose manifest has been checked, and nothing else yet.

    Attributes
    ----------
    facts
        The manifest.
    file
        The open file.
    """

    def __init__(self, file: BufferedReader, facts: dict[str, Any], layouts: dict[str, _Layout]):
        self.file = file
        self.facts = facts
        self._layouts = layouts

    @property
    def names(self) -> set[str]:
        """Names of the arrays in the file."""
        return set(self._layouts)

    def expect(self, **arrays: tuple[str, tuple[int | None, ...]]) -> None:
        """Check types and shapes before anything is read; None in a shape is any length.

        Raises Damaged unless the file has just these arrays.
        """
        if self._layouts.keys() != arrays.keys():
            raise Damaged(f"its arrays are {sorted(self._layouts)}, expected {sorted(arrays)}")
        for name, (dtype, shape) in arrays.items():
            found = self._layouts[name]
            fits = len(found.shape) == len(shape) and all(
                want in (None, have) for have, want in zip(found.shape, shape, strict=True)
            )
            if found.dtype != np.dtype(dtype) or not fits:
                raise Damaged(
                    f"its array {name} is {found.dtype} {found.shape}, expected {dtype} {shape}"
                )

    def arrays(self) -> Arrays:
        """Read all arrays; Damaged unless their hash is that of the manifest."""
        found = {name: self._read(layout) for name, layout in self._layouts.items()}
        if sha256_of(found) != self.facts.get("sha256"):
            raise Damaged("its content has changed: the hash in its manifest is another")
        return found

    def part(self, name: str, row: int | None = None) -> NDArray[Any]:
        """Read one array, or one row of it; the caller checks it (:func:`sha256_of`)."""
        try:
            layout = self._layouts[name]
            if row is not None:
                if not 0 <= row < layout.shape[0]:
                    raise IndexError(row)
                one = _Layout(layout.dtype, layout.shape[1:], 0)
                layout = _Layout(one.dtype, one.shape, layout.begin + row * one.size)
        except (KeyError, IndexError) as error:
            raise Damaged(f"it has no array {name!r} with such a row") from error
        return self._read(layout)

    def _read(self, layout: _Layout) -> NDArray[Any]:
        array = np.empty(layout.shape, layout.dtype)
        self.file.seek(layout.begin)
        if array.size and self.file.readinto(array.reshape(-1).view(np.uint8).data) != array.nbytes:
            raise Damaged("torn: it ends within its arrays")
        return array

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


def open_record(
    source: Path | BufferedReader, *, older: bool = False, largest: int | None = None
) -> Record:
    """Open a file of ours and check its manifest; the pixels or arrays are not looked at.

    ``source`` is a path that a user named, or an open file of a store. ``older``: see
    :func:`parse_facts`. ``largest``: bytes that it can have at most.

    Raises
    ------
    Damaged
        If it is torn (its size is wrong), of another format, changed, or not one of ours.
    OSError
        If it is not there or cannot be read.
    """
    file = open_regular(source) if isinstance(source, Path) else source
    try:
        size = os.fstat(file.fileno()).st_size
        if largest is not None and size > largest:
            raise Damaged(f"it is larger than it can be: {size_text(size)} of {size_text(largest)}")
        layouts: dict[str, _Layout] = {}
        file.seek(0)
        if file.read(4) == b"RIFF":
            text = _exif_text(file, size)
        else:
            text, layouts = _header(file, size)
        return Record(file, parse_facts(text, older=older), layouts)
    except BaseException:
        if isinstance(source, Path):
            file.close()
        raise


def read_facts(path: Path) -> dict[str, Any]:
    """Return the manifest of a file; see :func:`open_record`."""
    with open_record(path) as record:
        return record.facts


def read_arrays(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Return the manifest and all arrays of a file; see :func:`open_record`."""
    with open_record(path) as record:
        return record.facts, record.arrays()


# ------------------------------------------------------------------ WebP


def _exif_text(file: BufferedReader, size: int) -> str | None:
    """The description in a WebP file, whose chunks must add up to its size."""
    file.seek(0)
    head = file.read(12)
    promised = int.from_bytes(head[4:8], "little") + 8
    if head[8:] != b"WEBP":
        raise Damaged("not a WebP file")
    if promised != size:
        raise Damaged(f"torn: {size:,} bytes of {promised:,}")
    place = 12
    while place + 8 <= size:
        file.seek(place)
        chunk = file.read(8)
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"EXIF":
            if not 8 <= length <= min(size - place - 8, _LARGEST_HEADER):
                break
            return _description(file.read(length))
        place += 8 + length + (length & 1)
    raise Damaged("it does not say what made it; not a file of neuron-widget")


def _description(exif: bytes) -> str | None:
    """The text of Exif's ``ImageDescription``, in its first directory.

    Read here and not by Pillow, which warns and raises many things at what is no Exif.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    try:
        (first,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, first)
        for i in range(count):
            entry = first + 2 + 12 * i
            tag, kind, length, where = struct.unpack_from(f"{order}HHII", exif, entry)
            if tag == DESCRIPTION and kind == 2:
                return exif[where : where + length].rstrip(b"\0").decode("ascii")
    except (struct.error, UnicodeDecodeError):
        return None
    return None


# ------------------------------------------------------------------ safetensors


def _header(file: BufferedReader, size: int) -> tuple[str | None, dict[str, _Layout]]:
    """The manifest of a safetensors file and where its arrays are; they must fill the file."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, _LARGEST_HEADER):
        raise Damaged("torn, or not a safetensors file")
    begin = end = 8 + length
    layouts: dict[str, _Layout] = {}
    try:
        header = json.loads(file.read(length), parse_constant=_refuse)
        text = header.pop("__metadata__", {}).get("manifest")
        if len(header) > _MOST_ARRAYS:
            raise ValueError(f"{len(header)} arrays")
        for name, told in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            shape = tuple(whole(n) for n in told["shape"])
            layout = _Layout(np.dtype(_DTYPES[told["dtype"]]), shape, end)
            if told["data_offsets"] != [end - begin, end - begin + layout.size]:
                raise ValueError(f"{name} is not where it should be")
            layouts[name], end = layout, end + layout.size
    except (*MALFORMED, RecursionError) as error:
        raise Damaged("torn, or not a safetensors file") from error
    if end != size:
        raise Damaged(f"torn: {size:,} bytes of {end:,}")
    return text if isinstance(text, str) else None, layouts


def pack_arrays(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> bytes:
    """Return a safetensors file with a manifest, which holds a hash of the arrays."""
    from safetensors.numpy import save

    plain = {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()}
    data: bytes = save(plain, metadata={"manifest": seal({**facts, "sha256": sha256_of(plain)})})
    return data


def sha256_of(arrays: Mapping[str, NDArray[Any]]) -> str:
    """A hash of arrays: of their names, types, shapes and bytes."""
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        sha.update(f"{name} {array.dtype.str} {array.shape}".encode())
        sha.update(array.data if array.size else b"")
    return sha.hexdigest()


def size_text(size: float) -> str:
    """``1234567`` as ``"1.2 MB"``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{f'{size:.1f}'.removesuffix('.0')} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
