"""The photos below a folder, found in slices: whoever lists a huge folder can be stopped."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from neuron_widget.errors import DatasetError
from neuron_widget.photos.files import photo_suffixes

__all__ = ["Listing", "Parts", "entries_of", "is_of_other_programs", "left_out_note", "list_photos"]

_SLICE = 500  # names looked at between two chances to stop
_MOST_NAMES = 20_000_000  # more than any data set of single files has
_MOST_NAMED = 5  # endings in a note

# Written beside people's photos by file servers, systems and notebooks (all in lower case). What
# begins with a dot is left out too: .thumbnails, .ipynb_checkpoints, AppleDouble's ._photo.jpg.
_FOLDERS_OF_OTHERS = frozenset(
    {
        *("@eadir", "@tmp", "#recycle", "#snapshot", "@recycle"),  # Synology, QNAP
        *("$recycle.bin", "system volume information", "lost+found"),
        *("__macosx", "__pycache__"),
    }
)
_FILES_OF_OTHERS = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini"})

Parts = tuple[str, ...]
"""A path below the root of a listing, part by part."""


@dataclass
class Listing:
    """What is below a folder.

    Attributes
    ----------
    photos
        Image files, in the order of their paths.
    left_out
        Other files: how many of which ending.
    unreadable
        Folders that could not be opened.
    """

    photos: list[Parts] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0

    @property
    def note(self) -> str:
        """What a person should know of it, ``""`` for nothing."""
        said = [left_out_note(self.left_out)] if self.left_out else []
        if self.unreadable:
            said.append(f"{_counted(self.unreadable, 'folder')} could not be opened")
        return "; ".join(said)


def left_out_note(left_out: Mapping[str, int]) -> str:
    """What to say of files left out, by their endings; ``""`` for none."""
    if not left_out:
        return ""
    most = sorted(left_out.items(), key=lambda pair: (-pair[1], pair[0]))
    named = [f"{ending} ({n:,})" for ending, n in most[:_MOST_NAMED]]
    more = ", ..." if len(left_out) > _MOST_NAMED else ""
    return f"{_counted(sum(left_out.values()), 'file')} left out: {', '.join(named)}{more}"


def _counted(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def is_of_other_programs(folder: str) -> bool:
    """Whether a folder of this name is hidden or holds what programs keep beside photos."""
    return folder.startswith(".") or folder.lower() in _FOLDERS_OF_OTHERS


def entries_of(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder as they are found. OSError if it cannot be opened."""
    with os.scandir(folder) as entries:
        yield from entries


def list_photos(
    root: Path, wanted: Callable[[Parts], bool] | None = None, depth: int | None = None
) -> Generator[None, None, Listing]:
    """Find the image files below a folder, yielding every few hundred names.

    Links are followed; each real folder is walked once, so that a link to a folder above itself
    has an end. Only regular files are photos, whatever a pipe or a device is called.

    Parameters
    ----------
    root
        The folder.
    wanted
        Which photos are asked for; default all.
    depth
        Folders below each other that are walked, 0 for ``root`` alone; default all.

    Raises
    ------
    DatasetError
        For a root that cannot be opened, and below which there is no end of names.
    """
    found = Listing()
    suffixes = photo_suffixes()
    walked: set[str] = set()
    names = 0
    waiting: list[tuple[Parts, str]] = [((), os.path.realpath(root))]
    while waiting:
        parts, real = waiting.pop()
        if real in walked:
            continue
        walked.add(real)
        folder = os.path.join(root, *parts)
        below: list[tuple[str, str]] = []
        yield
        try:
            for entry in entries_of(folder):
                names += 1
                if names > _MOST_NAMES:
                    raise _endless(root)
                if names % _SLICE == 0:
                    yield
                if _is_folder(entry):
                    if not is_of_other_programs(entry.name):
                        below.append((entry.name, _real(entry, real)))
                    continue
                ending = _ending(entry, suffixes)
                if ending in suffixes:
                    path = (*parts, entry.name)
                    if wanted is None or wanted(path):
                        found.photos.append(path)
                elif ending:
                    found.left_out[ending] += 1
        except OSError as error:
            if not parts:
                raise DatasetError(
                    f"the folder '{root}' cannot be read: {error.strerror or error}"
                ) from error
            found.unreadable += 1
        if depth is None or len(parts) < depth:
            waiting.extend(((*parts, name), place) for name, place in sorted(below, reverse=True))
    found.photos.sort(key="/".join)
    return found


def _real(entry: os.DirEntry[str], parent: str) -> str:
    """Where a folder really is; only links are resolved (Windows has several kinds)."""
    if os.name == "nt" or entry.is_symlink():
        return os.path.realpath(entry.path)
    return os.path.join(parent, entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link into a folder that may not be read
        return False


def _ending(entry: os.DirEntry[str], suffixes: frozenset[str]) -> str:
    """The ending of a file as notes name it, ``""`` for one that is nobody's business."""
    name = entry.name
    if name.startswith(".") or name.lower() in _FILES_OF_OTHERS:
        return ""
    ending = os.path.splitext(name)[1].lower()
    if ending not in suffixes:
        return ending or "no ending"
    try:
        return ending if entry.is_file() else "pipes, devices and broken links"
    except OSError:
        return "pipes, devices and broken links"


def _endless(root: Path) -> DatasetError:
    return DatasetError(
        f"there are more than {_MOST_NAMES:,} files and folders below '{root}', and no end in "
        "sight; give a folder nearer to the photos"
    )
