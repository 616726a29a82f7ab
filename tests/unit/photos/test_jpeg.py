"""Which JPEG files any decoder may decode: those of which Pillow makes the same picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from neuron_widget.photos.decode import to_rgb
from neuron_widget.photos.jpeg import PlainJpeg, plain_jpeg
from neuron_widget.scanning.gpu_squares import _on_cores, load_decoders

ORIENTATION = 0x0112


def another(data: bytes) -> np.ndarray:
    """RGB ``(H, W, 3)`` of torchvision's decoder."""
    load_decoders()
    return _on_cores(torch.frombuffer(bytearray(data), dtype=torch.uint8)).permute(1, 2, 0).numpy()


def picture(width: int = 45, height: int = 38) -> Image.Image:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image | None = None, **how) -> bytes:
    file = io.BytesIO()
    (image or picture()).save(file, "JPEG", **{"quality": 85, "subsampling": 0, **how})
    return file.getvalue()


def exif(**tags: int) -> Image.Exif:
    found = Image.Exif()
    for tag, value in tags.items():
        found[int(tag.strip("_"), 16)] = value
    return found


def with_exif(orientation: int | None, order: bytes = b"MM") -> bytes:
    """A file with a hand-made Exif segment of one tag."""
    end = "little" if order == b"II" else "big"
    tag, value = (ORIENTATION, orientation) if orientation else (0x0100, 45)
    entry = [tag.to_bytes(2, end), (3).to_bytes(2, end), (1).to_bytes(4, end)]
    body = order + (42).to_bytes(2, end) + (8).to_bytes(4, end) + (1).to_bytes(2, end)
    body += b"".join(entry) + value.to_bytes(2, end) + bytes(6)
    part = b"Exif\0\0" + body
    plain = jpeg()
    return plain[:2] + b"\xff\xe1" + (len(part) + 2).to_bytes(2, "big") + part + plain[2:]


FULL = PlainJpeg(45, 38, full_colour=True)
HALF = PlainJpeg(45, 38, full_colour=False)
PLAIN = {
    "4:4:4": (jpeg(), FULL),
    "grey": (jpeg(picture().convert("L")), FULL),
    "4:2:0": (jpeg(subsampling=2), HALF),
    "4:2:2": (jpeg(subsampling=1), HALF),
    "progressive": (jpeg(progressive=True), HALF),
    "progressive 4:2:0": (jpeg(progressive=True, subsampling=2), HALF),
    "restarts": (jpeg(restart_marker_blocks=2), FULL),
    "optimised": (jpeg(optimize=True, quality=30), FULL),
    "a comment": (jpeg(comment=b"a fish"), FULL),
    "a profile": (jpeg(icc_profile=b"x" * 3000), FULL),
    "upright, big-endian": (with_exif(1, b"MM"), FULL),
    "upright, little-endian": (with_exif(1, b"II"), FULL),
    "Exif without orientation": (with_exif(None), FULL),
    "one pixel": (jpeg(picture(1, 1)), PlainJpeg(1, 1, full_colour=True)),
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_plain_is_the_same_to_another_decoder(name):
    data, facts = PLAIN[name]
    assert plain_jpeg(data) == facts
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(to_rgb(image))
    found = another(data)
    np.testing.assert_array_equal(found, expected)


def spliced(before: bytes, marker: bytes, part: bytes) -> bytes:
    return before[:2] + marker + (len(part) + 2).to_bytes(2, "big") + part + before[2:]


def without(marker: bytes) -> bytes:
    data = jpeg()
    while (at := data.find(marker)) > 0:
        data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    return data


XMP = b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation='6'/>"
NOT = {
    "turned": jpeg(exif=exif(_0112=6)),
    "turned, little-endian": with_exif(8, b"II"),
    "turned, big-endian": with_exif(3, b"MM"),
    "turned by XMP": spliced(jpeg(), b"\xff\xe1", XMP),
    "an Exif of no byte order": spliced(jpeg(), b"\xff\xe1", b"Exif\0\0xx"),
    "CMYK": jpeg(picture().convert("CMYK")),
    "RGB as it is": jpeg(keep_rgb=True),
    "Adobe's RGB": spliced(jpeg(), b"\xff\xee", b"Adobe\0\x64\0\0\0\0\0"),
    "cut short": jpeg()[:-40],
    "without an end": jpeg()[:-2],
    "two pictures": jpeg() + b"\0" * 8,
    "only a head": jpeg()[:30] + b"\xff\xd9",
    "no length": b"\xff\xd8\xff\xe0\0\0\xff\xd9",
    "no quantisation": without(b"\xff\xdb"),
    "no code": without(b"\xff\xc4"),
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(50),
    "empty": b"",
    "an end alone": b"\xff\xd9",
    "a start and an end": b"\xff\xd8\xff\xd9",
}


@pytest.mark.parametrize("name", NOT)
def test_what_is_not_plain_is_left_to_pillow(name):
    assert plain_jpeg(NOT[name]) is None


def test_bytes_that_anybody_sends_end_in_an_answer():
    """No error and no endless loop, whatever is changed in a file."""
    rng, whole = np.random.default_rng(1), jpeg(subsampling=2)
    head = whole.index(b"\xff\xda") + 20
    for _ in range(3000):
        data = bytearray(whole)
        for place in rng.integers(2, head, size=int(rng.integers(1, 4))):
            data[place] = rng.integers(0, 256)
        facts = plain_jpeg(bytes(data))
        assert facts is None or (facts.width > 0 and facts.height > 0)
        plain_jpeg(bytes(data[: rng.integers(0, len(data))]) + b"\xff\xd9")


@pytest.mark.data
def test_real_photos_are_plain(test_data):
    plain, full = 0, 0
    files = sorted((test_data / "photos" / "val").glob("*/*"))
    for file in files:
        data = file.read_bytes()
        facts = plain_jpeg(data)
        with Image.open(file) as image:
            expected = to_rgb(image)
        if facts is None:
            continue
        plain, full = plain + 1, full + facts.full_colour
        assert (facts.width, facts.height) == expected.size
        np.testing.assert_array_equal(another(data), np.asarray(expected))
    assert plain > 0.9 * len(files)
    assert full > 0.5 * len(files)
