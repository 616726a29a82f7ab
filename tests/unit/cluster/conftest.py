"""What tests of the cluster share: network, photos, store, and a Ray that leaves nothing."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.store import Store

SIZE = 32


@pytest.fixture
def model() -> VisionModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
    return load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=SIZE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(100):
        Image.fromarray(random.integers(0, 256, (36, 40, 3), np.uint8)).save(folder / f"{i:02}.png")
    (folder / "07.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def ray_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where Ray puts its logs and sockets, whose names must be short; and its token."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed (make test-cluster)")
    folder = Path(tempfile.mkdtemp(prefix="nw-"))
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
