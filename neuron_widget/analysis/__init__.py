"""What is made of results: statistics, figures, a measure of trust, the course notebook's class."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuron_widget.analysis.analyzer import Analyzer
    from neuron_widget.analysis.predicting import Predictability, predictability
    from neuron_widget.analysis.stable import Stability, stability

__all__ = [
    "Analyzer",
    "Predictability",
    "Stability",
    "predictability",
    "stability",
]

_HOME = {
    "Analyzer": "analyzer",
    "Predictability": "predicting",
    "Stability": "stable",
    "predictability": "predicting",
    "stability": "stable",
}


# Loaded when first used: what is stored is read without torch.
def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
