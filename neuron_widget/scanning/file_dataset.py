"""Image files with labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from PIL import Image

from neuron_widget.photos.files import open_photo, photo_bytes
from neuron_widget.scanning.image_dataset import ImageDataset, digest, file_state

__all__ = ["FileDataset"]


class FileDataset(ImageDataset):
    """Image files with labels.

    Parameters
    ----------
    name
        Name of the data set.
    paths
        The files, in the order of their numbers.
    labels
        One class name a file (``""`` for none).
    root
        Folder that fingerprints count paths from, so that a moved data set stays the same.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[str | Path],
        labels: Sequence[str],
        root: Path | None = None,
    ) -> None:
        self.name = name
        self._paths = [str(path) for path in paths]
        self._labels = list(labels)
        self._root = root

    def __len__(self) -> int:
        return len(self._paths)

    def load(self, i: int) -> Image.Image:
        """Return photo ``i``, upright, 8-bit RGB."""
        return open_photo(self._paths[i])

    def encoded(self, i: int) -> bytearray | None:
        """Return the file of photo ``i``."""
        return photo_bytes(self._paths[i]) if self._loads_as(FileDataset) else None

    def label(self, i: int) -> str:
        """Return the class name of photo ``i``."""
        return self._labels[i]

    def path(self, i: int) -> str:
        """Return the file of photo ``i``."""
        return self._paths[i]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of names, sizes and modification times of all files."""
        return digest(file_state(path, self._name_below_root(path)) for path in self._paths)

    def _name_below_root(self, path: str) -> str:
        if self._root is None:
            return path
        base = os.path.join(self._root, "")
        # relpath takes ten times as long, which a million files feel.
        return path[len(base) :] if path.startswith(base) else os.path.relpath(path, self._root)
