"""Folders of image files: flat, nested, class folders, and roots with split folders."""

from __future__ import annotations

import difflib
import importlib.util
import os
from collections.abc import Generator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from neuron_widget.errors import DatasetError
from neuron_widget.photos.files import photo_suffixes
from neuron_widget.scanning.file_dataset import FileDataset
from neuron_widget.scanning.image_dataset import join_notes
from neuron_widget.scanning.kinds import DatasetKind
from neuron_widget.scanning.listing import Parts, entries_of, is_of_other_programs, list_photos
from neuron_widget.scanning.splits import choose_split, split_group, without_splits

__all__ = ["KIND", "dataset_of", "open_folder"]


def open_folder(
    root: Path, split: str, readable: Mapping[str, str] | None = None
) -> Generator[None, None, FileDataset]:
    """Open a folder of images, in steps that can be stopped.

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
    known = yield from _split_folders(root)
    chosen = root
    name = root.resolve().name
    if known:
        chosen = root / choose_split(split, known, f"the folder '{root}'")
        name = f"{name}/{chosen.name}"
        split_note = ""
    else:
        split_note = without_splits(split, f"the folder '{root}'", name)
        if split_group(name):
            name = f"{root.resolve().parent.name}/{name}"
    listing = yield from list_photos(chosen)
    if not listing.photos:
        there = f" ({listing.note})" if listing.note else ""
        raise DatasetError(
            f"no image in '{chosen}' or below it{there}; expected files ending in "
            f"{', '.join(sorted(photo_suffixes()))}. Give the folder that holds the photos"
        )
    dataset = dataset_of(name, chosen, listing.photos, readable)
    dataset.note = join_notes(split_note, listing.note)
    return dataset


def dataset_of(
    name: str, root: Path, photos: Sequence[Parts], readable: Mapping[str, str] | None = None
) -> FileDataset:
    """The files below ``root`` as a data set; the first folder below it is the class."""
    folders_of = [parts[0] if len(parts) > 1 else "" for parts in photos]
    classes = {**_wordnet_names(set(folders_of)), **(readable or {})}
    # Joined as text: a million Path objects take seconds.
    base = "" if root == Path() else os.path.join(root, "")
    return FileDataset(
        name,
        [base + os.sep.join(parts) for parts in photos],
        [classes.get(folder, folder) for folder in folders_of],
        root,
    )


def _split_folders(root: Path) -> Generator[None, None, list[str]]:
    shown: list[str] = []
    try:
        for i, entry in enumerate(entries_of(root)):
            if i % 1000 == 0:
                yield
            if entry.is_dir() and not is_of_other_programs(entry.name):
                shown.append(entry.name)
    except OSError:
        return []  # listing its photos says what is wrong
    known = [name for name in shown if split_group(name)]
    # One "train" among several other folders is a class: trains.
    return [] if len(known) == 1 and len(shown) > 2 else known


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
    beside = islice(entries_of(there.parent), 1000)
    siblings = [entry.name for entry in beside if entry.is_dir()]
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
    chooses_split=True,
)
