"""A scan while it runs: the network, the photos seen so far, and what they come to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from neuron_widget.networks.arithmetic import full_float32
from neuron_widget.networks.fast import scan_reader
from neuron_widget.networks.model import VisionModel
from neuron_widget.photos.files import readable_again
from neuron_widget.scanning.groups import group_numbers
from neuron_widget.scanning.image_dataset import ImageDataset
from neuron_widget.scanning.loading import read_in_chunks, to_images
from neuron_widget.scanning.reading import PhotoReader
from neuron_widget.scanning.result import ScanResult
from neuron_widget.scanning.statistics import ScanStatistics

__all__ = ["Checkpoint", "ScanPass"]

_log = logging.getLogger("neuron_widget.scanning")


class Checkpoint(Protocol):
    """Where the state of a scan is kept; see :mod:`neuron_widget.store.checkpoints`."""

    def load(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        """Return facts and arrays as they were saved, or None."""

    def due(self, done: int) -> bool:
        """Whether it is time to save, ``done`` photos being dealt with."""

    def save(self, facts: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Keep facts (plain JSON) and arrays."""


class ScanPass:
    """One scan: its network and photos, and the statistics of those seen so far."""

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
        self.dtype = torch.bfloat16 if self._fast else torch.float32
        self._fast_way = scan_reader(model, layer, self.dtype)
        # Apple's MPS lacks some of the integer operations: there the statistics live on the CPU.
        device = model.device if model.device.type == "cuda" else torch.device("cpu")
        self._device = device
        self._channels = channels
        self.groups = group_numbers(dataset)
        self._reader = PhotoReader(model, layer, dataset, self._identity, batch_size)
        self.statistics = self._empty()

    def _empty(self) -> ScanStatistics:
        photos = len(self.dataset)
        return ScanStatistics(self._channels, photos, self._settings, self.groups, self._device)

    @property
    def done(self) -> int:
        """Photos dealt with: looked at, or skipped."""
        return self.scanned + len(self.skipped)

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep the present state: the order's first :attr:`done` photos are in it."""
        facts = {"done": self.done, "scanned": self.scanned, "skipped": self.skipped}
        checkpoint.save(facts, self.statistics.arrays())

    def resume(self, checkpoint: Checkpoint, most: int) -> None:
        """Go on from a checkpoint, if there is one of at most ``most`` photos."""
        found = checkpoint.load()
        if found is None:
            return
        facts, arrays = found
        try:
            skipped = [(int(i), str(reason)) for i, reason in facts["skipped"]]
            scanned, done = int(facts["scanned"]), int(facts["done"])
            if scanned < 0 or scanned + len(skipped) != done:
                raise ValueError(f"{scanned} scanned and {len(skipped)} skipped are not {done}")
            if not all(0 <= i < len(self.dataset) for i, _ in skipped):
                raise ValueError("it names photos that are not there")
            if done > most:
                return
            if readable_again((self.dataset.path(i), reason) for i, reason in skipped):
                return  # they are looked at after all
            self.statistics.restore(arrays, scanned)
            info = self.model.layer(self.layer)
            self.statistics.check_best_photos(len(self.dataset), info.height * info.width)
        except (KeyError, TypeError, ValueError) as error:
            _log.warning("ignoring a checkpoint of %s that does not fit: %r", self.layer, error)
            self.statistics = self._empty()
            return
        self.scanned = scanned
        self.skipped[:] = skipped

    def take(self, index: list[int], squares: Tensor) -> None:
        """Look at one batch. Nothing here waits for the device."""
        with self.reading():
            self.add(index, self._read(to_images(squares, self.model.device)))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """How an activation is read, and taken in."""
        exact = nullcontext() if self._fast else full_float32(self.model.device)
        with torch.inference_mode(), exact:
            yield

    def add(self, index: list[int], activation: Tensor) -> None:
        """Take in the layer's activation of some photos; within :meth:`reading`."""
        number = torch.tensor(index, device="cpu")
        if self._device.type == "cuda":
            number = number.pin_memory().to(self._device, non_blocking=True)
        self.statistics.update(number, activation.to(self._device))
        self.scanned += len(index)

    def _read(self, images: Tensor) -> Tensor:
        if self._fast_way is not None:
            return self._fast_way(images)
        with self.autocast(), self.model.reading(self.layer) as read:
            return read_in_chunks(read, images)

    @property
    def has_fast_way(self) -> bool:
        """Whether the layer is read otherwise than of the network itself."""
        return self._fast_way is not None

    def autocast(self) -> torch.autocast:
        """That of a fast scan; the caller's is not ours."""
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=self._fast)

    def collect(self) -> ScanResult:
        """The result of what was looked at up to now."""
        return ScanResult(
            self.model,
            self.layer,
            self.dataset,
            self.statistics.tables(),
            scanned=self.scanned,
            skipped=[(self.dataset.path(i), reason) for i, reason in self.skipped],
            settings=dict(self._settings),
            model_identity=self._identity,
            batch_size=self._batch_size,
            groups=self.groups,
            reader=self._reader,
        )
