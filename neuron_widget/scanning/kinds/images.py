"""Paths and PIL images: in a list, an array, or a column of a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from neuron_widget.errors import DatasetError
from neuron_widget.photos.decode import to_rgb
from neuron_widget.photos.files import open_photo, photo_bytes
from neuron_widget.photos.torch_types import is_torchs
from neuron_widget.scanning.image_dataset import (
    ImageDataset,
    PicklableLock,
    digest,
    file_state,
)
from neuron_widget.scanning.items import class_name, item_parts, item_state
from neuron_widget.scanning.kinds import DatasetKind

__all__ = ["KIND", "ListDataset"]


class ListDataset(ImageDataset):
    """Paths, PIL images, pairs of one of these and a label, or all of them.

    Parameters
    ----------
    items
        One a photo.
    name
        What to call the data set.

    Raises ``DatasetError`` naming the first item that is none of these.
    """

    def __init__(self, items: Iterable[Any], name: str = "list") -> None:
        self.name = name
        self._lock = PicklableLock()
        self._items: list[str | Path | Image.Image] = []
        self._labels: list[str] = []
        for i, item in enumerate(items):
            pair = isinstance(item, tuple | list) and len(item) > 0
            photo, label = item_parts(item) if pair else (item, None)
            if not isinstance(photo, str | os.PathLike | Image.Image):
                raise DatasetError(
                    f"item {i} of the list is a {type(photo).__name__}; expected a path, a PIL "
                    "image, or a pair (path, label)"
                )
            if isinstance(photo, str) and not photo.strip():
                raise DatasetError(f"item {i} of the list is an empty text; expected a path")
            self._items.append(photo if isinstance(photo, str | Image.Image) else Path(photo))
            self._labels.append(class_name(label, None))
        if not self._items:
            raise DatasetError("the list of images is empty; expected paths or PIL images")

    def __len__(self) -> int:
        return len(self._items)

    def load(self, i: int) -> Image.Image:
        """Return photo ``i``, upright, 8-bit RGB."""
        item = self._items[i]
        if isinstance(item, Image.Image):
            with self._lock:  # a lazily opened image reads its file at first use
                return to_rgb(item)
        return open_photo(Path(item).expanduser())

    def encoded(self, i: int) -> bytearray | None:
        """Return the file of photo ``i``, where there is one."""
        item = self._items[i]
        if isinstance(item, Image.Image) or not self._loads_as(ListDataset):
            return None
        return photo_bytes(os.path.expanduser(item))

    def label(self, i: int) -> str:
        """Return the label that came with photo ``i``, ``""`` where there is none."""
        return self._labels[i]

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
                item_state(self._items, i)
                if isinstance(item, Image.Image)
                else file_state(os.path.expanduser(item), str(item))
                for i, item in enumerate(self._items)
            )


def _is_table(x: Any) -> bool:
    """Whether it is a table of pandas, polars or pyarrow; none of them is imported."""
    return hasattr(x, "columns") and any(hasattr(x, name) for name in ("iloc", "to_pandas"))


def _is_column(x: Any) -> bool:
    """Whether it is a column of a table, or an array of one axis."""
    lists = ("to_list", "to_pylist")
    return getattr(x, "ndim", 1) == 1 and (
        isinstance(x, np.ndarray) or any(hasattr(x, name) for name in lists)
    )


def _recognises(x: Any) -> bool:
    if isinstance(x, Image.Image) or _is_table(x) or _is_column(x):
        return True
    if not isinstance(x, Sequence) or isinstance(x, str | bytes):
        return False
    first = x[0] if len(x) else None
    if isinstance(first, tuple | list) and first and isinstance(first[0], str | os.PathLike):
        return True
    # Items of a torch data set are that kind's.
    return not (
        isinstance(first, Mapping | tuple | list | np.ndarray) or is_torchs(first, "Tensor")
    )


def _open(x: Any, split: str, download: bool) -> ImageDataset:
    if isinstance(x, Image.Image):
        raise DatasetError("a single PIL image is no data set; expected a list: [image]")
    if _is_table(x):
        columns = ", ".join(map(str, getattr(x, "column_names", x.columns)))
        raise DatasetError(
            f"a table is no data set; its columns are {columns}. Give the column of paths, "
            "table['path'], or pairs: list(zip(table['path'], table['label']))"
        )
    if hasattr(x, "to_pylist"):  # pyarrow's own values are no texts
        x = x.to_pylist()
    return ListDataset(x)


KIND = DatasetKind(
    name="images",
    takes="paths, PIL images or pairs (path, label)",
    order=50,
    recognises=_recognises,
    open=_open,
)
