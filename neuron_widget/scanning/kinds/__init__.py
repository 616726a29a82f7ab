"""What :func:`~neuron_widget.scanning.open_dataset` can open: one file a kind of data set.

A new kind is a new file in this folder; nothing else has to know of it. The file describes itself
with a :class:`DatasetKind` called ``KIND`` and opens what it recognises as an
:class:`~neuron_widget.scanning.ImageDataset`::

    KIND = DatasetKind(
        name="archive",
        takes="a .zip of photos",
        order=35,
        recognises=lambda x: isinstance(x, Path) and x.suffix == ".zip",
        open=lambda x, split, download: ZippedPhotos(x),
    )

Photos of your own project need no kind: give an instance of a subclass of ``ImageDataset``.
Finding the kinds imports each file, so none imports a heavy library before it opens something,
and none imports the library whose objects it recognises.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from neuron_widget.scanning.image_dataset import ImageDataset

__all__ = ["DatasetKind", "Opening", "all_kinds"]

Opening = Generator[None, None, ImageDataset]


@dataclass(frozen=True)
class DatasetKind:
    """One kind of data set.

    Attributes
    ----------
    name
        What the kind is called.
    takes
        What a person gives to get it, as a noun phrase; errors list these.
    order
        Kinds are asked by rising order, the narrow ones first.
    recognises
        ``recognises(x)``: whether ``x`` is of this kind, or was meant to be. It reads no photo.
    open
        ``open(x, split, download)``: the data set. It raises ``DatasetError`` for what was
        recognised and cannot be opened, and ``DownloadNeeded`` for what it may not fetch. What may
        take more than a moment is a generator: it yields now and then, so that it can be closed,
        and returns the data set.
    words
        Names of data sets of this kind, such as ``"samples"``; who mistypes one is told.
    chooses_split
        Whether ``open`` heeds ``split``. Asked for a split, the others say that they have none.
    """

    name: str
    takes: str
    order: int
    recognises: Callable[[Any], bool]
    open: Callable[[Any, str, bool], ImageDataset | Opening]
    words: tuple[str, ...] = ()
    chooses_split: bool = False


@cache
def all_kinds() -> tuple[DatasetKind, ...]:
    """Return the kinds of this folder in the order of asking."""
    found = [
        import_module(f"{__name__}.{file.name}").KIND for file in pkgutil.iter_modules(__path__)
    ]
    return tuple(sorted(found, key=lambda kind: kind.order))
