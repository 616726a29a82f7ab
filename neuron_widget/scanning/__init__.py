"""Real photos for every neuron of a layer."""

from neuron_widget.scanning.datasets import ImageDataset, open_dataset
from neuron_widget.scanning.engine import ScanProgress, scan, scan_steps
from neuron_widget.scanning.examples import Example
from neuron_widget.scanning.result import ScanResult, ScanTables

__all__ = [
    "Example",
    "ImageDataset",
    "ScanProgress",
    "ScanResult",
    "ScanTables",
    "open_dataset",
    "scan",
    "scan_steps",
]
