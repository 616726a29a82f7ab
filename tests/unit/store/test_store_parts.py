"""Parts of scans in a store: gone on with after a stop, merged when all are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget.durable import read_facts
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.scanning import ImageDataset, ScanResult, open_dataset, scan
from neuron_widget.store import Store
from neuron_widget.store.reuse import scan_steps

SIZE, PHOTOS = 32, 40
HOW: dict[str, Any] = {"batch_size": 4, "top_k": 3}


@pytest.fixture
def model() -> VisionModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
    return load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=SIZE)


@pytest.fixture
def photos(tmp_path: Path) -> ImageDataset:
    random = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(PHOTOS):
        Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(folder / f"{i:02}.png")
    for i in (3, 17, 18, 19):
        (folder / f"{i}.png").write_bytes(b"no image")
    return open_dataset(folder)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def drain(steps: Iterator[Any]) -> tuple[Any, int]:
    """The result, and how many steps it took."""
    count = 0
    while True:
        try:
            next(steps)
            count += 1
        except StopIteration as end:
            return end.value, count


def same(a: ScanResult, b: ScanResult) -> bool:
    ours, theirs = a.tables.arrays(), b.tables.arrays()
    equal = [ours[name].tobytes() == theirs[name].tobytes() for name in theirs]
    return ours.keys() == theirs.keys() and all(equal) and a.skipped == b.skipped


def fill(store: Store, model: VisionModel, photos: ImageDataset, shards: int, **how: Any) -> None:
    for i in range(shards):
        drain(scan_steps(store, model, "2", photos, shard=(i, shards), **{**HOW, **how}))


def parts(store: Store) -> list[Path]:
    return sorted(store.own.root.glob("v1/parts/*/*.safetensors"))


def test_a_shard_that_was_stopped_goes_on(
    model: VisionModel, photos: ImageDataset, store: Store
) -> None:
    for shard in ((0, 2), (1, 2)):
        ask = {"shard": shard, "every_photos": 4, **HOW}
        steps = scan_steps(store, model, "2", photos, **ask)
        for _ in range(3):
            next(steps)
        steps.close()
        assert store.find("checkpoints", _checkpoint(store, photos, model, shard), read_done) == 8
        result, left = drain(scan_steps(store, model, "2", photos, **ask))
        assert left < 6  # not from the start
        straight = scan(model, "2", photos, shard=shard, progress=False, **HOW)
        assert same(result, straight)
        assert result.part.pack() == straight.part.pack()  # type: ignore[union-attr]
        again, steps_taken = drain(scan_steps(store, model, "2", photos, **ask))
        assert steps_taken == 0
        assert same(again, straight)
        assert again.part.pack() == straight.part.pack()  # type: ignore[union-attr]
    whole = scan(model, "2", photos, progress=False, **HOW)
    merged, steps_taken = drain(scan_steps(store, model, "2", photos, **HOW))
    assert steps_taken == 0
    assert same(merged, whole)
    assert merged.top(1) == whole.top(1)


def _checkpoint(
    store: Store, photos: ImageDataset, model: VisionModel, shard: tuple[int, int]
) -> str:
    return store.checkpoint(model, "2", photos, shard=shard, **HOW)._name


def read_done(record: Any) -> int:
    return int(record.facts["done"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: path.write_bytes(b"foreign"),
        lambda path: path.write_bytes(parts_beside(path)[0].read_bytes()),
    ],
    ids=["gone", "torn", "foreign", "another"],
)
def test_without_all_parts_photos_are_scanned(
    model: VisionModel, photos: ImageDataset, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    reports: list[str] = []
    store = Store(tmp_path / "store", report=reports.append)
    fill(store, model, photos, 3)
    (second,) = (path for path in parts(store) if "-i1." in path.name)
    spoil(second)
    found, steps = drain(scan_steps(store, model, "2", photos, **HOW))
    assert steps > 1
    assert same(found, scan(model, "2", photos, progress=False, **HOW))


def parts_beside(path: Path) -> list[Path]:
    return [other for other in sorted(path.parent.iterdir()) if other != path]


def test_only_parts_of_this_scan_are_merged(
    model: VisionModel, photos: ImageDataset, store: Store
) -> None:
    fill(store, model, photos, 2, top_k=2)
    fill(store, model, photos, 2, seed=1)
    fill(store, model, photos, 2, batch_size=5)
    fill(store, model, photos, 2, num_samples=20)
    drain(scan_steps(store, model, "2", photos, shard=(0, 3), **HOW))
    assert len(parts(store)) == 9
    assert store.merged_scan(model, "2", photos, **_asked()) is None
    fill(store, model, photos, 4)
    merged = store.merged_scan(model, "2", photos, **_asked())
    assert merged is not None
    assert same(merged, scan(model, "2", photos, progress=False, **HOW))
    assert read_facts(parts(store)[0])["kind"] == "scan part"
    assert store.verify()[store.own].damaged == []


def _asked() -> dict[str, Any]:
    return {"num_samples": None, "seed": 0, "precision": "exact", **HOW}
