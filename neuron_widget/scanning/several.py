"""Several layers of a network over the same photos, each of which is decoded once."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Unpack

from torch import Tensor, nn

from neuron_widget.errors import WrongType, WrongValue, shown
from neuron_widget.networks.arithmetic import scan_precision
from neuron_widget.networks.fast import scan_readers
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.pace import Pace
from neuron_widget.networks.zoo import load_model
from neuron_widget.scanning.datasets import open_dataset
from neuron_widget.scanning.loading import (
    load_batches,
    nothing_readable,
    read_each_in_chunks,
    to_images,
)
from neuron_widget.scanning.order import sample
from neuron_widget.scanning.result import ScanResult
from neuron_widget.scanning.running import ScanPass
from neuron_widget.setting import check_int
from neuron_widget.settings import SCAN, ScanOptions, check_settings, documented_options

__all__ = ["LayersProgress", "scan_layers_steps"]


@dataclass(frozen=True)
class LayersProgress:
    """How far a scan of several layers is; see :class:`.ScanProgress`."""

    done: int
    total: int
    skipped: int
    rate: float
    _passes: tuple[ScanPass, ...]

    def results(self) -> dict[str, ScanResult]:
        """Return what was found up to now, by layer."""
        return {one.layer: one.collect() for one in self._passes}


@documented_options(ScanOptions)
def scan_layers_steps(
    model: VisionModel | nn.Module | str | None,
    layers: Sequence[str],
    dataset: Any,
    *,
    batch_size: int = 32,
    workers: int | None = None,
    **settings: Unpack[ScanOptions],
) -> Generator[LayersProgress, None, dict[str, ScanResult]]:
    """Scan photos for several layers; see :func:`neuron_widget.scan` for the parameters.

    What is found of each is what a scan of it alone finds, bit by bit.
    """
    options = check_settings(SCAN, settings, what="scan()")
    batch_size = check_int("batch_size", batch_size, 1)
    if workers is not None:
        workers = check_int("workers", workers, 0)
    vision = load_model(model)
    names = _layers(vision, layers)
    photos = open_dataset(dataset, split=options["split"])
    order = sample(len(photos), options["num_samples"], options["seed"], photos.run)
    options["precision"] = scan_precision(options["precision"], vision.device)
    options["input_size"] = vision.input_size
    passes = tuple(
        ScanPass(vision, name, vision.layer(name).channels, photos, dict(options), batch_size)
        for name in names
    )
    return _steps(passes, order.tolist(), batch_size, workers)


def _layers(model: VisionModel, layers: object) -> list[str]:
    if not isinstance(layers, (list, tuple)):
        raise WrongType(f"layers must be names of layers, got {shown(layers)}")
    if not layers:
        raise WrongValue("layers: there is none to scan; expected names such as 'mixed4a'")
    # Under whatever name a layer is asked for: it is scanned once.
    return list(dict.fromkeys(model.layer(layer).name for layer in layers))


def _steps(
    passes: tuple[ScanPass, ...], order: list[int], batch_size: int, workers: int | None
) -> Generator[LayersProgress, None, dict[str, ScanResult]]:
    first, start = passes[0], time.monotonic()
    device = first.model.device
    total = len(order)
    yield LayersProgress(0, total, 0, 0.0, passes)
    loaded = load_batches(
        first.dataset,
        order,
        first.model.input_size,
        batch_size,
        workers,
        overlap=device.type != "cpu",
        by_place=True,
        device=device,
    )
    take = _reading(passes)
    pace = Pace(device)
    with closing(loaded):
        for batch in loaded:
            if batch.index:
                take(batch.index, batch.squares)
            for one in passes:
                one.skipped.extend(batch.skipped)
            pace.keep()
            done = first.done
            rate = done / max(time.monotonic() - start, 1e-9)
            yield LayersProgress(done, total, len(first.skipped), rate, passes)
    results = {one.layer: one.collect() for one in passes}
    if first.scanned == 0:
        found = results[first.layer]
        raise nothing_readable(total, found.dataset, found.skipped[0])
    return results


def _reading(passes: tuple[ScanPass, ...]) -> Callable[[list[int], Tensor], None]:
    """What looks at a batch for all layers: in one forward pass, where that gives the same bits.

    A layer alone is read in the fastest way there is to it, which is not the network's own for
    all: what must not be mixed is read one by one.
    """
    first = passes[0]
    model, names = first.model, [one.layer for one in passes]
    together = scan_readers(model, names, first.dtype)

    def by_one_way(index: list[int], squares: Tensor) -> None:
        images = to_images(squares, model.device)
        with first.reading():
            if together is not None:
                found = together(images)
            else:
                with first.autocast(), model.reading_each(names) as read:
                    found = read_each_in_chunks(read, images)
            for one in passes:
                one.add(index, found[one.layer])

    def one_by_one(index: list[int], squares: Tensor) -> None:
        if model.device.type == "cuda" and squares.device.type == "cpu":
            squares = squares.pin_memory().to(model.device, non_blocking=True)
        for one in passes:
            one.take(index, squares)

    alike = together is not None or not any(one.has_fast_way for one in passes)
    return by_one_way if alike else one_by_one
