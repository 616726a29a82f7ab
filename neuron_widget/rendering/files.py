"""Rendered images as files: 8-bit lossless WebP (or PNG) that says what made it.

A file holds pixels and a manifest (a dictionary of plain values); what the manifest of a result
says is in :mod:`.manifest`. The pixels are those of ``RenderResult.to_pil``: what was on screen
comes back bit by bit, the float image to half a level (1/510). The optimiser's state, which "more
steps" need, is twenty times as large as the picture and goes into a file of its own.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from neuron_widget.durable import (
    DESCRIPTION,
    FORMAT,
    MARK,
    Arrays,
    Damaged,
    pack_arrays,
    parse_facts,
    read_arrays,
    write_atomically,
)
from neuron_widget.errors import StoreError

__all__ = ["Manifest", "image_bytes", "read_image", "read_state", "save_images", "state_bytes"]

Manifest = Mapping[str, Any]

_SOFTWARE = 0x0131  # Exif's Software
_LOSSY = (".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".pdf", ".svg")


def image_bytes(pixels: NDArray[np.uint8], manifest: Manifest, form: str = "WEBP") -> bytes:
    """Return ``(H, W, 3)`` pixels as a lossless file with the manifest embedded.

    ``form`` is ``"WEBP"`` or ``"PNG"``.
    """
    picture = Image.fromarray(pixels)
    text = json.dumps({MARK: FORMAT, "kind": "image", **manifest, "pixels": _pixel_hash(picture)})
    buffer = io.BytesIO()
    if form == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("Description", text)
        picture.save(buffer, "PNG", pnginfo=info)
    else:
        exif = Image.Exif()
        exif[DESCRIPTION] = text
        exif[_SOFTWARE] = "neuron-widget"
        # Effort 2 of 6: a fifth of the time of the default for 7 % more bytes.
        picture.save(buffer, "WEBP", lossless=True, method=2, quality=50, exif=exif.tobytes())
    return buffer.getvalue()


def _pixel_hash(picture: Image.Image) -> str:
    return hashlib.sha256(picture.tobytes()).hexdigest()[:16]


def read_image(path: Path) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Return the pixels ``(H, W, 3)`` and the manifest of a WebP or PNG file.

    Raises Damaged if it is torn or foreign; OSError if it cannot be read.
    """
    data = path.read_bytes()
    # PIL decodes a WebP file with bytes missing at the end without a word.
    if data[:4] == b"RIFF" and int.from_bytes(data[4:8], "little") + 8 != len(data):
        raise Damaged(f"torn: {len(data):,} bytes of {int.from_bytes(data[4:8], 'little') + 8:,}")
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP", "PNG"]) as opened:
            opened.load()
            text = opened.info.get("Description") or opened.getexif().get(DESCRIPTION)
            picture = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise Damaged(f"cannot be decoded ({error})") from error
    manifest = parse_facts(text if isinstance(text, str) else None)
    if manifest.get("pixels") != _pixel_hash(picture):
        raise Damaged("its pixels have changed: their hash is another")
    return np.asarray(picture, np.uint8), manifest


# ------------------------------------------------------------------ the optimiser's state


def state_bytes(arrays: Arrays, manifest: Manifest) -> bytes:
    """Return what is needed to go on with an image, as a file."""
    return pack_arrays(arrays, {"kind": "state", **manifest})


def read_state(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Return arrays and manifest of a state; raises Damaged or OSError."""
    manifest, arrays = read_arrays(path)
    return arrays, manifest


# ------------------------------------------------------------------ for people


def save_images(
    images: Sequence[tuple[NDArray[np.uint8], Manifest]], path: str | Path
) -> list[Path]:
    """Write images, each with its manifest, and return their files.

    A path that ends in ``.webp`` or ``.png`` is the file of the only image; any other path is a
    folder, in which images are called ``mixed4a_neuron_68.webp``. Both are lossless and carry the
    settings, activation and history as JSON (Exif ``ImageDescription``, PNG ``Description``).

    Raises
    ------
    StoreError
        Several images for one file name, another ending, no images, or a disk error.
    """
    path = Path(path).expanduser()
    if not images:
        raise StoreError("there is no image in this result to save")
    suffix = path.suffix.lower()
    if suffix in (".webp", ".png"):
        if len(images) != 1:
            raise StoreError(
                f"{path.name!r} is one file and the result has {len(images)} images; name a folder"
            )
        files = [path]
    elif suffix in _LOSSY and not path.is_dir():
        raise StoreError(
            f"cannot save as {suffix!r}; name a folder, or a file ending in .webp or .png (both "
            "lossless)"
        )
    else:
        files = [path / _file_name(manifest) for _, manifest in images]
    for file, (pixels, manifest) in zip(files, images, strict=True):
        form = "PNG" if file.suffix.lower() == ".png" else "WEBP"
        write_atomically(file, image_bytes(pixels, manifest, form))
    return files


def _file_name(manifest: Manifest) -> str:
    place = re.sub(r"[^\d]+", "_", str(manifest.get("target", "")).partition("@")[2])
    name = f"{manifest['layer']}_neuron_{manifest['neuron']}{'_at_' + place if place else ''}"
    return re.sub(r"[^\w.-]", "_", name) + ".webp"
