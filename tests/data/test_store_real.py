"""The store with real weights and photos: exact answers, and times by construction."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.rendering import render
from neuron_widget.scanning import ScanResult, open_dataset, scan
from neuron_widget.store import Store
from neuron_widget.store.fill import fill_images, fill_photos
from neuron_widget.store.reuse import scan_steps

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def model(inception_weights: Path) -> VisionModel:
    return load_model("inceptionv1", weights=inception_weights, device="cpu")


def test_a_filled_store_answers_at_once(model: VisionModel, photos: Path, tmp_path: Path) -> None:
    store, dataset = Store(tmp_path / "store"), open_dataset(photos, split="val")
    how = {"steps": 4, "size": 224}
    neurons = [68, 257]
    for _ in fill_images(store, model, "mixed4a", neurons, **how):
        pass
    work = fill_photos(store, model, "mixed4a", dataset, top_k=3, num_samples=24, batch_size=8)
    for _ in work:
        pass
    fresh = Store(tmp_path / "store")
    times = []
    for neuron in neurons * 5:
        begin = time.perf_counter()
        found = fresh.find_render(model, "mixed4a", neuron, **how)
        times.append(time.perf_counter() - begin)
        assert found is not None
    plain = render(model, "mixed4a", neurons, progress=False, **how)
    assert np.array_equal(np.asarray(found.to_pil()), np.asarray(plain.to_pil(1)))
    begin = time.perf_counter()
    scanned = fresh.find_scan(model, "mixed4a", dataset, top_k=3, num_samples=24)
    opening = time.perf_counter() - begin
    assert scanned is not None
    begin = time.perf_counter()
    maps = scanned.maps(68)
    reading = time.perf_counter() - begin
    again = scan(model, "mixed4a", dataset, top_k=3, num_samples=24, batch_size=8, progress=False)
    for name, array in again.tables.arrays().items():
        assert np.array_equal(array, scanned.tables.arrays()[name]), name
    for photo, one in again.maps(68).items():
        assert np.allclose(maps[photo], one, rtol=1e-3, atol=1e-3)
    sizes = {entry.room: entry.size for _, entry in store.entries()}
    print(
        f"image {np.median(times) * 1e3:.1f} ms, scan {opening * 1e3:.0f} ms, maps of a neuron "
        f"{reading * 1e3:.1f} ms; bytes {sizes}"
    )
    assert np.median(times) < 0.1


def test_a_closed_scan_goes_on_exactly(model: VisionModel, photos: Path, tmp_path: Path) -> None:
    store, dataset = Store(tmp_path / "store"), open_dataset(photos, split="val")
    how = {"top_k": 3, "num_samples": 20, "batch_size": 4}
    steps = scan_steps(store, model, "mixed3a", dataset, **how)
    for step in steps:
        if step.done == 8:
            break
    steps.close()
    steps = scan_steps(store, model, "mixed3a", dataset, **how)
    assert next(steps).done == 8
    result: ScanResult | None = None
    while result is None:
        try:
            next(steps)
        except StopIteration as end:
            result = end.value
    whole = scan(model, "mixed3a", dataset, progress=False, **how)
    for name, array in whole.tables.arrays().items():
        assert np.array_equal(array, result.tables.arrays()[name]), name
