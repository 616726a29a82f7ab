"""Photos from the data set to batches of squares, decoded ahead of the network.

Threads, not ``DataLoader`` processes: PIL lets go of the interpreter lock while it decodes and
resizes, so that threads keep the cores busy, start at once, share the data set, need no fork of a
kernel full of running threads, and are gone when the generator is closed.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuron_widget.errors import DatasetError
from neuron_widget.scanning.foreign import inside_an_item
from neuron_widget.scanning.image_dataset import ImageDataset
from neuron_widget.setting import check_int

__all__ = [
    "Batch",
    "automatic_workers",
    "load_batches",
    "nothing_readable",
    "read_in_chunks",
    "to_images",
]

_CHUNK_PX = 4 * 224**2  # of all images that go through a network on a CPU side by side
_AHEAD = 2  # batches decoded in advance: one in the making, one in reserve


@dataclass(frozen=True)
class Batch:
    """Squares ``(N, S, S, 3)`` uint8 with the photos' numbers, and the photos skipped on the way.

    ``skipped`` holds (number, reason). The last batch may hold no square.
    """

    index: list[int]
    squares: Tensor
    skipped: list[tuple[int, str]]


def automatic_workers() -> int:
    """One thread a core this process may use, at most 16."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    cores = len(allowed(0)) if allowed else os.cpu_count() or 1
    return min(16, cores)


def load_batches(
    dataset: ImageDataset,
    order: Sequence[int],
    input_size: int,
    batch_size: int,
    workers: int | None = None,
    *,
    overlap: bool = True,
    by_place: bool = False,
) -> Generator[Batch, None, None]:
    """Yield the photos in ``order`` in batches of ``batch_size`` readable ones.

    ``by_place``: of the readable ones among every ``batch_size`` photos, so that it is known
    without reading any which photos come together, and where a batch begins.

    What is in a batch does not depend on ``workers``. With ``workers=0`` photos are decoded in
    the calling thread. Closing the generator cancels what waits and ends the threads.

    ``overlap=False``: nothing is decoded while the caller works on a batch. For a network on the
    CPU: decoding would take the very cores it runs on, and a core that is late makes all others
    wait at the end of every layer.
    """
    if workers is not None:
        workers = check_int("workers", workers, 0)
    threads = automatic_workers() if workers is None else workers
    threads = 0 if inside_an_item() else min(threads, len(order))
    pool = ThreadPoolExecutor(threads, "neuron-widget-scan") if threads else None
    overlap = overlap and pool is not None
    ahead = max(_AHEAD * batch_size, 2 * threads)
    waiting: deque[tuple[int, Callable[[], NDArray[np.uint8] | str]]] = deque()
    index: list[int] = []
    squares: list[NDArray[np.uint8]] = []
    skipped: list[tuple[int, str]] = []
    remaining = deque(order)

    def missing() -> int:
        """Photos that the present batch lacks, if all of them can be read."""
        there = sum if by_place else max
        return batch_size - there((len(squares), len(skipped)))

    try:
        while True:
            wanted = ahead if overlap else missing()
            while remaining and len(waiting) < wanted:
                i = int(remaining.popleft())
                load = partial(_load, dataset, i, input_size)
                waiting.append((i, pool.submit(load).result if pool else load))
            if waiting:
                i, loaded = waiting.popleft()
                square = loaded()
                if isinstance(square, str):
                    skipped.append((i, square))
                else:
                    index.append(i)
                    squares.append(square)
            full = missing() == 0
            last = not waiting and not remaining
            if full or (last and (squares or skipped)):
                shape = (0, input_size, input_size, 3)
                stacked = np.stack(squares) if squares else np.empty(shape, np.uint8)
                yield Batch(index, torch.from_numpy(stacked), skipped)
                index, squares, skipped = [], [], []
            elif last:
                return
    finally:
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


def _load(dataset: ImageDataset, i: int, input_size: int) -> NDArray[np.uint8] | str:
    """The square of photo ``i``, or why it cannot be read."""
    try:
        return np.asarray(dataset.load_square(i, input_size))
    except DatasetError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  (a foreign data set raises anything; none is fatal)
        return f"{type(error).__name__}: {error}"


def nothing_readable(photos: int, name: str, first: tuple[str, str]) -> DatasetError:
    """The error of a scan that could read none of ``photos``; ``first``: a path, and why."""
    path, reason = first
    if os.path.isfile(path):
        way_out = ". Check that these are complete image files"
    elif re.match(r"\w+: ", reason):  # the name of an error that is not ours
        way_out = ". The data set's own code raises this when that item is read; expected a photo"
    else:
        way_out = ""
    return DatasetError(
        f"none of the {photos} photos of {name!r} could be read; "
        f"the first, {path}: {reason}{way_out}"
    )


def read_in_chunks(read: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """What a network makes of images ``(N, 3, S, S)``; on a CPU of a few at a time.

    The activations of many are larger than the processor's caches, and larger than the blocks
    that the C library keeps: each of their pages is asked for anew in every layer, which takes as
    long as the arithmetic.
    """
    side_by_side = max(1, _CHUNK_PX // images[0, 0].numel()) if len(images) else 1
    if images.device.type != "cpu" or len(images) <= side_by_side:
        return read(images)
    return torch.cat([read(part) for part in torch.split(images, side_by_side)])


def to_images(squares: Tensor, device: torch.device) -> Tensor:
    """Squares ``(N, S, S, 3)`` uint8 -> images ``(N, 3, S, S)`` float32 in 0..1 on the device.

    The result is channels_last without a copy, three times as fast for convolutions on a CPU.
    """
    if device.type == "cuda":
        squares = squares.pin_memory().to(device, non_blocking=True)
    return squares.to(device).permute(0, 3, 1, 2).float().div(255)
