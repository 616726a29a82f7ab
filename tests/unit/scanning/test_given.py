"""The forms in which people hand over photos: each is taken, or refused with the way out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, SubsetRandomSampler

from neuron_widget.errors import DatasetError
from neuron_widget.scanning import DatasetKind, datasets, kinds, open_dataset, open_dataset_steps


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "photos" / f"{name}.png" for name in "abc"]
    made[0].parent.mkdir()
    for path in made:
        Image.new("RGB", (40, 30), (250, 10, 20)).save(path)
    return made


def pandas_frame(paths: list[Path]) -> Any:
    pandas = pytest.importorskip("pandas")
    rows = {"path": [str(p) for p in paths], "label": ["cat", "dog", "cat"]}
    return pandas.DataFrame(rows, index=[7, 8, 9])


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


LABELS = ["cat", "dog", "cat"]
TAKEN: dict[str, tuple[Callable[[list[Path]], Any], bool]] = {
    "pairs": (lambda paths: list(zip(paths, LABELS, strict=True)), True),
    "pairs of texts": (lambda p: [[str(x), y] for x, y in zip(p, LABELS, strict=True)], True),
    "zip": (lambda paths: zip(map(str, paths), LABELS, strict=True), True),
    "array": (lambda paths: np.array([str(p) for p in paths]), False),
    "array of objects": (lambda paths: np.array(paths, dtype=object), False),
    "series": (lambda paths: pandas_frame(paths)["path"], False),
    "glob": (lambda paths: paths[0].parent.glob("*.png"), False),
    "generator": (lambda paths: (str(p) for p in paths), False),
    "map": (lambda paths: map(str, paths), False),
    "set": (lambda paths: set(paths), False),
    "values": (lambda paths: dict(enumerate(paths)).values(), False),
    "tuple": (lambda paths: tuple(paths), False),
    "path-like": (lambda paths: [PathLike(p) for p in paths], False),
    "path-like folder": (lambda paths: PathLike(paths[0].parent), False),
    "generator of images": (lambda paths: map(opened, paths), False),
}


class PathLike:
    def __init__(self, path: Path):
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


@pytest.mark.parametrize("form", TAKEN)
def test_forms_that_are_taken(form: str, paths: list[Path]) -> None:
    make, labelled = TAKEN[form]
    photos = open_dataset(make(paths))
    assert [Path(photos.path(i)) for i in range(len(photos))] == paths
    assert [photos.label(i) for i in range(3)] == (LABELS if labelled else [""] * 3)
    assert photos.load(2).size == (40, 30)
    assert photos.fingerprint == open_dataset(make(paths)).fingerprint


class Ten(Dataset):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return torch.full((3, 20, 30), i / 10), i


class Stream(IterableDataset):
    def __iter__(self) -> Any:
        return iter([(torch.zeros(3, 20, 30), 1)] * 3)


def test_a_data_loader_is_its_data_set() -> None:
    photos = open_dataset(DataLoader(Ten(), batch_size=4, shuffle=True))
    assert (len(photos), photos.name) == (10, "Ten")
    assert photos.load(3).getpixel((0, 0))[0] == pytest.approx(0.3 * 255, abs=1)


def test_the_way_out_of_a_stream_is_one() -> None:
    for stream in (Stream(), DataLoader(Stream(), batch_size=None)):
        with pytest.raises(DatasetError, match=r"list\(itertools\.islice\(dataset, 1000\)\)"):
            open_dataset(stream)
    assert len(open_dataset(list(itertools.islice(Stream(), 1000)))) == 3


REFUSED: list[tuple[Callable[[list[Path]], Any], str]] = [
    (lambda _: "", r"name is empty \(''\); expected a folder"),
    (lambda _: "  \t", "name is empty"),
    (lambda _: '""', "name is empty"),
    (lambda paths: [paths[0], ""], "item 1 of the list is an empty text"),
    (lambda _: [("", "cat")], "item 0 of the list is an empty text"),
    (lambda _: np.arange(4.0), "item 0 of the list is a float"),
    (lambda _: iter(()), "gives no photo. An iterator gives its items once"),
    (lambda _: itertools.count(), "item 0 of the count is 0; expected paths"),
    (lambda paths: itertools.cycle(paths), "more than 2,000 items.*islice"),
    (lambda paths: pandas_frame(paths), r"columns are path, label.*zip\(table"),
    (
        lambda _: DataLoader(Ten(), sampler=SubsetRandomSampler([1, 2])),
        r"SubsetRandomSampler leaves out .*Subset\(loader\.dataset, indices\)",
    ),
    (lambda _: torch.arange(4), "cannot be read|item 0|has shape"),
]


@pytest.mark.parametrize(("make", "says"), REFUSED)
def test_forms_that_are_refused(
    make: Callable[[list[Path]], Any],
    says: str,
    paths: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(datasets, "_MOST_ITEMS", 2000)
    with pytest.raises(DatasetError, match=says):
        open_dataset(make(paths)).load(0)


def test_a_long_iterator_can_be_stopped() -> None:
    steps = open_dataset_steps(itertools.cycle(["a.png"]))
    for _ in range(5):
        next(steps)
    steps.close()


# ------------------------------------------------------------------ splits


@pytest.mark.parametrize(
    "given",
    ["samples", [Image.new("RGB", (9, 9))], Ten(), Path(__file__).parent, "folder/*.png"],
    ids=["samples", "list", "torch", "folder", "pattern"],
)
def test_a_split_of_what_has_none(given: Any, paths: list[Path]) -> None:
    given = paths[0].parent if isinstance(given, Path) else given
    given = str(paths[0].parent / "*.png") if given == "folder/*.png" else given
    with pytest.raises(DatasetError, match=r"no split 'nope': .* has no splits"):
        open_dataset(given, split="nope")
    assert "no splits" in open_dataset(given, split="val").note
    assert open_dataset(given).note == open_dataset(given, split="training").note == ""


def test_what_is_one_split_is_asked_for_by_its_name(paths: list[Path]) -> None:
    folder = paths[0].parent.rename(paths[0].parent.with_name("valid"))
    assert open_dataset(folder, split="test").note == ""
    ten = Ten()
    ten.split = "test"  # as torchvision's have it
    assert open_dataset(ten, split="val").note == ""
    by_split = {"dev": ten, "train": Ten()}
    assert open_dataset(by_split, split="dev").note == ""


def test_a_kind_may_open_at_once_or_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = open_dataset("samples")
    at_once = DatasetKind("x", "x", 1, lambda x: x == 1, lambda *_: photos)
    monkeypatch.setattr(datasets, "all_kinds", lambda: (at_once, *kinds.all_kinds()))
    assert open_dataset(1) is photos
