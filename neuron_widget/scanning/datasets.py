"""One way in for photos of every kind: :func:`open_dataset`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuron_widget.errors import DatasetError, nearest
from neuron_widget.names import path_as_typed
from neuron_widget.scanning.image_dataset import ImageDataset
from neuron_widget.scanning.kinds import all_kinds
from neuron_widget.scanning.splits import choose_split

__all__ = ["open_dataset"]


def open_dataset(x: Any, *, split: str = "train", download: bool = False) -> ImageDataset:
    """Open photos.

    Parameters
    ----------
    x
        A folder of images (nested or flat, class folders, or a root with split folders), a torch
        ``Dataset``, a Hugging Face ``Dataset`` or ``DatasetDict``, ``"imagenette"``, ``"samples"``
        (built in), a list of paths, PIL images or items of a torch ``Dataset``, or an open
        :class:`ImageDataset`.
    split
        ``"train"`` or ``"val"`` (also called valid, validation, test), where ``x`` has splits.
    download
        Whether ``"imagenette"`` may be downloaded.

    Raises
    ------
    DatasetError
        For what is missing, empty or cannot be read as photos.

    Examples
    --------
    >>> from neuron_widget import open_dataset
    >>> photos = open_dataset("samples")
    >>> len(photos), photos.label(0), photos.load_square(0, 224).size
    (485, 'astronaut', (224, 224))
    """
    if not isinstance(split, str):
        raise TypeError(f"split must be a name such as 'train' or 'val', got {split!r}")
    if isinstance(x, ImageDataset):
        return x
    if isinstance(x, Mapping):  # a DatasetDict, or a plain dictionary of splits
        if not x:
            raise DatasetError("the dictionary of splits is empty")
        by_name = {str(name): dataset for name, dataset in x.items()}
        chosen = choose_split(split, list(by_name), "the dictionary of data sets")
        return open_dataset(by_name[chosen], split=split, download=download)
    if isinstance(x, str):
        x = path_as_typed(x)
        _refuse_mistyped(x)
    for kind in all_kinds():
        if kind.recognises(x):
            return kind.open(x, split, download)
    takes = [kind.takes for kind in all_kinds()]
    raise DatasetError(
        f"cannot read {type(x).__name__} {x!r} as a data set; expected "
        f"{', '.join(takes[:-1])} or {takes[-1]}"
    )


def _refuse_mistyped(name: str) -> None:
    words = [word for kind in all_kinds() for word in kind.words]
    if name in words or "/" in name or "\\" in name or Path(name).exists():
        return
    hint = nearest(name, words)
    if hint:
        raise DatasetError(f"no folder or data set {name!r}; {hint}")
