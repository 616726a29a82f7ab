"""What is kept while a scan runs: the statistics of every neuron over the photos seen so far."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from neuron_widget.models import VisionModel
from neuron_widget.scanning.extremes import Histogram, Moments, QuantileSketch, TopK
from neuron_widget.scanning.image_dataset import ImageDataset
from neuron_widget.scanning.loading import to_images
from neuron_widget.scanning.result import QUANTILE, ScanResult, ScanTables

__all__ = ["ScanPass"]

# With bfloat16, photos near the k-th place may swap: this many times k candidates are kept, and
# scored again in float32 (tests/data/test_scan_reference.py holds how many are needed).
_CANDIDATES = 2
_RESERVE = 7


class ScanPass:
    """The running statistics of one scan."""

    def __init__(
        self,
        model: VisionModel,
        layer: str,
        channels: int,
        dataset: ImageDataset,
        settings: dict[str, Any],
        batch_size: int,
    ):
        self.model = model
        self.layer = layer
        self.dataset = dataset
        self.skipped: list[tuple[int, str]] = []
        self.scanned = 0
        self._settings = settings
        self._batch_size = batch_size
        self._fast = settings["precision"] == "fast"
        k = settings["top_k"]
        kept = _CANDIDATES * k + _RESERVE if self._fast else k
        # Apple's MPS lacks some of the integer operations: there the statistics live on the CPU.
        device = model.device if model.device.type == "cuda" else torch.device("cpu")
        self._device = device
        self._top = TopK(kept, channels, device)
        self._bottom = TopK(kept, channels, device, largest=False)
        self._moments = Moments(channels, device)
        self._histogram = Histogram(channels, device)
        self._sketch = QuantileSketch(channels, device)

    def take(self, index: list[int], squares: Tensor) -> None:
        """Look at one batch. Nothing here waits for the device."""
        with torch.inference_mode():
            activation = self._read(to_images(squares, self.model.device)).to(self._device)
            score = activation.mean(dim=(2, 3), dtype=torch.float32)
            peak, position = activation.flatten(2).max(dim=2)
            number = torch.tensor(index)
            if self._device.type == "cuda":
                number = number.pin_memory().to(self._device, non_blocking=True)
            self._top.update(number, score, peak, position)
            self._bottom.update(number, score, peak, position)
            self._moments.update(score, peak)
            self._histogram.update(score)
            self._sketch.update(activation)
        self.scanned += len(index)

    def _read(self, images: Tensor) -> Tensor:
        with ExitStack() as scope:
            if self._fast:
                scope.enter_context(torch.autocast(self.model.device.type, torch.bfloat16))
            read = scope.enter_context(self.model.reading(self.layer))
            return read(images)

    def collect(self) -> ScanResult:
        """The result of what was looked at up to now."""
        mean, std, peak = self._moments.result()
        counts, edges = self._histogram.result()
        tables = ScanTables(
            top=self._top.result(),
            bottom=self._bottom.result(),
            mean=mean,
            std=std,
            peak=peak,
            counts=counts,
            edges=edges,
            quantile=self._sketch.result(QUANTILE),
        )
        return ScanResult(
            self.model,
            self.layer,
            self.dataset,
            tables,
            scanned=self.scanned,
            skipped=[(self.dataset.path(i), reason) for i, reason in self.skipped],
            settings=dict(self._settings),
            batch_size=self._batch_size,
        )
