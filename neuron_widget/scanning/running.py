"""What is kept while a scan runs: the statistics of every neuron over the photos seen so far."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from neuron_widget.networks.arithmetic import full_float32
from neuron_widget.networks.fast import scan_reader
from neuron_widget.networks.model import VisionModel
from neuron_widget.scanning.extremes import Histogram, Moments, QuantileSketch, TopK
from neuron_widget.scanning.found import TopKResult
from neuron_widget.scanning.groups import group_numbers
from neuron_widget.scanning.image_dataset import PER_GROUP, ImageDataset
from neuron_widget.scanning.loading import read_in_chunks, to_images
from neuron_widget.scanning.pairs import DEPTH
from neuron_widget.scanning.reading import PhotoReader
from neuron_widget.scanning.result import ScanResult
from neuron_widget.scanning.tables import QUANTILE, Ranks, ScanTables

__all__ = ["Checkpoint", "ScanPass"]

_log = logging.getLogger("neuron_widget.scanning")

# With bfloat16, photos near the k-th place may swap: this many times k candidates are kept, and
# scored again in float32 (tests/data/test_scan_reference.py holds how many are needed).
_CANDIDATES = 2
_RESERVE = 7


class Checkpoint(Protocol):
    """Where the state of a scan is kept; see :mod:`neuron_widget.store.checkpoints`."""

    def load(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        """Return facts and arrays as they were saved, or None."""

    def due(self, done: int) -> bool:
        """Whether it is time to save, ``done`` photos being dealt with."""

    def save(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Keep facts (plain JSON) and arrays."""


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
        self._identity = model.identity
        self._batch_size = batch_size
        self._fast = settings["precision"] == "fast"
        precision = torch.bfloat16 if self._fast else torch.float32
        self._fast_way = scan_reader(model, layer, precision)
        k = settings["top_k"]
        # Photos that are shown, or may be; behind them those that questions are made of.
        self._shown = min(_CANDIDATES * k + _RESERVE if self._fast else k, len(dataset))
        kept = min(max(self._shown, DEPTH), len(dataset))
        # Apple's MPS lacks some of the integer operations: there the statistics live on the CPU.
        device = model.device if model.device.type == "cuda" else torch.device("cpu")
        self._device = device
        self._kept, self._channels = kept, channels
        self._groups = group_numbers(dataset)
        self._reader = PhotoReader(model, layer, dataset, self._identity, batch_size)
        self._begin()

    def _begin(self) -> None:
        kept, channels, device = self._kept, self._channels, self._device
        # Of the candidates half may fall to the groups' share, and top_k be left.
        share = PER_GROUP * (_CANDIDATES if self._fast else 1)
        grouped: dict[str, Any] = {"groups": self._groups, "share": share}
        self._top = TopK(kept, channels, device, **grouped)
        self._bottom = TopK(kept, channels, device, largest=False, **grouped)
        self._moments = Moments(channels, device)
        self._histogram = Histogram(channels, device)
        self._sketch = QuantileSketch(channels, device)

    @property
    def done(self) -> int:
        """Photos dealt with: looked at, or skipped."""
        return self.scanned + len(self.skipped)

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep the present state: the order's first :attr:`done` photos are in it."""
        arrays = {
            f"{part}.{name}": tensor.cpu().numpy()
            for part, statistic in self._statistics().items()
            for name, tensor in statistic.tensors().items()
        }
        facts = {"done": self.done, "scanned": self.scanned, "skipped": self.skipped}
        checkpoint.save(facts, arrays)

    def resume(self, checkpoint: Checkpoint, most: int) -> None:
        """Go on from a checkpoint, if there is one of at most ``most`` photos."""
        found = checkpoint.load()
        if found is None:
            return
        facts, arrays = found
        states: dict[str, dict[str, Tensor]] = {part: {} for part in self._statistics()}
        try:
            for name, array in arrays.items():
                part, _, tensor = name.partition(".")
                states[part][tensor] = torch.from_numpy(array)
            for part, statistic in self._statistics().items():
                statistic.check(states[part])
            skipped = [(int(i), str(reason)) for i, reason in facts["skipped"]]
            scanned, done = int(facts["scanned"]), int(facts["done"])
            if scanned < 0 or scanned + len(skipped) != done:
                raise ValueError(f"{scanned} scanned and {len(skipped)} skipped are not {done}")
            if not all(0 <= i < len(self.dataset) for i, _ in skipped):
                raise ValueError("it names photos that are not there")
            if done > most:
                return
            for part, statistic in self._statistics().items():
                statistic.restore(states[part])
            self._check_best_photos()
        except (KeyError, TypeError, ValueError) as error:
            _log.warning("ignoring a checkpoint of %s that does not fit: %r", self.layer, error)
            self._begin()
            return
        self.scanned = self._moments.count = scanned
        self.skipped[:] = skipped

    def _check_best_photos(self) -> None:
        """Raise ValueError if the photos and positions that were restored are not there."""
        info = self.model.layer(self.layer)
        for found in (self._top.result(), self._bottom.result()):
            for numbers, end in (
                (found.index, len(self.dataset)),
                (found.position, info.height * info.width),
            ):
                if numbers.size and not (numbers.min() >= 0 and numbers.max() < end):
                    raise ValueError(f"it names {numbers.max()} of {end} photos or positions")

    def _statistics(self) -> dict[str, TopK | Moments | Histogram | QuantileSketch]:
        return {
            "top": self._top,
            "bottom": self._bottom,
            "moments": self._moments,
            "histogram": self._histogram,
            "sketch": self._sketch,
        }

    def take(self, index: list[int], squares: Tensor) -> None:
        """Look at one batch. Nothing here waits for the device."""
        exact = nullcontext() if self._fast else full_float32(self.model.device)
        with torch.inference_mode(), exact:
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
        if self._fast_way is not None:
            return self._fast_way(images)
        # The caller's autocast is not ours.
        autocast = torch.autocast(self.model.device.type, torch.bfloat16, enabled=self._fast)
        with autocast, self.model.reading(self.layer) as read:
            return read_in_chunks(read, images)

    def collect(self) -> ScanResult:
        """The result of what was looked at up to now."""
        mean, std, peak = self._moments.result()
        counts, edges = self._histogram.result()
        top, further_top = _divided(self._top.result(), self._shown)
        bottom, further_bottom = _divided(self._bottom.result(), self._shown)
        tables = ScanTables(
            top=top,
            bottom=bottom,
            mean=mean,
            std=std,
            peak=peak,
            counts=counts,
            edges=edges,
            quantile=self._sketch.result(QUANTILE),
            further_top=further_top,
            further_bottom=further_bottom,
        )
        return ScanResult(
            self.model,
            self.layer,
            self.dataset,
            tables,
            scanned=self.scanned,
            skipped=[(self.dataset.path(i), reason) for i, reason in self.skipped],
            settings=dict(self._settings),
            model_identity=self._identity,
            batch_size=self._batch_size,
            groups=self._groups,
            reader=self._reader,
        )


def _divided(found: TopKResult, shown: int) -> tuple[TopKResult, Ranks]:
    """The photos that are shown, and those behind them."""
    first = {name: column[:, :shown] for name, column in vars(found).items()}
    return TopKResult(**first), Ranks(found.index[:, shown:], found.score[:, shown:])
