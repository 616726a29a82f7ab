"""What a JPEG file says of itself, as far as it decides who may decode it.

A file is *plain* if every decoder that follows the standard makes the same upright RGB picture of
it as Pillow. ITU-T T.81 leaves one thing open that is seen: how colours of half the resolution
(4:2:0) are spread over the pixels. Pillow's libjpeg-turbo interpolates, a GPU's decoder repeats.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["PlainJpeg", "plain_jpeg"]

_BASELINE, _PROGRESSIVE = 0xC0, 0xC2
_APP0, _APP1, _APP14 = 0xE0, 0xE1, 0xEE
_SCAN, _END = 0xDA, b"\xff\xd9"
_HUFFMAN, _QUANTISATION, _TABLES = 0xC4, 0xDB, 3  # without them decoders do as they like
_ALONE = (0x01, *range(0xD0, 0xD9))  # markers without a length
_RGB = (82, 71, 66)  # names of components that are no luma and chroma
_UPRIGHT = {b"II": b"\x12\x01\x03\x00\x01\x00\x00\x00\x01\x00",
            b"MM": b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x01"}  # fmt: skip


@dataclass(frozen=True)
class PlainJpeg:
    """A plain file.

    Attributes
    ----------
    width, height
        Pixels.
    full_colour
        Whether it is grey, or every pixel has its own colour: then nothing is left open.
    """

    width: int
    height: int
    full_colour: bool


def plain_jpeg(data: bytes | bytearray) -> PlainJpeg | None:
    """What a file says of itself; None if it is not plain, cut short, or no JPEG at all.

    Examples
    --------
    >>> from io import BytesIO
    >>> from PIL import Image
    >>> file = BytesIO()
    >>> Image.new("RGB", (40, 30)).save(file, "JPEG", subsampling=0)
    >>> plain_jpeg(file.getvalue())
    PlainJpeg(width=40, height=30, full_colour=True)
    """
    # Pillow refuses what is cut short; and bytes behind the end may be a second picture.
    if data[:2] != b"\xff\xd8" or data[-2:] != _END:
        return None
    frame: bytes | None = None
    jfif, tables, at = False, 0, 2
    try:
        while True:
            if data[at] != 0xFF:
                return None
            kind = data[at + 1]
            if kind == 0xFF or kind in _ALONE:
                at += 1 if kind == 0xFF else 2
                continue
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            part = bytes(data[at + 4 : at + 2 + length])
            if length < 2 or (kind == _APP1 and not _upright(part)):
                return None
            if kind == _SCAN:
                # Several scans of a baseline file: a component each, which not all decoders take.
                whole = frame is not None and tables == _TABLES
                return _frame(frame, jfif, part[0]) if whole and frame else None
            if kind in (_BASELINE, _PROGRESSIVE):
                frame = bytes([kind]) + part
            elif 0xC0 <= kind <= 0xCF and kind not in (_HUFFMAN, 0xC8, 0xCC):
                return None  # lossless, arithmetic, hierarchical
            elif kind in (_QUANTISATION, _HUFFMAN):
                tables |= 1 << (kind == _HUFFMAN)
            elif kind == _APP0:
                jfif = jfif or part[:5] == b"JFIF\0"
            elif kind == _APP14 and part[:5] == b"Adobe" and part[11:12] != b"\x01":
                return None  # RGB, or CMYK
            at += 2 + length
    except (IndexError, struct.error):
        return None


def _frame(frame: bytes, jfif: bool, in_scan: int) -> PlainJpeg | None:
    kind, bits, height, width, count = struct.unpack(">BBHHB", frame[:7])
    parts = [frame[7 + 3 * i : 10 + 3 * i] for i in range(count)]
    named = tuple(part[0] for part in parts)
    if bits != 8 or count not in (1, 3) or not (width and height):
        return None
    if (named == _RGB and not jfif) or (kind == _BASELINE and in_scan != count):
        return None
    full = kind == _BASELINE and (count == 1 or all(part[1] == 0x11 for part in parts))
    return PlainJpeg(width, height, full)


def _upright(part: bytes) -> bool:
    """Whether an APP1 segment (Exif, XMP) leaves the picture as it is stored."""
    if part[:6] == b"Exif\0\0":
        tag = _UPRIGHT.get(part[6:8])
        return tag is not None and part.count(tag[:2]) == part.count(tag)
    return b"Orientation" not in part
