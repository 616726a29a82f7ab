"""Imagenette (ten classes of ImageNet, 320 px) through torchvision, fetched only when asked."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import platformdirs

from neuron_widget.errors import DatasetError, DownloadNeeded
from neuron_widget.scanning.file_dataset import FileDataset
from neuron_widget.scanning.kinds import DatasetKind
from neuron_widget.scanning.kinds.folder import open_folder
from neuron_widget.scanning.splits import choose_split

__all__ = ["KIND", "open_imagenette"]

_FOLDER = "imagenette2-320"
_SIZE = "about 0.3 GB"


def open_imagenette(split: str, download: bool = False) -> Generator[None, None, FileDataset]:
    """Open Imagenette from ``data/imagenette2-320`` or the user's cache folder.

    Raises ``DownloadNeeded`` where it is not at hand and ``download`` is false, and
    ``DatasetError`` where the download fails.
    """
    from torchvision.datasets import Imagenette  # slow to import

    cache = Path(platformdirs.user_cache_dir("neuron-widget")) / "datasets"
    root = next((base for base in (Path("data"), cache) if (base / _FOLDER).is_dir()), None)
    if root is None and not download:
        needed = DownloadNeeded(
            f"Imagenette is not at hand (looked in 'data/{_FOLDER}' and {str(cache / _FOLDER)!r}). "
            f"Its download is {_SIZE}: say open_dataset('imagenette', download=True), give the "
            "folder of a copy, or use 'samples'"
        )
        needed.question = (
            "Imagenette (13,394 photos of ten kinds of things) is not on this computer yet. "
            f"Its download is {_SIZE}; it goes to {str(cache / _FOLDER)!r} and is there next time."
        )
        raise needed
    if root is None:
        _download(cache)
        root = cache
    wanted = choose_split(split, ("train", "val"), "Imagenette")
    known = Imagenette(root, split=wanted, size="320px")
    names = {wnid: names[0] for wnid, names in zip(known.wnids, known.classes, strict=True)}
    dataset = yield from open_folder(root / _FOLDER, wanted, names)
    dataset.name = f"imagenette/{wanted}"
    return dataset


def _download(cache: Path) -> None:
    """Fetch and unpack beside the final place, then move: a half-unpacked copy is never used."""
    from torchvision.datasets import Imagenette

    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as workplace:
        try:
            Imagenette(workplace, size="320px", download=True)
        except (OSError, RuntimeError) as error:  # no network, wrong checksum, disk full
            raise DatasetError(
                f"the download of Imagenette ({_SIZE}) failed: {error}. Try again, or fetch "
                f"{_FOLDER}.tgz by other means, unpack it and give its folder"
            ) from error
        shutil.move(str(Path(workplace) / _FOLDER), cache / _FOLDER)


KIND = DatasetKind(
    name="imagenette",
    takes="'imagenette'",
    order=20,
    recognises=lambda x: isinstance(x, str) and x == "imagenette",
    open=lambda x, split, download: open_imagenette(split, download),
    words=("imagenette",),
    chooses_split=True,
)
