"""Real photos for every neuron of a layer."""

from neuron_widget.scan.datasets import ImageDataset, open_dataset
from neuron_widget.scan.engine import ScanProgress, scan, scan_steps
from neuron_widget.scan.examples import Example
from neuron_widget.scan.result import ScanResult, ScanTables

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
