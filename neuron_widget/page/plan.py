"""How large the pictures of a page may be, and how large the page will be."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from neuron_widget.durable import size_text
from neuron_widget.errors import PageTooLarge
from neuron_widget.page.html import bundle_bytes
from neuron_widget.protocol.encode import map_bytes

if TYPE_CHECKING:
    from neuron_widget.page.contents import Contents

__all__ = ["CURVE_POINTS", "DEFAULT_LIMIT", "Plan", "plan_page", "webp"]

DEFAULT_LIMIT = 25 * 10**6
"""Bytes; what a page of 508 neurons with 18 photos each stays below, and mail still takes."""

# Sides of images and photos, the best first. A photo is in the page once, however many neurons it
# fires, so that even hundreds of neurons on a small data set get photos of the full size.
LOOKS = ((512, 224), (224, 224), (224, 160), (160, 112), (128, 96), (96, 80), (64, 64))

CURVE_POINTS = 64
_QUALITY = 75
_IMAGES_TRIED = 6
_PHOTOS_TRIED = 48
_MAPS_TRIED = 4

# Bytes of JSON beside the pictures, as measured: an image's readings, a point of its curve, a
# photo's name and class, what a neuron makes of a photo, its histogram.
_PER_IMAGE, _PER_POINT, _PER_PHOTO, _PER_SHOT, _PER_NEURON = 440, 14, 85, 50, 430


@dataclass(frozen=True)
class Plan:
    """What a page will hold.

    ``image_px`` and ``photo_px`` are the longest sides in pixels; ``photo_px`` 0: no photos.
    ``bytes`` is the estimate of the whole file.
    """

    neurons: int
    images: int
    photos: int
    image_px: int
    photo_px: int
    bytes: int

    def __str__(self) -> str:
        parts = [f"{self.neurons} neurons"]
        if self.images:
            parts.append(f"{self.images} images of {self.image_px} px")
        if self.photos and self.photo_px:
            parts.append(f"{self.photos} photos of {self.photo_px} px")
        elif self.photos:
            parts.append("photos left out")
        return f"about {size_text(self.bytes)}: {', '.join(parts)}"


def plan_page(
    contents: Contents, *, photos: bool = True, limit: int | None = DEFAULT_LIMIT
) -> Plan:
    """Choose the largest pictures with which the page stays below ``limit`` bytes (None: any).

    Sizes come from a few pictures of the contents themselves, which takes about a second.

    Raises
    ------
    PageTooLarge
        If even the smallest pictures are too many; says the ways out.
    """
    numbers = contents.photos()
    measure = _Measure(contents, numbers if photos else [])
    plan: Plan | None = None
    for image_px, photo_px in LOOKS:
        plan = Plan(
            len(contents.neurons),
            len(contents.drawn),
            len(numbers),
            min(image_px, measure.largest),
            photo_px if photos and numbers else 0,
            measure(image_px, photo_px),
        )
        if limit is None or plan.bytes <= limit:
            return plan
    assert plan is not None
    assert limit is not None
    ways = "fewer neurons, or a larger limit"
    if photos and numbers:
        ways = f"photos left out (photos=False, --no-photos), {ways}"
    raise PageTooLarge(
        f"the page would be {plan}, with the smallest pictures there are; expected at most "
        f"{size_text(limit)}. Ways out: {ways} (max_bytes=, --max-size)"
    )


class _Measure:
    """Bytes of a page, from samples."""

    def __init__(self, contents: Contents, photos: list[int]):
        self._contents = contents
        self._count = len(photos)
        results = [contents.load(n) for n in _spread(contents.drawn, _IMAGES_TRIED)]
        self._images = [result.to_pil(0) for result in results]
        self._points = _mean(min(CURVE_POINTS, len(result.history)) for result in results)
        self._photos = list(_squares(contents, _spread(photos, _PHOTOS_TRIED)))
        self.largest = max((max(image.size) for image in self._images), default=64)
        self._fixed = bundle_bytes() + self._tiles() + self._maps() + self._text()

    def __call__(self, image_px: int, photo_px: int) -> int:
        images = _mean(len(webp(image, image_px)) for image in self._images)
        photos = _mean(len(webp(photo, photo_px)) for photo in self._photos)
        pictures = len(self._contents.drawn) * images + self._count * photos
        return int(self._fixed + _base64(pictures))

    def _tiles(self) -> int:
        from neuron_widget.protocol.encode import thumb

        own = [len(tile) for tile, _ in self._contents.tiles.values()]
        new = len(set(self._contents.drawn) - self._contents.tiles.keys())
        return _base64(sum(own) + new * _mean(len(thumb(image)) for image in self._images))

    def _maps(self) -> int:
        scan, layer = self._contents.scan, self._contents.layer
        if scan is None:
            return 0
        share = 0.5  # of its size, deflated; measured where maps are at hand
        if scan.stored_maps is not None:
            tried = [
                b"".join(map_bytes(m, float(scan.peak[n])) for m in scan.maps(n).values())
                for n in _spread(self._contents.neurons, _MAPS_TRIED)
            ]
            share = _mean(len(zlib.compress(maps)) / len(maps) for maps in tried if maps)
        return _base64(self._contents.shots() * layer.height * layer.width * share)

    def _text(self) -> int:
        contents = self._contents
        text = int(len(contents.drawn) * (_PER_IMAGE + _PER_POINT * self._points))
        if contents.scan is not None:
            text += len(contents.photos()) * _PER_PHOTO + contents.shots() * _PER_SHOT
            text += len(contents.neurons) * _PER_NEURON
        return text


def _squares(contents: Contents, photos: Iterable[int]) -> Iterable[Image.Image]:
    assert contents.scan is not None or not photos
    for photo in photos:
        if contents.scan is not None:
            yield contents.scan.square(photo)


def _base64(size: float) -> int:
    return int(size * 4 / 3)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else 0.0


def _spread(numbers: Iterable[int], most: int) -> list[int]:
    """At most so many, evenly spread."""
    every = list(numbers)
    places = np.unique(np.linspace(0, len(every) - 1, min(most, len(every))).astype(int))
    return [every[i] for i in places]


def webp(image: Image.Image, side: int) -> bytes:
    """WebP, made smaller so that no side is longer than ``side`` pixels."""
    if max(image.size) > side:
        image = image.copy()
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "WEBP", quality=_QUALITY, method=4)
    return buffer.getvalue()
