"""Folders of image files: flat, nested, class folders, and roots with split folders."""

from __future__ import annotations

import difflib
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

from neuron_widget.errors import DatasetError
from neuron_widget.scanning.file_dataset import FileDataset
from neuron_widget.scanning.kinds import DatasetKind
from neuron_widget.scanning.splits import choose_split, split_group

__all__ = ["KIND", "open_folder"]

_JPEG = (".jpg", ".jpeg", ".jfif")
IMAGE_SUFFIXES = frozenset(
    [*_JPEG, ".png", ".ppm", ".pgm", ".pbm", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".avif"]
)


def open_folder(root: Path, split: str, readable: Mapping[str, str] | None = None) -> FileDataset:
    """Open a folder of images.

    A root with split folders (``train``; ``val``, also called valid, validation, test) gives the
    wanted split; any other folder is taken whole. The first folder below is the class of a photo;
    ``readable`` turns folder names into class names, and WordNet numbers (n01443537) are read
    with timm's table.

    Raises ``DatasetError`` for a missing folder, a missing split and a folder without images.
    """
    root = Path(root).expanduser()
    if not root.exists():
        raise DatasetError(_missing(root))
    if not root.is_dir():
        raise DatasetError(
            f"'{root}' is a file; expected a folder of images. Unpack an archive first; of a "
            f"single image name its folder, '{root.parent}', or give a list: [path]"
        )
    known = _split_folders(root)
    chosen = root
    name = root.resolve().name
    if known:
        chosen = root / choose_split(split, known, f"the folder '{root}'")
        name = f"{name}/{chosen.name}"
    elif split_group(name):
        name = f"{root.resolve().parent.name}/{name}"
    files = _image_files(chosen)
    if not files:
        raise DatasetError(
            f"no image in '{chosen}' or below it; expected files ending in "
            f"{', '.join(sorted(IMAGE_SUFFIXES))}. Give the folder that holds the photos"
        )
    folders_of = [parts[0] if len(parts) > 1 else "" for parts in files]
    classes = {**_wordnet_names(set(folders_of)), **(readable or {})}
    return FileDataset(
        name,
        [chosen.joinpath(*parts) for parts in files],
        [classes.get(folder, folder) for folder in folders_of],
        chosen,
    )


def _split_folders(root: Path) -> list[str]:
    folders = [entry.name for entry in os.scandir(root) if entry.is_dir()]
    shown = [name for name in folders if not name.startswith((".", "__"))]
    known = [name for name in shown if split_group(name)]
    # One "train" among several other folders is a class: trains.
    return [] if len(known) == 1 and len(shown) > 2 else known


def _image_files(root: Path) -> list[tuple[str, ...]]:
    """Image files below ``root`` as path parts, sorted; hidden files are left out, links followed.

    A link to a folder above itself would never end: each real folder is walked once.
    """
    found: list[tuple[str, ...]] = []
    walked: set[str] = set()
    for folder, below, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in walked:
            below.clear()
            continue
        walked.add(real)
        below[:] = sorted(name for name in below if not name.startswith((".", "__MACOSX")))
        parts = Path(folder).relative_to(root).parts
        found.extend(
            (*parts, name)
            for name in names
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
        )
    return sorted(found, key="/".join)


def _wordnet_names(folders: set[str]) -> dict[str, str]:
    """Class names of folders that are WordNet numbers, from the table that comes with timm."""
    wnids = {name for name in folders if len(name) == 9 and name[0] == "n" and name[1:].isdigit()}
    # find_spec reads no code of timm: importing it takes a second.
    spec = importlib.util.find_spec("timm") if wnids else None
    if spec is None or spec.origin is None:
        return {}
    table = Path(spec.origin).parent / "data" / "_info" / "imagenet_synset_to_lemma.txt"
    if not table.is_file():
        return {}
    rows = (line.split("\t", 1) for line in table.read_text("utf-8").splitlines())
    return {row[0]: row[1].split(",")[0].strip() for row in rows if row[0] in wnids}


def _missing(root: Path) -> str:
    """Say where the path ends to exist and what is there instead."""
    there = root.absolute()
    while not there.parent.is_dir():
        there = there.parent
    siblings = [entry.name for entry in os.scandir(there.parent) if entry.is_dir()]
    near = difflib.get_close_matches(there.name, siblings, n=1, cutoff=0.5)
    # In quotes by hand: repr() would double the backslashes of Windows.
    text = f"no folder '{root}': there is no '{there.name}' in '{there.parent}'"
    if near:
        return f"{text}; did you mean '{there.parent / near[0]}'?"
    return f"{text}. Give an existing folder of images, or 'samples' for the built-in photos"


KIND = DatasetKind(
    name="folder",
    takes="a folder of photos",
    order=30,
    recognises=lambda x: isinstance(x, str | Path),
    open=lambda x, split, download: open_folder(Path(x), split),
)
