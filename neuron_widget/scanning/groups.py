"""Photos that belong together: crops of one photograph, frames of one video, scans of one patient.

Nine best photos that are eight crops of one photograph say little of a neuron. Of each group at
most two (:data:`.image_dataset.PER_GROUP`) are among a neuron's photos, at either end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuron_widget.errors import DatasetError
from neuron_widget.scanning.image_dataset import PER_GROUP, ImageDataset, digest

if TYPE_CHECKING:
    import torch

__all__ = [
    "GroupedDataset",
    "check_groups",
    "group_numbers",
    "groups_state",
    "surplus",
    "within_groups",
]

# Columns of pandas, polars and pyarrow, numpy arrays and tensors: what makes a list of each.
_TO_LIST = ("tolist", "to_list", "to_pylist")


class GroupedDataset(ImageDataset):
    """The photos of another data set, with their groups.

    Parameters
    ----------
    photos
        The data set.
    groups
        See :attr:`.ImageDataset.groups`.
    """

    def __init__(self, photos: ImageDataset, groups: Any) -> None:
        # Of two groupings the last one counts.
        self._photos: ImageDataset = (
            photos._photos if isinstance(photos, GroupedDataset) else photos
        )
        self.name = photos.name
        self.note = photos.note
        self.run = photos.run
        self.groups = check_groups(groups, len(photos))

    def __len__(self) -> int:
        return len(self._photos)

    def load(self, i: int) -> Image.Image:
        """Return photo ``i``, upright, 8-bit RGB."""
        return self._photos.load(i)

    def load_square(self, i: int, input_size: int) -> Image.Image:
        """Return the square of photo ``i`` that a network with this input size sees."""
        return self._photos.load_square(i, input_size)

    def encoded(self, i: int) -> bytes | bytearray | None:
        """Return the file of photo ``i``."""
        return self._photos.encoded(i)

    def label(self, i: int) -> str:
        """Return the class name of photo ``i``."""
        return self._photos.label(i)

    def path(self, i: int) -> str:
        """Return the file of photo ``i``."""
        return self._photos.path(i)

    @property
    def fingerprint(self) -> str:
        """Hash of the photos and of how they are grouped."""
        return digest([self._photos.fingerprint, *groups_state(self)])


def check_groups(groups: Any, photos: int) -> tuple[Hashable, ...]:
    """Return groups as a tuple; ``DatasetError`` unless there is one, hashable, for each photo."""
    to_list = next((getattr(groups, name) for name in _TO_LIST if hasattr(groups, name)), None)
    given = to_list() if to_list is not None else groups
    if not isinstance(given, Sequence) or isinstance(given, str | bytes):
        raise DatasetError(
            f"groups is a {type(groups).__name__}; expected a list with the group of each of the "
            f"{photos:,} photos, such as the name of its video"
        )
    if len(given) != photos:
        raise DatasetError(
            f"groups has {len(given):,} entries, and there are {photos:,} photos; expected one for "
            "each photo, None for a photo that stands alone"
        )
    return tuple(_checked(i, group) for i, group in enumerate(given))


def _checked(i: int, group: Any) -> Hashable:
    if type(group).__module__ == "torch":  # equal tensors have different hashes
        group = group.tolist()
    try:
        hash(group)
    except TypeError as error:
        raise DatasetError(
            f"the group of photo {i} is a {type(group).__name__}, {str(group)[:60]}, and has no "
            "hash to compare it by; expected a text, a number or None"
        ) from error
    known: Hashable = group
    return known


def group_numbers(dataset: ImageDataset) -> NDArray[np.int64] | None:
    """Return a number for each photo, equal for those of one group; None without groups.

    What the groups are called makes no difference to the numbers.
    """
    if dataset.groups is None:
        return None
    known: dict[Hashable, int] = {}
    found = np.empty(len(dataset), np.int64)
    for i, group in enumerate(check_groups(dataset.groups, len(dataset))):
        # NaN is how tables say that there is nothing; the object itself is equal to no other.
        alone = group is None or _is_missing(group)
        found[i] = known.setdefault(object() if alone else group, len(known))
    return found


def _is_missing(group: Any) -> bool:
    """NaN differs from itself; of pandas' NA not even that can be said."""
    try:
        return bool(group != group)
    except TypeError:
        return True


def groups_state(dataset: ImageDataset) -> list[object]:
    """Return what of the grouping belongs into a fingerprint; nothing without groups."""
    numbers = group_numbers(dataset)
    if numbers is None:
        return []
    return ["groups", PER_GROUP, hashlib.sha256(numbers.astype("<i8").tobytes()).hexdigest()]


def surplus(group: torch.Tensor, share: int) -> torch.Tensor:
    """Which entries come after ``share`` others of their group in the same row; ``(C, n)``.

    Parameters
    ----------
    group
        Numbers of groups ``(C, n)``, in each row the best photo first.
    share
        Photos that a group may have.
    """
    import torch

    # Sorted by group, and within each the best first, the entry `share` places before one that
    # comes too late is of the same group.
    ordered, place = group.sort(dim=1, stable=True)
    late = torch.zeros_like(ordered, dtype=torch.bool)
    late[:, share:] = ordered[:, share:] == ordered[:, :-share]
    return torch.zeros_like(late).scatter(1, place, late)


def within_groups(rows: Sequence[Any], groups: Mapping[int, int] | NDArray[np.int64]) -> list[Any]:
    """Return the rows, best first, without those whose group has its share already.

    ``rows`` begin with the number of a photo, ``groups`` is by that number.
    """
    had: dict[int, int] = {}
    found = []
    for row in rows:
        group = int(groups[row[0]])
        had[group] = had.get(group, 0) + 1
        if had[group] <= PER_GROUP:
            found.append(row)
    return found
