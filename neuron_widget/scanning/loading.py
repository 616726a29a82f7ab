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
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuron_widget.errors import DatasetError
from neuron_widget.scanning.foreign import inside_an_item
from neuron_widget.scanning.gpu_squares import GpuSquares, Jpeg, gpu_squares
from neuron_widget.scanning.image_dataset import ImageDataset
from neuron_widget.setting import check_int

__all__ = [
    "Batch",
    "automatic_workers",
    "load_batches",
    "nothing_readable",
    "read_each_in_chunks",
    "read_in_chunks",
    "to_images",
]

_CHUNK_PX = 4 * 224**2  # of all images that go through a network on a CPU side by side
_Loaded: TypeAlias = "NDArray[np.uint8] | Jpeg"

_AHEAD = 2  # batches decoded in advance: one in the making, one in reserve


@dataclass(frozen=True)
class Batch:
    """Squares ``(N, S, S, 3)`` uint8 with the photos' numbers, and the photos skipped on the way.

    They are on the CPU, or where a GPU made them. ``skipped`` holds (number, reason). The last
    batch may hold no square.
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
    device: torch.device | None = None,
) -> Generator[Batch, None, None]:
    """Yield the photos in ``order`` in batches of ``batch_size`` readable ones.

    ``by_place``: of the readable ones among every ``batch_size`` photos, so that it is known
    without reading any which photos come together, and where a batch begins.

    What is in a batch does not depend on ``workers``. With ``workers=0`` photos are decoded in
    the calling thread. Closing the generator cancels what waits and ends the threads.

    ``overlap=False``: nothing is decoded while the caller works on a batch. For a network on the
    CPU: decoding would take the very cores it runs on, and a core that is late makes all others
    wait at the end of every layer.

    ``device``: where the squares go. A GPU may then make them of JPEG files itself, with the same
    pixels (:mod:`.gpu_squares`); otherwise they are on the CPU.
    """
    if workers is not None:
        workers = check_int("workers", workers, 0)
    threads = automatic_workers() if workers is None else workers
    threads = 0 if inside_an_item() else min(threads, len(order))
    pool = ThreadPoolExecutor(threads, "neuron-widget-scan") if threads else None
    overlap = overlap and pool is not None
    ahead = max(_AHEAD * batch_size, 2 * threads)
    on_gpu = gpu_squares(device, input_size) if device is not None else None
    waiting: deque[tuple[int, Callable[[], _Loaded | str]]] = deque()
    index: list[int] = []
    squares: list[_Loaded] = []
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
                load = partial(_load, dataset, i, input_size, on_gpu)
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
                yield _batch(dataset, input_size, index, squares, skipped, on_gpu)
                index, squares, skipped = [], [], []
            elif last:
                return
    finally:
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


def _batch(
    dataset: ImageDataset,
    input_size: int,
    index: list[int],
    loaded: list[_Loaded],
    skipped: list[tuple[int, str]],
    on_gpu: GpuSquares | None,
) -> Batch:
    """Photos that were loaded, as squares."""
    if on_gpu is not None and any(isinstance(one, Jpeg) for one in loaded):
        try:
            return Batch(index, on_gpu.squares(loaded), skipped)
        except (
            RuntimeError
        ):  # one of them is damaged: each as everywhere, which tells what is wrong
            index, again = [], [(i, _load(dataset, i, input_size)) for i in index]
            loaded = []
            for i, square in again:
                if isinstance(square, str):
                    skipped.append((i, square))
                else:
                    index.append(i)
                    loaded.append(square)
    shape = (0, input_size, input_size, 3)
    stacked = np.stack([np.asarray(one) for one in loaded]) if loaded else np.empty(shape, np.uint8)
    return Batch(index, torch.from_numpy(stacked), skipped)


def _load(
    dataset: ImageDataset, i: int, input_size: int, on_gpu: GpuSquares | None = None
) -> _Loaded | str:
    """Photo ``i`` as a square, or on its way to one; or why it cannot be read."""
    if on_gpu is not None:
        # What is wrong is told by what reads it as everywhere.
        with suppress(Exception):
            if (jpeg := on_gpu.load(dataset, i)) is not None:
                return jpeg
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
    parts = _chunks(images)
    return read(images) if len(parts) == 1 else torch.cat([read(part) for part in parts])


def read_each_in_chunks(
    read: Callable[[Tensor], dict[str, Tensor]], images: Tensor
) -> dict[str, Tensor]:
    """As :func:`read_in_chunks`, what it makes of them in several layers."""
    first, *others = [read(part) for part in _chunks(images)]
    if not others:
        return first
    return {name: torch.cat([first[name], *(o[name] for o in others)]) for name in first}


def _chunks(images: Tensor) -> tuple[Tensor, ...]:
    side_by_side = max(1, _CHUNK_PX // images[0, 0].numel()) if len(images) else 1
    if images.device.type != "cpu" or len(images) <= side_by_side:
        return (images,)
    return torch.split(images, side_by_side)


def to_images(squares: Tensor, device: torch.device) -> Tensor:
    """Squares ``(N, S, S, 3)`` uint8 -> images ``(N, 3, S, S)`` float32 in 0..1 on the device.

    The result is channels_last without a copy, three times as fast for convolutions on a CPU.
    """
    if device.type == "cuda" and squares.device.type == "cpu":
        squares = squares.pin_memory().to(device, non_blocking=True)
    return squares.to(device).permute(0, 3, 1, 2).float().div(255)
