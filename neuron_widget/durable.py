"""Files that are whole or not there: atomic writes, and what tells a torn file.

Two formats, both readable without this package: lossless WebP with what made the picture as JSON
in its Exif ``ImageDescription``, and safetensors with a JSON manifest in its header. The JSON holds
the key :data:`MARK`, which tells our files from others. Nothing is ever pickled.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from neuron_widget.errors import StoreError

__all__ = [
    "FORMAT",
    "MARK",
    "Damaged",
    "abandoned",
    "pack_arrays",
    "read_arrays",
    "read_facts",
    "size_text",
    "write_atomically",
]

FORMAT = 1
"""Version of the files; another one is a foreign file."""

MARK = "neuron_widget_format"
DESCRIPTION = 0x010E  # Exif's ImageDescription

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LARGEST_HEADER = 64 * 2**20

Arrays = dict[str, NDArray[Any]]


class Damaged(Exception):
    """A file that is torn or not one of ours; says why."""


# ------------------------------------------------------------------ writing


_ANOTHER = "name another folder with NEURON_WIDGET_STORE or store="


def write_atomically(path: Path, data: bytes, way_out: str = _ANOTHER) -> None:
    """Write a file so that others see all of it or nothing, also after a power cut.

    A temporary file beside it, fsync, rename, fsync of the folder. It may be done by several
    processes at once: the last one wins, with a whole file. ``way_out`` ends the error's message.

    Raises
    ------
    StoreError
        Full disk, folder that cannot be written to; says which and the way out.
    """
    for last in (False, True):
        try:
            _write(path, data)
            return
        except FileNotFoundError as error:
            # Somebody tidied the folder or our temporary file away in between: once more.
            if last:
                raise StoreError(_why_not(path, error, way_out)) from error
        except OSError as error:
            raise StoreError(_why_not(path, error, way_out)) from error


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / _temporary_name()
    # Not tempfile's 0600: a store may be shared, so the umask decides who can read it.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(temporary, flags, 0o666), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # folders cannot be opened there
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(number)


def _why_not(path: Path, error: OSError, way_out: str) -> str:
    if error.errno in _FULL:
        return (
            f"the disk is full (or a quota is reached): could not write {path}. The result is "
            f"still in memory. Free some space (neuron-widget store prune), or {way_out}"
        )
    return (
        f"could not write {path}: {error.strerror or error}. The result is still in memory. "
        f"Check the folder, or {way_out}"
    )


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _temporary_name() -> str:
    return f".tmp-{_host()}-{os.getpid()}-{secrets.token_hex(6)}"


def abandoned(path: Path, now: float) -> bool:
    """Whether a temporary file was left by a process that is no more.

    Of this machine's processes that is known; another machine's file must be a day old.
    """
    try:
        host, process = path.name.split("-")[1:3]
        number = int(process)
        if host == _host():
            return not _alive(number)
        return path.stat().st_mtime < now - 86_400
    except (ValueError, OSError):
        return False


def _alive(process: int) -> bool:
    if os.name == "nt":
        return True  # os.kill would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


# ------------------------------------------------------------------ reading


def read_facts(path: Path) -> dict[str, Any]:
    """Return the JSON that a file carries, without reading its pixels or tensors.

    Raises
    ------
    Damaged
        For a file that is cut short, of another format, or not one of ours.
    OSError
        If it is not there or cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        text = _exif_text(file, size) if path.suffix == ".webp" else _manifest(file, size)[0]
    return parse_facts(text)


def parse_facts(text: str | None) -> dict[str, Any]:
    """Return the JSON text of one of our files as a dictionary; Damaged for any other text."""
    try:
        facts = json.loads(text or "")
    except ValueError as error:
        raise Damaged("it does not say what made it; not a file of neuron-widget") from error
    if not isinstance(facts, dict) or MARK not in facts:
        raise Damaged("it does not say what made it; not a file of neuron-widget")
    if facts[MARK] != FORMAT:
        raise Damaged(f"its format is {facts[MARK]!r}, this version reads {FORMAT}")
    return facts


def _exif_text(file: BinaryIO, size: int) -> str | None:
    """The description in a WebP file, whose chunks must add up to its size."""
    from PIL import Image

    head = file.read(12)
    whole = int.from_bytes(head[4:8], "little") + 8
    if head[:4] != b"RIFF" or head[8:] != b"WEBP":
        raise Damaged("not a WebP file")
    if whole != size:
        raise Damaged(f"torn: {size:,} bytes of {whole:,}")
    place = 12
    while place + 8 <= size:
        file.seek(place)
        chunk = file.read(8)
        length = int.from_bytes(chunk[4:], "little")
        if chunk[:4] == b"EXIF":
            exif = Image.Exif()
            try:
                exif.load(file.read(length))
            except (SyntaxError, ValueError) as error:
                raise Damaged("its Exif data is broken") from error
            found = exif.get(DESCRIPTION)
            return found if isinstance(found, str) else None
        place += 8 + length + (length & 1)
    return None


def _manifest(file: BinaryIO, size: int) -> tuple[str | None, int]:
    """The manifest of a safetensors file and where its data begin; the size must be right."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, _LARGEST_HEADER):
        raise Damaged("torn, or not a safetensors file")
    try:
        header = json.loads(file.read(length))
        metadata = header.pop("__metadata__", {})
        end = max((int(t["data_offsets"][1]) for t in header.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise Damaged("torn, or not a safetensors file") from error
    if 8 + length + end != size:
        raise Damaged(f"torn: {size:,} bytes of {8 + length + end:,}")
    return metadata.get("manifest"), 8 + length


def pack_arrays(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> bytes:
    """Return a safetensors file with a JSON manifest, which holds a hash of the arrays."""
    from safetensors.numpy import save

    plain = {name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()}
    manifest = {MARK: FORMAT, **facts, "sha256": _digest(plain)}
    # ASCII: a photo's file name may hold what is no Unicode (surrogates), JSON escapes it.
    data: bytes = save(plain, metadata={"manifest": json.dumps(manifest, default=_number)})
    return data


def read_arrays(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Return the manifest and the arrays of a file.

    Raises Damaged if it is torn, foreign or has changed; OSError if it cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    facts = read_facts(path)
    data = path.read_bytes()
    try:
        arrays: Arrays = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise Damaged(f"cannot be read ({error})") from error
    if _digest(arrays) != facts.get("sha256"):
        raise Damaged("its content has changed: the hash in its manifest is another")
    return facts, arrays


def _number(value: object) -> int | float:
    """A number of numpy's as one of Python's."""
    if hasattr(value, "__index__"):
        return int(value.__index__())
    if isinstance(value, np.floating):
        return float(value)
    raise TypeError(f"{type(value).__name__} {value!r} has no place in a manifest")


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
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
