"""Work to its end: an interrupt loses nothing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from neuron_widget import load_model
from neuron_widget.analysis.analyzer import Analyzer
from neuron_widget.progress import drain
from neuron_widget.rendering.batch import Batch

HOW = {"progress": False, "title": "", "unit": ""}


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    """Python's own handler: a shell has its background jobs ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def steps(log: list[str], presses: int) -> Generator[Any, None, str]:
    try:
        for i in range(4):
            log.append(f"step {i}")
            if i == 1:
                for _ in range(presses):
                    signal.raise_signal(signal.SIGINT)
            log.append(f"end {i}")
            yield SimpleNamespace(done=i, total=4)
        return "all"
    except GeneratorExit:
        log.append("kept")
        raise


def test_an_interrupt_takes_effect_between_two_steps() -> None:
    log: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        drain(steps(log, 1), **HOW)
    assert log == ["step 0", "end 0", "step 1", "end 1", "kept"]
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_interrupt_takes_effect_at_once() -> None:
    log: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        drain(steps(log, 2), **HOW)
    assert log == ["step 0", "end 0", "step 1"]


def test_somebodys_handler_and_other_threads_are_left_alone() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: seen.append(number))
    try:
        assert drain(steps([], 1), **HOW) == "all"
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(drain(steps([], 0), **HOW)))
    thread.start()
    thread.join()
    assert found == ["all"]


def test_the_image_of_an_analyzer_that_is_interrupted_goes_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = load_model(nn.Sequential(nn.Conv2d(3, 4, 5)), preprocess=lambda x: x, input_size=32)
    analyzer = Analyzer("0", model=model, dataset_root="samples", store=tmp_path)
    made, advance = [], Batch.advance

    def pressed(batch: Batch) -> None:
        made.append(batch.step)
        advance(batch)
        if len(made) == 20:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Batch, "advance", pressed)
    with pytest.raises(KeyboardInterrupt):
        analyzer.activation_maximization(2, steps=40, size=32, progress=False)
    assert len(made) == 20
    analyzer.activation_maximization(2, steps=40, size=32, progress=False)
    assert made == [*range(40)]
