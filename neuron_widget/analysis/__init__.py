"""What is made of results: statistics, figures, and the course notebook's class."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuron_widget.analysis.analyzer import Analyzer

__all__ = [
    "Analyzer",
]

_HOME = {
    "Analyzer": "analyzer",
}


# Loaded when first used: what is stored is read without torch.
def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
