"""Rendering what a neuron responds to: a parameterisation, an objective and a loop."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuron_widget.rendering.engine import render, render_steps
    from neuron_widget.rendering.result import RenderResult, RenderStep

__all__ = [
    "RenderResult",
    "RenderStep",
    "render",
    "render_steps",
]

_HOME = {
    "RenderResult": "result",
    "RenderStep": "result",
    "render": "engine",
    "render_steps": "engine",
}


# Loaded when first used: what is stored is read without torch.
def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
