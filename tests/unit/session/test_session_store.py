"""A session with a store: what is known is shown at once, and nothing is made twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import load_model
from neuron_widget.errors import StoreError
from neuron_widget.scanning import ImageDataset, open_dataset
from neuron_widget.scanning.reading import PhotoReader
from neuron_widget.session import Session, Settings
from neuron_widget.session.arguments import check_arguments
from neuron_widget.session.jobs import Worker
from neuron_widget.session.store_adapter import StoreAdapter
from neuron_widget.store import Store
from neuron_widget.store.fill import fill_images, fill_photos

HOW: dict[str, Any] = {"steps": 6, "size": 32}
# Only a test that hangs takes so long.
LIMIT = 120

Open = Callable[..., tuple[Session, list[dict[str, Any]]]]


def tiny() -> Any:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
    return load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)


@pytest.fixture
def photos(tmp_path: Path) -> ImageDataset:
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(12):
        noise = random.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / f"{i}.png")
    return open_dataset(tmp_path / "photos")


@pytest.fixture
def open_session(tmp_path: Path, photos: ImageDataset) -> Iterator[Open]:
    """A session of its own network and worker, as a restarted kernel has."""
    opened: list[tuple[Session, Worker]] = []

    def begin(**settings: Any) -> tuple[Session, list[dict[str, Any]]]:
        heard: list[dict[str, Any]] = []
        given = {"model": tiny(), "dataset": photos, "layer": "2", "store": tmp_path / "store"}
        worker = Worker()
        session = Session(
            Settings(**{**given, **HOW, "auto": False, **settings}),
            lambda message, _buffers: heard.append(message),
            lambda: None,
            worker,
        )
        session.view("a", visible=True)
        opened.append((session, worker))
        wait_until(lambda: "selected" in [message["kind"] for message in heard])
        return session, heard

    yield begin
    for session, worker in opened:
        session.close()
        worker.close()


def wait_until(true: Callable[[], object], timeout: float = LIMIT) -> None:
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def idle(session: Session) -> None:
    """Nothing to do: what begins as the last thing ends is listed before that has ended."""
    wait_until(lambda: not session.state.jobs())


@pytest.fixture
def no_rendering(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def forbid(maps: bool = True) -> None:
        def fail(*_: Any) -> None:
            raise AssertionError("something was rendered")

        monkeypatch.setattr("neuron_widget.rendering.batch.Batch.advance", fail)
        monkeypatch.setattr("neuron_widget.scanning.running.ScanPass.take", fail)
        if maps:
            monkeypatch.setattr(PhotoReader, "maps", fail)

    return forbid


def test_a_known_neuron_is_shown_at_once(
    open_session: Open, no_rendering: Callable[..., None]
) -> None:
    first, _ = open_session()
    first.select(neuron=3)
    job = first.render()
    assert job is not None
    job.finished.wait(LIMIT)
    made = first.state.result
    assert made is not None
    idle(first)

    no_rendering()
    second, heard = open_session()
    idle(second)
    second.select(neuron=3)
    # In the very call: no job, no settling.
    assert second.state.jobs() == []
    found = second.state.result
    assert found is not None
    assert np.array_equal(np.asarray(found.to_pil()), np.asarray(made.to_pil()))
    assert [m["target"]["neuron"] for m in heard if m["kind"] == "image"] == [3]
    assert second.render() is None
    assert [m["target"]["neuron"] for m in heard if m["kind"] == "image"] == [3]
    assert second.state.status == "ready"
    second.select(neuron=4)
    assert second.state.result is None


def test_a_neuron_chosen_from_two_threads_at_once_is_sent_once(
    open_session: Open, no_rendering: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page chooses while the network opens: both look the picture up, and both find it."""
    first, _ = open_session()
    first.select(neuron=3)
    first.render()
    idle(first)

    no_rendering()
    second, heard = open_session()
    idle(second)
    find = StoreAdapter.find

    def find_in_both(store: StoreAdapter, *asked: Any) -> Any:
        monkeypatch.setattr(StoreAdapter, "find", find)
        second.select(neuron=3)
        return find(store, *asked)

    monkeypatch.setattr(StoreAdapter, "find", find_in_both)
    second.select(neuron=3)
    assert [m["target"]["neuron"] for m in heard if m["kind"] == "image"] == [3]


def test_more_steps_go_on_from_the_store(open_session: Open) -> None:
    first, _ = open_session()
    job = first.render()
    assert job is not None
    job.finished.wait(LIMIT)
    idle(first)
    second, _ = open_session()
    seen: list[int] = []
    job = second.render(steps=9)
    assert job is not None
    job.on_step, on_step = lambda step: (seen.append(step.step), on_step(step)), job.on_step
    job.finished.wait(LIMIT)
    idle(second)
    assert second.state.result is not None
    assert second.state.result.steps == 9
    assert not seen or seen[0] >= 7


def test_a_prerendered_layer_needs_no_work(
    open_session: Open,
    tmp_path: Path,
    photos: ImageDataset,
    no_rendering: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, model = Store(tmp_path / "store"), tiny()
    for _ in fill_images(store, model, "2", range(6), **HOW):
        pass
    for _ in fill_photos(store, model, "2", photos):
        pass
    no_rendering()
    monkeypatch.setattr("neuron_widget.scanning.reading.probe_receptive_fields", None)
    session, heard = open_session(auto=True)
    idle(session)
    kinds = [m["kind"] for m in heard]
    assert "image" in kinds
    assert "photos" in kinds
    assert "strengths" in kinds
    tiles = [m for m in heard if m["kind"] == "thumbs"]
    assert {n for m in tiles for n in m["neurons"]} == set(range(6))
    assert all(all(m["finished"]) for m in tiles)
    assert not [m for m in heard if m["kind"] == "error"]


def test_previews_are_kept(open_session: Open, no_rendering: Callable[..., None]) -> None:
    first, _ = open_session(auto=True)
    idle(first)
    no_rendering(maps=False)
    second, heard = open_session(auto=True)
    idle(second)
    assert len(second.state.cache.thumbs("2")) == 6
    assert not [m for m in heard if m["kind"] == "error"]


def test_a_store_that_cannot_be_written_does_not_stop_the_work(
    open_session: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    session, heard = open_session(store=tmp_path / "file" / "store", auto=True)
    idle(session)
    assert session.state.result is not None
    assert session.state.scan_result is not None
    # Said once on the page and once in the log, with the way out; and no more when it works again.
    (error,) = [m for m in heard if m["kind"] == "error"]
    assert (error["where"], error["traceback"]) == ("save", "")
    assert "NEURON_WIDGET_STORE" in error["message"]
    assert len([r for r in caplog.records if "not kept on disk" in r.message]) == 1
    (tmp_path / "file").unlink()
    session.select(neuron=4)
    idle(session)
    (_, gone) = [m for m in heard if m["kind"] == "error"]
    assert (gone["where"], gone["message"]) == ("save", "")


def test_without_a_store_nothing_is_written(open_session: Open, tmp_path: Path) -> None:
    session, _ = open_session(store=False, auto=True)
    idle(session)
    assert session.state.result is not None
    assert not (tmp_path / "store").exists()


def test_a_wrong_store_is_said_in_the_cell() -> None:
    given = {
        "layer": None,
        "model": None,
        "weights": None,
        "dataset": "samples",
        "neuron": 0,
        "steps": 6,
        "size": 32,
        "seed": 0,
        "top_k": 9,
        "device": None,
        "auto": True,
    }
    with pytest.raises(StoreError, match="list of folders"):
        check_arguments(**given, store=3)
    assert check_arguments(**given, store="x").store == "x"
