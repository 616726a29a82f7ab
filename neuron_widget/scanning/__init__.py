"""Real photos for every neuron of a layer.

Two things are made to be extended: :class:`ImageDataset`, for photos of your own, and
:mod:`neuron_widget.scanning.kinds`, where one file adds a kind of data set to ``open_dataset``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuron_widget.scanning.datasets import open_dataset, open_dataset_steps
    from neuron_widget.scanning.engine import ScanProgress, scan, scan_steps
    from neuron_widget.scanning.examples import Example
    from neuron_widget.scanning.image_dataset import ImageDataset
    from neuron_widget.scanning.kinds import DatasetKind
    from neuron_widget.scanning.result import ScanResult
    from neuron_widget.scanning.tables import ScanTables

__all__ = [
    "DatasetKind",
    "Example",
    "ImageDataset",
    "ScanProgress",
    "ScanResult",
    "ScanTables",
    "open_dataset",
    "open_dataset_steps",
    "scan",
    "scan_steps",
]

_HOME = {
    "DatasetKind": "kinds",
    "Example": "examples",
    "ImageDataset": "image_dataset",
    "ScanProgress": "engine",
    "ScanResult": "result",
    "ScanTables": "tables",
    "open_dataset": "datasets",
    "open_dataset_steps": "datasets",
    "scan": "engine",
    "scan_steps": "engine",
}


# Loaded when first used: what is stored is read without torch.
def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
