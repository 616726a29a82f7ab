"""The embedded data set: scikit-image's photographs, cut into a few hundred crops."""

from __future__ import annotations

import importlib.util
import math
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from neuron_widget.errors import DatasetError
from neuron_widget.scanning.image_dataset import ImageDataset, digest
from neuron_widget.scanning.kinds import DatasetKind
from neuron_widget.scanning.photo_files import open_photo, photo_formats

__all__ = ["KIND", "SampleCrops"]

# The photographs in scikit-image's wheel (its drawings, test patterns and the second picture of
# the stereo pair are left out), with what they show.
_PHOTOS = {
    "astronaut.png": "astronaut",
    "brick.png": "brick wall",
    "camera.png": "cameraman",
    "chelsea.png": "cat",
    "coffee.png": "coffee",
    "coins.png": "coins",
    "grass.png": "grass",
    "gravel.png": "gravel",
    "hubble_deep_field.jpg": "galaxies",
    "ihc.png": "tissue under a microscope",
    "moon.png": "moon",
    "motorcycle_left.png": "motorcycle",
    "page.png": "printed page",
    "retina.jpg": "retina",
    "rocket.jpg": "rocket",
    "text.png": "handwriting",
}
# Sides of the crops as shares of the photo's shorter side: whole scenes, things, details.
_SCALES = (1.0, 0.6, 0.36)
_STEP = 0.6  # distance of neighbouring crops, as a share of their side
_SMALLEST = 90  # pixels: smaller crops would be mostly blur at 224

Box = tuple[int, int, int, int]


class SampleCrops(ImageDataset):
    """Square crops of scikit-image's photographs at three scales; needs no download.

    Few photos give weak examples: whoever shows them must say so.
    """

    name = "samples"

    def __init__(self) -> None:
        # find_spec does not import scikit-image, which would take its time.
        spec = importlib.util.find_spec("skimage")
        folder = Path(spec.origin).parent / "data" if spec and spec.origin else None
        self._folder = folder
        self._crops: list[tuple[str, Box]] = []
        self._photos: dict[str, Image.Image] = {}
        self._lock = threading.Lock()
        for file in _PHOTOS:
            path = None if folder is None else folder / file
            if path is not None and path.is_file():
                with Image.open(path, formats=photo_formats()) as image:
                    self._crops.extend((file, box) for box in _boxes(*image.size))
        if not self._crops:
            raise DatasetError(
                "scikit-image's photographs are not there; expected them with the installed "
                "package. Reinstall it with: pip install --force-reinstall scikit-image"
            )

    def __len__(self) -> int:
        return len(self._crops)

    def load(self, i: int) -> Image.Image:
        """Return crop ``i`` in 8-bit RGB."""
        file, box = self._crops[i]
        return self._photo(file).crop(box)

    def label(self, i: int) -> str:
        """Return what the photo shows."""
        return _PHOTOS[self._crops[i][0]]

    def path(self, i: int) -> str:
        """Return the photo's file name and the crop's corner and side in it."""
        file, (left, top, right, _) = self._crops[i]
        return f"skimage/{file}[{left},{top},{right - left}]"

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the crops and the sizes of the files."""
        assert self._folder is not None
        files = sorted({file for file, _ in self._crops})
        return digest([self._crops, *((self._folder / file).stat().st_size for file in files)])

    def _photo(self, file: str) -> Image.Image:
        """All crops of a photo share one decoding (the sixteen take 13 MB in all)."""
        assert self._folder is not None
        with self._lock:
            if file not in self._photos:
                self._photos[file] = open_photo(self._folder / file)
            return self._photos[file]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in ("_lock", "_photos")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock(), _photos={})


def _boxes(width: int, height: int) -> list[Box]:
    """Squares of each scale, evenly spread so that they cover the photo."""
    boxes: list[Box] = []
    for scale in _SCALES:
        side = round(scale * min(width, height))
        if side < _SMALLEST:
            continue
        for top in _starts(height, side):
            boxes.extend((left, top, left + side, top + side) for left in _starts(width, side))
    return boxes


def _starts(length: int, side: int) -> list[int]:
    count = 1 + math.ceil((length - side) / (side * _STEP))
    return [round(float(start)) for start in np.linspace(0, length - side, count)]


# A folder called "samples" is reached as "./samples".
KIND = DatasetKind(
    name="samples",
    takes="'samples' (built in)",
    order=10,
    recognises=lambda x: isinstance(x, str) and x == "samples",
    open=lambda x, split, download: SampleCrops(),
    words=("samples",),
)
