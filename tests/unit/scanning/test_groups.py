"""Photos that belong together: what declares it, and what it does to a neuron's photos."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import ConcatDataset, Dataset, Subset

from neuron_widget.errors import DatasetError
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.scanning import ImageDataset, ScanResult, open_dataset, scan
from neuron_widget.scanning.groups import group_numbers

SIZE, COUNT, TOP_K = 32, 40, 6
VIDEOS = [f"video {i * i % 7}" for i in range(COUNT)]


def noise(i: int, alike: int = 2) -> Image.Image:
    random = np.random.default_rng(i // alike)  # so many neighbours are alike: their scores tie
    return Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8))


class Frames(Dataset):
    """Four photos, or as many as there are groups."""

    def __init__(self, groups: Any, count: int = 4, alike: int = 2):
        self.count, self.alike = count, alike
        if groups is not None:
            self.groups = groups

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Image.Image:
        return noise(i, self.alike)


class Own(ImageDataset):
    """A data set of the user's own making."""

    name, fingerprint, group_name = "own", "0", "video"

    def __init__(self, groups: Any):
        self.groups = groups

    def __len__(self) -> int:
        return 4

    def load(self, i: int) -> Image.Image:
        return noise(i)


@pytest.fixture
def model() -> VisionModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 5, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(5, 6, 1))
    return load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=SIZE)


# ------------------------------------------------------------------ what declares them


@pytest.mark.parametrize(
    ("data", "numbers"),
    [
        (Frames(["b", "a", "b", "c"]), [0, 1, 0, 2]),
        (Frames((7, 7, 7, 7)), [0, 0, 0, 0]),
        (Frames([None, "a", None, "a"]), [0, 1, 2, 1]),
        (Frames(np.array([3.0, np.nan, 3.0, np.nan])), [0, 1, 0, 2]),
        (Frames(torch.tensor([5, 6, 6, 5])), [0, 1, 1, 0]),
        (Frames([torch.tensor(5), torch.tensor(5), 6, 6]), [0, 0, 1, 1]),
        (Frames(pandas.Series(["a", "b", "b", None])), [0, 1, 1, 2]),
        (Frames(pandas.Series(["a", "a", None, None], dtype="string")), [0, 0, 1, 2]),
        (Frames([("a", 1), ("a", 1), ("a", 2), "a"]), [0, 0, 1, 2]),
        (Subset(Frames(["b", "a", "b", "c"]), [3, 2, 0]), [0, 1, 1]),
        (ConcatDataset([Frames(["a", "b", "a", "b"]), Frames(None)]),
         [0, 1, 0, 1, 2, 3, 4, 5]),
        (ConcatDataset([Frames(["a"] * 4), Subset(Frames(["b", "a", "b", "c"]), [0, 1])]),
         [0, 0, 0, 0, 1, 0]),
        (Own(["x", "y", "y", "x"]), [0, 1, 1, 0]),
        (Frames(None), None),
        (Frames("train"), None),  # of something else
        (Frames({"a": [0, 1]}), None),
        (Subset(Frames(None), [0, 1]), None),
        (ConcatDataset([Frames(None), Frames(None)]), None),
        (Own(None), None),
    ],
)  # fmt: skip
def test_a_data_set_declares_its_groups(data: Any, numbers: list[int] | None) -> None:
    found = group_numbers(open_dataset(data))
    assert found is None if numbers is None else found.tolist() == numbers


BAD = [
    (["a", "b"], r"groups has 2 entries, and there are 4 photos; .* None for a photo"),
    ([["a"], "b", "c", "d"], r"the group of photo 0 is a list, \['a'\], .* expected a text"),
    (["a", torch.zeros(2), "c", "d"], "the group of photo 1 is a list"),
    (np.zeros((4, 2)), "the group of photo 0 is a list"),
]


@pytest.mark.parametrize(("groups", "says"), [*BAD, ("abcd", "is a str"), (7, "is a int")])
def test_groups_that_do_not_fit_are_named(groups: Any, says: str, model: VisionModel) -> None:
    with pytest.raises(DatasetError, match=says):
        open_dataset(Frames(None), groups=groups)
    with pytest.raises(DatasetError, match=says):
        scan(model, "2", Own(groups), progress=False)


@pytest.mark.parametrize(("groups", "says"), BAD)
def test_a_torch_data_sets_groups_are_checked(groups: Any, says: str) -> None:
    with pytest.raises(DatasetError, match=says):
        open_dataset(Frames(groups))


def test_a_folder_is_given_groups(tmp_path: Path) -> None:
    for i in range(3):
        noise(i).save(tmp_path / f"{i}.png")
    plain = open_dataset(tmp_path)
    photos = open_dataset(tmp_path, groups=["a", "a", "b"])
    again = open_dataset(photos, groups=["x", "y", "y"])
    assert [photos.path(i) for i in range(3)] == [plain.path(i) for i in range(3)]
    assert (photos.name, photos.label(0), photos.load(0).size) == (plain.name, "", (50, 40))
    assert photos.load_square(0, 32).size == (32, 32)
    assert group_numbers(again).tolist() == [0, 1, 1]
    known = [plain.fingerprint, photos.fingerprint, again.fingerprint]
    assert len(set(known)) == 3
    # What the groups are called makes no other data set of it.
    assert open_dataset(tmp_path, groups=[1, 1, 2]).fingerprint == photos.fingerprint
    assert (plain.remarks, photos.remarks) == (
        "",
        "at most two of one group among a neuron's photos",
    )


def test_groups_are_part_of_a_torch_data_sets_identity() -> None:
    known = [open_dataset(Frames(groups)).fingerprint for groups in (None, [1, 1, 2, 2], [1] * 4)]
    assert len(set(known)) == 3


def test_the_crops_of_a_sample_photograph_are_a_group() -> None:
    photos = open_dataset("samples")
    numbers = group_numbers(photos)
    by_label = [photos.label(i) for i in range(len(photos))]
    assert len(set(by_label)) == len(set(numbers)) == len(set(zip(by_label, numbers, strict=True)))
    assert photos.remarks == "at most two of one photograph among a neuron's photos"


# ------------------------------------------------------------------ what they do


def expected(scores: list[tuple[float, int]]) -> list[int]:
    """The photos by score, without those of a video that has two better ones."""
    had: Counter[str] = Counter()
    chosen = []
    for _, i in sorted(scores):
        had[VIDEOS[i]] += 1
        if had[VIDEOS[i]] <= 2:
            chosen.append(i)
    return chosen[:TOP_K]


def every_score(model: VisionModel, photos: Frames, batch_size: int) -> np.ndarray:
    """Scores (photos, neurons) of a scan that keeps all photos.

    By the same batches: on some processors the last bit depends on an image's place in its batch.
    """
    how: dict[str, Any] = {"batch_size": batch_size, "progress": False}
    all_of_them = scan(model, "2", photos, top_k=COUNT, **how)
    found = np.zeros((COUNT, 6), np.float32)
    for neuron in range(6):
        for example in all_of_them.top(neuron):
            found[example.index, neuron] = example.score
    return found


@pytest.mark.parametrize("precision", ["exact", "fast"])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_at_most_two_of_a_group_at_either_end(
    model: VisionModel, precision: Any, batch_size: int, tmp_path: Path
) -> None:
    how: dict[str, Any] = {"top_k": TOP_K, "precision": precision, "progress": False}
    # A fast scan measures its candidates again, in batches of their own: there nothing may tie.
    alike = 2 if precision == "exact" else 1
    photos = Frames(VIDEOS, COUNT, alike)
    found = scan(model, "2", photos, batch_size=batch_size, **how)
    file = found.save(tmp_path / "scan.safetensors")
    loaded = ScanResult.load(file, model=model, dataset=photos)
    score = every_score(model, Frames(None, COUNT, alike), batch_size)
    for result in (found, loaded):
        assert result.note == "at most two of one group among a neuron's photos"
        for neuron in range(6):
            top = [(-float(s), i) for i, s in enumerate(score[:, neuron])]
            bottom = [(float(s), i) for i, s in enumerate(score[:, neuron])]
            assert [e.index for e in result.top(neuron)] == expected(top)
            assert [e.index for e in result.bottom(neuron)] == expected(bottom)


def test_a_fast_scan_in_a_file_knows_the_groups_of_its_photos(
    model: VisionModel, tmp_path: Path
) -> None:
    files = [tmp_path / f"{i}.png" for i in range(COUNT)]
    for i, path in enumerate(files):
        noise(i).save(path)
    photos = open_dataset(files, groups=VIDEOS)
    found = scan(model, "2", photos, top_k=TOP_K, precision="fast", progress=False)
    loaded = ScanResult.load(found.save(tmp_path / "scan.safetensors"), model=model)
    for neuron in range(6):
        assert [e.index for e in loaded.top(neuron)] == [e.index for e in found.top(neuron)]


def test_fewer_photos_than_asked_for(model: VisionModel) -> None:
    found = scan(model, "2", Frames(["one"] * 9 + ["two"], 10), top_k=9, progress=False)
    assert [len(found.top(n)) for n in range(6)] == [3] * 6
    assert (found.scanned, found.histogram(0)[0].sum()) == (10, 10)
