"""Pillow's resampling in whole numbers, and squares that are made elsewhere than on the CPU."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from neuron_widget.photos.decode import square
from neuron_widget.photos.jpeg import plain_jpeg
from neuron_widget.scanning import ImageDataset, loading, open_dataset
from neuron_widget.scanning.gpu_squares import Jpeg, gpu_squares, load_decoders
from neuron_widget.scanning.groups import GroupedDataset
from neuron_widget.scanning.image_dataset import ImageDataset as Base
from neuron_widget.scanning.resampling import BITS, square_taps

SIZES = [
    (500, 375), (375, 500), (256, 256), (300, 256), (224, 224), (64, 64), (65, 130), (40, 30),
    (1, 1), (3, 6), (1280, 721), (514, 257), (2000, 1999),
]  # fmt: skip


def resampled(pixels: np.ndarray, side: int) -> np.ndarray:
    """What the kernel does, in numpy."""
    height, width, _ = pixels.shape
    x, y = square_taps(width, height, side)
    half = 1 << (BITS - 1)

    def along(lines: np.ndarray, taps, length: int) -> np.ndarray:
        at = taps.first[:, None] + np.arange(taps.weights.shape[1])
        picked = lines[:, np.minimum(at, length - 1)].astype(np.int64)
        sums = (picked * taps.weights[None, :, :, None]).sum(axis=2) + half
        assert sums.max() < 2**31
        return np.clip(sums >> BITS, 0, 255)

    rows = along(pixels, x, width)
    return along(rows.transpose(1, 0, 2), y, height).transpose(1, 0, 2).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("side", [224, 32])
def test_the_tables_give_pillows_pixels(size, side):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    expected = np.asarray(square(Image.fromarray(pixels), side))
    np.testing.assert_array_equal(resampled(pixels, side), expected)


# ------------------------------------------------------------------ in a scan's batches


class Elsewhere:
    """In a GPU's place: squares out of bytes, all at once or not at all."""

    def __init__(self, side: int, refused: bytes):
        self.side, self.refused, self.made = side, refused, 0

    def load(self, dataset: Base, i: int) -> Jpeg | None:
        data = dataset.encoded(i)
        facts = plain_jpeg(data) if data is not None else None
        if facts is None:
            return None
        return Jpeg(facts, torch.frombuffer(bytearray(data), dtype=torch.uint8), decoded=False)

    def squares(self, photos) -> torch.Tensor:
        found = []
        for one in photos:
            if isinstance(one, Jpeg):
                data = bytes(one.data.numpy())
                if data == self.refused:
                    raise RuntimeError("nvjpegDecode failed")
                image = Image.open(io.BytesIO(data)).convert("RGB")
                one = np.asarray(square(image, self.side))
                self.made += 1
            found.append(torch.from_numpy(np.array(one)))
        return torch.stack(found)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = rng.integers(0, 255, (40 + i, 60 - i, 3), dtype=np.uint8)
        ending = ".png" if i % 5 == 2 else ".jpg"
        how = {"subsampling": 2 if i == 3 else 0} if ending == ".jpg" else {}
        Image.fromarray(pixels).save(tmp_path / f"{i:02}{ending}", **how)
    data = (tmp_path / "04.jpg").read_bytes()
    (tmp_path / "06.jpg").write_bytes(data[: len(data) // 2])
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_wherever_squares_are_made(folder, monkeypatch, workers):
    dataset = GroupedDataset(open_dataset(folder), range(12))
    plain = list(loading.load_batches(dataset, range(12), 32, 4, workers, by_place=True))
    load_decoders()
    elsewhere = Elsewhere(32, (folder / "08.jpg").read_bytes())
    monkeypatch.setattr(loading, "gpu_squares", lambda _device, _side: elsewhere)
    found = list(loading.load_batches(dataset, range(12), 32, 4, workers, by_place=True,
                                      device=torch.device("cuda")))  # fmt: skip
    assert elsewhere.made == 4
    assert sum(len(batch.skipped) for batch in plain) == 1
    for ours, theirs in zip(found, plain, strict=True):
        assert (ours.index, sorted(ours.skipped)) == (theirs.index, sorted(theirs.skipped))
        assert torch.equal(ours.squares, theirs.squares)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_files_are_read_many_at_a_time(folder, monkeypatch, workers, batch_size):
    dataset, photos = open_dataset(folder), [0, 1, 5, 9] * 20
    plain = list(loading.load_batches(dataset, photos, 32, batch_size, workers))
    monkeypatch.setattr(loading, "gpu_squares", lambda *_: Elsewhere(32, b""))
    read, together = loading._Loader._read, []

    def counted(loader, on_gpu, some):
        together.append(len(some))
        return read(loader, on_gpu, some)

    monkeypatch.setattr(loading._Loader, "_read", counted)
    found = list(loading.load_batches(dataset, photos, 32, batch_size, workers,
                                      device=torch.device("cuda")))  # fmt: skip
    for ours, theirs in zip(found, plain, strict=True):
        assert ours.index == theirs.index
        assert torch.equal(ours.squares, theirs.squares)
    # A hand-over costs the interpreter lock as much as a file does.
    most = min(loading._READ_AT_ONCE, max(2 * batch_size, 2 * workers))
    assert sum(together) == len(photos)
    assert set(together[:-1]) == {most}


def test_only_files_that_are_the_photo_are_given_as_files(folder):
    dataset = open_dataset(folder)
    assert dataset.encoded(0) == (folder / "00.jpg").read_bytes()
    own = type(dataset)

    class Darker(own):
        def load(self, i: int) -> Image.Image:
            return super().load(i).point(lambda v: v // 2)

    darker = object.__new__(Darker)
    vars(darker).update(vars(dataset))
    assert darker.encoded(0) is None

    class Corner(own):
        def load_square(self, i: int, input_size: int) -> Image.Image:
            return self.load(i).crop((0, 0, input_size, input_size))

    corner = object.__new__(Corner)
    vars(corner).update(vars(dataset))
    assert corner.encoded(0) is None

    class Mine(ImageDataset):
        name, fingerprint = "mine", "x"

        def __len__(self) -> int:
            return 1

        def load(self, _i: int) -> Image.Image:
            return Image.new("RGB", (9, 9))

    assert Mine().encoded(0) is None
    assert open_dataset("samples").encoded(0) is None


def test_without_a_gpu_there_is_none():
    assert gpu_squares(torch.device("cpu"), 224) is None
