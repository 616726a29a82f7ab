"""Any file that a person may bring: the right picture, or a clear error before it is decoded."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from neuron_widget.errors import DatasetError
from neuron_widget.photos.given import open_any

RED, GREEN, BLUE = (230, 20, 20), (20, 200, 40), (20, 30, 230)


def picture(mode: str = "RGB") -> Image.Image:
    """Red above, green below, 60 x 40."""
    image = Image.new("RGB", (60, 40), RED)
    image.paste(GREEN, (0, 20, 60, 40))
    return image.convert(mode)


def saved(kind: str, image: Image.Image | None = None, **how: Any) -> bytes:
    file = io.BytesIO()
    (image or picture()).save(file, kind, **how)
    return file.getvalue()


def rotated(orientation: int) -> bytes:
    """A JPEG of a turned camera: what is up is said in EXIF."""
    turns = {3: 180, 6: 90, 8: 270}
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved("JPEG", picture().rotate(turns[orientation], expand=True), exif=exif, quality=95)


def animated(kind: str) -> bytes:
    second = Image.new("RGB", (60, 40), BLUE)
    return saved(kind, save_all=True, append_images=[second, second], duration=50, loop=0)


def sixteen_bit() -> bytes:
    """Grey of 16 bits: 60000 above, 20000 below."""
    values = np.full((40, 60), 60000, np.uint16)
    values[20:] = 20000
    return saved("PNG", Image.fromarray(values))


def translucent() -> bytes:
    image = picture("RGBA")
    image.paste((0, 0, 0, 0), (0, 20, 60, 40))
    return saved("PNG", image)


def palette() -> bytes:
    return saved("GIF", picture().quantize(2))


def floats() -> bytes:
    values = np.full((40, 60), 0.9, np.float32)
    values[20:] = 0.2
    return saved("TIFF", Image.fromarray(values))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG of some kilobytes that says it is so large."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0" * 100_000)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + data


def text_bomb() -> bytes:
    """A PNG whose comment unpacks to 200 MB."""
    whole = saved("PNG")
    comment = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * 200_000_000, 9))
    return whole[:33] + comment + whole[33:]


def gif_bomb() -> bytes:
    """A GIF whose screen is 65535 x 65535."""
    whole = bytearray(saved("GIF", picture("P")))
    whole[6:10] = struct.pack("<HH", 65535, 65535)
    return bytes(whole)


SVG = (
    b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
)
HTML = b"<!doctype html><html><body><img src=x onerror=alert(1)></body></html>"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
WHITE = (255, 255, 255)

# Colours above and below, and the size, upright.
PICTURES: dict[str, tuple[Callable[[], bytes], Any, Any, tuple[int, int]]] = {
    "jpeg": (lambda: saved("JPEG", quality=95), RED, GREEN, (60, 40)),
    "progressive": (lambda: saved("JPEG", quality=95, progressive=True), RED, GREEN, (60, 40)),
    "upside down": (lambda: rotated(3), RED, GREEN, (60, 40)),
    "turned left": (lambda: rotated(6), RED, GREEN, (60, 40)),
    "turned right": (lambda: rotated(8), RED, GREEN, (60, 40)),
    "cmyk": (lambda: saved("JPEG", picture("CMYK"), quality=95), RED, GREEN, (60, 40)),
    "grey jpeg": (lambda: saved("JPEG", picture("L")), (83,) * 3, (128,) * 3, (60, 40)),
    "16 bit": (sixteen_bit, (233,) * 3, (78,) * 3, (60, 40)),
    "float": (floats, (230,) * 3, (51,) * 3, (60, 40)),
    "black and white": (lambda: saved("PNG", picture("L").convert("1")), None, None, (60, 40)),
    "palette": (palette, RED, GREEN, (60, 40)),
    "transparent": (translucent, RED, WHITE, (60, 40)),
    "lab": (lambda: saved("TIFF", Image.new("LAB", (60, 40))), None, None, (60, 40)),
    "animated gif": (lambda: animated("GIF"), RED, GREEN, (60, 40)),
    "animated png": (lambda: animated("PNG"), RED, GREEN, (60, 40)),
    "animated webp": (lambda: animated("WEBP"), RED, GREEN, (60, 40)),
    "tiff of pages": (lambda: animated("TIFF"), RED, GREEN, (60, 40)),
    "jpeg 2000": (lambda: saved("JPEG2000"), RED, GREEN, (60, 40)),
    "bitmap": (lambda: saved("BMP"), RED, GREEN, (60, 40)),
    "a line": (lambda: saved("PNG", Image.new("RGB", (1, 5000), RED)), RED, RED, (1, 5000)),
    "a long line": (lambda: saved("PNG", Image.new("RGB", (9000, 2), RED)), RED, RED, (9000, 2)),
    "one pixel": (lambda: saved("PNG", Image.new("RGB", (1, 1), BLUE)), BLUE, BLUE, (1, 1)),
    "rubbish after its end": (lambda: saved("PNG") + HTML, RED, GREEN, (60, 40)),
}

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "svg": (lambda: SVG, "none of the photo formats"),
    "html": (lambda: HTML, "none of the photo formats"),
    "eps": (lambda: EPS, "none of the photo formats"),
    "pdf": (lambda: saved("PDF"), "none of the photo formats"),
    "an icon": (lambda: saved("ICO"), "none of the photo formats"),
    "text": (lambda: b"hello", "none of the photo formats"),
    "nothing": (lambda: b"", "is empty"),
    "noughts": (lambda: b"\0" * 10_000, "none of the photo formats"),
    "cut jpeg": (lambda: saved("JPEG")[:400], "cut short or damaged"),
    "cut png": (lambda: saved("PNG")[:-40], "cut short or damaged"),
    "head of a jpeg": (lambda: b"\xff\xd8\xff", "none of the photo formats|cut short"),
    "spoilt png": (
        lambda: saved("PNG")[:60] + b"\0" * 40 + saved("PNG")[100:],
        "cut short or damaged",
    ),
    "bomb": (lambda: bomb(50_000, 50_000), "too many to decode safely"),
    "wide bomb": (lambda: bomb(2**31 - 1, 1), "too many to decode safely"),
    "gif bomb": (gif_bomb, "too many to decode safely"),
    "bomb in a comment": (text_bomb, "cut short or damaged"),
}


def near(colour: Any, expected: Any) -> bool:
    return max(abs(a - b) for a, b in zip(colour, expected, strict=True)) <= 12


@pytest.mark.parametrize("name", PICTURES)
def test_an_odd_file_is_the_right_picture(name: str) -> None:
    make, above, below, size = PICTURES[name]
    image = open_any(make(), "x")
    assert (image.mode, image.size) == ("RGB", size)
    if above is not None:
        width, height = size
        assert near(image.getpixel((width // 2, height // 4)), above)
        assert near(image.getpixel((width // 2, height * 3 // 4)), below)


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_file_is_refused_in_a_line_before_it_is_decoded(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("started"))
    make, text = REFUSED[name]
    data = make()
    tracemalloc.start()
    with pytest.raises(DatasetError, match=text) as refused:
        open_any(data, "holiday.jpg")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "holiday.jpg" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert most < 20e6


def test_there_are_thirty_of_them() -> None:
    assert len(PICTURES) + len(REFUSED) >= 30
