"""Data sets whose items change, that read each other, or that transform what they give."""

from __future__ import annotations

import contextlib
import logging
import pickle
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from neuron_widget import load_model, scan
from neuron_widget.errors import DatasetError
from neuron_widget.networks.model import VisionModel
from neuron_widget.scanning import ImageDataset, ScanResult, open_dataset
from neuron_widget.session import messages
from neuron_widget.store import Store
from neuron_widget.store.reuse import scan_steps

COUNT = 12


def noise(i: int) -> Image.Image:
    values = np.random.default_rng(i).integers(0, 256, (40, 40, 3), np.uint8)
    return Image.fromarray(values)


@pytest.fixture
def model() -> VisionModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
    return load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)


def flipped(image: Image.Image) -> Image.Image:
    from torchvision.transforms import RandomHorizontalFlip

    return RandomHorizontalFlip()(image)


def cropped(image: Image.Image) -> Image.Image:
    from torchvision.transforms import RandomResizedCrop

    return RandomResizedCrop(32)(image)


def turned(image: Image.Image) -> Image.Image:
    return image.rotate(random.uniform(-30, 30))


def shaded(image: Image.Image) -> Image.Image:
    return image.point(lambda value: value * np.random.rand())


SEEDED = [flipped, cropped, turned, shaded]
_own = np.random.default_rng()


def own(image: Image.Image) -> Image.Image:
    return image.rotate(_own.uniform(-30, 30))


def same(image: Image.Image) -> Image.Image:
    return image


class Transformed(Dataset):
    def __init__(self, transform: Callable[[Image.Image], Image.Image]):
        self.transform = transform

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        return self.transform(noise(i)), i % 2


def hugging_face(transform: Callable[[Image.Image], Image.Image]) -> Any:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    rows = {"image": [noise(i) for i in range(COUNT)], "label": list(range(COUNT))}
    table = datasets.Dataset.from_dict(rows, features=features)
    return table.with_transform(
        lambda b: {"image": [transform(x.convert("RGB")) for x in b["image"]]}
    )


def drain(steps: Any) -> ScanResult:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


# ------------------------------------------------------------------ not the same twice


@pytest.mark.parametrize("make", [Transformed, hugging_face])
@pytest.mark.parametrize("transform", SEEDED)
def test_maps_are_of_the_pixels_that_were_scored(
    transform: Any, make: Any, model: VisionModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "neuron_widget")
    photos = open_dataset(make(transform))
    assert "change at random" in photos.note
    assert "fixed seed" in photos.note
    assert [r.message for r in caplog.records if "change at random" in r.message]
    result = scan(model, "2", photos, progress=False, batch_size=5)
    assert result.note == photos.note
    assert messages.dataset(photos, [])["dataset"]["note"] == photos.note
    for neuron in range(6):
        for example in result.top(neuron):
            found = float(example.activation_map().mean())
            assert found == pytest.approx(example.score, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("transform", SEEDED)
def test_the_store_knows_photos_that_change_at_random(
    transform: Any, model: VisionModel, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    first = drain(scan_steps(store, model, "2", Transformed(transform)))
    assert store.find_scan(model, "2", open_dataset(Transformed(transform))) is not None
    assert open_dataset(Transformed(same)).fingerprint != first.fingerprint
    copy = pickle.loads(pickle.dumps(open_dataset(Transformed(transform))))
    assert copy.fingerprint == first.fingerprint


def test_generators_of_its_own_are_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "neuron_widget")
    assert "scores and maps are of different readings" in open_dataset(Transformed(own)).note
    assert "different readings" in caplog.text


def test_photos_that_stay_the_same_have_no_note() -> None:
    for given in (Transformed(same), [noise(0)], hugging_face(same), "samples"):
        assert open_dataset(given).note == ""


@pytest.mark.parametrize("transform", [same, *SEEDED])
def test_the_users_generators_are_left_as_they_are(transform: Any, model: VisionModel) -> None:
    def draw() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(()))]

    def seed() -> None:
        random.seed(5)
        np.random.seed(5)
        torch.manual_seed(5)

    seed()
    expected = [draw(), draw()]
    seed()
    photos = open_dataset(Transformed(transform))
    before = draw()
    photos.load(3)
    photos.label(3)
    assert photos.fingerprint
    scan(model, "2", photos, progress=False)
    assert [before, draw()] == expected


# ------------------------------------------------------------------ code of the user's in our turn


def within(seconds: float, work: Callable[[], object]) -> list[object]:
    """What ``work`` returns in a thread of its own; a failure instead of a hang."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, "it hangs, or raised"
    return found


class Reading(Dataset):
    """A data set whose items ask somebody for something first."""

    def __init__(self) -> None:
        self.first: Callable[[], object] = lambda: None

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, i: int) -> Image.Image:
        first, self.first = self.first, lambda: None
        first()
        return noise(i)


def test_an_item_that_reads_its_own_data_set() -> None:
    reading = Reading()
    photos = open_dataset(reading)
    reading.first = lambda: photos.load(3)
    assert within(60, lambda: photos.load(1).size) == [(40, 40)]


def test_an_item_that_looks_at_the_scan(model: VisionModel) -> None:
    reading = Reading()
    result = scan(model, "2", reading, progress=False)
    reading.first = lambda: result.maps(3)
    assert within(60, lambda: len(result.maps(1))) == [COUNT]


def test_two_random_data_sets_that_hold_each_other() -> None:
    outer, inner = Transformed(turned), Transformed(turned)
    photos, below = open_dataset(outer), open_dataset(inner)
    met = threading.Barrier(2)

    def meet_and(read: Callable[[], object]) -> Callable[[Image.Image], Image.Image]:
        def transform(image: Image.Image) -> Image.Image:
            outer.transform = inner.transform = turned
            with contextlib.suppress(threading.BrokenBarrierError):
                met.wait(0.2)
            read()
            return turned(image)

        return transform

    outer.transform = meet_and(lambda: below.load(1))
    inner.transform = meet_and(lambda: photos.load(1))
    results: list[object] = []
    for photo in (photos, below):
        threading.Thread(
            target=lambda photo=photo: results.append(photo.load(2)), daemon=True
        ).start()
    assert within(60, lambda: wait_for(results, 2))


def wait_for(things: list[object], count: int) -> bool:
    pause = threading.Event()
    while len(things) < count:
        pause.wait(0.01)
    return True


# ------------------------------------------------------------------ Hugging Face


def table(*columns: str) -> Any:
    datasets = pytest.importorskip("datasets")
    features = {name: datasets.Image() for name in columns}
    features["label"] = datasets.ClassLabel(names=["cat", "dog"])
    rows: dict[str, list[Any]] = {name: [noise(i) for i in range(4)] for name in columns}
    rows["label"] = [0, 1, 0, 1]
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


@pytest.mark.parametrize("way", ["with_transform", "set_transform"])
def test_looking_at_labels_calls_no_transform(way: str, model: VisionModel) -> None:
    calls: list[list[str]] = []

    def transform(batch: dict[str, Any]) -> dict[str, Any]:
        calls.append(sorted(batch))
        return {"image": [x.rotate(90) for x in batch["image"]], "label": batch["label"]}

    dataset = table("image")
    dataset = getattr(dataset, way)(transform) or dataset
    photos = open_dataset(dataset)
    calls.clear()
    assert [photos.label(i) for i in range(4)] == ["cat", "dog"] * 2
    assert calls == []
    result = scan(model, "2", photos, progress=False)
    assert {e.label for e in result.top(1)} == {"cat", "dog"}
    assert result.top_labels(2)
    assert all(names == ["image", "label"] for names in calls)
    assert dataset.format["type"] == "custom"  # the user's is as it was


def test_a_transform_that_gives_no_image_says_so() -> None:
    dataset = table("image").with_transform(lambda b: {"pixel_values": b["image"]})
    with pytest.raises(DatasetError, match=r"gives pixel_values and no 'image'.*with_format"):
        open_dataset(dataset).load(0)
    assert open_dataset(dataset.with_format(None)).load(0).size == (40, 40)


def test_a_table_of_paths_is_known_by_its_files(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    paths = [tmp_path / f"{i}.png" for i in range(3)]

    def fingerprint() -> str:
        rows = datasets.Dataset.from_dict({"image": [*map(str, paths)]})
        return open_dataset(rows.cast_column("image", datasets.Image())).fingerprint

    for i, path in enumerate(paths):
        noise(i).save(path)
    before = fingerprint()
    assert fingerprint() == before
    noise(30).resize((90, 90)).save(paths[1])
    assert fingerprint() != before


def test_several_image_columns_are_named() -> None:
    dataset = table("image", "mask")
    with pytest.raises(DatasetError, match=r"image, mask\. Say which .*select_columns"):
        open_dataset(dataset)
    photos = open_dataset(dataset.select_columns(["mask", "label"]))
    assert (photos.load(0).size, photos.label(1)) == ((40, 40), "dog")


# ------------------------------------------------------------------ names and paths of parts


def image_folder(folder: Path, classes: dict[str, int]) -> Any:
    from torchvision.datasets import ImageFolder

    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            noise(i).save(folder / name / f"{name}{i}.png")
    return ImageFolder(str(folder))


def described(photos: ImageDataset) -> list[tuple[str, str]]:
    return [(photos.label(i), Path(photos.path(i)).name) for i in range(len(photos))]


def test_names_and_paths_through_concat_and_subset(tmp_path: Path) -> None:
    pets = image_folder(tmp_path / "pets", {"cat": 2, "dog": 2})
    cars = image_folder(tmp_path / "cars", {"bus": 1, "van": 2})
    both = ConcatDataset([Subset(pets, [3, 0]), ConcatDataset([cars, Subset(pets, [1])])])
    expected = [
        *[("dog", "dog1.png"), ("cat", "cat0.png")],
        *[("bus", "bus0.png"), ("van", "van0.png"), ("van", "van1.png"), ("cat", "cat1.png")],
    ]
    assert described(open_dataset(both)) == expected
    assert described(open_dataset(Subset(both, [5, 0, -1]))) == [expected[i] for i in (5, 0, -1)]


def test_every_photo_of_a_concat_counts(tmp_path: Path) -> None:
    pets = image_folder(tmp_path / "pets", {"cat": 10, "dog": 10})

    def concat() -> ConcatDataset:
        return ConcatDataset([pets, Subset(pets, range(20))])

    before = open_dataset(concat()).fingerprint
    assert open_dataset(concat()).fingerprint == before
    noise(99).resize((50, 50)).save(tmp_path / "pets" / "cat" / "cat1.png")
    assert open_dataset(concat()).fingerprint != before
    stacks = [torch.zeros(30, 3, 9, 9), torch.zeros(30, 3, 9, 9)]
    before = open_dataset(ConcatDataset([TensorDataset(t) for t in stacks])).fingerprint
    stacks[1][17] += 0.5
    assert open_dataset(ConcatDataset([TensorDataset(t) for t in stacks])).fingerprint != before
