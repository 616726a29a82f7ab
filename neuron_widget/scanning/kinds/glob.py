"""Photos by a pattern of paths: ``photos/*.jpg``, ``photos/**/dog*.png``."""

from __future__ import annotations

from collections.abc import Generator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from neuron_widget.errors import DatasetError
from neuron_widget.scanning.file_dataset import FileDataset
from neuron_widget.scanning.kinds import DatasetKind
from neuron_widget.scanning.kinds.folder import dataset_of
from neuron_widget.scanning.listing import Parts, list_photos

__all__ = ["KIND"]

_ANY_FOLDERS = "**"


def _is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _recognises(x: Any) -> bool:
    return isinstance(x, str | Path) and _is_pattern(str(x)) and not Path(x).expanduser().exists()


def _open(x: str | Path, split: str, download: bool) -> Generator[None, None, FileDataset]:
    parts = Path(x).expanduser().parts
    fixed = next(i for i, part in enumerate(parts) if _is_pattern(part))
    root, pattern = Path(*parts[:fixed]), parts[fixed:]
    if not root.is_dir():
        raise DatasetError(f"no photo matches '{x}': there is no folder '{root}'")
    depth = None if _ANY_FOLDERS in pattern else len(pattern) - 1
    listing = yield from list_photos(root, lambda path: _matches(path, pattern), depth)
    if not listing.photos:
        raise DatasetError(
            f"no photo matches '{x}'. A pattern names files, such as '{root / '*.jpg'}', or "
            f"'{root / '**' / '*.jpg'}' for those in all folders below"
        )
    return dataset_of(str(x), root, listing.photos)


def _matches(path: Parts, pattern: Parts) -> bool:
    if not pattern:
        return not path
    if pattern == (_ANY_FOLDERS,):
        return True
    if pattern[0] == _ANY_FOLDERS:
        return any(_matches(path[i:], pattern[1:]) for i in range(len(path)))
    return bool(path) and fnmatch(path[0], pattern[0]) and _matches(path[1:], pattern[1:])


KIND = DatasetKind(
    name="glob",
    takes="a pattern such as 'photos/*.jpg'",
    order=25,
    recognises=_recognises,
    open=_open,
)
