"""The store believes nothing it reads: what is wrong is passed over, said once and made anew."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget.errors import StoreError
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.rendering import render
from neuron_widget.scanning import ImageDataset, ScanResult, open_dataset, scan_steps
from neuron_widget.store import Store
from neuron_widget.store.fill import fill_images, fill_photos

SIZE = 32
HOW: dict[str, Any] = {"steps": 4, "size": SIZE, "precision": "float32"}
MORE = {**HOW, "steps": 9}
SCAN: dict[str, Any] = {"top_k": 3, "batch_size": 4}
ROOMS = ("images", "states", "scans", "checkpoints", "maps", "galleries")
NEURONS = range(3)


@pytest.fixture(scope="module")
def model() -> VisionModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 3, 1))
    return load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=SIZE)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> ImageDataset:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for i in range(12):
        noise = random.integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"no image")
    return open_dataset(folder)


def drain(steps: Any) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def fill(store: Store, model: VisionModel, photos: ImageDataset) -> ScanResult:
    """Something of every kind."""
    for neuron in NEURONS:
        result = render(model, "2", neuron, progress=False, **HOW)
        store.put_render(model, result, keep_state=True)
    drain(fill_images(store, model, "2", NEURONS, **HOW))
    found: ScanResult = drain(fill_photos(store, model, "2", photos, **SCAN))
    return found


class Filled:
    """A store with something of every kind, and what it rightly answers."""

    def __init__(self, root: Path, model: VisionModel, photos: ImageDataset):
        self.root, self.model, self.photos = root, model, photos
        fill(Store(root), model, photos)
        self.files = {p: p.read_bytes() for p in sorted(root.rglob("*.*")) if p.is_file()}
        self.right = self.ask(Store(root))
        assert None not in self.right.values()

    def in_room(self, room: str) -> Path:
        return next(path for path in self.files if path.parts[-3] == room)

    def restore(self) -> None:
        """As it was."""
        for path in (*self.root.rglob("*.damaged-*"), *self.root.rglob("elsewhere")):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        for path, data in self.files.items():
            if path.is_symlink() or (path.exists() and not path.is_file()):
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
            path.write_bytes(data)

    def ask(self, store: Store) -> dict[str, Any]:
        """Everything that is read, by what it was asked for; None where nothing is found."""
        found: dict[str, Any] = {}
        for neuron in NEURONS:
            image = store.find_render(self.model, "2", neuron, **HOW)
            begun = store.find_resumable(self.model, "2", neuron, **MORE)
            found[f"image {neuron}"] = _plain_image(image)
            found[f"seconds {neuron}"] = image and image.seconds
            found[f"state {neuron}"] = begun and (
                _plain_image(begun),
                begun.state.steps,
                begun.state.history,
                [t.numpy().tobytes() for t in vars(begun.state.spectra).values() if t is not None],
            )
        tiles = store.find_gallery(self.model, "2", **HOW)
        found["gallery"] = tiles or None
        found |= self._ask_scan(store.find_scan(self.model, "2", self.photos, top_k=3))
        how = {"top_k": 3, "batch_size": 4}
        loaded = store.checkpoint(self.model, "2", self.photos, **how).load()
        found["checkpoint"] = loaded and (
            {k: v for k, v in loaded[0].items() if k in ("done", "scanned", "skipped")},
            {name: array.tobytes() for name, array in loaded[1].items()},
        )
        return found

    @staticmethod
    def _ask_scan(scan: ScanResult | None) -> dict[str, Any]:
        if scan is None:
            return dict.fromkeys(("scan", "fields", *(f"maps {n}" for n in NEURONS)))
        tables = {name: array.tobytes() for name, array in scan.tables.arrays().items()}
        found: dict[str, Any] = {
            "scan": (tables, scan.scanned, scan.skipped, scan.settings, scan.model_identity)
        }
        fields = vars(scan).get("receptive_fields")
        found["fields"] = fields and (fields.size, fields.stride, fields.first.tobytes())
        for neuron in NEURONS:
            wanted = [row.index for row in (*scan.top(neuron), *scan.bottom(neuron))]
            maps = scan.stored_maps(neuron, wanted) if scan.stored_maps is not None else None
            found[f"maps {neuron}"] = maps and {i: m.tobytes() for i, m in sorted(maps.items())}
        return found

    def wrong(self, store: Store) -> list[str]:
        """What is answered, and is not right."""
        found = self.ask(store)
        return [k for k, v in found.items() if v is not None and v != self.right[k]]

    def is_whole_again(self) -> bool:
        """Whether everything is there and right, save how long making it took."""
        found = self.ask(Store(self.root))
        return not [k for k, v in found.items() if v != self.right[k] and "seconds" not in k]

    def lost(self, store: Store) -> list[str]:
        return [k for k, v in self.ask(store).items() if v is None]


def _plain_image(image: Any) -> Any:
    if image is None:
        return None
    history = [(step, float(values[0])) for step, values in image.history]
    told = {k: v for k, v in image.settings.items() if k != "torch"}
    return (
        image.to_pil().tobytes(),
        (image.neurons, image.layer, image.steps, float(image.activation[0])),
        (history, told),
    )


@pytest.fixture(scope="module")
def filled_once(
    tmp_path_factory: pytest.TempPathFactory, model: VisionModel, photos: ImageDataset
) -> Filled:
    return Filled(tmp_path_factory.mktemp("filled") / "store", model, photos)


@pytest.fixture
def filled(filled_once: Filled) -> Filled:
    filled_once.restore()
    return filled_once


@pytest.fixture
def reports() -> list[str]:
    return []


# ------------------------------------------------------------------ bits


def test_a_flipped_bit_is_never_served(filled: Filled, reports: list[str]) -> None:
    """150 flips over all rooms (NEURON_WIDGET_FLIPS for more): right, or not there."""
    random = np.random.default_rng(7)
    paths = list(filled.files)
    noticed = 0
    flips = int(os.environ.get("NEURON_WIDGET_FLIPS", "150"))
    for i in range(flips):
        path = paths[i % len(paths)]
        data = bytearray(filled.files[path])
        # Half of the flips in the first bytes, where files say what they are.
        end = len(data) if i % 2 else min(len(data), 2000)
        place, bit = int(random.integers(end)), int(random.integers(8))
        data[place] ^= 1 << bit
        path.write_bytes(data)
        reports.clear()
        store = Store(filled.root, report=reports.append)
        assert filled.wrong(store) == [], (path, place, bit)
        assert len(reports) <= 1, reports
        noticed += len(reports)
        path.write_bytes(filled.files[path])
    print(f"{noticed} of {flips} flips were noticed, none was served")
    # The others hit what nobody reads: padding, Exif's other tags.
    assert noticed > 0.8 * flips


def test_one_flip_of_a_slice_spoils_the_others_neither_way(
    filled: Filled, reports: list[str]
) -> None:
    """A map that has changed is made anew; the receptive fields are checked too."""
    path = filled.in_room("maps")
    data = bytearray(filled.files[path])
    data[-1] ^= 1  # the last array, whichever it is
    path.write_bytes(data)
    found = filled.wrong(Store(filled.root, report=reports.append))
    assert found == []
    assert len(reports) == 1
    assert "changed" in reports[0]
    # Filling anew mends it.
    drain(fill_photos(Store(filled.root), filled.model, "2", filled.photos, **SCAN))
    assert filled.is_whole_again()


# ------------------------------------------------------------------ descriptions


def edit(path: Path, old: str, new: str) -> None:
    """Change text in a file's description; its length stays."""
    data = path.read_bytes()
    changed = re.sub(old.encode(), new.encode(), data, count=1)
    assert len(changed) == len(data)
    assert changed != data
    path.write_bytes(changed)


# In safetensors the manifest is JSON within JSON, so that its quotation marks have a backslash.
EDITS = [
    ("checkpoints", r'(.)"scanned(.)": 11', r'\1"scanned\2": 13'),
    ("checkpoints", r'"done', r'"dond'),
    ("images", r'"activation": (-?)\d', r'"activation": \g<1>9'),
    ("images", r'"neuron": ', r'"neuron":1'),
    ("images", r'"steps": 4', r'"steps": 5'),
    ("images", r'"seed": 0', r'"seed": 1'),
    ("images", r'"engine": "fast"', r'"engine": "fasd"'),
    ("images", r'"layer": "2"', r'"layer": "0"'),
    ("states", r'"steps(.)": 4', r'"steps\1": 3'),
    ("scans", r'"scanned(.)": 12', r'"scanned\1": 10'),
    ("scans", r'"batch_size(.)": 4', r'"batch_size\1": 0'),
    ("scans", r'"seed(.)": 0', r'"seed\1": 7'),
    ("maps", r'"stride(.)": \[4', r'"stride\1": [9'),
    ("galleries", r'"layer(.)": (.)"2', r'"layer\1": \2"1'),
]


@pytest.mark.parametrize(("room", "old", "new"), EDITS, ids=[f"{r} {n}" for r, _, n in EDITS])
def test_a_changed_description_is_passed_over(
    filled: Filled, reports: list[str], room: str, old: str, new: str
) -> None:
    edit(filled.in_room(room), old, new)
    store = Store(filled.root, report=reports.append)
    assert filled.wrong(store) == []
    assert filled.lost(store)
    assert len(reports) == 1, reports
    # The work goes on, and makes anew what was spoilt.
    if room == "checkpoints":
        filled.in_room("scans").unlink()  # with the scan at hand nobody looks for its beginning
    fill(store, filled.model, filled.photos)
    assert filled.is_whole_again()


@pytest.mark.parametrize("room", ["images", "states"])
def test_files_swapped_by_hand_serve_nobody_elses_picture(
    filled: Filled, reports: list[str], room: str
) -> None:
    a, b, *_ = (path for path in filled.files if path.parts[-3] == room)
    data = filled.files[a], filled.files[b]
    a.write_bytes(data[1])
    b.write_bytes(data[0])
    store = Store(filled.root, report=reports.append)
    assert filled.wrong(store) == []
    assert len(reports) == 2
    assert "another name" in reports[0]


def test_a_scan_of_other_photos_under_this_name_is_passed_over(
    filled: Filled, reports: list[str], tmp_path: Path
) -> None:
    for i in range(13):
        Image.new("RGB", (40, 40), (i, 9 * i, 99)).save(tmp_path / f"{i}.png")
    other = Store(tmp_path / "other")
    drain(fill_photos(other, filled.model, "2", open_dataset(tmp_path), **SCAN))
    for room in ("scans", "checkpoints", "maps"):
        (theirs,) = (tmp_path / "other").glob(f"v1/{room}/*/*")
        filled.in_room(room).write_bytes(theirs.read_bytes())
    assert filled.wrong(Store(filled.root, report=reports.append)) == []
    assert len(reports) == 2  # the maps of a scan that is not there are not asked for


# ------------------------------------------------------------------ crafted files


def safetensors(header: bytes, rest: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + rest


def resealed(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """A safetensors file whose manifest was changed by somebody who knows how to hash it."""
    from neuron_widget.durable import seal

    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    facts = json.loads(header["__metadata__"]["manifest"])
    facts = {k: v for k, v in facts.items() if k not in ("checksum", "neuron_widget_format")}
    change(facts)
    header["__metadata__"]["manifest"] = seal(facts)
    return safetensors(json.dumps(header).encode(), data[8 + length :])


NESTED = b"[" * 200_000 + b"]" * 200_000


def manifest(text: bytes) -> bytes:
    return safetensors(json.dumps({"__metadata__": {"manifest": text.decode()}}).encode())


def picture(text: str, size: tuple[int, int] = (SIZE, SIZE)) -> bytes:
    import io

    exif = Image.Exif()
    exif[0x010E] = text
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "WEBP", lossless=True, exif=exif.tobytes())
    return buffer.getvalue()


def bomb(_: bytes) -> bytes:
    """A small file that says of itself what it must, and holds a picture of 16383 x 16383 px."""
    from neuron_widget.durable import seal

    return picture(seal({"kind": "image", "shape": [16383, 16383], "pixels": ""}), (16383, 16383))


CRAFTED: dict[str, tuple[tuple[str, ...], Callable[[bytes], bytes]]] = {
    "nested header": (ROOMS[1:], lambda _: safetensors(NESTED)),
    "nested manifest": (ROOMS[1:], lambda _: manifest(NESTED)),
    "nested description": (("images",), lambda _: picture(NESTED.decode())),
    "a number": (ROOMS[1:], lambda _: manifest(b"5")),
    "a number for a picture": (("images",), lambda _: picture("5")),
    "NaN": (ROOMS[1:], lambda _: manifest(b'{"neuron_widget_format": 2, "done": NaN}')),
    "huge header": (ROOMS[1:], lambda _: struct.pack("<Q", 2**62) + b"{}"),
    "huge array": (
        ROOMS[1:],
        lambda _: safetensors(
            b'{"a":{"dtype":"F32","shape":[99999999999,9999999999],"data_offsets":[0,4]}}', b"1234"
        ),
    ),
    "no such type": (
        ROOMS[1:],
        lambda _: safetensors(b'{"a":{"dtype":"X","shape":[1],"data_offsets":[0,4]}}', b"1234"),
    ),
    "many arrays": (
        ROOMS[1:],
        lambda _: safetensors(
            json.dumps(
                {str(i): {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(9999)}
            ).encode()
        ),
    ),
    "batch size 0": (("scans",), lambda data: resealed(data, lambda f: f.update(batch_size=0))),
    "batch size huge": (
        ("scans",),
        lambda data: resealed(data, lambda f: f.update(batch_size=10**30)),
    ),
    "settings a list": (("scans",), lambda data: resealed(data, lambda f: f.update(settings=[]))),
    "skipped a number": (
        ("scans", "checkpoints"),
        lambda data: resealed(data, lambda f: f.update(skipped=3)),
    ),
    "done more than photos": (
        ("checkpoints",),
        lambda data: resealed(data, lambda f: f.update(done=99)),
    ),
    "rows a number": (("maps",), lambda data: resealed(data, lambda f: f.update(rows=1))),
    "a stride of none": (
        ("maps",),
        lambda data: resealed(data, lambda f: f["fields"].update(stride=[0, 0])),
    ),
    "truncated Exif": (("images",), lambda data: data[:-40] + b"\xff" * 40),
    "decompression bomb": (("images",), bomb),
}
RESEALED = {kind for kind, (_, craft) in CRAFTED.items() if "resealed" in craft.__code__.co_names}
CASES = [(kind, room) for kind, (rooms, _) in CRAFTED.items() for room in rooms]


@pytest.mark.parametrize(("kind", "room"), CASES, ids=[f"{kind} {room}" for kind, room in CASES])
def test_crafted_files_are_passed_over(
    filled: Filled, reports: list[str], kind: str, room: str
) -> None:
    path = filled.in_room(room)
    path.write_bytes(CRAFTED[kind][1](filled.files[path]))
    store = Store(filled.root, report=reports.append)
    assert filled.wrong(store) == []
    assert filled.lost(store)
    assert len(reports) == 1, reports
    assert len(reports[0]) < 500
    if kind in RESEALED:  # whole as far as a hash can tell
        return
    assert str(path) in [p for p, _ in store.verify()[store.own].damaged]
    store.prune(10**12)


def test_a_checkpoint_of_another_shape_begins_anew(
    model: VisionModel, photos: ImageDataset, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever knows how to hash can write what he likes; it is still no raw error."""
    whole = drain(scan_steps(model, "2", photos, top_k=3, batch_size=4))
    saved: list[Any] = []

    class Crafted:
        def load(self) -> Any:
            return saved[0]

        def due(self, _: int) -> bool:
            return True

        def save(self, facts: dict[str, Any], arrays: dict[str, Any]) -> None:
            saved.append((facts, {k: v.copy() for k, v in arrays.items()}))

    class First(Crafted):
        def load(self) -> Any:
            return None

    steps = scan_steps(model, "2", photos, top_k=3, batch_size=4, checkpoint=First())
    for _ in range(3):
        next(steps)
    steps.close()
    facts, arrays = saved[0]
    for change in (
        {"bottom.key": arrays["bottom.key"][:, :1]},
        {"moments.sum": arrays["moments.sum"].astype(np.float32)},
        {"top.key": arrays["top.key"] - 5_000},  # photos that are not there
        {"top.position": arrays["top.position"] + 10**6},
    ):
        saved[:] = [(facts, {**arrays, **change})]
        found = drain(scan_steps(model, "2", photos, top_k=3, batch_size=4, checkpoint=Crafted()))
        assert all(
            np.array_equal(a, b)
            for a, b in zip(
                found.tables.arrays().values(), whole.tables.arrays().values(), strict=True
            )
        )
        assert found.scanned == whole.scanned
    assert len([r for r in caplog.records if "ignoring a checkpoint" in r.message]) == 4


# ------------------------------------------------------------------ what is no file


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def _link(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20 * 2**30)


def _sparse_webp(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"RIFF" + (2**32 - 10).to_bytes(4, "little") + b"WEBP")
        file.truncate(2**32 - 2)


def _device(path: Path) -> None:
    try:
        os.mknod(path, 0o666 | 0o020000, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("devices cannot be made here (no root)")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize(
    "make", [_fifo, _socket, _link, Path.mkdir, _device, _sparse, _sparse_webp]
)
def test_only_regular_files_of_a_possible_size_are_opened(
    filled: Filled, reports: list[str], make: Callable[[Path], None], room: str
) -> None:
    path = filled.in_room(room)
    path.with_name("elsewhere").unlink(missing_ok=True)
    path.rename(path.with_name("elsewhere"))  # where the link leads to, the file is whole
    make(path)
    store = Store(filled.root, report=reports.append)
    assert filled.lost(store)
    assert filled.wrong(store) == []
    assert len(reports) == 1, reports
    store.prune(10**12)
    assert make is Path.mkdir or str(path) in [p for p, _ in store.verify()[store.own].damaged]
    # A new result takes the place; what stood there is set aside, and its target is as it was.
    if room == "checkpoints":
        filled.in_room("scans").unlink()  # with the scan at hand nobody looks for its beginning
    fill(store, filled.model, filled.photos)
    assert filled.is_whole_again()
    assert path.is_file()
    assert not path.is_symlink()
    assert path.with_name("elsewhere").read_bytes() == filled.files[path]
    path.with_name("elsewhere").unlink()


@pytest.mark.parametrize("level", ["v1", "v1/images", "v1/images/xx"])
def test_links_lead_nowhere_out_of_the_store(
    tmp_path: Path, model: VisionModel, reports: list[str], level: str
) -> None:
    store = Store(tmp_path / "store", report=reports.append)
    result = render(model, "2", 1, progress=False, **HOW)
    store.put_render(model, result, keep_state=False)
    (path,) = (tmp_path / "store").glob("v1/images/*/*")
    linked = tmp_path / "store" / level.replace("xx", path.parent.name)
    outside = tmp_path / "outside"
    linked.rename(outside)  # with the whole file in it
    linked.symlink_to(outside)
    (outside / ".tmp-00000000-1-abc").write_bytes(b"somebody's")
    os.utime(outside / ".tmp-00000000-1-abc", (1, 1))
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in outside.rglob("*") if p.is_file()}

    store = Store(tmp_path / "store", report=reports.append)
    for _ in range(2):
        assert store.find_render(model, "2", 1, **HOW) is None
        assert store.find_render(model, "2", 2, **HOW) is None
    assert len(reports) == (2 if level.endswith("xx") else 1) or len(reports) == 1, reports
    assert str(linked) in reports[0]
    assert "link" in reports[0]
    with pytest.raises(StoreError, match=r"link.*NEURON_WIDGET_STORE"):
        store.put_render(model, result, keep_state=False)
    store.prune(0)
    store.verify()
    after = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in outside.rglob("*") if p.is_file()}
    assert after == before


def test_without_calls_relative_to_a_folder(
    tmp_path: Path, model: VisionModel, photos: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows: the same answers, links looked for before each step."""
    monkeypatch.setattr("neuron_widget.durable.folders._RELATIVE", False)
    filled = Filled(tmp_path / "store", model, photos)
    reports: list[str] = []
    filled.in_room("images").write_bytes(b"torn")
    store = Store(tmp_path / "store", report=reports.append)
    assert filled.wrong(store) == []
    fill(store, model, photos)
    assert filled.is_whole_again()
    (tmp_path / "store/v1/images").rename(tmp_path / "outside")
    (tmp_path / "store/v1/images").symlink_to(tmp_path / "outside")
    store = Store(tmp_path / "store", report=reports.append)
    assert store.find_render(model, "2", 1, **HOW) is None
    with pytest.raises(StoreError, match="link"):
        store.put_render(model, render(model, "2", 1, progress=False, **HOW))
    assert store.prune(0).left == 0
    assert list((tmp_path / "outside").glob("*/*.webp"))


def test_results_of_an_older_format(filled: Filled, reports: list[str]) -> None:
    """No hash covers what they say: the store serves none, and removes them like its own."""
    from neuron_widget.durable import read_facts
    from neuron_widget.rendering.manifest import read_result

    path = filled.in_room("images")
    facts = {**read_facts(path), "neuron_widget_format": 1}
    del facts["name"], facts["shape"]
    store = Store(filled.root, report=reports.append)
    with Image.open(path) as image:
        exif = Image.Exif()
        exif[0x010E] = json.dumps(facts)
        image.save(path, "WEBP", lossless=True, exif=exif.tobytes())
    assert filled.wrong(store) == []
    assert "format is 1" in reports[0]
    assert read_result(path).to_pil().tobytes() == filled.right["image 1"][0]  # a person named it
    older = path.with_name("f" * 40 + "-s4.webp")  # where a version before had it
    path.rename(older)
    verified = Store(filled.root).verify()
    assert [v.damaged for v in verified.values()] == [[]]
    assert Store(filled.root).prune(0).left == 0
    assert not older.exists()


def test_the_store_itself_may_be_a_link(tmp_path: Path, model: VisionModel) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "store").symlink_to(tmp_path / "disk")
    store = Store(tmp_path / "store")
    store.put_render(model, render(model, "2", 1, progress=False, **HOW))
    assert store.find_render(model, "2", 1, **HOW) is not None
    assert list((tmp_path / "disk").glob("v1/images/*/*.webp"))


def test_no_descriptor_is_left_open(filled: Filled) -> None:
    store = Store(filled.root)
    filled.ask(store)
    filled.in_room("maps").write_bytes(b"no")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        filled.ask(store)
        store.verify()
        store.prune(10**12)
        list(store.entries())
    assert len(os.listdir("/proc/self/fd")) == before


def test_files_that_a_person_names_are_untrusted_too(tmp_path: Path, filled: Filled) -> None:
    """Saved scans are opened by ``ScanResult.load``: one kind of error, with the reason."""
    scan = Store(filled.root).find_scan(filled.model, "2", filled.photos, top_k=3)
    assert scan is not None
    good = scan.save(tmp_path / "scan.safetensors").read_bytes()
    bad: dict[str, bytes] = {
        "nested": safetensors(NESTED),
        "number": manifest(b"5"),
        "batch": resealed(good, lambda f: f.update(batch_size=0)),
        "settings": resealed(good, lambda f: f.update(settings={})),
        "photos": resealed(good, lambda f: f.update(photos=[1])),
        "shape": resealed(good, lambda f: f.update(shape=[9, 9, 9])),
        "input": resealed(good, lambda f: f["model"].update(input_size=10**9)),
    }
    for name, data in bad.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(data)
        with pytest.raises(StoreError, match="cannot be loaded as a scan"):
            ScanResult.load(path)
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(StoreError, match="a pipe"):
        ScanResult.load(tmp_path / "pipe.safetensors")
    (tmp_path / "link.safetensors").symlink_to(tmp_path / "scan.safetensors")
    assert ScanResult.load(tmp_path / "link.safetensors").scanned == scan.scanned
