"""A photo in whatever form it is given."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from PIL import Image

from neuron_widget.errors import DatasetError
from neuron_widget.names import path_as_typed
from neuron_widget.photos.decode import as_image, to_rgb
from neuron_widget.photos.files import LARGEST_PX, open_photo

__all__ = ["name_of", "open_any"]

_EXPECTED = (
    "a path, a PIL image, an array or tensor (3, H, W) or (H, W, 3) in 0..1 or uint8, or the bytes "
    "of a file"
)


def open_any(photo: Any, name: str = "") -> Image.Image:
    """Return a photo, upright, 8-bit RGB.

    Parameters
    ----------
    photo
        A path, a PIL image, an array or tensor ``(3, H, W)`` or ``(H, W, 3)``, floats in 0..1 or
        uint8, or the bytes of a file. Bytes and files are not trusted: see
        :mod:`neuron_widget.photos.files`.
    name
        What errors call it.

    Raises
    ------
    DatasetError
        For what is no photo, cut short, damaged or too large to decode.
    """
    name = name or name_of(photo)
    if isinstance(photo, str | os.PathLike):
        path = Path(path_as_typed(os.fspath(photo))).expanduser()
        try:
            return open_photo(path, name)
        except OSError as error:
            why = error.strerror or error
            raise DatasetError(f"'{photo}' cannot be read ({why}); expected {_EXPECTED}") from error
    if isinstance(photo, bytes | bytearray | memoryview):
        if not len(photo):
            raise DatasetError(f"{name!r} is empty")
        return open_photo(io.BytesIO(photo), name)
    if isinstance(photo, Image.Image) and photo.width * photo.height > LARGEST_PX:
        raise DatasetError(
            f"{name!r} has {photo.width * photo.height:,} pixels, more than {LARGEST_PX:,}; give a "
            "smaller copy of it"
        )
    if not (isinstance(photo, Image.Image) or hasattr(photo, "shape")):
        raise DatasetError(f"a photo is {_EXPECTED}; got {type(photo).__name__}")
    if not isinstance(photo, Image.Image) and 0 in photo.shape:
        raise DatasetError(f"{name!r} has no pixels: its shape is {tuple(photo.shape)}")
    try:
        return to_rgb(as_image(photo, "the photo"))
    except (OSError, SyntaxError) as error:  # of a file that PIL opens when it is looked at
        raise DatasetError(f"{name!r} is cut short or damaged ({error})") from error


def name_of(photo: Any) -> str:
    """What to call a photo: its file's name where it has one."""
    if isinstance(photo, str | os.PathLike):
        return os.path.basename(os.fspath(photo)) or "the photo"
    file = getattr(photo, "filename", "") or getattr(photo, "path", "")
    return os.path.basename(file) if isinstance(file, str) and file else "the photo"
