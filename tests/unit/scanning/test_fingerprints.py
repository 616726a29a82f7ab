"""What tells one data set from another, and what foreign data sets call their photos."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, Subset, TensorDataset

from neuron_widget.scanning.datasets import open_dataset

COUNT = 40
CHANGED = 3  # none of the eight photos of a sample


def grey(level: int) -> Image.Image:
    return Image.new("L", (6, 5), level)


def files(folder: Path, changed: bool) -> list[Path]:
    paths = [folder / f"{i:02}.png" for i in range(COUNT)]
    for i, path in enumerate(paths):
        grey(i).save(path)
        os.utime(path, ns=(0, 10**9 + (changed and i == CHANGED)))
    return paths


class Files(Dataset):
    """A data set of files that lists them in ``samples``, in a form the test chooses."""

    def __init__(self, paths: list[Path], samples: Any, targets: Any = None, item: Any = "plain"):
        self.paths, self.samples, self.item = paths, samples, item
        if targets is not None:
            self.targets = targets

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Any:
        with Image.open(self.paths[i]) as image:
            image.load()
        return {"image": image, "labels": "own"} if self.item == "labels" else (image, "own")


# ------------------------------------------------------------------ one photo of forty changes


def levels(changed: bool) -> list[int]:
    return [200 if changed and i == CHANGED else i for i in range(COUNT)]


def array(changed: bool) -> np.ndarray:
    return np.array([np.full((5, 6, 3), level, np.uint8) for level in levels(changed)])


def palettes(changed: bool) -> list[Image.Image]:
    images = [grey(i).convert("P") for i in range(COUNT)]
    images[CHANGED].putpalette([0, 0, 200 if changed else 100] * 256)
    return images


FORMS = {
    "images": lambda _, changed: [grey(level) for level in levels(changed)],
    "palettes": lambda _, changed: palettes(changed),
    "paths": files,
    "thumbnails": lambda folder, changed: [
        thumbnail(p, 3 if changed and i == CHANGED else 4)
        for i, p in enumerate(files(folder, False))
    ],
    "drawn on": lambda folder, changed: drawn_on(files(folder, False), changed),
    "files gone": lambda folder, changed: gone(
        [thumbnail(p, 4) for p in files(folder, False)], levels(changed)
    ),
    "pairs": lambda _, changed: [(grey(level), "label") for level in levels(changed)],
    "dictionaries": lambda _, changed: [{"image": grey(level)} for level in levels(changed)],
    "arrays": lambda _, changed: list(array(changed)),
    "stack": lambda _, changed: array(changed),
    "tensor": lambda _, changed: torch.from_numpy(array(changed)),
    "tensors": lambda _, changed: TensorDataset(torch.from_numpy(array(changed))),
    "subset": lambda _, changed: Subset(
        TensorDataset(torch.from_numpy(array(changed))), range(COUNT)
    ),
    "samples": lambda folder, changed: Files(
        found := files(folder, changed), [(str(p), 0) for p in found]
    ),
}


def thumbnail(path: Path, side: int) -> Image.Image:
    image = Image.open(path)
    image.thumbnail((side, side))
    return image


def drawn_on(paths: list[Path], changed: bool) -> list[Image.Image]:
    images = [Image.open(path) for path in paths]
    for image in images:
        image.load()
    if changed:
        images[CHANGED].putpixel((1, 1), 99)
    return images


def gone(images: list[Image.Image], levels: list[int]) -> list[Image.Image]:
    for image, level in zip(images, levels, strict=True):
        os.remove(image.filename)
        image.putpixel((0, 0), level)
    return images


@pytest.mark.parametrize("form", FORMS)
def test_every_photo_counts(form: str, tmp_path: Path) -> None:
    before = open_dataset(FORMS[form](tmp_path, False)).fingerprint
    assert open_dataset(FORMS[form](tmp_path, False)).fingerprint == before
    assert open_dataset(FORMS[form](tmp_path, True)).fingerprint != before


def test_lazily_opened_files_stay_closed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        images = [stack.enter_context(Image.open(path)) for path in files(tmp_path, False)]
        before = open_dataset(images).fingerprint
        assert all(image.fp is not None for image in images)
        images[0].load()  # looked at, not changed
        assert open_dataset(images).fingerprint == before
        files(tmp_path, True)
        assert open_dataset(images).fingerprint != before


def test_a_data_set_of_another_kind_is_known_by_a_sample(tmp_path: Path) -> None:
    paths = files(tmp_path, False)
    before = open_dataset(Files(paths, None)).fingerprint
    grey(200).save(paths[CHANGED])
    assert open_dataset(Files(paths, None)).fingerprint == before
    grey(200).save(paths[0])
    assert open_dataset(Files(paths, None)).fingerprint != before


def test_items_that_are_no_photos_have_a_fingerprint() -> None:
    items = [(), {"words": 1}, (torch.zeros(3, 4, 4, dtype=torch.bfloat16), 0), ("text", 0)]
    assert open_dataset(items).fingerprint == open_dataset(items).fingerprint


# ------------------------------------------------------------------ samples and targets


@pytest.mark.parametrize(
    ("samples", "targets", "path", "label"),
    [
        (lambda p: (str(p), 1), None, True, "dog"),  # torchvision's way
        (lambda p: [p, 1, "more"], None, True, "dog"),
        (lambda p: str(p), None, True, "own"),
        (lambda p: p, None, True, "own"),
        (lambda p: (str(p),), None, False, "own"),
        (lambda p: {"file": p}, None, False, "own"),
        (lambda _: (1, "cat"), None, False, "own"),
        (None, None, False, "own"),
        (lambda p: str(p), [0, 1], True, "dog"),
        (lambda p: str(p), torch.tensor([0, 1]), True, "dog"),
        (lambda p: (str(p), 1), {"boxes": 1}, True, "dog"),
        (lambda p: str(p), {"boxes": 1}, True, "own"),
        (lambda p: str(p), [0], True, "own"),  # of something else: not one for each photo
    ],
)
@pytest.mark.parametrize("item", ["pair", "labels"])
def test_samples_and_targets(
    samples: Any, targets: Any, path: bool, label: str, item: str, tmp_path: Path
) -> None:
    paths = files(tmp_path, False)[:2]
    listed = [samples(p) for p in paths] if samples is not None else {"a": "dictionary"}
    dataset = Files(paths, listed, targets, item)
    dataset.classes = ["cat", "dog"]
    photos = open_dataset(dataset)
    assert photos.label(1) == label
    assert photos.path(1) == (str(paths[1]) if path else "Files[1]")
    assert photos.fingerprint
