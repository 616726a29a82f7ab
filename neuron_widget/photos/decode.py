"""From whatever a photo is stored as to the square the network sees.

The steps are those of ImageNet evaluation: RGB, shorter side to 256 (for 224 pixels of input,
in proportion otherwise) with PIL's antialiased bilinear filter, centre crop.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from neuron_widget.errors import DatasetError
from neuron_widget.photos.torch_types import is_torchs

__all__ = ["as_image", "resized_side", "square", "to_rgb"]

_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
# A resized or blurred tensor may leave 0..1 by a rounding error; a normalised one leaves it by far.
_RANGE_SLACK = 0.02
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Longer sides, in shorter sides, are cut to it: far more than the centre square, and no panorama.
_LONGEST = 8


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image upright (EXIF) in 8-bit RGB.

    16-bit and 32-bit greys are scaled to 0..255 (never clipped), transparent parts are laid over
    white, as a browser shows them. CMYK and palettes go through PIL's own conversion.
    """
    image.load()  # a TIFF turns itself
    # Not Pillow's exif_transpose: it writes all of the Exif anew, and fails on odd tags in it.
    orientation: Any = image.getexif().get(ExifTags.Base.Orientation)
    turn = _TURNS.get(orientation)
    image = image.copy() if turn is None else image.transpose(turn)
    if image.mode == "RGB":
        return image
    if image.mode in _SIXTEEN_BIT:
        return _grey(np.asarray(image).astype(np.float64), 65535.0)
    if image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image).astype(np.float64))
        return _grey(values, _full_scale(float(values.max(initial=0.0)), image.mode))
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _full_scale(largest: float, mode: str) -> float:
    """White of an image whose mode does not tell: the smallest of the usual scales that fits."""
    scales = (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0)
    return next((scale for scale in scales if largest <= scale), largest)


def _grey(values: NDArray[np.float64], white: float) -> Image.Image:
    levels = np.clip(np.rint(values * (255.0 / white)), 0, 255).astype(np.uint8)
    return Image.fromarray(levels).convert("RGB")


def as_image(value: Any, what: str = "an item of the data set") -> Image.Image:
    """Return a PIL image made from a PIL image, a tensor or an array.

    Tensors are ``(H, W)``, ``(1, H, W)`` or ``(3, H, W)``, arrays may also be ``(H, W, 3)``;
    floats in 0..1 or uint8; errors call it ``what``. Raises ``DatasetError`` for anything else:
    values outside 0..1 mean that the data set normalises its images, which would be done twice.
    """
    if isinstance(value, Image.Image):
        return value
    if is_torchs(value, "Tensor"):
        value = value.detach().cpu().numpy()
    if not isinstance(value, np.ndarray):
        raise DatasetError(
            f"{what} is a {type(value).__name__}; expected a PIL image, "
            "a tensor (3, H, W) in 0..1, or a pair (image, label)"
        )
    array = value
    if not array.size:
        raise DatasetError(
            f"an item of the data set has shape {array.shape}, so no pixel; expected (3, H, W)"
        )
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise DatasetError(
            f"{what} has shape {tuple(value.shape)}; expected (3, H, W), (1, H, W) or (H, W, 3)"
        )
    if array.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(array))
    if array.dtype.kind != "f":
        raise DatasetError(
            f"{what} has values of type {array.dtype}; expected uint8 or floats in 0..1"
        )
    low, high = float(array.min()), float(array.max())
    if not (low >= -_RANGE_SLACK and high <= 1 + _RANGE_SLACK):
        way_out = (
            "Divide them by 255, or give them as uint8"
            if low >= 0 and high <= 255
            else "Give the data set without Normalize: the model's own preprocessing follows"
        )
        raise DatasetError(f"{what} has values in {low:.3g}..{high:.3g}; expected 0..1. {way_out}")
    levels = np.rint(np.clip(array.astype(np.float64), 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(levels))


def resized_side(input_size: int) -> int:
    """Shorter side before the centre crop: 256 for an input of 224, in proportion otherwise."""
    return round(256 * input_size / 224)


def square(image: Image.Image, input_size: int) -> Image.Image:
    """Return the ``input_size`` square that the network sees of an RGB image.

    What torchvision's ``Resize`` (bilinear, antialiased) and ``CenterCrop`` give, to the pixel;
    torchvision itself takes seconds to import.
    """
    image = _middle(image)
    shorter, side = min(image.size), resized_side(input_size)
    width, height = (int(side * length / shorter) for length in image.size)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (round((length - input_size) / 2) for length in (width, height))
    return resized.crop((left, top, left + input_size, top + input_size))


def _middle(image: Image.Image) -> Image.Image:
    """The image without the far ends of a very long side, which the centre crop leaves out anyway.

    Resized whole, a line of 1 x 8000 pixels would take gigabytes.
    """
    width, height = image.size
    longest = _LONGEST * min(width, height)
    # As much from either end, so that the centre stays where it is.
    x, y = (max(0, (side - longest) // 2) for side in image.size)
    return image.crop((x, y, width - x, height - y)) if x or y else image
