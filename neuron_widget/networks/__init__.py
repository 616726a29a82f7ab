"""A network that can be read, layer by layer."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuron_widget.networks.dictionaries import Dictionary
    from neuron_widget.networks.layer_info import LayerInfo
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.networks.zoo import load_model

__all__ = [
    "Dictionary",
    "LayerInfo",
    "VisionModel",
    "load_model",
]

_HOME = {
    "Dictionary": "dictionaries",
    "LayerInfo": "layer_info",
    "VisionModel": "model",
    "load_model": "zoo",
}


# Loaded when first used: what is stored is read without torch.
def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
