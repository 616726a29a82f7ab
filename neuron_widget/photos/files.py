"""Files as photos: which formats, how large, and what is never opened."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from neuron_widget.errors import DatasetError
from neuron_widget.photos.decode import to_rgb

__all__ = [
    "LARGEST_PX",
    "open_photo",
    "photo_bytes",
    "photo_formats",
    "photo_suffixes",
    "readable_again",
]

_OF_THE_DISK = re.compile(r"\w+: \[Errno \d+\]")  # how a scan tells of an OSError

# Pillow's names. HEIF and JXL are there once a plugin for them has been registered. Never EPS, PDF
# and their like: Pillow starts other programs (Ghostscript) to read them.
_FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"),
    *("PPM", "JPEG2000", "AVIF", "HEIF", "JXL"),
)

LARGEST_PX = 178_956_970
"""Pixels of the largest photo, where Pillow's own limit is: half a gigabyte decoded."""


def photo_formats() -> list[str]:
    """Return Pillow's names of the photo formats that it can read here."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def photo_suffixes() -> frozenset[str]:
    """Return the endings (``".jpg"``) of the photo formats that can be read here."""
    endings = Image.registered_extensions()  # registers all formats
    # Pillow opens MPO (JPEGs of two pictures) as JPEG.
    known = {*photo_formats(), "MPO"}
    return frozenset(ending for ending, name in endings.items() if name in known)


def open_photo(source: str | Path | BinaryIO, name: str = "") -> Image.Image:
    """Return a photo, upright, 8-bit RGB.

    Parameters
    ----------
    source
        Its file, or the bytes of one in a stream.
    name
        What errors call it; default the file's name.

    Raises
    ------
    DatasetError
        For what is no regular file (a folder, a pipe, a device), none of the photo formats, cut
        short or damaged, or larger than :data:`LARGEST_PX`.
    OSError
        For a file that is not there or may not be read.
    """
    if isinstance(source, str | Path):
        name = name or os.path.basename(source)
        _refuse_special(source, name)
    try:
        with Image.open(source, formats=photo_formats()) as image:
            if image.width * image.height > LARGEST_PX:
                raise _too_large(name)
            return to_rgb(image)
    except DatasetError:
        raise
    except UnidentifiedImageError as error:
        raise DatasetError(
            f"{name!r} is in none of the photo formats {', '.join(photo_formats())}"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, not of the picture
        raise DatasetError(f"{name!r} is cut short or damaged ({error})") from error


def photo_bytes(source: str | Path) -> bytearray:
    """Return what is in a photo's file; raises as :func:`open_photo` does for what is no file."""
    size = _refuse_special(source, os.path.basename(source))
    data = bytearray(size)
    with open(source, "rb", buffering=0) as file:
        del data[file.readinto(data) or 0 :]
    return data


def readable_again(skipped: Iterable[tuple[str, str]]) -> bool:
    """Whether one of these files was left out for the disk's sake, and can be opened now.

    Parameters
    ----------
    skipped
        Path and reason of each photo that a scan could not read.
    """
    return any(_OF_THE_DISK.match(reason) and _opens(path) for path, reason in skipped)


def _opens(path: str) -> bool:
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            return bool(file.read(1))
    except (OSError, ValueError):  # ValueError: a null character in the name
        return False


def _refuse_special(path: str | Path, name: str) -> int:
    """Return the file's size. Opening a pipe waits for ever, and a device may do anything."""
    state = os.stat(path)
    if stat.S_ISDIR(state.st_mode):
        raise DatasetError(f"{name!r} is a folder, not a photo; give the folder as the data set")
    if not stat.S_ISREG(state.st_mode):
        raise DatasetError(f"{name!r} is a pipe, socket or device, not a photo")
    if state.st_size == 0:
        raise DatasetError(f"{name!r} is empty")
    return state.st_size


def _too_large(name: str) -> DatasetError:
    return DatasetError(
        f"{name!r} has more than {LARGEST_PX:,} pixels, too many to decode safely; "
        "give a smaller copy of it"
    )
