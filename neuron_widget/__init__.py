"""See what a CNN neuron wants to see, and whether the world contains it.

``NeuronWidget("mixed4a")`` in a notebook cell shows a gallery of the neurons (channels) of a
layer; :func:`render`, :func:`scan` and :class:`Analyzer` do the same work without a notebook.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from neuron_widget.openmp import short_look_out
from neuron_widget.version import __version__ as __version__

if TYPE_CHECKING:
    from neuron_widget.analysis import (
        Analyzer,
        Predictability,
        Stability,
        predictability,
        stability,
    )
    from neuron_widget.cluster import scan
    from neuron_widget.learning import learn_dictionary
    from neuron_widget.looking import Look, look
    from neuron_widget.networks import Dictionary, VisionModel, load_model
    from neuron_widget.page import export_html
    from neuron_widget.quiz.widget import NeuronQuiz
    from neuron_widget.rendering import RenderResult, render, render_steps
    from neuron_widget.scanning import ScanResult, open_dataset, scan_steps
    from neuron_widget.widget import NeuronWidget

__all__ = [
    "Analyzer",
    "Dictionary",
    "Look",
    "NeuronQuiz",
    "NeuronWidget",
    "Predictability",
    "RenderResult",
    "ScanResult",
    "Stability",
    "VisionModel",
    "export_html",
    "learn_dictionary",
    "load_model",
    "look",
    "open_dataset",
    "predictability",
    "render",
    "render_steps",
    "scan",
    "scan_steps",
    "stability",
]

_HOME = {
    "Analyzer": "analysis",
    "Dictionary": "networks",
    "Look": "looking",
    "NeuronQuiz": "quiz",
    "NeuronWidget": "widget",
    "Predictability": "analysis.predicting",
    "RenderResult": "rendering",
    "ScanResult": "scanning",
    "Stability": "analysis.stable",
    "VisionModel": "networks",
    "export_html": "page",
    "learn_dictionary": "learning",
    "load_model": "networks.zoo",
    "look": "looking",
    "open_dataset": "scanning",
    "predictability": "analysis.predicting",
    "render": "rendering",
    "render_steps": "rendering",
    "scan": "cluster",
    "scan_steps": "scanning",
    "stability": "analysis.stable",
}


# Names are loaded when they are first used: torch takes seconds, and a `--help` should not.
def __getattr__(name: str) -> object:
    if name in _HOME:
        with short_look_out():
            return getattr(import_module(f"neuron_widget.{_HOME[name]}"), name)
    raise AttributeError(f"module 'neuron_widget' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
