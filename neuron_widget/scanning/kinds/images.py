"""Lists of paths and of PIL images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from neuron_widget.errors import DatasetError
from neuron_widget.scanning.decode import to_rgb
from neuron_widget.scanning.image_dataset import (
    ImageDataset,
    PicklableLock,
    digest,
    file_state,
)
from neuron_widget.scanning.items import item_state
from neuron_widget.scanning.kinds import DatasetKind

__all__ = ["KIND", "ListDataset"]


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
                item_state(self._items, i)
                if isinstance(item, Image.Image)
                else file_state(os.path.expanduser(item), str(item))
                for i, item in enumerate(self._items)
            )


def _recognises(x: Any) -> bool:
    if isinstance(x, Image.Image):
        return True
    if not isinstance(x, Sequence) or isinstance(x, str | bytes):
        return False
    # Items of a torch data set are that kind's.
    return not (x and isinstance(x[0], Mapping | tuple | list | np.ndarray | torch.Tensor))


def _open(x: Any, split: str, download: bool) -> ImageDataset:
    if isinstance(x, Image.Image):
        raise DatasetError("a single PIL image is no data set; expected a list: [image]")
    return ListDataset(x)


KIND = DatasetKind(
    name="images",
    takes="a list of paths or PIL images",
    order=50,
    recognises=_recognises,
    open=_open,
)
