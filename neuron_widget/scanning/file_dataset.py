"""Image files with labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from PIL import Image

from neuron_widget.scanning.decode import to_rgb
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
        paths: Sequence[Path],
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
        with Image.open(self._paths[i]) as image:
            return to_rgb(image)

    def label(self, i: int) -> str:
        """Return the class name of photo ``i``."""
        return self._labels[i]

    def path(self, i: int) -> str:
        """Return the file of photo ``i``."""
        return self._paths[i]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of names, sizes and modification times of all files."""
        root = self._root
        return digest(
            file_state(path, os.path.relpath(path, root) if root else path) for path in self._paths
        )
