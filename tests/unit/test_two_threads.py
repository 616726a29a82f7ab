"""A cell that looks at results while the widget's worker has the same network in hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from neuron_widget import load_model, render_steps, scan
from neuron_widget.scanning import ScanResult
from neuron_widget.session.jobs import Job, Worker

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class InTraining(nn.Module):
    """A network that its owner is still training: another one in each mode."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 40, 3, padding=1), nn.BatchNorm2d(40), nn.ReLU())
        self.late = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(40, 8, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.late(self.stem(x)).mean((2, 3))


def photos() -> list[Image.Image]:
    random = np.random.default_rng(0)
    return [
        Image.fromarray(random.integers(0, 256, (5, 7, 3), np.uint8)).resize((64, 64))
        for _ in range(24)
    ]


def in_threads(*works: Callable[[], object]) -> None:
    """Run these side by side; the first error is raised here."""
    errors: list[Exception] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  # raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]


@pytest.mark.parametrize("engine", ["none", "lucent"])
def test_a_module_in_training_mode_is_read_by_two_threads(engine: str) -> None:
    module = InTraining().train()
    model = load_model(module, preprocess=HALF, input_size=48)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    x = torch.rand(2, 3, 48, 48)
    with torch.no_grad():
        expected = model.reader("late")(x)
    wrong: list[int] = []

    def work() -> None:
        read = model.reader("late")
        with torch.no_grad():
            wrong.extend(i for i in range(150) if not torch.equal(read(x), expected))

    def render() -> None:
        for _ in render_steps(model, "late", 3, steps=20, size=48, engine=engine):
            pass

    in_threads(work, work, work if engine == "none" else render)
    assert not wrong
    assert all(m.training for m in module.modules())
    # Batch statistics that moved would be another network from now on.
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_two_models_of_one_module_are_read_side_by_side() -> None:
    module = InTraining().train()
    one, other = (load_model(module, preprocess=HALF, input_size=48) for _ in range(2))
    before = {name: value.clone() for name, value in module.state_dict().items()}

    def work() -> None:
        read = one.reader("late")
        with torch.no_grad():
            for _ in range(50):
                read(torch.rand(2, 3, 48, 48))

    in_threads(work, lambda: other.layers, lambda: [other.layer("late.1") for _ in range(50)])
    assert all(m.training for m in module.modules())
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


def looked_up(found: ScanResult, neuron: int) -> list[Any]:
    return [(e.index, e.score, e.activation_map()) for e in found.top(neuron)]


def test_photos_are_the_same_while_the_worker_renders_and_looks_too(monkeypatch: Any) -> None:
    monkeypatch.setattr("neuron_widget.scanning.lookup._KEPT", 2)
    model = load_model(InTraining().train(), preprocess=HALF, input_size=48)

    def scanned() -> ScanResult:
        return scan(model, "late", photos(), top_k=3, precision="fast", progress=False)

    quiet, found = scanned(), scanned()
    expected = [looked_up(quiet, neuron) for neuron in range(8)]

    def same(neurons: range) -> None:
        for _ in range(3):
            for neuron in neurons:
                for (i, score, drawn), (j, s, known) in zip(
                    looked_up(found, neuron), expected[neuron], strict=True
                ):
                    assert (i, score) == (j, s)
                    np.testing.assert_array_equal(drawn, known)

    worker = Worker()
    render = render_steps(model, "late", 3, steps=100_000, size=48)
    job = worker.submit(Job(object(), "render", render))
    try:
        in_threads(*(lambda order=order: same(order) for order in (range(8), range(7, -1, -1))))
    finally:
        worker.close()
    assert job.stopped
    assert job.error is None


def test_one_pass_serves_all_who_ask_for_a_neuron(monkeypatch: Any) -> None:
    model = load_model(InTraining(), preprocess=HALF, input_size=48)
    found = scan(model, "late", photos(), top_k=3, progress=False)
    passes: list[int] = []
    forward = found._reader.maps

    def slow(neuron: int, index: list[int]) -> Any:
        passes.append(neuron)
        time.sleep(0.1)
        return forward(neuron, index)

    monkeypatch.setattr(found._reader, "maps", slow)
    in_threads(*(lambda: looked_up(found, 5) for _ in range(3)))
    assert passes == [5]
