"""After long use nothing is left over: no hook, no thread, no memory."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from neuron_widget.errors import NeuronWidgetError
from neuron_widget.networks.zoo import load_model
from neuron_widget.session import Session, Settings
from neuron_widget.session.jobs import Worker

# Only a test that hangs takes so long.
LIMIT = 120


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 16, 5, stride=2)
        self.two = nn.Conv2d(16, 24, 3, stride=2)
        self.head = nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.two(self.one(x).relu()).relu().mean((2, 3)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for i in range(12):
        noise = random.integers(0, 255, (80, 96, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{i}.png")
    return tmp_path


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def wait(session: Session, timeout: float = LIMIT) -> None:
    end = time.monotonic() + timeout
    while session.state.jobs():
        assert time.monotonic() < end, session.state.status
        time.sleep(0.005)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_long_use_leaves_nothing_behind(folder: Path) -> None:
    torch.manual_seed(0)
    net = Net().train()
    flags = [p.requires_grad_(i % 2 == 0).requires_grad for i, p in enumerate(net.parameters())]
    model = load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=64)
    sent: dict[str, int] = {}

    def send(message: dict[str, Any], _buffers: list[bytes]) -> None:
        sent[message["kind"]] = sent.get(message["kind"], 0) + 1

    worker = Worker()
    settings = Settings(
        model=model, dataset=str(folder), layer="two", size=48, steps=20, top_k=3, auto=False
    )
    session = Session(settings, send, lambda: None, worker)
    session.state.frames.view("a", visible=True)
    wait(session)

    def use(renders: int, scans: int, cancels: int, errors: int) -> None:
        for i in range(renders):
            session.select(neuron=i % 24, steps=20)
            session.render()
            wait(session)
        for _ in range(scans):
            session.scan(str(folder))
            wait(session)
        for i in range(cancels):
            session.select(neuron=i % 24, steps=100_000)
            session.render()
            session.scan(str(folder))
            time.sleep(0.03)
            session.stop()
            wait(session)
        for i in range(errors):
            session.scan(str(folder / "nothing"))
            wait(session)
            with pytest.raises(NeuronWidgetError):
                session.select(neuron=24 + i)

    before_threads = {t.ident for t in threading.enumerate() if t.name != "neuron-widget"}
    use(24, 4, 4, 2)  # every neuron once: what is kept is then at its size
    gc.collect()
    before = resident_mb()
    use(50, 20, 20, 10)
    gc.collect()
    after = resident_mb()
    print(f"resident: {before:.0f} -> {after:.0f} MB; messages: {sent}")

    assert sent["image"] >= 70
    assert sent["strengths"] >= 24
    assert sent["error"] >= 12
    assert after < before * 1.05, f"resident memory grew from {before:.0f} to {after:.0f} MB"
    hooks = [m for m in net.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert not hooks
    assert all(m.training for m in net.modules())
    assert [p.requires_grad for p in net.parameters()] == flags
    assert all(p.grad is None for p in net.parameters())
    session.close()
    until(lambda: {t.ident for t in threading.enumerate()} <= before_threads)


def until(condition: Callable[[], bool], timeout: float = LIMIT) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, [t.name for t in threading.enumerate()]
        time.sleep(0.02)
