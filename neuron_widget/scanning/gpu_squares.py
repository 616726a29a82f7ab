"""Photos to squares on a GPU: JPEG files are decoded there, or by all cores, and resized there.

To the pixel what Pillow makes of them, which is tried out once: where a decoder or the resampling
gives anything else, photos are decoded as everywhere. A GPU decodes what has all its colours (see
:mod:`neuron_widget.photos.jpeg`), libjpeg-turbo in threads that need no interpreter lock the rest.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from neuron_widget.photos.decode import square
from neuron_widget.photos.jpeg import PlainJpeg, plain_jpeg
from neuron_widget.scanning.image_dataset import ImageDataset
from neuron_widget.scanning.resampling_kernel import have_triton, resample

__all__ = ["GpuSquares", "Jpeg", "gpu_squares", "load_decoders"]

_log = logging.getLogger("neuron_widget.scanning")

_MOST_PX = 2**24  # of a photo that is decoded this way; larger ones are rare
_RGB = 3  # torchvision's ImageReadMode
_PX_AT_ONCE = 2**26  # of those decoded side by side: 200 MB
# Longer sides, in shorter ones, are for Pillow alone, which may begin with the columns then.
_LONGEST = 2


@dataclass(frozen=True)
class Jpeg:
    """A photo on its way: the file's bytes, or its pixels ``(3, H, W)`` uint8 in pinned memory."""

    facts: PlainJpeg
    data: Tensor
    decoded: bool = False

    def on_a_core(self) -> Jpeg:
        """Its pixels, decoded in this thread; without the interpreter lock."""
        return Jpeg(self.facts, _on_cores(self.data).pin_memory(), decoded=True)


class GpuSquares:
    """Makes squares on a GPU, on a stream of its own: the network runs meanwhile.

    Parameters
    ----------
    device
        The GPU.
    input_size
        Side of the squares in pixels.
    """

    def __init__(self, device: torch.device, input_size: int):
        self._device, self._side = device, input_size
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def load(self, dataset: ImageDataset, i: int) -> Jpeg | None:
        """The file of photo ``i``, in any thread; None for what is better decoded as everywhere."""
        data = dataset.encoded(i) if _tried_out(self._device) else None
        return self.read(data) if data is not None else None

    def read(self, data: bytes | bytearray) -> Jpeg | None:
        """A file; None if it is no plain JPEG of ordinary size."""
        facts = plain_jpeg(data)
        if facts is None or facts.width * facts.height > _MOST_PX:
            return None
        if max(facts.width, facts.height) > _LONGEST * min(facts.width, facts.height):
            return None
        writable = data if isinstance(data, bytearray) else bytearray(data)
        return Jpeg(facts, torch.frombuffer(writable, dtype=torch.uint8))

    def squares(self, photos: Sequence[Jpeg | NDArray[np.uint8]]) -> Tensor:
        """Squares ``(N, S, S, 3)`` uint8 on the GPU, of photos and of squares made elsewhere.

        What has not all its colours must have been decoded. Raises RuntimeError if one of them
        cannot be.
        """
        shape = (len(photos), self._side, self._side, 3)
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            squares = torch.empty(shape, dtype=torch.uint8, device=self._device)
            jpegs = [(k, photo) for k, photo in enumerate(photos) if isinstance(photo, Jpeg)]
            for some in _side_by_side(jpegs):
                self._resample(some, squares)
            for k, photo in enumerate(photos):
                if not isinstance(photo, Jpeg):
                    made = torch.from_numpy(np.array(photo)).pin_memory()
                    squares[k].copy_(made, non_blocking=True)
        present = torch.cuda.current_stream(self._device)
        present.wait_stream(self._stream)
        squares.record_stream(present)
        return squares

    def _resample(self, photos: list[tuple[int, Jpeg]], squares: Tensor) -> None:
        # What was decoded before must have been read: the decoder has a stream of its own, which
        # may be given the same memory.
        self._stream.synchronize()
        here = [jpeg.data for _, jpeg in photos if not jpeg.decoded]
        decoded = iter(_on_gpu(here, self._device) if here else ())
        pixels = [
            jpeg.data.to(self._device, non_blocking=True) if jpeg.decoded else next(decoded)
            for _, jpeg in photos
        ]
        resample(pixels, [number for number, _ in photos], squares)


def _side_by_side(jpegs: list[tuple[int, Jpeg]]) -> list[list[tuple[int, Jpeg]]]:
    """In parts of so many pixels that they fit into memory beside the network."""
    parts: list[list[tuple[int, Jpeg]]] = []
    room = 0
    for one in jpegs:
        size = one[1].facts.width * one[1].facts.height
        if not parts or size > room:
            parts.append([])
            room = _PX_AT_ONCE
        parts[-1].append(one)
        room -= size
    return parts


def _on_gpu(files: list[Tensor], device: torch.device) -> list[Tensor]:
    """RGB ``(3, H, W)`` uint8 of JPEG files: nvJPEG."""
    found: list[Tensor] = torch.ops.image.decode_jpegs_cuda(files, _RGB, device)
    return found


def _on_cores(file: Tensor) -> Tensor:
    """The same of one file: libjpeg-turbo."""
    found: Tensor = torch.ops.image.decode_jpeg(file, _RGB, False)
    return found


@functools.cache
def load_decoders() -> None:
    """torchvision's operators alone: the package takes seconds to import.

    Its functions around them warn that they will go one day. Then photos are decoded as everywhere.
    """
    package = find_spec("torchvision")
    folders = package.submodule_search_locations if package is not None else None
    library = Path(next(iter(folders or ()), ""), "image.so")
    if library.is_file():
        torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    else:
        import torchvision.io  # noqa: F401


def gpu_squares(device: torch.device, input_size: int) -> GpuSquares | None:
    """What makes squares on this device; None where photos are decoded as everywhere.

    So it is on all but NVIDIA's GPUs, and where ``NEURON_WIDGET_GPU_JPEG=off`` says so. In the
    first seconds, in which it is tried out beside, it takes no photo; the pixels are the same.
    """
    if not have_triton() or device.type != "cuda":
        return None
    if os.environ.get("NEURON_WIDGET_GPU_JPEG", "").lower() == "off":
        return None
    _tried_out(device)
    return GpuSquares(device, input_size)


_LOCK = threading.Lock()
_tried: dict[torch.device, bool] = {}
_trying: dict[torch.device, threading.Thread] = {}


def _tried_out(device: torch.device, *, wait: bool = False) -> bool:
    """Whether it is known that squares are right there; it is tried out once, in a thread."""
    with _LOCK:
        if device not in _trying:
            name = "neuron-widget-try-gpu"
            _trying[device] = threading.Thread(target=_try, args=(device,), name=name, daemon=True)
            _trying[device].start()
    if wait:
        _trying[device].join()
    return _tried.get(device, False)


def _try(device: torch.device) -> None:
    """Compare with Pillow's pixels, of a few pictures."""
    try:
        load_decoders()
        maker = GpuSquares(device, 48)
        for data in _examples():
            jpeg = maker.read(data)
            if jpeg is not None and not jpeg.facts.full_colour:
                jpeg = jpeg.on_a_core()
            with Image.open(io.BytesIO(data)) as image:
                expected = np.asarray(square(image.convert("RGB"), 48))
            if jpeg is None or not np.array_equal(maker.squares([jpeg])[0].cpu(), expected):
                raise RuntimeError("their pixels are not Pillow's")
        _tried[device] = True
    except Exception as error:  # noqa: BLE001  # builds of torchvision without it, compilers that fail
        _log.info("photos are decoded without the GPU (%s)", error)


def _examples() -> list[bytes]:
    """Files of a picture: colours of full and of half resolution, grey, and a small one."""
    y, x = np.mgrid[0:120, 0:170]
    waves = [np.sin(x / (3 + c) + y / 7) * 90 + x * y % 37 + 110 for c in range(3)]
    image = Image.fromarray(np.stack(waves, axis=-1).clip(0, 255).astype(np.uint8))
    found = []
    for one, subsampling in (
        (image, 0),
        (image, 2),
        (image.convert("L"), 0),
        (image.resize((41, 33)), 0),
    ):
        file = io.BytesIO()
        one.save(file, "JPEG", quality=90, subsampling=subsampling)
        found.append(file.getvalue())
    return found
