"""Data sets of other libraries, and plain lists, seen as an :class:`ImageDataset`.

Nothing promises that a foreign data set may be read by several threads at once, so these read
under a lock; resizing still runs in parallel.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from neuron_widget.errors import DatasetError
from neuron_widget.scanning.decode import as_image, to_rgb
from neuron_widget.scanning.image_dataset import (
    ImageDataset,
    PicklableLock,
    digest,
    digest_images,
    file_state,
)

__all__ = ["HuggingFaceDataset", "ListDataset", "TorchDataset"]

# What people call the columns of a table and the keys of an item.
_IMAGES = ("image", "img", "jpg", "png", "pixel_values")
_LABELS = ("label", "labels", "cls", "class")


class TorchDataset(ImageDataset):
    """A ``torch.utils.data.Dataset`` of images, ``(image, label)`` pairs or dictionaries.

    A list of such items, or a stack of images (array or tensor), is one too. Class names come from
    ``classes``, labels and paths from ``samples`` and ``targets`` where the data set (or the one
    under a ``Subset``) has them as torchvision does, else from the item itself.
    """

    def __init__(self, dataset: Any) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise DatasetError(
                f"{type(dataset).__name__} has no length or no items by number; expected a "
                "map-style data set. Make a list of an iterable one first"
            )
        if len(dataset) == 0:
            raise DatasetError(f"the data set {type(dataset).__name__} is empty")
        self._dataset = dataset
        self._lock = PicklableLock()
        self.name = _torch_name(dataset)

    def __len__(self) -> int:
        return len(self._dataset)

    def load(self, i: int) -> Image.Image:
        """Return photo ``i``, upright, 8-bit RGB; ``DatasetError`` for an item that is none."""
        with self._lock:
            image, _ = _parts(self._dataset[i])
            return to_rgb(as_image(image))

    def label(self, i: int) -> str:
        """Return the class name of photo ``i``."""
        base, j = _base(self._dataset, i)
        target = _entry(base, "targets", j)
        if target is None:
            _, target = _sample(base, j)
        if target is None:
            with self._lock:
                _, target = _parts(self._dataset[i])
        return _class_name(target, getattr(base, "classes", None))

    def path(self, i: int) -> str:
        """Return the file of photo ``i``, or ``"name[i]"``."""
        file, _ = _sample(*_base(self._dataset, i))
        return file or f"{self.name}[{i}]"

    @cached_property
    def fingerprint(self) -> str:
        """Hash of type, length, and all photos that are in memory or are files of ``samples``.

        Of any other data set, which only reading it whole would tell, a sample of eight photos
        speaks for the rest: a change to one of the others goes unseen. The sample also tells
        transforms of the same files apart.
        """
        everything = self._in_memory() or (*self._files(), *digest_images(self))
        return digest([self.name, len(self), *everything])

    def _in_memory(self) -> list[object]:
        """The state of each photo of a list or a stack; nothing for a data set of another kind."""
        base, _ = _base(self._dataset, 0)
        kinds = (list, tuple, np.ndarray, torch.Tensor, TensorDataset)
        if not isinstance(base, kinds) or isinstance(base, np.memmap):
            return []
        with self._lock:
            return [_state(self._dataset, i) for i in range(len(self))]

    def _files(self) -> Iterator[object]:
        for i in range(len(self)):
            file, _ = _sample(*_base(self._dataset, i))
            if file is not None:
                yield file_state(file)


class HuggingFaceDataset(ImageDataset):
    """A data set of the ``datasets`` library, known by its ``features``; never imported here."""

    def __init__(self, dataset: Any) -> None:
        if not hasattr(dataset, "__len__"):
            raise DatasetError(
                "a streamed Hugging Face data set has no length; expected one loaded with "
                "streaming=False, or list(dataset.take(1000)) of it"
            )
        if len(dataset) == 0:
            raise DatasetError("the Hugging Face data set is empty")
        features = dict(dataset.features or {})
        self._image = _column(features, "Image", _IMAGES)
        if self._image is None:
            raise DatasetError(
                f"no image column in the data set; its columns are {', '.join(features)}. "
                "Cast one with dataset.cast_column(name, datasets.Image())"
            )
        self._label = _column(features, "ClassLabel", _LABELS)
        self._names = getattr(features.get(self._label or ""), "names", None)
        self._dataset = dataset
        # Labels alone: reading a row of the whole data set would decode its image.
        self._labels = (
            dataset.select_columns([self._label])
            if self._label is not None and hasattr(dataset, "select_columns")
            else dataset
        )
        self._lock = PicklableLock()
        info = getattr(dataset, "info", None)
        split = getattr(dataset, "split", None)
        title = str(getattr(info, "dataset_name", None) or "huggingface")
        self.name = f"{title}/{split}" if split else title

    def __len__(self) -> int:
        return len(self._dataset)

    def load(self, i: int) -> Image.Image:
        """Return photo ``i``, upright, 8-bit RGB."""
        with self._lock:
            value = self._dataset[i][self._image]
            if isinstance(value, dict):  # Image(decode=False)
                source = value.get("bytes")
                value = Image.open(io.BytesIO(source) if source else str(value["path"]))
            return to_rgb(as_image(value))

    def label(self, i: int) -> str:
        """Return the class name of photo ``i``."""
        if self._label is None:
            return ""
        with self._lock:
            return _class_name(self._labels[i][self._label], self._names)

    def path(self, i: int) -> str:
        """Return ``"name[i]"``: the rows of an Arrow table are no files."""
        return f"{self.name}[{i}]"

    @cached_property
    def fingerprint(self) -> str:
        """The library's own fingerprint, else a hash of length and a sample of eight images."""
        own = getattr(self._dataset, "_fingerprint", None)
        return digest([own, len(self)] if own else [self.name, len(self), *digest_images(self)])


class ListDataset(ImageDataset):
    """A list of paths, PIL images, or both."""

    def __init__(self, items: Sequence[str | Path | Image.Image], name: str = "list") -> None:
        if len(items) == 0:
            raise DatasetError("the list of images is empty; expected paths or PIL images")
        for i, item in enumerate(items):
            if not isinstance(item, str | Path | Image.Image):
                raise DatasetError(
                    f"item {i} of the list is a {type(item).__name__}; expected a path or a "
                    "PIL image"
                )
        self.name = name
        self._items = list(items)
        self._lock = PicklableLock()

    def __len__(self) -> int:
        return len(self._items)

    def load(self, i: int) -> Image.Image:
        """Return photo ``i``, upright, 8-bit RGB."""
        item = self._items[i]
        if isinstance(item, Image.Image):
            with self._lock:  # a lazily opened image reads its file at first use
                return to_rgb(item)
        with Image.open(Path(item).expanduser()) as image:
            return to_rgb(image)

    def label(self, i: int) -> str:  # noqa: ARG002  (a list has no labels)
        """Return ``""``."""
        return ""

    def path(self, i: int) -> str:
        """Return the file of photo ``i``, or ``"list[i]"``."""
        item = self._items[i]
        if isinstance(item, Image.Image):
            return str(getattr(item, "filename", "") or f"{self.name}[{i}]")
        return str(item)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all photos: pixels of those in memory, state of the files of the others."""
        with self._lock:
            return digest(
                _state(self._items, i)
                if isinstance(item, Image.Image)
                else file_state(os.path.expanduser(item), str(item))
                for i, item in enumerate(self._items)
            )


def _state(items: Any, i: int) -> object:
    """What changes when a photo in memory does."""
    try:
        value, _ = _parts(items[i])
        return _pixels(value)
    except Exception as error:  # noqa: BLE001  (an unreadable photo is part of the identity too)
        return type(error).__name__


def _pixels(value: Any) -> object:
    """Size and hash of the raw pixels; a file that was opened lazily is not decoded for it."""
    if isinstance(value, Image.Image):
        file = getattr(value, "filename", "")
        if file and os.path.exists(file):
            # Mode, size and frame: thumbnail() and seek() change an image that came from a file.
            return (*file_state(file), value.mode, value.size, value.tell())
        colours = value.getpalette(), value.info.get("transparency")
        return value.mode, value.size, colours, hashlib.sha256(value.tobytes()).hexdigest()
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        pixels = hashlib.sha256(np.ascontiguousarray(value).data)
        return value.dtype.str, value.shape, pixels.hexdigest()
    return type(value).__name__  # no photo: the scan skips it


def _parts(item: Any) -> tuple[Any, Any]:
    """Image and label (``None``: none) of an item of a torch data set."""
    if isinstance(item, Mapping):
        key = _column(item, "", _IMAGES)
        if key is None:
            raise DatasetError(
                f"an item of the data set is a dictionary of {', '.join(map(str, item))}; "
                "expected the key 'image'"
            )
        return item[key], item.get(_column(item, "", _LABELS))
    if isinstance(item, tuple | list):
        return item[0], item[1] if len(item) > 1 else None
    return item, None


def _base(dataset: Any, i: int) -> tuple[Any, int]:
    """The data set under any ``Subset``, and what photo ``i`` is called there."""
    while hasattr(dataset, "dataset") and hasattr(dataset, "indices"):
        i = int(dataset.indices[i])
        dataset = dataset.dataset
    return dataset, i


def _entry(base: Any, name: str, j: int) -> Any:
    """Item ``j`` of a data set's attribute that lists something for each photo; None without one.

    Other libraries call other things by torchvision's names.
    """
    listed = getattr(base, name, None)
    if not isinstance(listed, list | tuple | np.ndarray | torch.Tensor):
        return None
    return listed[j] if getattr(listed, "ndim", 1) and len(listed) == len(base) else None


def _sample(base: Any, j: int) -> tuple[str | None, Any]:
    """File and class of a photo as ``samples`` says them, None for each that it does not."""
    sample = _entry(base, "samples", j)
    if isinstance(sample, str | Path):
        return str(sample), None
    if isinstance(sample, tuple | list) and len(sample) > 1 and isinstance(sample[0], str | Path):
        return str(sample[0]), sample[1]
    return None, None


def _torch_name(dataset: Any) -> str:
    base, _ = _base(dataset, 0)
    root = getattr(base, "root", None)
    title = type(base).__name__
    return f"{title} {Path(root).name}" if isinstance(root, str | Path) else title


def _class_name(target: Any, names: Sequence[Any] | None) -> str:
    if target is None:
        return ""
    if hasattr(target, "item") and getattr(target, "ndim", 0) == 0:
        target = target.item()
    if isinstance(target, int) and names is not None and 0 <= target < len(names):
        name = names[target]
        # Imagenette gives each class as a tuple of synonyms.
        return str(name[0] if isinstance(name, tuple | list) else name)
    return str(target) if isinstance(target, str | int) else ""


def _column(features: Mapping[str, Any], kind: str, usual: tuple[str, ...]) -> str | None:
    """The first column of a feature type, else the first with a usual name."""
    typed = [name for name, feature in features.items() if type(feature).__name__ == kind]
    return next((name for name in (*typed, *usual) if name in features), None)
