"""A tiny network, photos of noise, and an Analyzer of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget.analysis.analyzer import Analyzer
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model


@pytest.fixture
def model() -> VisionModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
    return load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for split, count in (("train", 9), ("val", 2)):
        for i in range(count):
            path = tmp_path / "set" / split / f"class{i % 2}" / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(path)
    return tmp_path / "set"


@pytest.fixture
def analyzer(model: VisionModel, folder: Path) -> Analyzer:
    return Analyzer("0", model=model, dataset_root=folder)
