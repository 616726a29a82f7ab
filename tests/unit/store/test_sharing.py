"""What several processes want of one store is made once, and nobody waits for ever."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.store import Store, locks
from neuron_widget.store.fill import fill_images
from neuron_widget.store.locks import Locks
from neuron_widget.store.reuse import render_steps, scan_steps
from neuron_widget.store.sharing import Waiting

HOW: dict[str, Any] = {"steps": 8, "size": 32, "precision": "float32"}


@pytest.fixture
def model() -> VisionModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
    return load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(12):
        noise = random.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


def finish(work: Any) -> tuple[int, Any]:
    """How many steps were made here, and what came of them."""
    taken = 0
    while True:
        try:
            taken += next(work) is not None
        except StopIteration as end:
            return taken, end.value


def in_progress(store: Store) -> list[Path]:
    return list((store.own.root / "v1" / "in-progress").glob("*"))


def task(
    name: str, store: Store, model: VisionModel, photos: Path, on_wait: Any
) -> tuple[object, Callable[[], Any]]:
    """A piece of work: what the other process is asked, and what is asked here."""
    if name == "scan":
        how: dict[str, Any] = {"batch_size": 2, "workers": 0, "on_wait": on_wait}
        return photos, lambda: scan_steps(store, model, "2", photos, **how)
    return "1", lambda: render_steps(store, model, "2", 1, **HOW, on_wait=on_wait)


@pytest.mark.parametrize("name", ["render", "scan"])
def test_what_another_process_makes_is_waited_for(
    others: Any, store: Store, model: VisionModel, photos: Path, name: str
) -> None:
    words: list[Waiting] = []
    argument, work = task(name, store, model, photos, words.append)
    others.begin(store.own.root, name, argument, 0.05)
    assert len(in_progress(store)) == 1
    taken, result = finish(work())
    assert others.read().startswith("made")
    assert taken == 0
    assert result is not None
    assert words
    assert "another process is making this result" in str(words[0])
    assert in_progress(store) == []
    # Without a callback nothing is waited for.
    assert finish(render_steps(store, model, "2", 2, **HOW))[0] == HOW["steps"]


@pytest.mark.parametrize("name", ["render", "scan"])
def test_what_a_killed_process_was_making_is_made_at_once(
    others: Any,
    store: Store,
    model: VisionModel,
    photos: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 1e9)
    argument, work = task(name, store, model, photos, lambda _: None)
    child = others.begin(store.own.root, name, argument, 0.2)
    os.kill(child, signal.SIGKILL)
    taken, result = finish(work())
    assert taken > 0
    assert result is not None


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ["render", "scan", "fill"])
def test_a_stopped_process_is_not_waited_for_for_ever(
    others: Any,
    store: Store,
    model: VisionModel,
    photos: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_S", 0.5)
    words: list[Any] = []
    argument, work = task(name, store, model, photos, words.append)
    child = others.begin(store.own.root, name, argument, 0.1)
    os.kill(child, signal.SIGSTOP)
    if name == "fill":
        made = [step.waiting for step in fill_images(store, model, "2", [1], **HOW)]
        words += [word for word in made if word]
        assert store.has_render(model, "2", 1, **HOW)
    else:
        taken, result = finish(work())
        assert taken > 0
        assert result is not None
    assert "waiting for it" in str(words[0])
    os.kill(child, signal.SIGCONT)  # it ends as if nothing had been, and spoils nothing
    assert others.read().startswith("made")
    assert store.verify()[store.own].damaged == []
    assert in_progress(store) == []


def test_processes_that_want_the_same_divide_it(others: Any, store: Store) -> None:
    """In opposite orders, which would be a deadlock if anything were held while waiting."""
    for neurons in ("0,1,2,3,4,5", "5,4,3,2,1,0", "3,4,5,0,1,2"):
        others.start(store.own.root, "share", neurons, 0.002)
    lines = []
    while len([line for line in lines if line.startswith("made")]) < 3:
        lines.append(others.read())
    made = sum(int(line.split()[1]) for line in lines if line.startswith("made"))
    assert made == 6
    assert in_progress(store) == []


def test_one_process_does_not_wait_for_itself(store: Store, model: VisionModel) -> None:
    words: list[Waiting] = []
    first = render_steps(store, model, "2", 1, **HOW)
    next(first)
    assert finish(render_steps(store, model, "2", 1, **HOW, on_wait=words.append))[0] == 8
    assert words == []
    first.close()
    assert in_progress(store) == []


def test_waiting_can_be_closed(others: Any, store: Store, model: VisionModel, photos: Path) -> None:
    _, work = task("render", store, model, photos, lambda _: None)
    child = others.begin(store.own.root, "render", "1", 0.2)
    waiting = work()
    assert next(waiting) is None
    assert next(waiting) is None
    waiting.close()
    assert len(in_progress(store)) == 1  # the other's
    os.kill(child, signal.SIGKILL)


def test_only_one_of_many_takes_over(
    others: Any, store: Store, model: VisionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that does not move is removed once: whoever comes second waits for the second."""
    monkeypatch.setattr(locks, "PATIENCE_S", 0.0)
    child = others.begin(store.own.root, "render", "1", 0.2)
    os.kill(child, signal.SIGSTOP)
    name = store.render_name(model, "2", 1, **HOW)
    assert store.locks.take(name) is None
    watches = [locks.Watch(store.locks) for _ in range(2)]
    stalled = store.locks.mark(name)
    watches[0].look([name])
    taken = store.locks.take(name)
    assert taken is not None
    monkeypatch.setattr(locks, "PATIENCE_S", 30.0)
    store.locks.remove(name, stalled)  # the second, who saw the stalled one too
    assert store.locks.mark(name) is not None
    taken.release()
    assert store.locks.mark(name) is None
    os.kill(child, signal.SIGKILL)


def test_who_waits_sees_how_far_the_other_is(
    others: Any, store: Store, model: VisionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_BEAT_S", 0.0)
    lock = store.locks.take("a")
    assert lock is not None
    (path,) = in_progress(store)
    assert store.locks.progress("a") == (0, 0)
    for done in (3, 2048):
        before = store.locks.mark("a")
        lock.beat(done, 4096)
        assert store.locks.progress("a") == (done, 4096)
        assert store.locks.mark("a") != before
    # What is no progress is none.
    for text in ("", "me\n7 5\n", "me\n-1 5\n", "me\nx y\n", "me\n1\n", "m" * 10**6):
        path.write_text(text)
        assert store.locks.progress("a") == (0, 0)
    assert store.locks.progress("b") == (0, 0)
    # As it is said by who really makes something, and heard by who waits.
    words: list[Waiting] = []
    child = others.begin(store.own.root, "render", "1", 0.3)
    finish(render_steps(store, model, "2", 1, **HOW, on_wait=words.append))
    assert others.read().startswith("made")
    assert child
    assert (words[-1].done, words[-1].total) > (0, 0)
    assert words[-1].total == HOW["steps"]
    lock.release()


@pytest.mark.parametrize("what", ["pipe", "link", "folder", "file in place of the folder"])
def test_locks_in_a_hostile_folder_are_granted(tmp_path: Path, what: str) -> None:
    store = Locks(tmp_path)
    place = tmp_path / "v1" / "in-progress"
    place.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.write_text("mine")
    if what == "pipe":
        os.mkfifo(place / "a")
    elif what == "link":
        (place / "a").symlink_to(outside)
    elif what == "folder":
        (place / "a").mkdir()
    else:
        place.rmdir()
        place.write_text("")
    lock = store.take("a")
    assert lock is not None
    lock.beat()
    lock.release()
    assert outside.read_text() == "mine"


def test_locks_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lock = Locks(tmp_path / "file" / "store").take("a")
    assert lock is not None
    lock.release()


def test_what_killed_processes_left_is_tidied(store: Store) -> None:
    lock = store.locks.take("a")
    assert lock is not None
    (path,) = in_progress(store)
    store.prune()
    assert path.exists()
    os.utime(path, (1, time.time() - 2 * 86_400))
    store.prune()
    assert not path.exists()
    lock.release()
