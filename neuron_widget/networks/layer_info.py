"""What is known of a layer, also before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LayerInfo"]


@dataclass(frozen=True)
class LayerInfo:
    """A layer: its name and the shape of its activation at the model's input size."""

    name: str
    channels: int
    height: int
    width: int
