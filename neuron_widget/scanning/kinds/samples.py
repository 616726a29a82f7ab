"""The embedded data set: photographs of installed packages, cut into a few hundred crops."""

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
from neuron_widget.photos.files import open_photo, photo_formats
from neuron_widget.scanning.groups import groups_state
from neuron_widget.scanning.image_dataset import ImageDataset, digest
from neuron_widget.scanning.kinds import DatasetKind

__all__ = ["KIND", "SampleCrops"]

_SKIMAGE, _SKLEARN = "skimage/data", "sklearn/datasets/images"
_MATPLOTLIB = "matplotlib/mpl-data/sample_data"
# The photographs in the wheels of packages that are needed anyway, with what they show.
# scikit-image's drawings, test patterns, the second picture of the stereo pair and its two
# photographs of nearly nothing (cell.png, clock_motion.png) are left out. docs/howto/photos.md
# names the licence of each: one more here is one more there.
_PHOTOS = {
    f"{_SKIMAGE}/astronaut.png": "astronaut",
    f"{_SKIMAGE}/brick.png": "brick wall",
    f"{_SKIMAGE}/camera.png": "cameraman",
    f"{_SKIMAGE}/chelsea.png": "cat",
    f"{_SKIMAGE}/coffee.png": "coffee",
    f"{_SKIMAGE}/coins.png": "coins",
    f"{_SKIMAGE}/grass.png": "grass",
    f"{_SKIMAGE}/gravel.png": "gravel",
    f"{_SKIMAGE}/hubble_deep_field.jpg": "galaxies",
    f"{_SKIMAGE}/ihc.png": "tissue under a microscope",
    f"{_SKIMAGE}/moon.png": "moon",
    f"{_SKIMAGE}/motorcycle_left.png": "motorcycle",
    f"{_SKIMAGE}/page.png": "printed page",
    f"{_SKIMAGE}/retina.jpg": "retina",
    f"{_SKIMAGE}/rocket.jpg": "rocket",
    f"{_SKIMAGE}/text.png": "handwriting",
    f"{_SKLEARN}/china.jpg": "pagoda",
    f"{_SKLEARN}/flower.jpg": "dahlia",
    f"{_MATPLOTLIB}/grace_hopper.jpg": "naval officer",
}
# Sides of the crops as shares of the photo's shorter side: whole scenes, things, details.
_SCALES = (1.0, 0.6, 0.36)
_STEP = 0.7  # distance of neighbouring crops, as a share of their side
_SMALLEST = 90  # pixels: smaller crops would be mostly blur at 224

Box = tuple[int, int, int, int]


class SampleCrops(ImageDataset):
    """Square crops at three scales of photographs in installed packages; needs no download.

    The crops of one photograph are a group. Few photos give weak examples: whoever shows them must
    say so.
    """

    name = "samples"
    group_name = "photograph"

    def __init__(self) -> None:
        self._files: dict[str, Path] = {}
        self._crops: list[tuple[str, Box]] = []
        self._photos: dict[str, Image.Image] = {}
        self._lock = threading.Lock()
        packages = {file.partition("/")[0] for file in _PHOTOS}
        folders = {package: _folder(package) for package in packages}
        for file in _PHOTOS:
            package, _, below = file.partition("/")
            folder = folders[package]
            if folder is None or not (folder / below).is_file():
                continue
            with Image.open(folder / below, formats=photo_formats()) as image:
                self._crops.extend((file, box) for box in _boxes(*image.size))
            self._files[file] = folder / below
        if not self._crops:
            raise DatasetError(
                "the built-in photographs are not there; expected them with the installed "
                "packages. Reinstall them with: pip install --force-reinstall scikit-image "
                "scikit-learn matplotlib"
            )
        self.groups = [file for file, _ in self._crops]

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
        """Return package and file name of the photo, and the crop's corner and side in it."""
        file, (left, top, right, _) = self._crops[i]
        parts = file.split("/")
        return f"{parts[0]}/{parts[-1]}[{left},{top},{right - left}]"

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the crops, their groups and the sizes of the files."""
        sizes = (path.stat().st_size for _, path in sorted(self._files.items()))
        return digest([self._crops, *sizes, *groups_state(self)])

    def _photo(self, file: str) -> Image.Image:
        """All crops of a photo share one decoding (all together take 15 MB)."""
        with self._lock:
            if file not in self._photos:
                self._photos[file] = open_photo(self._files[file])
            return self._photos[file]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in ("_lock", "_photos")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock(), _photos={})


def _folder(package: str) -> Path | None:
    """Where a package is installed; it is not imported, which would take its time."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


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
