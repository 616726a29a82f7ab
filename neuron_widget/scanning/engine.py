"""One pass over the photos for all neurons of a layer: :func:`scan_steps`, :func:`scan`."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Unpack, overload

import numpy as np
from numpy.typing import NDArray
from torch import nn

from neuron_widget.errors import NeuronWidgetError, WrongValue
from neuron_widget.networks.arithmetic import scan_precision
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.pace import Pace
from neuron_widget.networks.zoo import load_model
from neuron_widget.progress import drain
from neuron_widget.scanning.datasets import open_dataset
from neuron_widget.scanning.loading import load_batches, nothing_readable
from neuron_widget.scanning.order import sample
from neuron_widget.scanning.result import ScanResult
from neuron_widget.scanning.running import Checkpoint, ScanPass
from neuron_widget.scanning.shards import Shard, check_shard, part_of, shard_of
from neuron_widget.setting import check_int
from neuron_widget.settings import SCAN, ScanOptions, check_settings, documented_options

__all__ = ["ScanProgress", "scan", "scan_steps"]


@dataclass(frozen=True)
class ScanProgress:
    """How far a scan is.

    Attributes
    ----------
    done, total
        Photos looked at (skipped ones included) and to look at.
    skipped
        Photos that could not be read.
    rate
        Photos a second so far; 0 before the first batch.
    """

    done: int
    total: int
    skipped: int
    rate: float
    _collect: Callable[[], ScanResult] = field(repr=False)

    @property
    def left(self) -> float:
        """Seconds to the end at this rate; 0 where unknown."""
        return (self.total - self.done) / self.rate if self.rate else 0.0

    def result(self) -> ScanResult:
        """Return what was found up to now; photos come in random order, so it is a fair sample."""
        return self._collect()


@documented_options(ScanOptions)
def scan_steps(
    model: VisionModel | nn.Module | str | None,
    layer: str,
    dataset: Any,
    *,
    batch_size: int = 32,
    workers: int | None = None,
    checkpoint: Checkpoint | None = None,
    shard: Shard | None = None,
    **settings: Unpack[ScanOptions],
) -> Generator[ScanProgress, None, ScanResult]:
    """Scan photos batch by batch; see :func:`neuron_widget.scan` for the parameters.

    With a ``checkpoint`` (``Store.checkpoint(...)`` makes one) the scan goes on from it, writes it
    every 30 s and when it is closed, and gives what an uninterrupted scan gives, bit by bit.

    Yields progress before the first batch and after each one, and returns the result. Close the
    generator to stop: ``progress.result()`` keeps what was found. Nothing is on the model while
    the generator waits, and its threads end with it.

    Examples
    --------
    >>> from neuron_widget import scan_steps
    >>> steps = scan_steps("efficientnet_lite0", "blocks.0", "samples", batch_size=8)
    >>> for now in steps:
    ...     if now.done >= 16:
    ...         steps.close()
    >>> now.total, now.result().scanned
    (485, 16)
    """
    options = check_settings(SCAN, settings, what="scan()")
    batch_size = check_int("batch_size", batch_size, 1)
    if workers is not None:
        workers = check_int("workers", workers, 0)
    if shard is not None:
        shard = check_shard(shard)
    vision = load_model(model)
    info = vision.layer(layer)
    photos = open_dataset(dataset, split=options["split"])
    order = sample(len(photos), options["num_samples"], options["seed"], photos.run)
    options["precision"] = scan_precision(options["precision"], vision.device)
    options["input_size"] = vision.input_size
    pass_ = ScanPass(vision, info.name, info.channels, photos, options, batch_size)
    return _steps(pass_, order, shard, batch_size, workers, checkpoint)


@overload
def scan(
    model: VisionModel | nn.Module | str | None,
    layer: str,
    dataset: Any,
    *,
    batch_size: int = 32,
    workers: int | None = None,
    progress: bool = True,
    checkpoint: Checkpoint | None = None,
    shard: Shard | None = None,
    **settings: Unpack[ScanOptions],
) -> ScanResult: ...


@overload
def scan(
    model: VisionModel | nn.Module | str | None,
    layer: Sequence[str],
    dataset: Any,
    *,
    batch_size: int = 32,
    workers: int | None = None,
    progress: bool = True,
    **settings: Unpack[ScanOptions],
) -> dict[str, ScanResult]: ...


@documented_options(ScanOptions)
def scan(
    model: VisionModel | nn.Module | str | None,
    layer: str | Sequence[str],
    dataset: Any,
    *,
    batch_size: int = 32,
    workers: int | None = None,
    progress: bool = True,
    checkpoint: Checkpoint | None = None,
    shard: Shard | None = None,
    **settings: Unpack[ScanOptions],
) -> ScanResult | dict[str, ScanResult]:
    """Scan photos in this process; see :func:`neuron_widget.scan`, which takes the same.

    Examples
    --------
    >>> from neuron_widget.scanning import scan
    >>> scan("efficientnet_lite0", "blocks.0", "samples", num_samples=8, progress=False).scanned
    8
    """
    how: dict[str, Any] = {"batch_size": batch_size, "workers": workers, **settings}
    bar: dict[str, Any] = {"progress": progress, "title": "Scanning", "unit": " photos"}
    if isinstance(layer, str):
        steps = scan_steps(model, layer, dataset, checkpoint=checkpoint, shard=shard, **how)
        return drain(steps, **bar)
    from neuron_widget.scanning.several import scan_layers_steps

    for name, value in (("checkpoint", checkpoint), ("shard", shard)):
        if value is not None:
            raise WrongValue(f"{name}= is for a scan of one layer; leave it out, or name one layer")
    return drain(scan_layers_steps(model, layer, dataset, **how), **bar)


def _steps(
    pass_: ScanPass,
    order: NDArray[np.int64],
    shard: Shard | None,
    batch_size: int,
    workers: int | None,
    checkpoint: Checkpoint | None,
) -> Generator[ScanProgress, None, ScanResult]:
    own = order if shard is None else shard_of(order, shard, batch_size)
    total = len(own)
    if checkpoint is not None:
        pass_.resume(checkpoint, total)
    first = pass_.done
    yield ScanProgress(first, total, len(pass_.skipped), 0.0, pass_.collect)
    start = time.monotonic()
    size = pass_.model.input_size
    loaded = load_batches(
        pass_.dataset,
        own[first:].tolist(),
        size,
        batch_size,
        workers,
        overlap=pass_.model.device.type != "cpu",
        by_place=True,
        device=pass_.model.device,
    )
    pace = Pace(pass_.model.device)
    with closing(loaded):
        for batch in loaded:
            whole = len(batch.index) + len(batch.skipped) == batch_size
            if checkpoint is not None and not whole:
                # A larger sample would fill this batch: its end is no place to go on from.
                if pass_.done > first:
                    pass_.save(checkpoint)
                checkpoint = None
            if batch.index:
                try:
                    pass_.take(batch.index, batch.squares)
                except NeuronWidgetError:  # somebody's network fails: what was seen is kept
                    if checkpoint is not None and pass_.done > first:
                        pass_.save(checkpoint)
                    raise
            pass_.skipped.extend(batch.skipped)
            pace.keep()
            done = pass_.done
            rate = (done - first) / max(time.monotonic() - start, 1e-9)
            # A larger sample goes on from a finished one; a finished shard is a part.
            ended = done == total and shard is None
            if checkpoint is not None and (ended or checkpoint.due(done)):
                pass_.save(checkpoint)
            try:
                yield ScanProgress(done, total, len(pass_.skipped), rate, pass_.collect)
            except GeneratorExit:
                if checkpoint is not None:
                    pass_.save(checkpoint)
                raise
    result = pass_.collect()
    if shard is not None:
        places = (
            {photo: place for place, photo in enumerate(order.tolist())} if result.skipped else {}
        )
        result.part = part_of(
            result.manifest(),
            pass_.model.device.type,
            shard,
            pass_.statistics,
            pass_.groups,
            [places[i] for i, _ in pass_.skipped],
        )
    elif pass_.scanned == 0:
        raise nothing_readable(total, result.dataset, result.skipped[0])
    return result
