"""Sessions, stores and photos on a GPU; see :mod:`tests.unit.test_gpu`.

They run where ``NEURON_WIDGET_TEST_DEVICE=cuda`` says so.
"""

from __future__ import annotations

import gc
import io
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from neuron_widget.networks.zoo import load_model
from neuron_widget.photos.decode import square
from neuron_widget.photos.files import open_photo
from neuron_widget.rendering import render
from neuron_widget.scanning import open_dataset
from neuron_widget.scanning.engine import scan
from neuron_widget.scanning.gpu_squares import GpuSquares, Jpeg, _tried_out
from neuron_widget.session import Session, Settings
from neuron_widget.session.pace import Throttle
from neuron_widget.store import Store

LAYER = "mixed4a"
HOW = {"size": 128, "steps": 48}
LIMIT = 120  # seconds: only a test that hangs takes so long


@pytest.fixture(scope="module")
def gpu() -> torch.device:
    if os.environ.get("NEURON_WIDGET_TEST_DEVICE") != "cuda":
        pytest.skip("NEURON_WIDGET_TEST_DEVICE is not cuda: what holds on a GPU is not tested here")
    device = torch.device("cuda", torch.cuda.current_device())
    assert _tried_out(device, wait=True)
    return device


@pytest.fixture(scope="module")
def model(gpu, inception_weights):
    return load_model("inceptionv1", weights=inception_weights, device=gpu)


class Page:
    """What a session said."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any], _buffers: list[bytes]) -> None:
        self.heard.append(message)

    def done(self, state: str) -> list[int]:
        return [
            m["done"]
            for m in self.heard
            if (m["kind"], m.get("task"), m.get("state")) == ("progress", "render", state)
        ]


@pytest.fixture
def opened(monkeypatch):
    # Every step is told of, however fast this machine is.
    monkeypatch.setattr(Throttle, "due", lambda _: True)
    sessions: list[Session] = []

    def open_it(model, **given: Any) -> tuple[Session, Page]:
        settings = {"dataset": None, "layer": LAYER, "auto": False, "previews": False, **HOW}
        page = Page()
        session = Session(
            Settings(model=model, **{**settings, "store": False, **given}), page.send, lambda: None
        )
        session.view("a", visible=True)
        sessions.append(session)
        return session, page

    yield open_it
    for session in sessions:
        session.close()


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def idle(session: Session) -> None:
    until(lambda: not session.state.jobs())


# ------------------------------------------------------------------ sessions


def test_two_sessions_on_one_gpu_and_one_store(model, opened, tmp_path):
    both = [opened(model, neuron=n, store=tmp_path)[0] for n in (68, 257)]
    for session in both:
        idle(session)
        session.render()
    for session in both:
        idle(session)
    for session, neuron in zip(both, (68, 257), strict=True):
        alone = render(model, LAYER, neuron, progress=False, **HOW)
        np.testing.assert_array_equal(session.state.result.images, alone.images)
    # A third one finds it.
    third, page = opened(model, neuron=257, store=tmp_path)
    idle(third)
    third.render()
    idle(third)
    assert not page.done("running")
    assert np.abs(third.state.result.images - both[1].state.result.images).max() <= 1 / 255


def test_a_stop_ends_it_within_a_few_steps(model, opened):
    session, page = opened(model, neuron=68, steps=100_000)
    idle(session)
    session.render()
    until(lambda: len(page.done("running")) > 40)
    session.stop("render")
    told = len(page.done("running"))
    idle(session)
    assert len(page.done("running")) - told <= 3
    assert session.state.result.steps < 100_000
    assert np.isfinite(session.state.result.images).all()


def test_what_is_begun_goes_on_from_the_store(model, tmp_path):
    store = Store(tmp_path)
    store.put_render(model, render(model, LAYER, 68, size=128, steps=24, progress=False))
    begun = store.find_resumable(model, LAYER, 68, size=128, steps=48)
    assert begun is not None
    resumed = render(model, LAYER, 68, resume=begun, progress=False, **HOW)
    whole = render(model, LAYER, 68, progress=False, **HOW)
    np.testing.assert_array_equal(resumed.images, whole.images)


def test_a_closed_session_gives_its_memory_back(gpu, inception_weights, opened):
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    network = load_model("inceptionv1", weights=inception_weights, device=gpu)
    session, _ = opened(network, dataset="samples", neuron=68)
    idle(session)
    session.render()
    session.scan()
    idle(session)
    held = torch.cuda.memory_allocated() - before
    session.close()
    del session, network
    until(lambda: gc.collect() or torch.cuda.memory_allocated() - before < 2**20)
    assert held > 20 * 2**20


# ------------------------------------------------------------------ photos


def wave(size: tuple[int, int], **how: Any) -> bytes:
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    pixels = np.stack([np.sin(x / (4 + c) + y / 9) * 100 + 127 for c in range(3)], axis=-1)
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", **{"subsampling": 0, **how})
    return file.getvalue()


def ready(jpeg: Jpeg | None) -> Jpeg | None:
    return jpeg if jpeg is None or jpeg.facts.full_colour else jpeg.on_a_core()


@pytest.mark.parametrize("side", [224, 96])
def test_squares_made_there_are_pillows(gpu, side):
    maker = GpuSquares(gpu, side)
    files = [
        wave(size, **how)
        for size in ((500, 375), (301, 299), (64, 48), (1200, 1600), (9, 7), (256, 256))
        for how in ({}, {"subsampling": 2}, {"progressive": True}, {"quality": 20})
    ]
    made = maker.squares([ready(maker.read(file)) for file in files]).cpu().numpy()
    for file, ours in zip(files, made, strict=True):
        expected = np.asarray(square(Image.open(io.BytesIO(file)).convert("RGB"), side))
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.data
def test_squares_of_real_photos_are_pillows(gpu, test_data):
    dataset, maker = open_dataset(test_data / "photos" / "val"), GpuSquares(gpu, 224)
    loaded = [ready(maker.load(dataset, i)) for i in range(len(dataset))]
    expected = [np.asarray(dataset.load_square(i, 224)) for i in range(len(dataset))]
    made = maker.squares([e if j is None else j for j, e in zip(loaded, expected, strict=True)])
    np.testing.assert_array_equal(made.cpu().numpy(), np.stack(expected))
    assert sum(isinstance(jpeg, Jpeg) for jpeg in loaded) > 0.9 * len(dataset)


@pytest.mark.data
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_a_scan_finds_the_same_wherever_photos_are_decoded(
    model, test_data, monkeypatch, precision
):
    photos = test_data / "photos" / "val"
    how = {"precision": precision, "batch_size": 16, "progress": False}
    there = scan(model, LAYER, photos, **how).tables.arrays()
    several = scan(model, ["mixed3a", LAYER, "mixed5a"], photos, **how)[LAYER].tables.arrays()
    monkeypatch.setenv("NEURON_WIDGET_GPU_JPEG", "off")
    here = scan(model, LAYER, photos, **how).tables.arrays()
    for name, array in here.items():
        np.testing.assert_array_equal(there[name], array, err_msg=name)
        np.testing.assert_array_equal(several[name], array, err_msg=name)


def test_damaged_files_are_told_of_as_everywhere(model, tmp_path):
    for i in range(8):
        (tmp_path / f"{i}.jpg").write_bytes(wave((120 + i, 100)))
    whole = wave((100, 100))
    (tmp_path / "8.jpg").write_bytes(whole[: len(whole) // 2])
    while (at := whole.find(b"\xff\xdb")) > 0:
        whole = whole[:at] + whole[at + 2 + int.from_bytes(whole[at + 2 : at + 4], "big") :]
    (tmp_path / "9.jpg").write_bytes(whole)
    assert open_photo(tmp_path / "7.jpg").size == (127, 100)
    found = scan(model, LAYER, tmp_path, batch_size=4, progress=False)
    assert found.scanned == 8
    assert {os.path.basename(path) for path, _ in found.skipped} == {"8.jpg", "9.jpg"}
