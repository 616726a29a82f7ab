"""Importing torch beside the work, so that what needs no torch goes on."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Generator
from importlib import import_module

from neuron_widget.openmp import short_look_out

__all__ = ["import_torch", "torch_is_there"]

# What opening a network, rendering and scanning import, in this order.
_MODULES = (
    "torch",
    "torchvision",
    "timm",
    "neuron_widget.networks.zoo",
    "neuron_widget.rendering.engine",
    "neuron_widget.scanning.engine",
)

# Waited for in slices: another job may be done between two of them.
_SLICE_S = 0.02

# How long a view may take to come up before the import begins, which slows everything down.
_VIEW_S = 1.5


def torch_is_there() -> bool:
    """Whether torch is imported, so that nothing has to be waited for."""
    return hasattr(sys.modules.get("neuron_widget.networks.zoo"), "load_model")


def import_torch(wanted: Callable[[], bool]) -> Generator[None, None, None]:
    """Import torch and what works with it in a thread of its own; yields while that goes on.

    It takes seconds, and holds the interpreter now and then, so that it begins only when
    ``wanted`` says so, or after a moment. An import that fails is left to who needs it: there it
    raises.
    """
    yield  # what there is to show goes first
    begin = time.monotonic()
    while not wanted() and time.monotonic() - begin < _VIEW_S:
        time.sleep(_SLICE_S)
        yield
    thread = threading.Thread(target=_import, name="neuron-widget imports torch")
    thread.start()
    while thread.is_alive():
        thread.join(_SLICE_S)
        yield


def _import() -> None:
    with short_look_out():
        for module in _MODULES:
            try:
                import_module(module)
            except Exception:  # noqa: BLE001  # who needs it says what is wrong
                return
