"""The parts of a data set (train, val) and the names people give them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from neuron_widget.errors import DatasetError

__all__ = ["choose_split", "split_group", "without_splits"]

_log = logging.getLogger("neuron_widget.scanning")

# Names that mean the same split; the first is the one to ask for.
_SPLITS = (("train", "training"), ("val", "valid", "validation", "test", "testing"))


def split_group(name: str) -> tuple[str, ...]:
    """Return the names that mean the same split as ``name``, ``()`` if it names none."""
    return next((group for group in _SPLITS if name.lower() in group), ())


def choose_split(wanted: str, existing: Sequence[str], where: str) -> str:
    """Return the existing split that ``wanted`` means; ``DatasetError`` names those that exist."""
    by_name = {name.lower(): name for name in existing}
    for name in (wanted.lower(), *split_group(wanted)):
        if name in by_name:
            return by_name[name]
    raise DatasetError(
        f"no split {wanted!r} in {where}; it has {', '.join(map(repr, sorted(existing)))}. "
        f"Say for instance split={sorted(existing)[0]!r}"
    )


def without_splits(wanted: str, where: str, own: str = "") -> str:
    """Return what to note of a data set that has no splits when one is asked for.

    Parameters
    ----------
    wanted
        The split; ``"train"`` is the default and asks for nothing.
    where
        What to call the data set.
    own
        The one split that it is, where that is known.

    Raises
    ------
    DatasetError
        For a word that names no split.
    """
    group = split_group(wanted)
    if wanted.lower() == own.lower():
        return ""
    if not group:
        raise DatasetError(f"no split {wanted!r}: {where} has no splits. Leave split= out")
    if group in (split_group("train"), split_group(own)):
        return ""
    note = f"there are no splits in {where}: split={wanted!r} leaves no photo out"
    _log.warning("%s", note)
    return note
