"""Photos in tars: read where they lie, in parts as whole, and nothing a tar says is believed."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget.errors import DatasetError
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.scanning import ScanResult, open_dataset, scan
from neuron_widget.scanning.order import sample

SIZE = 32


@pytest.fixture
def model() -> VisionModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
    return load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=SIZE)


def png(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **facts: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for fact, value in facts.items():
        setattr(info, fact, value)
    tar.addfile(info, io.BytesIO(data) if info.isreg() else None)


def make_tar(path: Path, files: dict[str, bytes], **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **how) as tar:
        for name, data in files.items():
            add(tar, name, data)
    return path


def samples(first: int, count: int) -> dict[str, bytes]:
    """Photos with their classes; every seventh is broken."""
    files: dict[str, bytes] = {}
    for i in range(first, first + count):
        files[f"{i:04}.png"] = b"no image" if i % 7 == 2 else png(i)
        files[f"{i:04}.cls"] = str(i % 3).encode()
    return files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, count in enumerate((50, 3, 47)):
        make_tar(tmp_path / "tars" / f"photos-{i:02}.tar", samples(100 * i, count))
    return tmp_path / "tars"


def test_tars_are_read_where_they_lie(folder: Path) -> None:
    photos = open_dataset(folder)
    assert (photos.name, len(photos), photos.note) == ("tars", 100, "")
    assert photos.path(51) == f"{folder}/photos-01.tar/0101.png"
    assert [photos.label(i) for i in (0, 1, 50)] == ["0", "1", "1"]
    for i, number in ((0, 0), (51, 101), (99, 246)):
        expected = np.asarray(Image.open(io.BytesIO(png(number))))
        assert np.array_equal(np.asarray(photos.load(i)), expected)
    with pytest.raises(DatasetError, match=r"'0002\.png' is in none of the photo formats"):
        photos.load(2)
    copy = pickle.loads(pickle.dumps(photos))
    assert np.array_equal(np.asarray(copy.load(51)), np.asarray(photos.load(51)))
    assert [entry.name for entry in folder.parent.iterdir()] == ["tars"]  # nothing was unpacked


@pytest.mark.parametrize(
    ("given", "tars"),
    [
        ("photos-{00..02}.tar", [0, 1, 2]),
        ("photos-{02,00}.tar", [2, 0]),
        ("photos-{00..00}.tar", [0]),
        ("photos-0{0..1}.tar", [0, 1]),
        ("photos-*.tar", [0, 1, 2]),
        ("photos-0[12].tar", [1, 2]),
        ("photos-01.tar", [1]),
        ("", [0, 1, 2]),
    ],
)
def test_tars_are_named_as_in_webdataset(folder: Path, given: str, tars: list[int]) -> None:
    for x in (str(folder / given), folder / given):
        photos = open_dataset(x)
        found = dict.fromkeys(photos.path(i).split("photos-")[1][:2] for i in range(len(photos)))
        assert list(map(int, found)) == tars


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("photos-{00..05}.tar", r"no tar '.*photos-03.tar', and 2 more of 6"),
        ("photos-{05..01}.tar", "smaller number first"),
        ("photos-{0..99999999}.tar", "smaller number first and at most"),
        ("{0..9999}{0..9999}.tar", "names 100,000,000 tars"),
        ("other-*.tar", "no tar matches"),
        ("other.tar", "no tar '"),
        ("photos-00.tar.gz", "is compressed"),
        ("pipe:cat photos-00.tar", "files on a disk"),
    ],
)
def test_tars_that_are_not_there(folder: Path, given: str, says: str) -> None:
    with pytest.raises(DatasetError, match=says):
        open_dataset(str(folder / given))


def test_labels(tmp_path: Path) -> None:
    files = {
        "a.jpg": png(0),
        "a.json": b'{"label": "cat", "size": 3}',
        "b.png": png(1),
        "b.cls": b" tabby\n",
        "b.json": b'{"label": "dog"}',
        "c.PNG": png(2),
        "c.json": b"[[[",
        "d.png": png(3),
        "d.json": b"7",
        "e.png": png(4),
        "e.json": b'{"label": [1]}',
        "f.png": png(5),
    }
    photos = open_dataset(make_tar(tmp_path / "x.tar", files))
    assert [photos.label(i) for i in range(6)] == ["cat", "tabby", "", "7", "", ""]
    in_folders = {f"photos/n{i % 2}/{i}.png": png(i) for i in range(4)}
    photos = open_dataset(make_tar(tmp_path / "y.tar", in_folders))
    assert [photos.label(i) for i in range(4)] == ["n0", "n1", "n0", "n1"]


def test_what_else_is_in_a_tar_is_left_out_and_told(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        add(tar, "a.png", png(0))
        add(tar, "a.seg.png", png(1))
        add(tar, "a.txt", b"a caption")
        add(tar, "b.photo.png", png(2))  # the only one of its name
        add(tar, "__MACOSX/._a.png", png(3))
        add(tar, ".hidden.png", png(4))
        add(tar, "folder", type=tarfile.DIRTYPE)
        add(tar, "link.png", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(tar, "hard.png", type=tarfile.LNKTYPE, linkname="a.png")
        add(tar, "device.png", type=tarfile.CHRTYPE)
        add(tar, "pipe.png", type=tarfile.FIFOTYPE)
    photos = open_dataset(tmp_path / "x.tar")
    assert [os.path.basename(photos.path(i)) for i in range(len(photos))] == [
        "a.png",
        "b.photo.png",
    ]
    assert "links, devices and sparse files (4), .seg.png (1), .txt (1)" in photos.note


@pytest.mark.parametrize("how", [{"format": f} for f in (0, 1, 2)], ids=["ustar", "gnu", "pax"])
def test_hostile_names_lead_nowhere(tmp_path: Path, how: dict[str, Any]) -> None:
    names = ["../../out.png", "/etc/abs.png", "a/../../b.png", "./c.png", "line\nbreak.png"]
    if how["format"]:
        names += ["x" * 300 + ".png", "\udcff\udcfe.png"]
    photos = open_dataset(make_tar(tmp_path / "x.tar", {name: png(1) for name in names}, **how))
    paths = [photos.path(i) for i in range(len(photos))]
    below = [path.removeprefix(f"{tmp_path}/x.tar/") for path in paths]
    assert below[:5] == ["out.png", "etc/abs.png", "a/b.png", "c.png", "line\nbreak.png"]
    assert len(photos) == len(names)
    assert not any(os.path.exists(path) for path in paths)
    assert photos.load(len(names) - 1).size == (50, 40)
    assert len(photos.fingerprint) == 16


def _header(change: Callable[[bytearray], object]) -> Callable[[bytes], bytes]:
    """The second header changed, its checksum made anew."""

    def changed(data: bytes) -> bytes:
        found, at = bytearray(data), 512 + -(-len(png(0)) // 512) * 512
        header = found[at : at + 512]
        change(header)
        header[148:156] = b" " * 8
        header[148:156] = f"{sum(header):06o}\0 ".encode()
        found[at : at + 512] = header
        return bytes(found)

    return changed


def _put(at: int, what: bytes) -> Callable[[bytearray], None]:
    def put(header: bytearray) -> None:
        header[at : at + len(what)] = what

    return put


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut in a photo": (lambda data: data[: 2 * len(png(0))], "cut short|unexpected end"),
    "cut in a header": (lambda data: data[: 512 + -(-len(png(0)) // 512) * 512 + 99], "header"),
    "garbage": (lambda data: data[: 512 + -(-len(png(0)) // 512) * 512] + b"x" * 2048, "header"),
    "no tar": (lambda _: b"x" * 4096, "broken or none"),
    "empty": (lambda _: b"", "broken or none"),
    "gzip": (lambda data: b"\x1f\x8b" + data, "compressed"),
    "huge size": (_header(_put(124, b"77777777777\0")), "cut short|unexpected end"),
    "negative size": (_header(_put(124, b"\xff" * 11 + b"\0")), "broken"),
    "no number": (_header(_put(124, b"what's this\0")), "header"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_tar_is_named(tmp_path: Path, how: str) -> None:
    whole = make_tar(tmp_path / "whole.tar", {f"{i}.png": png(0) for i in range(3)})
    change, says = BROKEN[how]
    (tmp_path / "photos-1.tar").write_bytes(change(whole.read_bytes()))
    make_tar(tmp_path / "photos-0.tar", {"a.png": png(0)})
    with pytest.raises(DatasetError, match=rf"(?s)photos-1\.tar.*({says})"):
        open_dataset(tmp_path / "photos-*.tar")


def test_a_tar_without_an_end_is_told_of(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "x.tar", {"a.png": png(0), "b.png": png(1)})
    with tarfile.open(path) as tar:
        end = tar.getmember("b.png").offset_data + -(-len(png(1)) // 512) * 512
    path.write_bytes(path.read_bytes()[:end])
    photos = open_dataset(path)
    assert len(photos) == 2
    assert photos.note == "x.tar has no end and may be cut short"
    path.write_bytes(path.read_bytes()[: end - 2000])
    with pytest.raises(DatasetError, match="has become shorter"):
        photos.load(1)
    path.unlink()
    with pytest.raises(OSError, match="No such file"):
        photos.load(1)
    assert photos.label(1) == ""


def test_special_files_and_folders(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tar")
    with pytest.raises(DatasetError, match="pipe"):
        open_dataset(tmp_path / "pipe.tar")
    with pytest.raises(DatasetError, match="no image in"):
        open_dataset(make_tar(tmp_path / "none.tar", {"a.txt": b"text"}))
    # Photos beside a tar: a folder of photos, as before.
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "a.png").write_bytes(png(0))
    make_tar(tmp_path / "mixed" / "b.tar", {"b.png": png(1)})
    assert type(open_dataset(tmp_path / "mixed")).__name__ == "FileDataset"


def test_the_fingerprint_is_that_of_names_and_content(folder: Path, tmp_path: Path) -> None:
    before = open_dataset(folder).fingerprint
    assert open_dataset(folder).fingerprint == before
    os.rename(folder, tmp_path / "moved")
    moved = open_dataset(tmp_path / "moved")
    assert moved.fingerprint == before
    assert open_dataset(tmp_path / "moved" / "photos-{00..02}.tar").fingerprint == before
    os.utime(tmp_path / "moved" / "photos-00.tar", (1, 1))
    assert open_dataset(tmp_path / "moved").fingerprint != before


def test_photos_come_in_runs_that_lie_side_by_side(folder: Path) -> None:
    photos = open_dataset(folder)
    order = sample(len(photos), None, 0, photos.run)
    assert sorted(order.tolist()) == list(range(100))
    runs = order[:96].reshape(3, 32)
    assert (np.diff(runs, axis=1) == 1).all()
    assert sample(100, 40, 0, 32).tolist() == order[:40].tolist()
    assert open_dataset(photos, groups=list(range(100))).run == photos.run


@pytest.mark.parametrize("shards", [1, 3, 17])
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_parts_make_the_undivided_scan(
    model: VisionModel, folder: Path, tmp_path: Path, precision: Any, shards: int
) -> None:
    how: dict[str, Any] = {"top_k": 4, "batch_size": 8, "precision": precision}
    whole = scan(model, "2", folder, progress=False, **how)
    assert whole.skipped
    parts = [
        scan(model, "2", folder, shard=(i, shards), progress=False, **how).save(
            tmp_path / f"{i}.safetensors"
        )
        for i in range(shards)
    ]
    merged = ScanResult.merge(parts, model, folder)
    ours, theirs = merged.save(tmp_path / "a.safetensors"), whole.save(tmp_path / "b.safetensors")
    assert ours.read_bytes() == theirs.read_bytes()
    best = merged.top(2)[0]
    assert best == whole.top(2)[0]
    assert best.image().size == (SIZE, SIZE)
    assert best.path.endswith(".png")
    if merged.settings["precision"] == "exact":
        # Without the data set there is no file of that name to open.
        with pytest.raises(DatasetError, match="with the photos"):
            ScanResult.merge(parts).top(2)[0].image()


def test_the_same_photos_in_a_folder_and_in_tars(model: VisionModel, tmp_path: Path) -> None:
    files = {f"{i:04}.png": png(i) for i in range(40)}
    make_tar(tmp_path / "tars" / "a.tar", files)
    (tmp_path / "files").mkdir()
    for name, data in files.items():
        (tmp_path / "files" / name).write_bytes(data)
    found = [scan(model, "2", tmp_path / n, progress=False) for n in ("tars", "files")]
    assert np.array_equal(found[0].tables.top.index, found[1].tables.top.index)
