"""Colour, contrast and pattern labels of images, on 0..255 as people read pixel values."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuron_widget.errors import WrongValue

__all__ = ["ColourStatistics", "colour_statistics", "contrast", "pattern_labels"]

_CONTRAST, _BRIGHT, _DARK = 50.0, 150.0, 100.0


class ColourStatistics(TypedDict):
    """Mean and standard deviation over all pixels of red, green and blue, 0..255."""

    mean_rgb: list[float]
    std_rgb: list[float]


def colour_statistics(image: Image.Image | NDArray[Any]) -> ColourStatistics:
    """Return mean and standard deviation of each colour on 0..255.

    Parameters
    ----------
    image
        A PIL image, or ``(H, W, 3)``: uint8, or floats in 0..1.

    Raises
    ------
    ValueError
        For another shape, or floats outside 0..1 (a normalised image has no colours to speak of).
    """
    pixels = _levels(image).reshape(-1, 3)
    return {"mean_rgb": pixels.mean(axis=0).tolist(), "std_rgb": pixels.std(axis=0).tolist()}


def contrast(image: Image.Image | NDArray[Any]) -> float:
    """Return the standard deviation of all values of the image, 0..127.5."""
    return float(_levels(image).std())


def pattern_labels(image: Image.Image | NDArray[Any]) -> list[str]:
    """Return what the numbers say about the image, in words.

    ``"High contrast/texture"`` (standard deviation above 50), ``"Bright colors"`` (mean above
    150), ``"Dark colors"`` (mean below 100), all on 0..255; often none of them.
    """
    levels = _levels(image)
    mean = float(levels.mean())
    labels = {
        "High contrast/texture": float(levels.std()) > _CONTRAST,
        "Bright colors": mean > _BRIGHT,
        "Dark colors": mean < _DARK,
    }
    return [label for label, holds in labels.items() if holds]


def _levels(image: Image.Image | NDArray[Any]) -> NDArray[np.float64]:
    """``(H, W, 3)`` on 0..255."""
    array = np.asarray(image.convert("RGB") if isinstance(image, Image.Image) else image)
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise WrongValue(f"expected an image of shape (H, W, 3), got {array.shape}")
    levels = array.astype(np.float64)
    if array.dtype == np.uint8:
        return levels
    if not (levels.min() >= 0 and levels.max() <= 1):
        raise WrongValue(
            f"expected floats in 0..1 or uint8, got {array.dtype} in "
            f"{levels.min():.3g}..{levels.max():.3g}"
        )
    return levels * 255
