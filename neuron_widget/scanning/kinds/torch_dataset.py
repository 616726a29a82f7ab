"""Data sets of torch and torchvision, and lists of items such as theirs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from neuron_widget.errors import DatasetError
from neuron_widget.photos.decode import as_image, to_rgb
from neuron_widget.photos.torch_types import is_torchs
from neuron_widget.scanning.foreign import ItemReader
from neuron_widget.scanning.groups import check_groups, groups_state
from neuron_widget.scanning.image_dataset import ImageDataset, digest, digest_images, file_state
from neuron_widget.scanning.items import class_name, item_parts, item_state
from neuron_widget.scanning.kinds import DatasetKind

__all__ = ["KIND", "TorchDataset"]


_CONCAT = "utils.data.ConcatDataset"


class TorchDataset(ImageDataset):
    """A ``torch.utils.data.Dataset`` of images, ``(image, label)`` pairs or dictionaries.

    A list of such items, or a stack of images (array or tensor), is one too. Class names come from
    ``classes``, labels and paths from ``samples`` and ``targets`` where the data set (or the one
    under a ``Subset`` or ``ConcatDataset``) has them as torchvision does, else from the item
    itself. ``groups``, a sequence with one entry a photo, says which photos belong together.
    """

    def __init__(self, dataset: Any) -> None:
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise DatasetError(
                f"{type(dataset).__name__} has no length or no items by number; expected a "
                "map-style data set. Of one that is gone through in order, give a list: "
                "list(itertools.islice(dataset, 1000))"
            )
        if len(dataset) == 0:
            raise DatasetError(f"the data set {type(dataset).__name__} is empty")
        self._dataset = dataset
        self._count = len(dataset)
        self._reader = ItemReader()
        self.name = _torch_name(dataset)
        self.groups = _groups(dataset)
        self._in_memory = all(_is_in_memory(part) for part in _parts(dataset))
        if not self._in_memory:
            self.note = self._reader.settle(self)

    def __len__(self) -> int:
        return self._count

    def load(self, i: int) -> Image.Image:
        """Return photo ``i``, upright, 8-bit RGB; ``DatasetError`` for an item that is none."""
        with self._reader.reading(i):
            image, _ = item_parts(self._dataset[i])
            return to_rgb(as_image(image))

    def label(self, i: int) -> str:
        """Return the class name of photo ``i``."""
        base, j = _base(self._dataset, i)
        target = _entry(base, "targets", j)
        if target is None:
            _, target = _sample(base, j)
        if target is None:
            with self._reader.reading(i):
                _, target = item_parts(self._dataset[i])
        return class_name(target, getattr(base, "classes", None))

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
        everything = self._states() if self._in_memory else (*self._files(), *digest_images(self))
        return digest([self.name, len(self), *everything, *groups_state(self)])

    def _states(self) -> list[object]:
        with self._reader.looking():
            return [item_state(self._dataset, i) for i in range(len(self))]

    def _files(self) -> Iterator[object]:
        for i in range(len(self)):
            file, _ = _sample(*_base(self._dataset, i))
            if file is not None:
                yield file_state(file)


def _is_in_memory(part: Any) -> bool:
    plain = isinstance(part, list | tuple | np.ndarray) and not isinstance(part, np.memmap)
    return plain or is_torchs(part, "Tensor", "utils.data.TensorDataset")


def _parts(dataset: Any) -> Iterator[Any]:
    """The data sets that hold the items, under any ``Subset`` and ``ConcatDataset``."""
    if is_torchs(dataset, _CONCAT):
        for part in dataset.datasets:
            yield from _parts(part)
    elif hasattr(dataset, "dataset") and hasattr(dataset, "indices"):
        yield from _parts(dataset.dataset)
    else:
        yield dataset


def _base(dataset: Any, i: int) -> tuple[Any, int]:
    """The data set that holds photo ``i``, and what the photo is called there."""
    while True:
        if is_torchs(dataset, _CONCAT):
            ends = dataset.cumulative_sizes
            part = bisect_right(ends, i)
            i -= ends[part - 1] if part else 0
            dataset = dataset.datasets[part]
        elif hasattr(dataset, "dataset") and hasattr(dataset, "indices"):
            i = int(dataset.indices[i])
            dataset = dataset.dataset
            if i < 0:
                i += len(dataset)
        else:
            return dataset, i


def _entry(base: Any, name: str, j: int) -> Any:
    """Item ``j`` of a data set's attribute that lists something for each photo; None without one.

    Other libraries call other things by torchvision's names.
    """
    listed: Any = getattr(base, name, None)
    if not (isinstance(listed, list | tuple | np.ndarray) or is_torchs(listed, "Tensor")):
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


def _groups(dataset: Any) -> Sequence[Hashable] | None:
    """The groups that a data set declares, or those under a ``Subset`` or ``ConcatDataset``.

    Equal entries of two data sets joined are one group. What is no sequence is something else.
    """
    own = getattr(dataset, "groups", None)
    listed = isinstance(own, Sequence) or hasattr(own, "tolist") or hasattr(own, "to_list")
    if listed and not isinstance(own, str | bytes):
        return check_groups(own, len(dataset))
    if is_torchs(dataset, _CONCAT):
        parts = [(_groups(part), len(part)) for part in dataset.datasets]
        if all(groups is None for groups, _ in parts):
            return None
        return [group for groups, n in parts for group in groups or [None] * n]
    if hasattr(dataset, "dataset") and hasattr(dataset, "indices"):
        below = _groups(dataset.dataset)
        return None if below is None else [below[int(i)] for i in dataset.indices]
    return None


def _torch_name(dataset: Any) -> str:
    parts = list(_parts(dataset))
    if len(parts) > 1:
        return "ConcatDataset"
    root = getattr(parts[0], "root", None)
    title = type(parts[0]).__name__
    return f"{title} {Path(root).name}" if isinstance(root, str | Path) else title


KIND = DatasetKind(
    name="torch",
    takes="a torch data set, its DataLoader or a list of its items",
    order=60,
    recognises=lambda x: hasattr(x, "__getitem__") or hasattr(x, "__iter__"),
    open=lambda x, split, download: TorchDataset(x),
)
