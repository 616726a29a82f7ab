"""Scans on disk: what is saved comes back, and a killed scan goes on as if nothing had been."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget.errors import DatasetError, ModelError, NeuronOutOfRange, StoreError
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.rendering import render
from neuron_widget.rendering.manifest import read_result
from neuron_widget.scanning import ImageDataset, ScanResult, open_dataset, scan
from neuron_widget.scanning import scan_steps as scan_plainly
from neuron_widget.scanning.file_dataset import FileDataset
from neuron_widget.scanning.tables import PandasMissing
from neuron_widget.store import Store
from neuron_widget.store.reuse import render_steps, scan_steps

SIZE = 32
PHOTOS = 21


def tiny() -> VisionModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
    return load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=SIZE)


@pytest.fixture
def model() -> VisionModel:
    return tiny()


def make_photos(folder: Path, count: int = PHOTOS) -> Path:
    random = np.random.default_rng(0)
    for i in range(count):
        path = folder / f"class{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(path)
    (folder / "class0" / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_what_only_the_disk_kept_from_being_read_is_looked_at_after_all(
    model: VisionModel, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def go() -> ScanResult:
        return drain(scan_steps(store, model, "0", folder))

    plain = FileDataset.load

    def flaky(dataset: FileDataset, i: int) -> Image.Image:
        if i in (3, 4, 7):
            raise PermissionError(13, "Permission denied", dataset.path(i))
        return plain(dataset, i)

    with monkeypatch.context() as patch:
        patch.setattr(FileDataset, "load", flaky)
        assert go().scanned == PHOTOS - 3
    whole = go()
    assert (whole.scanned, len(whole.skipped)) == (PHOTOS, 1)
    # What is no photo stays left out, and nothing is looked at again for its sake.
    monkeypatch.setattr(FileDataset, "load", flaky)
    assert same(go(), whole)


def same(a: ScanResult, b: ScanResult) -> bool:
    """Whether two scans are equal in every bit."""
    ours, theirs = a.tables.arrays(), b.tables.arrays()
    return (
        list(ours) == list(theirs)
        and all(np.array_equal(ours[name], theirs[name]) for name in ours)
        and (a.scanned, a.skipped) == (b.scanned, b.skipped)
    )


def drain(steps: Iterator[Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


class NoPhotos(ImageDataset):
    """A data set that must not be read."""

    def __init__(self, inner: ImageDataset):
        self.name, self._inner = inner.name, inner

    def __len__(self) -> int:
        return len(self._inner)

    def load(self, i: int) -> Image.Image:
        raise AssertionError(f"photo {i} was read")

    def label(self, i: int) -> str:
        return self._inner.label(i)

    def path(self, i: int) -> str:
        return self._inner.path(i)

    @property
    def fingerprint(self) -> str:
        return self._inner.fingerprint


# ------------------------------------------------------------------ save, load, to_frame


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_save_and_load(model: VisionModel, folder: Path, tmp_path: Path, precision: Any) -> None:
    result = scan(model, "2", folder, top_k=3, progress=False, precision=precision)
    path = result.save(tmp_path / "out" / "scan.safetensors")
    found = ScanResult.load(path, model, folder)
    assert same(found, result)
    assert found.settings == result.settings
    assert found.top(1) == result.top(1)
    assert np.array_equal(found.top(1)[0].activation_map(), result.top(1)[0].activation_map())


def test_load_without_network_and_photos(model: VisionModel, folder: Path, tmp_path: Path) -> None:
    result = scan(model, "2", folder, top_k=3, progress=False)
    found = ScanResult.load(result.save(tmp_path / "scan.safetensors"))
    assert same(found, result)
    assert found.top(5) == result.top(5)
    assert found.model_identity == model.identity
    assert found.fingerprint == result.fingerprint
    assert np.array_equal(np.asarray(found.top(2)[0].image()), np.asarray(result.top(2)[0].image()))
    with pytest.raises(NeuronOutOfRange, match="0 to 5"):
        found.top(6)
    with pytest.raises(ModelError, match="load_model"):
        found.top(2)[0].activation_map()
    for path in folder.rglob("*.png"):
        path.unlink()
    with pytest.raises(DatasetError, match="dataset="):
        ScanResult.load(tmp_path / "scan.safetensors").top(2)[0].image()


def test_what_cannot_be_loaded(model: VisionModel, folder: Path, tmp_path: Path) -> None:
    result = scan(model, "2", folder, top_k=3, progress=False)
    path = result.save(tmp_path / "scan.safetensors")
    other = tiny()
    with torch.no_grad():
        other.module[0].weight.add_(1)
    with pytest.raises(StoreError, match="same network"):
        ScanResult.load(path, other)
    with pytest.raises(StoreError, match="same photos"):
        ScanResult.load(path, model, make_photos(tmp_path / "others", 3))
    with pytest.raises(StoreError, match="cannot read"):
        ScanResult.load(tmp_path / "none.safetensors")
    with pytest.raises(StoreError, match=r"scan\.safetensors"):
        result.save(tmp_path / "scan.pkl")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(StoreError, match="torn"):
        ScanResult.load(path)


def test_file_names_of_any_kind(model: VisionModel, tmp_path: Path) -> None:
    folder = make_photos(tmp_path / "photos", 4)
    odd = os.fsdecode(os.fsencode(folder) + b"/<img src=x onerror=alert(1)> \xff\xfe.png")
    os.rename(folder / "class0" / "0.png", odd)
    result = scan(model, "2", folder, top_k=2, progress=False)
    found = ScanResult.load(result.save(tmp_path / "scan.safetensors"))
    assert found.skipped == result.skipped
    assert [e.path for e in found.top(0)] == [e.path for e in result.top(0)]


def test_to_frame(model: VisionModel, folder: Path) -> None:
    pytest.importorskip("pandas")
    result = scan(model, "2", folder, top_k=3, progress=False)
    neurons = result.to_frame()
    assert list(neurons.index) == list(range(6))
    assert neurons["mean"].to_numpy() == pytest.approx(result.mean)
    assert neurons["best"][4] == pytest.approx(result.top(4)[0].score)
    photos = result.to_frame("photos")
    assert len(photos) == 6 * 2 * 3
    row = photos[(photos.neuron == 2) & (photos.group == "least") & (photos["rank"] == 1)].iloc[0]
    example = result.bottom(2)[1]
    assert (row.path, row.label, row.score) == (example.path, example.label, example.score)
    assert (row.row, row.column) == example.position
    with pytest.raises(ValueError, match="did you mean 'photos'"):
        result.to_frame("photo")


def test_to_frame_without_pandas(
    model: VisionModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = scan(model, "2", folder, top_k=3, progress=False)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(PandasMissing, match="pip install pandas"):
        result.to_frame()


def test_save_images(model: VisionModel, tmp_path: Path) -> None:
    result = render(model, "2", [1, 4], steps=2, size=SIZE, progress=False)
    files = result.save(tmp_path / "images")
    assert [f.name for f in files] == ["2_neuron_1.webp", "2_neuron_4.webp"]
    single = render(model, "2", 4, steps=2, size=SIZE, progress=False)
    for name in ("one.webp", "one.png"):
        (file,) = single.save(tmp_path / name)
        assert np.array_equal(np.asarray(read_result(file).to_pil()), np.asarray(single.to_pil()))
        assert read_result(file).settings == single.settings
    with pytest.raises(StoreError, match="name a folder"):
        result.save(tmp_path / "one.webp")
    with pytest.raises(StoreError, match="lossless"):
        single.save(tmp_path / "one.jpg")


# ------------------------------------------------------------------ the store


def test_a_known_scan_reads_no_photo(store: Store, model: VisionModel, folder: Path) -> None:
    photos = open_dataset(folder)
    first = drain(scan_steps(store, model, "2", photos, top_k=4))
    again = drain(scan_steps(store, model, "2", NoPhotos(photos), top_k=4))
    assert same(first, again)
    fewer = drain(scan_steps(store, model, "2", NoPhotos(photos), top_k=2))
    assert [e.index for e in fewer.top(3)] == [e.index for e in first.top(3, 2)]
    asked = {"top_k": 4, "num_samples": 1000}  # more than there are
    everything = drain(scan_steps(store, model, "2", NoPhotos(photos), **asked))
    assert same(everything, first)


def test_an_exact_scan_serves_a_fast_one_and_never_the_other_way(
    store: Store, model: VisionModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = open_dataset(folder)
    monkeypatch.setattr("neuron_widget.networks.arithmetic.has_fast_bfloat16", lambda _: True)
    drain(scan_steps(store, model, "2", photos, precision="fast"))
    assert store.find_scan(model, "2", photos, precision="fast") is not None
    assert store.find_scan(model, "2", photos) is None
    drain(scan_steps(store, model, "0", photos))
    found = store.find_scan(model, "0", photos, precision="fast")
    assert found is not None
    assert found.settings["precision"] == "exact"


@pytest.mark.parametrize("other", [{"top_k": 5}, {"num_samples": 9}, {"seed": 1}], ids=str)
def test_another_scan_is_another_file(
    store: Store, model: VisionModel, folder: Path, other: dict[str, Any]
) -> None:
    photos = open_dataset(folder)
    drain(scan_steps(store, model, "2", photos, top_k=4))
    assert store.find_scan(model, "2", photos, **{"top_k": 4, **other}) is None
    assert store.find_scan(model, "0", photos, top_k=4) is None
    assert store.find_scan(model, "2", photos, top_k=4) is not None


def test_changed_photos_are_scanned_again(store: Store, model: VisionModel, folder: Path) -> None:
    drain(scan_steps(store, model, "2", folder))
    os.utime(folder / "class0" / "0.png", (1, 1))
    assert store.find_scan(model, "2", open_dataset(folder)) is None


def test_other_groups_are_another_scan(store: Store, model: VisionModel, folder: Path) -> None:
    """Also one without any, as every scan was before there were groups."""
    photos = open_dataset(folder)
    halves = open_dataset(folder, groups=[i % 2 for i in range(len(photos))])
    drain(scan_steps(store, model, "2", photos))
    assert store.find_scan(model, "2", halves) is None
    drain(scan_steps(store, model, "2", halves))
    assert store.find_scan(model, "2", photos).tables.top.index.shape[1] == 9
    assert store.find_scan(model, "2", halves).tables.top.index.shape[1] == 4
    assert store.find_scan(model, "2", open_dataset(folder, groups=[0] * len(photos))) is None


def test_another_version_of_the_algorithm(
    store: Store, model: VisionModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drain(scan_steps(store, model, "2", folder))
    monkeypatch.setattr("neuron_widget.scanning.files.ALGORITHM", 99)
    assert store.find_scan(model, "2", open_dataset(folder)) is None


def test_a_stopped_scan_is_not_a_result(store: Store, model: VisionModel, folder: Path) -> None:
    steps = scan_plainly(model, "2", folder, batch_size=4)
    for step in steps:
        if step.done >= 8:
            break
    steps.close()
    store.keep(model, step.result())
    assert not list(store.entries())


@pytest.mark.parametrize("tear", [lambda d: d[:-1], lambda d: d[:40], lambda _: b"letter"])
def test_a_torn_scan_is_made_again(
    tmp_path: Path, model: VisionModel, folder: Path, tear: Any
) -> None:
    reports: list[str] = []
    store = Store(tmp_path / "store", report=reports.append)
    first = drain(scan_steps(store, model, "2", folder, batch_size=4))
    for _, entry in list(store.entries()):
        entry.path.write_bytes(tear(entry.path.read_bytes()))
    again = drain(scan_steps(store, model, "2", folder, batch_size=4))
    assert same(first, again)
    assert len(reports) == 2  # the scan and its checkpoint
    assert store.find_scan(model, "2", open_dataset(folder)) is not None


# ------------------------------------------------------------------ checkpoints


@pytest.mark.parametrize("precision", ["exact", "fast"])
@pytest.mark.parametrize("stop_at", [1, 2, 3, 5, 6])
def test_a_closed_scan_goes_on_exactly(
    store: Store, model: VisionModel, folder: Path, stop_at: int, precision: Any
) -> None:
    how: dict[str, Any] = {"top_k": 4, "batch_size": 4, "precision": precision}
    whole = drain(scan_plainly(model, "2", folder, **how))
    steps = scan_steps(store, model, "2", folder, **how)
    done = [next(steps).done for _ in range(stop_at)][-1]
    steps.close()
    steps = scan_steps(store, model, "2", folder, **how)
    assert next(steps).done == done
    assert same(drain(steps), whole)


@pytest.mark.parametrize("precision", ["exact", "fast"])
@pytest.mark.parametrize("stop_at", [1, 2, 3, 5, 6])
def test_a_closed_scan_of_groups_goes_on_exactly(
    store: Store, model: VisionModel, folder: Path, stop_at: int, precision: Any
) -> None:
    photos = open_dataset(folder, groups=[i * i % 5 for i in range(PHOTOS + 1)])
    how: dict[str, Any] = {"top_k": 4, "batch_size": 4, "precision": precision}
    whole = drain(scan_plainly(model, "2", photos, **how))
    steps = scan_steps(store, model, "2", photos, **how)
    done = [next(steps).done for _ in range(stop_at)][-1]
    steps.close()
    steps = scan_steps(store, model, "2", photos, **how)
    assert next(steps).done == done
    resumed = drain(steps)
    assert same(resumed, whole)
    assert same(store.find_scan(model, "2", photos, top_k=4, precision=precision), whole)


def test_more_photos_go_on_from_fewer(store: Store, model: VisionModel, folder: Path) -> None:
    how: dict[str, Any] = {"top_k": 4, "batch_size": 4}
    drain(scan_steps(store, model, "2", folder, num_samples=10, **how))
    steps = scan_steps(store, model, "2", folder, **how)
    assert next(steps).done == 8  # the last full batch
    whole = drain(scan_plainly(model, "2", folder, **how))
    assert same(drain(steps), whole)
    # A smaller sample cannot begin with a larger one.
    steps = scan_steps(store, model, "2", folder, num_samples=6, **how)
    assert next(steps).done == 0
    assert same(drain(steps), drain(scan_plainly(model, "2", folder, num_samples=6, **how)))


def test_a_scan_goes_on_without_a_checkpoint_on_a_full_disk(
    model: VisionModel, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    reports: list[str] = []
    store = Store(tmp_path / "file" / "store", report=reports.append)
    result = drain(scan_steps(store, model, "2", folder, every_photos=1, batch_size=2))
    assert same(result, drain(scan_plainly(model, "2", folder, batch_size=2)))
    assert len(reports) == 1


SCANNER = """
import os, sys, time, torch
from torch import nn
torch.set_num_threads(1)
from neuron_widget import load_model
from neuron_widget.store import Store
from neuron_widget.store.reuse import scan_steps
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
# Imported once, then a process for every line: the kills must not wait for imports.
for line in sys.stdin:
    store, folder = line.split()
    child = os.fork()
    if child == 0:
        model = load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
        steps = scan_steps(Store(store), model, "2", folder, top_k=4, batch_size=2,
                           every_photos=2, workers=0)
        for step in steps:
            time.sleep(0.02)
        os._exit(7)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_killed_at_twenty_random_moments(model: VisionModel, folder: Path, tmp_path: Path) -> None:
    """SIGKILL, then again, until the scan is through: the result is the uninterrupted one's."""
    random = np.random.default_rng(1)
    how: dict[str, Any] = {"top_k": 4, "batch_size": 2}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole = drain(scan_plainly(model, "2", folder, **how))
    scanner = subprocess.Popen(
        [sys.executable, "-c", SCANNER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert scanner.stdin is not None
    assert scanner.stdout is not None
    kills = ended = 0
    while kills < 20:
        root = tmp_path / f"store{ended}"
        scanner.stdin.write(f"{root} {folder}\n")
        child = int(scanner.stdout.readline())
        time.sleep(float(random.uniform(0.05, 0.25)))
        with contextlib.suppress(ProcessLookupError):  # through already
            os.kill(child, signal.SIGKILL)
        code = int(scanner.stdout.readline())
        assert code in (7, -signal.SIGKILL)
        kills += code != 7
        ended += code == 7
        store = Store(root)
        assert store.verify()[store.own].damaged == []
        found = store.find_scan(model, "2", open_dataset(folder), top_k=4)
        assert found is None or same(found, whole)
        assert code != 7 or found is not None
        # Here and now, from what the kill left: the same result.
        copied = Store(tmp_path / f"go-on-{kills}-{ended}", read_only=[root])
        assert same(drain(scan_steps(copied, model, "2", folder, **how)), whole)
    scanner.stdin.close()
    scanner.stdout.close()
    assert scanner.wait(10) == 0
    torch.set_num_threads(threads)


# ------------------------------------------------------------------ rendering with a store


def test_known_images_are_not_rendered_again(
    store: Store, model: VisionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    how: dict[str, Any] = {"steps": 3, "size": SIZE}
    plain = render(model, "2", [4, 1, 3], progress=False, **how)
    drain(render_steps(store, model, "2", [1, 3], **how))
    steps = render_steps(store, model, "2", [4, 1, 3], **how)
    assert [s.neurons for s in steps] == [(4,)] * 3
    found = drain(render_steps(store, model, "2", [4, 1, 3], **how))
    assert found.neurons == (4, 1, 3)
    assert np.array_equal(found.activation, plain.activation)
    assert np.abs(found.images - plain.images).max() <= 0.5 / 255 + 1e-6
    assert [s for s, _ in found.history] == [s for s, _ in plain.history]
    assert list(render_steps(store, model, "2", 1, **how)) == []


def test_more_steps_are_rendered_from_the_stored_ones(store: Store, model: VisionModel) -> None:
    drain(render_steps(store, model, "2", 1, steps=3, size=SIZE))
    steps = render_steps(store, model, "2", 1, steps=5, size=SIZE)
    assert next(steps).step == 4
    whole = render(model, "2", 1, steps=5, size=SIZE, progress=False)
    assert np.array_equal(drain(steps).images, whole.images)
