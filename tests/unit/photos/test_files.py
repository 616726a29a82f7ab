"""Files as photos: formats by content, endings, sizes, and what is never opened."""

from __future__ import annotations

import os
import socket
import struct
import tempfile
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import EpsImagePlugin, Image, ImageFile

from neuron_widget.errors import DatasetError
from neuron_widget.scanning import ImageDataset, open_dataset

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


def write(path: Path, kind: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (250, 10, 20)).save(path, kind)
    return path


def names(photos: ImageDataset) -> list[str]:
    return [Path(photos.path(i)).name for i in range(len(photos))]


def bomb(path: Path, side: int) -> Path:
    """A PNG that says it is ``side`` pixels wide and high; its pixels are not there."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    rest = chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + rest)
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jpe", "JPEG"),
        ("a.JFIF", "JPEG"),
        ("a.JPG", "JPEG"),
        ("a.jp2", "JPEG2000"),
        ("a.pnm", "PPM"),
        ("a.TIFF", "TIFF"),
        ("a.bmp", "BMP"),
        ("wrong.jpg", "PNG"),  # the content counts
    ],
)
def test_endings_of_photos(tmp_path: Path, name: str, kind: str) -> None:
    write(tmp_path / name, kind)
    photos = open_dataset(tmp_path)
    assert names(photos) == [name]
    assert photos.load(0).size == (40, 30)


@pytest.mark.parametrize("name", ["a.eps", "a.pdf", "a.psd", "a.svg", "a.txt", "noending"])
def test_endings_of_others(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(EPS)
    with pytest.raises(DatasetError, match=rf"1 file left out: .*{Path(name).suffix or 'ending'}"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("given", ["folder", "list", "hugging face"])
def test_a_disguised_eps_starts_no_program(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: started.append(1))
    path = tmp_path / "photo.jpg"
    path.write_bytes(EPS)
    source: object = {"folder": tmp_path, "list": [path]}.get(given)
    if source is None:
        datasets = pytest.importorskip("datasets")
        features = datasets.Features({"image": datasets.Image(decode=False)})
        rows = {"image": [{"bytes": EPS, "path": None}]}
        source = datasets.Dataset.from_dict(rows, features=features)
    with pytest.raises(DatasetError, match="none of the photo formats JPEG, PNG"):
        open_dataset(source).load(0)
    assert started == []


def test_a_bomb_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda s: decoded.append(s.size) or load(s))
    # Whoever reads scans of whole slides takes Pillow's limit away.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    bomb(tmp_path / "bomb.png", 20_000)
    with pytest.raises(DatasetError, match=r"'bomb\.png' has more than 178,956,970 pixels"):
        open_dataset(tmp_path).load(0)
    assert decoded == []
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DatasetError, match="too many to decode"):
        open_dataset([write(tmp_path / "small.png")]).load(0)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (lambda whole: whole[: len(whole) // 2], "cut short or damaged"),
        (lambda _: b"", "is empty"),
        (lambda _: b"no image at all", "none of the photo formats"),
    ],
)
def test_files_that_are_no_photos_say_why(
    tmp_path: Path, data: Callable[[bytes], bytes], says: str
) -> None:
    path = tmp_path / "x.jpg"
    noise = Image.frombytes("RGB", (64, 64), os.urandom(64 * 64 * 3))
    noise.save(path)
    path.write_bytes(data(path.read_bytes()))
    with pytest.raises(DatasetError, match=rf"'x\.jpg' .*{says}"):
        open_dataset(tmp_path).load(0)


def test_errors_of_the_disk_stay_what_they_are(tmp_path: Path) -> None:
    photos = open_dataset([tmp_path / "gone.png"])
    with pytest.raises(FileNotFoundError):
        photos.load(0)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes and sockets in folders")
def test_pipes_and_sockets_are_no_photos() -> None:
    with tempfile.TemporaryDirectory() as short:  # the name of a socket has 108 characters at most
        folder = Path(short)
        os.mkfifo(folder / "pipe.jpg")
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(folder / "socket.png"))
        write(folder / "real.png")
        (folder / "device.png").symlink_to("/dev/zero")
        photos = open_dataset(folder)
        assert names(photos) == ["real.png"]
        assert "3 files left out: pipes, devices and broken links (3)" in photos.note
        server.close()
        for name in ("pipe.jpg", "socket.png", "device.png"):
            errors: list[BaseException] = []

            def read(name: str = name, errors: list[BaseException] = errors) -> None:
                try:
                    open_dataset([folder / name]).load(0)
                except Exception as error:  # noqa: BLE001  (looked at below)
                    errors.append(error)

            reader = threading.Thread(target=read, daemon=True)
            reader.start()
            reader.join(60)
            assert not reader.is_alive(), f"opened {name}"
            assert "not a photo" in str(errors[0])
    with pytest.raises(DatasetError, match="is a folder, not a photo"):
        open_dataset([Path(__file__).parent]).load(0)
