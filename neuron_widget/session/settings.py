"""What a widget was asked to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """The widget's arguments. ``layer`` is None for the network's default layer."""

    model: Any = None
    weights: Any = None
    device: Any = None
    dataset: Any = "samples"
    layer: str | None = None
    neuron: int = 0
    steps: int = 512
    size: int = 224
    seed: int = 0
    lr: float = 0.05
    top_k: int = 9
    auto: bool = True
