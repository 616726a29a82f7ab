"""One way in for photos of every kind: :func:`open_dataset`."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Set, ValuesView
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from neuron_widget.errors import DatasetError, WrongType, nearest
from neuron_widget.names import as_path, path_as_typed
from neuron_widget.photos.torch_types import is_torchs
from neuron_widget.scanning.groups import GroupedDataset
from neuron_widget.scanning.image_dataset import ImageDataset, join_notes
from neuron_widget.scanning.kinds import DatasetKind, Opening, all_kinds
from neuron_widget.scanning.splits import choose_split, split_group, without_splits

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

__all__ = ["open_dataset", "open_dataset_steps"]

_ITEMS = (str, os.PathLike, Image.Image, Mapping, tuple, list, np.ndarray)
_SLICE = 500  # items of an iterator between two chances to stop
_MOST_ITEMS = 20_000_000


def open_dataset(
    x: Any,
    *,
    split: str = "train",
    download: bool = False,
    groups: Sequence[Any] | None = None,
) -> ImageDataset:
    """Open photos.

    Parameters
    ----------
    x
        A folder of images (nested or flat, class folders, or a root with split folders), a pattern
        (``"photos/*.jpg"``), tars as WebDataset has them (``"photos-{000..099}.tar"``, or their
        folder), a torch ``Dataset`` or ``DataLoader``, a Hugging Face ``Dataset`` or
        ``DatasetDict``, ``"imagenette"``, ``"samples"`` (built in), paths, PIL images or pairs
        (path, label) in a list, an array, a pandas Series or an iterator, a list of items of a
        torch ``Dataset``, or an :class:`ImageDataset`: an open one, or one of your own making.
    split
        ``"train"`` or ``"val"`` (also called valid, validation, test), where ``x`` has splits.
    download
        Whether ``"imagenette"`` may be downloaded.
    groups
        What each photo belongs to, one entry a photo, ``None`` for a photo that stands alone: the
        video that it is a frame of, the patient that it shows. At most two photos of one group
        are among a neuron's photos at either end. A torch ``Dataset`` with an attribute ``groups``
        says it itself.

    Raises
    ------
    DatasetError
        For what is missing, empty or cannot be read as photos, and for groups that do not fit.

    See Also
    --------
    open_dataset_steps : The same in steps that can be stopped.
    neuron_widget.scanning.kinds : How to add a kind of data set.

    Examples
    --------
    >>> from neuron_widget import open_dataset
    >>> photos = open_dataset("samples")
    >>> len(photos), photos.label(0), photos.load_square(0, 224).size
    (485, 'astronaut', (224, 224))
    """
    steps = open_dataset_steps(x, split=split, download=download, groups=groups)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            dataset: ImageDataset = end.value
            return dataset


def open_dataset_steps(
    x: Any,
    *,
    split: str = "train",
    download: bool = False,
    groups: Sequence[Any] | None = None,
) -> Generator[None, None, ImageDataset]:
    """Open photos as :func:`open_dataset` does, in steps: closing the generator stops it.

    Listing a large folder takes many steps. The data set is what the generator returns.
    """
    if groups is not None:
        opened = yield from open_dataset_steps(x, split=split, download=download)
        return GroupedDataset(opened, groups)
    if not isinstance(split, str):
        raise WrongType(f"split must be a name such as 'train' or 'val', got {split!r}")
    if isinstance(x, ImageDataset):
        return x
    if is_torchs(x, "utils.data.DataLoader"):
        x = _behind(x)
    if isinstance(x, Mapping):  # a DatasetDict, or a plain dictionary of splits
        if not x:
            raise DatasetError("the dictionary of splits is empty; expected {'train': data set}")
        by_name = {str(name): dataset for name, dataset in x.items()}
        x = by_name[choose_split(split, list(by_name), "the dictionary of data sets")]
        # A folder may have these splits too; anything else is one now.
        below = split if split_group(split) and isinstance(x, str | os.PathLike) else "train"
        return (yield from open_dataset_steps(x, split=below, download=download))
    if isinstance(x, str):
        x = _typed(x)
    elif isinstance(x, os.PathLike):
        x = Path(as_path(x, "the data set", DatasetError, example="photos"))
    elif isinstance(x, Iterator | Set | ValuesView):
        x = yield from _collected(x)
    for kind in all_kinds():
        if kind.recognises(x):
            return (yield from _opened(kind, x, split, download))
    takes = [kind.takes for kind in all_kinds()]
    raise DatasetError(
        f"cannot read {type(x).__name__} {_shortened(x)} as a data set; expected "
        f"{', '.join(takes[:-1])} or {takes[-1]}"
    )


def _opened(kind: DatasetKind, x: Any, split: str, download: bool) -> Opening:
    note = ""
    if not kind.chooses_split:
        own = getattr(x, "split", "")
        where = repr(x) if isinstance(x, str) else f"this {type(x).__name__}"
        note = without_splits(split, where, own if isinstance(own, str) else "")
    opened = kind.open(x, split, download)
    dataset = opened if isinstance(opened, ImageDataset) else (yield from opened)
    if note:
        dataset.note = join_notes(note, dataset.note)
    return dataset


def _typed(text: str) -> str:
    """A name or path as it was meant; DatasetError for none, and for one that is mistyped."""
    name = path_as_typed(text)
    if not name.strip():
        raise DatasetError(
            f"the data set's name is empty ({text!r}); expected a folder or 'samples'. The current "
            "folder is '.'"
        )
    as_path(name, "the data set", DatasetError, example="photos")
    words = [word for kind in all_kinds() for word in kind.words]
    if name in words or "/" in name or "\\" in name or Path(name).exists():
        return name
    hint = nearest(name, words)
    if hint:
        raise DatasetError(f"no folder or data set {name!r}; {hint}")
    return name


def _behind(loader: DataLoader[Any]) -> Any:
    """The data set that a DataLoader reads: its batches and its order are nothing to a scan."""
    dataset, sampler = loader.dataset, loader.sampler
    sized = hasattr(dataset, "__len__") and hasattr(sampler, "__len__")
    if sized and len(sampler) < len(dataset):  # type: ignore[arg-type]
        raise DatasetError(
            f"the DataLoader's {type(sampler).__name__} leaves out some of its data set; expected "
            "the data set itself: torch.utils.data.Subset(loader.dataset, indices)"
        )
    return dataset


def _collected(items: Iterable[Any]) -> Generator[None, None, list[Any]]:
    """The photos that an iterator, a set or the values of a dictionary give.

    Paths are sorted: a file system lists them in any order, and a photo is known by its number.
    """
    found: list[Any] = []
    for item in items:
        if not (isinstance(item, _ITEMS) or is_torchs(item, "Tensor")):
            raise DatasetError(
                f"item {len(found)} of the {type(items).__name__} is {_shortened(item)}; expected "
                "paths, PIL images, or the items of a torch data set"
            )
        found.append(item)
        if len(found) % _SLICE == 0:
            yield
        if len(found) > _MOST_ITEMS:
            raise DatasetError(
                f"the {type(items).__name__} gives more than {_MOST_ITEMS:,} items, and no end is "
                "in sight; give a part: itertools.islice(items, 1000)"
            )
    if not found:
        raise DatasetError(
            f"the {type(items).__name__} gives no photo. An iterator gives its items once: make a "
            "list of it to use it again"
        )
    if all(isinstance(item, str | os.PathLike) for item in found):
        found.sort(key=os.fspath)
    return found


def _shortened(x: Any) -> str:
    text = re.sub(r" at 0x[0-9a-f]+", "", repr(x))
    return text if len(text) <= 100 else f"{text[:100]}..."
