"""Photos in tars, as WebDataset has them; they are read where they lie, and nothing is unpacked."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from fnmatch import fnmatch
from functools import cached_property
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image

from neuron_widget.errors import DatasetError
from neuron_widget.photos.files import open_photo, photo_suffixes
from neuron_widget.scanning.image_dataset import ImageDataset, digest, file_state, join_notes
from neuron_widget.scanning.items import LABEL_NAMES, choose_column, class_name
from neuron_widget.scanning.kinds import DatasetKind
from neuron_widget.scanning.listing import entries_of, is_of_other_programs, left_out_note
from neuron_widget.scanning.tar_index import TarPhoto, read_bytes, read_index

__all__ = ["KIND", "TarDataset"]

_SUFFIX = ".tar"
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,9})\.\.(\d{1,9})")
_MOST_TARS = 1_000_000
_MOST_PHOTOS = 20_000_000
_LARGEST_PHOTO = 512 * 2**20  # bytes
_LARGEST_LABEL = 2**20


class TarDataset(ImageDataset):
    """Photos in tars, in the order of tars and of what is in them.

    A file ``0001.cls`` or ``0001.json`` beside ``0001.jpg`` says its class; without any, the folder
    in the tar does, if there are several.

    Parameters
    ----------
    name
        Name of the data set.
    tars
        The tars.
    photos
        The photos of each tar.
    root
        Folder that fingerprints count paths from, so that moved tars stay the same.
    """

    run = 32

    def __init__(
        self,
        name: str,
        tars: Sequence[Path],
        photos: Sequence[Sequence[TarPhoto]],
        root: Path,
    ) -> None:
        self.name = name
        self._tars = [str(tar) for tar in tars]
        self._photos = [(i, photo) for i, some in enumerate(photos) for photo in some]
        self._root = str(root)
        folders = {os.path.dirname(photo.name) for _, photo in self._photos}
        self._by_folder = len(folders) > 1

    def __len__(self) -> int:
        return len(self._photos)

    def load(self, i: int) -> Image.Image:
        """Return photo ``i``, upright, 8-bit RGB."""
        return open_photo(BytesIO(self.encoded(i)), os.path.basename(self._photos[i][1].name))

    def encoded(self, i: int) -> bytes:
        """Return the file of photo ``i``."""
        tar, photo = self._photos[i]
        if photo.place.size > _LARGEST_PHOTO:
            raise DatasetError(
                f"{photo.name!r} has {photo.place.size:,} bytes, more than the {_LARGEST_PHOTO:,} "
                "that a photo may have"
            )
        data = read_bytes(self._tars[tar], photo.place)
        if not data:
            raise DatasetError(f"{photo.name!r} is empty")
        return data

    def label(self, i: int) -> str:
        """Return the class name of photo ``i``; ``""`` where it cannot be read."""
        tar, photo = self._photos[i]
        if not photo.label_kind:
            return os.path.basename(os.path.dirname(photo.name)) if self._by_folder else ""
        if photo.label.size > _LARGEST_LABEL:
            return ""
        try:
            text = read_bytes(self._tars[tar], photo.label).decode("utf-8", "replace").strip()
            if photo.label_kind == "cls":
                return text.partition("\n")[0]
            facts = json.loads(text)
            if not isinstance(facts, Mapping):
                return class_name(facts, None)
            column = choose_column(facts, "", LABEL_NAMES)
            return class_name(facts[column], None) if column is not None else ""
        except (DatasetError, OSError, ValueError, RecursionError):
            return ""

    def path(self, i: int) -> str:
        """Return the tar of photo ``i``, and its name in it: ``photos-000.tar/0001.jpg``."""
        tar, photo = self._photos[i]
        return f"{self._tars[tar]}/{photo.name}"

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the tars' names, sizes and modification times, and of what is where in them."""
        states = [file_state(tar, os.path.relpath(tar, self._root)) for tar in self._tars]
        return digest([*states, *((tar, photo.name, *photo.place) for tar, photo in self._photos)])


def _recognises(x: Any) -> bool:
    if not isinstance(x, str | Path):
        return False
    named = str(x).lower().endswith((_SUFFIX, *_COMPRESSED))
    return _is_folder_of_tars(Path(x)) or (named and not Path(x).expanduser().is_dir())


def _is_folder_of_tars(folder: Path) -> bool:
    """Whether there are tars in a folder and neither photos nor folders that could hold some."""
    suffixes, found = photo_suffixes(), False
    try:
        for entry in entries_of(folder.expanduser()):
            ending = os.path.splitext(entry.name)[1].lower()
            if ending in suffixes or (entry.is_dir() and not is_of_other_programs(entry.name)):
                return False
            found = found or (ending == _SUFFIX and not entry.name.startswith("."))
    except OSError:
        return False
    return found


def _open(x: str | Path, split: str, download: bool) -> Generator[None, None, TarDataset]:
    root, name, tars = _tars_of(Path(x).expanduser())
    suffixes = photo_suffixes()
    found: list[list[TarPhoto]] = []
    left_out: Counter[str] = Counter()
    endless: list[str] = []
    total = 0
    for tar in tars:
        index = yield from read_index(tar, suffixes)
        found.append(index.photos)
        left_out += index.left_out
        total += len(index.photos)
        if not index.ended:
            endless.append(tar.name)
        if total > _MOST_PHOTOS:
            raise DatasetError(
                f"there are more than {_MOST_PHOTOS:,} photos in '{x}'; give some of the tars"
            )
    note = left_out_note(left_out)
    if not total:
        there = f" ({note})" if note else ""
        raise DatasetError(
            f"no image in '{x}'{there}; expected files ending in {', '.join(sorted(suffixes))} in "
            f"{'the tar' if len(tars) == 1 else f'its {len(tars)} tars'}"
        )
    dataset = TarDataset(name, tars, found, root)
    cut = ""
    if endless:
        more = f" and {len(endless) - 1} more" if len(endless) > 1 else ""
        cut = f"{endless[0]}{more} has no end and may be cut short"
    dataset.note = join_notes(note, cut)
    return dataset


def _tars_of(given: Path) -> tuple[Path, str, list[Path]]:
    """The folder that names are counted from, the data set's name, and its tars in their order."""
    text = str(given)
    if text.lower().endswith(_COMPRESSED):
        raise DatasetError(
            f"'{given}' is compressed, and photos are read out of the middle of a tar; decompress "
            "it first (gunzip, unxz, unzstd): photos hardly get smaller anyway"
        )
    if given.is_dir():
        tars = sorted(
            Path(entry.path)
            for entry in entries_of(given)
            if entry.name.lower().endswith(_SUFFIX) and not entry.name.startswith(".")
        )
        return given, given.resolve().name, tars
    if given.exists():
        return given.parent, given.stem, [given]
    if _BRACES.search(text):
        tars = [Path(name) for name in _expanded(text)]
    elif any(sign in given.name for sign in "*?["):
        folder = entries_of(given.parent) if given.parent.is_dir() else iter(())
        tars = sorted(Path(entry.path) for entry in folder if fnmatch(entry.name, given.name))
        if not tars:
            raise DatasetError(f"no tar matches '{given}'")
    else:
        tars = [given]
    missing = [tar for tar in tars if not tar.exists()]
    if missing:
        more = f", and {len(missing) - 1:,} more of {len(tars):,}" if len(missing) > 1 else ""
        raise DatasetError(
            f"there is no tar '{missing[0]}'{more}; expected files on a disk, such as "
            "'photos-{000..099}.tar', 'photos-*.tar', or the folder that they are in"
        )
    root = Path(os.path.commonpath([tar.parent.absolute() for tar in tars]))
    return root, text, tars


def _expanded(text: str) -> list[str]:
    """``"a-{00..02}.tar"`` as three names, ``"{a,b}.tar"`` as two, as a shell would."""
    pieces = _BRACES.split(text)
    choices = [
        [piece] if i % 2 == 0 else _alternatives(piece, text) for i, piece in enumerate(pieces)
    ]
    count = 1
    for some in choices:
        count *= len(some)
    if count > _MOST_TARS:
        raise DatasetError(f"'{text}' names {count:,} tars; expected at most {_MOST_TARS:,}")
    return ["".join(some) for some in product(*choices)]


def _alternatives(inside: str, text: str) -> list[str]:
    found = _RANGE.fullmatch(inside)
    if found is None:
        return inside.split(",")
    first, last = int(found[1]), int(found[2])
    if not first <= last <= first + _MOST_TARS:
        raise DatasetError(
            f"'{text}': {{{inside}}} is no range of tars; expected one such as {{000..099}}, the "
            f"smaller number first and at most {_MOST_TARS:,} apart"
        )
    width = len(found[1])
    return [f"{number:0{width}}" for number in range(first, last + 1)]


KIND = DatasetKind(
    name="tars",
    takes="tars as WebDataset has them ('photos-{000..099}.tar', or their folder)",
    order=20,
    recognises=_recognises,
    open=_open,
)
