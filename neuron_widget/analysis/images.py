"""One image in any of the forms that people hold: PIL, array or tensor, also a batch of one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from neuron_widget.errors import WrongType, WrongValue

__all__ = ["ImageLike", "as_picture", "as_unit_floats"]

ImageLike = Image.Image | Tensor | NDArray[Any]

_FORMS = "a PIL image, or an array or tensor (3, H, W), (1, 3, H, W) or (H, W, 3)"
# A resized image may leave 0..1 by a rounding error; a normalised one leaves it by far.
_RANGE_SLACK = 0.02


def as_picture(image: ImageLike, name: str = "image") -> Image.Image | NDArray[Any]:
    """Return a PIL image as it is, and anything else as an array ``(H, W, 3)``.

    Parameters
    ----------
    image
        A PIL image; or an array or tensor ``(3, H, W)``, ``(H, W, 3)``, grey ``(1, H, W)`` or
        ``(H, W)``, or a batch of one of these, such as ``(1, 3, H, W)``. uint8, or floats in 0..1.
    name
        What errors call it.

    Raises
    ------
    TypeError
        For what is no image.
    ValueError
        For another shape, several images, or values that are neither uint8 nor floats in 0..1.
    """
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, Tensor):
        image = image.detach().cpu()
        # numpy has no bfloat16.
        array = (image.float() if image.is_floating_point() else image).numpy()
    elif isinstance(image, np.ndarray):
        array = image
    else:
        hint = "; open a file with PIL.Image.open" if isinstance(image, str) else ""
        raise WrongType(f"{name} must be {_FORMS}, got {type(image).__name__} {image!r}{hint}")
    return _in_range(_as_rows(array, name), name)


def as_unit_floats(picture: Image.Image | NDArray[Any]) -> NDArray[np.float32]:
    """Return what :func:`as_picture` gave as floats ``(H, W, 3)`` in 0..1."""
    array = np.asarray(picture.convert("RGB") if isinstance(picture, Image.Image) else picture)
    floats: NDArray[np.float32] = array.astype(np.float32, copy=False)
    return floats / np.float32(255) if array.dtype == np.uint8 else floats


def _as_rows(array: NDArray[Any], name: str) -> NDArray[Any]:
    """``(H, W, 3)``."""
    shape = array.shape
    if array.ndim == 4:
        if shape[0] > 1:
            raise WrongValue(f"{name} has shape {shape}, {shape[0]} images; give one: {name}[0]")
        array = array[0] if shape[0] else array
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim == 3 and array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise WrongValue(f"{name} has shape {shape}; expected {_FORMS}")
    return array


def _in_range(array: NDArray[Any], name: str) -> NDArray[Any]:
    """The same array: uint8, or floats in 0..1."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise WrongValue(
            f"{name} has values of type {array.dtype}; expected uint8 or floats in 0..1"
        )
    low, high = float(array.min()), float(array.max())
    if not (low >= -_RANGE_SLACK and high <= 1 + _RANGE_SLACK):
        way_out = (
            f"divide it by 255: {name} / 255"
            if low >= 0 and high <= 255
            else "undo its normalisation, the network's own preprocessing follows"
        )
        raise WrongValue(f"{name} has values in {low:.3g}..{high:.3g}; expected 0..1: {way_out}")
    return array if low >= 0 and high <= 1 else array.clip(0, 1)
