"""What is begun beside what: counted in steps, each as long as another, on no clock."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import load_model
from neuron_widget.rendering.batch import Batch
from neuron_widget.scanning.running import ScanPass
from neuron_widget.session import Session, Settings
from neuron_widget.session.jobs import Job, Worker
from neuron_widget.session.pace import Settling
from neuron_widget.session.scanning import FIRST_LOOK
from neuron_widget.settings import PREVIEW

# Only a test that hangs takes so long.
LIMIT = 120

PHOTOS = [Image.new("RGB", (32, 32), (i, 255 - i, i // 2)) for i in range(240)]
STEPS = 400


def test_the_image_the_tiles_and_the_photos_come_side_by_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=3), nn.ReLU(), nn.Conv2d(4, 40, 1))
    model = load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
    ticks = itertools.count()
    worker = Worker(clock=lambda: float(next(ticks)))
    log: list[str] = []
    advance, take = Batch.advance, ScanPass.take

    def counted(batch: Batch) -> None:
        log.append("image" if len(batch.places) == 1 else "tiles")
        advance(batch)

    def taken(scan: ScanPass, *photos: Any) -> None:
        log.append("photos")
        take(scan, *photos)

    def send(message: dict[str, Any], _buffers: list[bytes]) -> None:
        if message["kind"] == "thumbs":
            log.extend("tile" for _ in message["neurons"])

    monkeypatch.setattr(Batch, "advance", counted)
    monkeypatch.setattr(ScanPass, "take", taken)
    settings = Settings(model=model, dataset=PHOTOS, layer="2", size=32, steps=STEPS, store=False)
    session = Session(settings, send, lambda: None, worker)
    session.view("a", visible=True)
    wait_until(lambda: not session.state.jobs())
    session.close()
    worker.close()

    # Sixteen tiles: two batches. They go first, by four steps for one of the image, which moves.
    sixteen = [i for i, what in enumerate(log) if what == "tile"][15]
    before = log[:sixteen]
    assert before.count("tiles") == 2 * PREVIEW["steps"]
    assert 3.5 < before.count("tiles") / before.count("image") < 4.5
    assert log[sixteen:].count("image") > STEPS // 2
    # So do the 64 photos after which the first are shown: two steps for one of the image.
    looked = [i for i, what in enumerate(log) if what == "photos"][FIRST_LOOK // 8 - 1]
    assert looked < sixteen
    assert 1.5 < log[: looked + 1].count("photos") / log[: looked + 1].count("image") < 2.5
    # None of them waits for the end of another.
    first = {what: log.index(what) for what in ("image", "tiles", "photos")}
    last = {what: len(log) - 1 - log[::-1].index(what) for what in first}
    assert max(first.values()) < min(last.values())
    # Then, while all three are at it, the image gets two steps for one of each.
    together = log[sixteen : min(last.values())]
    for other in ("tiles", "photos"):
        assert 1.5 < together.count("image") / together.count(other) < 2.5


def test_a_neuron_chosen_alone_is_begun_at_once_and_a_key_held_down_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 5, stride=3))
    model = load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
    worker = Worker()
    begun: list[float] = []
    submit = worker.submit

    def noted(job: Job) -> Job:
        if job.task == "render":
            begun.append(job.delay)
        return submit(job)

    monkeypatch.setattr(worker, "submit", noted)
    settings = Settings(model=model, dataset=None, layer="0", size=32, steps=2000, store=False)
    session = Session(settings, lambda *_: None, lambda: None, worker)
    clock = [100.0]
    session._settling = Settling(lambda: clock[0])
    try:
        wait_until(lambda: session.state.model is not None and begun)
        assert begun == [0.0], "that of a layer"
        for neuron, later in ((1, 1.0), (2, 0.03), (3, 0.03), (4, 0.3)):
            clock[0] += later
            # What passes under the handle while it is dragged is not chosen.
            session.select(neuron=neuron + 3, settled=False)
            session.select(neuron=neuron)
        assert begun == [0.0, 0.0, Settling.WAIT_S, Settling.WAIT_S, 0.0]
    finally:
        session.close()
        worker.close()


def test_a_chosen_neurons_image_moves_before_its_photos_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 5, stride=3))
    model = load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
    worker, log = Worker(), []

    def send(message: dict[str, Any], _buffers: list[bytes]) -> None:
        if message["kind"] == "frame":
            session.state.frames.acknowledged(message["index"])
        if message["kind"] in ("frame", "photos"):
            log.append((message["kind"], message["target"]["neuron"]))

    how = {"size": 32, "steps": 40, "store": False, "previews": False}
    session = Session(
        Settings(model=model, dataset=PHOTOS, layer="0", **how), send, lambda: None, worker
    )
    session.view("a", visible=True)
    try:
        wait_until(lambda: ("photos", 0) in log and not session.state.jobs())
        log.clear()
        session._settling = Settling(lambda: float("inf"))
        session.select(neuron=5)
        wait_until(lambda: ("photos", 5) in log and not session.state.jobs())
        assert log[:2] == [("frame", 5), ("photos", 5)]
    finally:
        session.close()
        worker.close()


def wait_until(true: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
