"""The parts of a data set (train, val) and the names people give them."""

from __future__ import annotations

from collections.abc import Sequence

from neuron_widget.errors import DatasetError

__all__ = ["choose_split", "split_group"]

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
