"""Rendered images as files: 8-bit WebP (or PNG) that says what made it.

A file holds pixels and a manifest (a dictionary of plain values); what the manifest of a result
says is in :mod:`.manifest`. The pixels are those of ``RenderResult.to_pil``: what was on screen
comes back bit by bit, the float image to half a level (1/510). Only the pictures that come with the
package are stored with loss, and their manifests say so (``lossy``, the quality of 100): decoders
may differ in the last bit of those, so that the hash is of the data that is decoded. The
optimiser's state, which "more steps" need, is twenty times as large as the picture and goes into a
file of its own.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from neuron_widget.durable import (
    DESCRIPTION,
    Arrays,
    Damaged,
    Record,
    open_record,
    open_regular,
    pack_arrays,
    parse_facts,
    seal,
    write_atomically,
)
from neuron_widget.errors import StoreError
from neuron_widget.names import as_path

__all__ = [
    "SPECTRA",
    "Manifest",
    "image_bytes",
    "lossy_bytes",
    "read_image",
    "read_state",
    "save_images",
    "state_bytes",
]

Manifest = Mapping[str, Any]

SPECTRA = ("spectrum", "exp_avg", "exp_avg_sq")
"""The arrays of a state, each of the shape that the image's parameterisation says, float32."""

_SOFTWARE = 0x0131  # Exif's Software
# What a rendering can be; nothing beyond it is read or decoded.
_LARGEST_SIDE = 4096
_LARGEST_FILE = 128 * 2**20

_LOSSY = (".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".pdf", ".svg")


def lossy_bytes(pixels: NDArray[np.uint8], manifest: Manifest, quality: int) -> bytes:
    """Return ``(H, W, 3)`` pixels as a lossy WebP file that says so, with the manifest embedded.

    ``quality`` is WebP's, 0 to 100.
    """
    picture, buffer = Image.fromarray(pixels), io.BytesIO()
    how: dict[str, Any] = {"quality": quality, "method": 6}
    picture.save(buffer, "WEBP", **how)
    told = {"shape": list(pixels.shape[:2]), "lossy": quality, "data": _data_hash(buffer)}
    exif = Image.Exif()
    exif[DESCRIPTION] = seal({"kind": "image", **manifest, **told})
    exif[_SOFTWARE] = "neuron-widget"
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", **how, exif=exif.tobytes())
    return buffer.getvalue()


def _data_hash(file: BinaryIO) -> str:
    """A hash of the lossy picture in a WebP file: of what a decoder is given."""
    file.seek(12)
    while len(head := file.read(8)) == 8:
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"VP8 ":
            return hashlib.sha256(file.read(length)).hexdigest()[:16]
        file.seek(length + (length & 1), io.SEEK_CUR)
    raise Damaged("there is no lossy picture in it, and it says that there is")


def image_bytes(pixels: NDArray[np.uint8], manifest: Manifest, form: str = "WEBP") -> bytes:
    """Return ``(H, W, 3)`` pixels as a lossless file with the manifest embedded.

    ``form`` is ``"WEBP"`` or ``"PNG"``.
    """
    picture = Image.fromarray(pixels)
    shape = {"shape": list(pixels.shape[:2]), "pixels": _pixel_hash(picture)}
    text = seal({"kind": "image", **manifest, **shape})
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


def read_image(source: Path | Record) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """Return the pixels ``(H, W, 3)`` and the manifest of a picture.

    ``source`` is a WebP or PNG file that a user named (one of an older version too), or an opened
    WebP file of a store.

    Raises Damaged if it is torn, changed or foreign; OSError if it cannot be read.
    """
    if isinstance(source, Record):
        return _read_webp(source)
    with open_regular(source) as file:
        if file.read(4) == b"\x89PNG":
            return _read_png(file)
        return _read_webp(open_record(file, older=True))


def _read_webp(record: Record) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    manifest, data = record.facts, _all_of(record.file)
    width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    # Before anything is decoded: a small file can hold a huge picture.
    if data[12:16] != b"VP8X" or manifest.get("shape", [height, width]) != [height, width]:
        raise Damaged("the picture in it is not the one it describes")
    if "lossy" not in manifest:
        return _checked(_decode(data, "WEBP", width, height)[0], manifest), manifest
    if manifest.get("data") != _data_hash(io.BytesIO(data)):
        raise Damaged("its picture has changed: the hash is another")
    return np.asarray(_decode(data, "WEBP", width, height)[0], np.uint8), manifest


def _read_png(file: BinaryIO) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    data = _all_of(file)
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    picture, text = _decode(data, "PNG", width, height)
    manifest = parse_facts(text, older=True)
    return _checked(picture, manifest), manifest


def _all_of(file: BinaryIO) -> bytes:
    file.seek(0)
    data = file.read(_LARGEST_FILE + 1)
    if len(data) > _LARGEST_FILE:
        raise Damaged("it is larger than any picture made here")
    return data


def _decode(data: bytes, form: str, width: int, height: int) -> tuple[Image.Image, str | None]:
    """The picture, and the text in a PNG file, of a file that says it is so large."""
    if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE):
        raise Damaged(f"its picture is said to be {width:,} x {height:,} px")
    try:
        with Image.open(io.BytesIO(data), formats=[form]) as opened:
            text = opened.info.get("Description")
            return opened.convert("RGB"), text if isinstance(text, str) else None
    except Exception as error:  # Pillow raises many kinds of errors at what is crafted
        raise Damaged(f"cannot be decoded ({error})") from error


def _checked(picture: Image.Image, manifest: Manifest) -> NDArray[np.uint8]:
    if manifest.get("pixels") != _pixel_hash(picture):
        raise Damaged("its pixels have changed: their hash is another")
    return np.asarray(picture, np.uint8)


# ------------------------------------------------------------------ the optimiser's state


def state_bytes(arrays: Arrays, manifest: Manifest) -> bytes:
    """Return what is needed to go on with an image, as a file."""
    return pack_arrays(arrays, {"kind": "state", **manifest})


def read_state(
    record: Record, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[Arrays, dict[str, Any]]:
    """Return arrays, of these shapes by name, and manifest of an image's state; raises Damaged."""
    record.expect(**{name: ("<f4", shape) for name, shape in shapes.items()})
    return record.arrays(), record.facts


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
    path = as_path(path, "the images' folder", StoreError, example="images")
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
            f"cannot save as {path.name!r}; name a folder, or a file ending in .webp or .png (both "
            "lossless)"
        )
    else:
        files = [path / name for name in _apart([_file_name(manifest) for _, manifest in images])]
    for file, (pixels, manifest) in zip(files, images, strict=True):
        form = "PNG" if file.suffix.lower() == ".png" else "WEBP"
        write_atomically(file, image_bytes(pixels, manifest, form))
    return files


def _apart(names: Sequence[str]) -> list[str]:
    """The names, numbered where several images have one: those of a group are of one target."""
    found: list[str] = []
    for name in names:
        stem, number = name.removesuffix(".webp"), 1
        while name in found:
            number += 1
            name = f"{stem}_{number}.webp"
        found.append(name)
    return found


def _file_name(manifest: Manifest) -> str:
    text = str(manifest.get("target", ""))
    plain = rf"{re.escape(manifest['layer'])}:{manifest['neuron']}(@[\d,]+)?"
    if text and not re.fullmatch(plain, text):  # an expression
        name = re.sub(r"[^\w.-]+", "_", text).strip("_")
        # Two long expressions may begin alike.
        own = f"_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        return (name if len(name) <= 80 else name[:80] + own) + ".webp"
    place = re.sub(r"[^\d]+", "_", text.partition("@")[2])
    name = f"{manifest['layer']}_neuron_{manifest['neuron']}{'_at_' + place if place else ''}"
    # A class is known by its name.
    called = manifest["settings"].get("names", {}).get(manifest.get("target"), "")[:60]
    return re.sub(r"[^\w.-]", "_", f"{name}_{called}" if called else name) + ".webp"
