"""What an item of a foreign data set holds: the image, its label, and what tells it from others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from neuron_widget.errors import DatasetError
from neuron_widget.photos.torch_types import is_torchs
from neuron_widget.scanning.image_dataset import file_state

__all__ = ["IMAGE_NAMES", "LABEL_NAMES", "choose_column", "class_name", "item_parts", "item_state"]

# What people call the columns of a table and the keys of an item.
IMAGE_NAMES = ("image", "img", "jpg", "png", "pixel_values")
LABEL_NAMES = ("label", "labels", "cls", "class")


def item_parts(item: Any) -> tuple[Any, Any]:
    """Image and label (``None``: none) of an item of a torch data set."""
    if isinstance(item, Mapping):
        key = choose_column(item, "", IMAGE_NAMES)
        if key is None:
            raise DatasetError(
                f"an item of the data set is a dictionary of {', '.join(map(str, item))}; "
                "expected the key 'image'"
            )
        return item[key], item.get(choose_column(item, "", LABEL_NAMES))
    if isinstance(item, tuple | list):
        return item[0], item[1] if len(item) > 1 else None
    return item, None


def item_state(items: Any, i: int) -> object:
    """What changes when a photo in memory does."""
    try:
        value, _ = item_parts(items[i])
        return _pixels(value)
    except Exception as error:  # noqa: BLE001  (an unreadable photo is part of the identity too)
        return type(error).__name__


def _pixels(value: Any) -> object:
    """Size and hash of the raw pixels; a file that was opened lazily is not decoded for it."""
    if isinstance(value, Image.Image):
        file = getattr(value, "filename", "")
        if file and os.path.exists(file) and _as_in_file(value, file):
            # Mode, size and frame: thumbnail() and seek() change an image that came from a file.
            return (*file_state(file), value.mode, value.size, value.tell())
        colours = value.getpalette(), value.info.get("transparency")
        return value.mode, value.size, colours, hashlib.sha256(value.tobytes()).hexdigest()
    if is_torchs(value, "Tensor"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        pixels = hashlib.sha256(np.ascontiguousarray(value).data)
        return value.dtype.str, value.shape, pixels.hexdigest()
    return type(value).__name__  # no photo: the scan skips it


def _as_in_file(image: Image.Image, file: str) -> bool:
    """Whether an image that was opened still shows what is in its file: it may be drawn on."""
    if getattr(image, "tile", None):
        return True  # not decoded yet
    try:
        with Image.open(file) as again:
            again.seek(image.tell())
            same = again.tobytes() == image.tobytes()
            return same and (again.mode, again.size) == (image.mode, image.size)
    except Exception:  # noqa: BLE001  (no photo any more, or another kind of one)
        return False


def class_name(target: Any, names: Sequence[Any] | None) -> str:
    """Return a label as text: the name of a class number where ``names`` has it."""
    if target is None:
        return ""
    if hasattr(target, "item") and getattr(target, "ndim", 0) == 0:
        target = target.item()
    if isinstance(target, int) and names is not None and 0 <= target < len(names):
        name = names[target]
        # Imagenette gives each class as a tuple of synonyms.
        return str(name[0] if isinstance(name, tuple | list) else name)
    return str(target) if isinstance(target, str | int) else ""


def choose_column(features: Mapping[str, Any], kind: str, usual: tuple[str, ...]) -> str | None:
    """The first column of a feature type, else the first with a usual name."""
    typed = [name for name, feature in features.items() if type(feature).__name__ == kind]
    return next((name for name in (*typed, *usual) if name in features), None)
