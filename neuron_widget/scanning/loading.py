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
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuron_widget.errors import DatasetError
from neuron_widget.networks.memory import keep_blocks
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

_READERS = 4  # threads that read files for a GPU
_READ_AT_ONCE = 8
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
    loader = _Loader(dataset, input_size, threads, device)
    overlap = overlap and threads > 0
    ahead = max(_AHEAD * batch_size, 2 * threads)
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
            # So many together as there are, not one for each that is taken.
            while remaining and wanted - len(waiting) >= (
                together := min(loader.at_once, wanted, len(remaining))
            ):
                some = [int(remaining.popleft()) for _ in range(together)]
                waiting.extend(zip(some, loader.begin(some), strict=True))
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
                yield loader.batch(index, squares, skipped)
                index, squares, skipped = [], [], []
            elif last:
                return
    finally:
        loader.close()


class _Loader:
    """Photos to squares, in threads: on the CPU, or begun there and made on a GPU."""

    def __init__(
        self, dataset: ImageDataset, input_size: int, threads: int, device: torch.device | None
    ):
        self._dataset, self._size = dataset, input_size
        self._on_gpu = gpu_squares(device, input_size) if device is not None else None
        self._pool = ThreadPoolExecutor(threads, "neuron-widget-scan") if threads else None
        # Many threads that read files wait for the interpreter lock more than they read, and so
        # they do where each photo is a piece of work.
        self._readers, self.at_once = self._pool, 1
        if self._on_gpu is not None:
            keep_blocks()
            if self._pool is not None:
                readers, self.at_once = min(threads, _READERS), _READ_AT_ONCE
                self._readers = ThreadPoolExecutor(readers, "neuron-widget-scan-read")

    def begin(self, some: list[int]) -> list[Callable[[], _Loaded | str]]:
        """Begin with some photos; what is given of each waits for it."""
        if self._on_gpu is None:
            return [self._decode(partial(_load, self._dataset, i, self._size)) for i in some]
        read = partial(self._read, self._on_gpu, some)
        if self._readers is None:
            return read()
        begun = self._readers.submit(read)
        return [partial(_wait_for, begun, k) for k in range(len(some))]

    def _decode(self, decode: Callable[[], _Loaded | str]) -> Callable[[], _Loaded | str]:
        return self._pool.submit(decode).result if self._pool is not None else decode

    def _read(self, on_gpu: GpuSquares, some: list[int]) -> list[Callable[[], _Loaded | str]]:
        """Read files, if a GPU may decode them or what the cores decode of them."""
        found: list[Callable[[], _Loaded | str]] = []
        for i in some:
            jpeg: Jpeg | None = None
            with suppress(Exception):  # told by what reads it as everywhere
                jpeg = on_gpu.load(self._dataset, i)
            if jpeg is not None and jpeg.facts.full_colour:
                found.append(partial(_given, jpeg))
            else:
                found.append(self._decode(partial(self._on_a_core, jpeg, i)))
        return found

    def _on_a_core(self, jpeg: Jpeg | None, i: int) -> _Loaded | str:
        if jpeg is not None:
            with suppress(RuntimeError):
                return jpeg.on_a_core()
        return _load(self._dataset, i, self._size)

    def batch(
        self, index: list[int], loaded: list[_Loaded], skipped: list[tuple[int, str]]
    ) -> Batch:
        """Photos that were loaded, as squares."""
        if self._on_gpu is not None and any(isinstance(one, Jpeg) for one in loaded):
            try:
                return Batch(index, self._on_gpu.squares(loaded), skipped)
            except RuntimeError:  # one of them is damaged: read as everywhere, it says how
                again = [(i, _load(self._dataset, i, self._size)) for i in index]
                skipped = [*skipped, *((i, why) for i, why in again if isinstance(why, str))]
                index = [i for i, square in again if not isinstance(square, str)]
                loaded = [square for _, square in again if not isinstance(square, str)]
        shape = (0, self._size, self._size, 3)
        plain = [square for square in loaded if not isinstance(square, Jpeg)]
        stacked = np.stack(plain) if plain else np.empty(shape, np.uint8)
        return Batch(index, torch.from_numpy(stacked), skipped)

    def close(self) -> None:
        """Cancel what waits, and end the threads."""
        for pool in (self._readers, self._pool):
            if pool is not None:
                pool.shutdown(wait=True, cancel_futures=True)


def _given(loaded: _Loaded) -> _Loaded:
    return loaded


def _wait_for(begun: Future[list[Callable[[], _Loaded | str]]], k: int) -> _Loaded | str:
    return begun.result()[k]()


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
