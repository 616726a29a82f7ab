"""One way in for photos of every kind: :func:`open_dataset`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from neuron_widget.errors import DatasetError, nearest
from neuron_widget.names import path_as_typed
from neuron_widget.scanning.folders import choose_split, open_folder
from neuron_widget.scanning.image_dataset import ImageDataset
from neuron_widget.scanning.samples import SampleCrops
from neuron_widget.scanning.wrapped import HuggingFaceDataset, ListDataset, TorchDataset

__all__ = ["ImageDataset", "open_dataset"]

_NAMES = ("samples", "imagenette")


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
    if isinstance(x, str | Path):
        return _open_named(x, split, download)
    if isinstance(x, Image.Image):
        raise DatasetError("a single PIL image is no data set; expected a list: [image]")
    if isinstance(x, Mapping):  # a DatasetDict, or a plain dictionary of splits
        if not x:
            raise DatasetError("the dictionary of splits is empty")
        by_name = {str(name): dataset for name, dataset in x.items()}
        chosen = choose_split(split, list(by_name), "the dictionary of data sets")
        return open_dataset(by_name[chosen], split=split, download=download)
    if hasattr(x, "features") and hasattr(x, "column_names"):
        return HuggingFaceDataset(x)
    if isinstance(x, Sequence):
        is_item = x and isinstance(x[0], Mapping | tuple | list | np.ndarray | torch.Tensor)
        return TorchDataset(x) if is_item else ListDataset(x)
    if hasattr(x, "__getitem__") or hasattr(x, "__iter__"):
        return TorchDataset(x)
    raise DatasetError(
        f"cannot read {type(x).__name__} {x!r} as a data set; expected a folder, 'samples', "
        "'imagenette', a torch or Hugging Face data set, or a list of paths or PIL images"
    )


def _open_named(x: str | Path, split: str, download: bool) -> ImageDataset:
    x = path_as_typed(x) if isinstance(x, str) else x
    # A folder called "samples" is reached as "./samples".
    if x == "samples":
        return SampleCrops()
    if x == "imagenette":
        from neuron_widget.scanning.imagenette import open_imagenette

        return open_imagenette(split, download)
    if isinstance(x, str) and "/" not in x and "\\" not in x and not Path(x).exists():
        hint = nearest(x, _NAMES)
        if hint:
            raise DatasetError(f"no folder or data set {x!r}; {hint}")
    return open_folder(Path(x), split)
