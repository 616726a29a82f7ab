"""Which photos a question about a neuron is made of, for people and for machines alike.

A question (Borowski et al., ICLR 2021) shows references, photos that fire the neuron most and
least, and asks which of two new photos fires it more: one of them is from near the top of the
ranking, the other from near its bottom. :class:`~neuron_widget.NeuronQuiz` asks people,
:func:`~neuron_widget.predictability` a machine; here is what both keep to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable

from neuron_widget.scanning.image_dataset import PER_GROUP, ImageDataset

__all__ = [
    "DEPTH",
    "FEWEST",
    "QUARTER",
    "QUESTIONS",
    "REFERENCES",
    "counted",
    "new_ranks",
    "source_of",
]

REFERENCES = 9
"""Photos at either end that are shown."""

QUESTIONS = 50
"""Photos at either end, behind the references, that are asked about.

Twenty are enough to tell what a layer is worth; to tell its neurons apart takes more (halves of
the questions agree with r = 0.5 over neurons for 20, with 0.75 for 50).
"""

FEWEST = 10
"""With fewer photos than this behind the references, one of those is asked about instead."""

QUARTER = 4
"""Photos asked about are among the first, or last, of so many parts of the ranking."""

DEPTH = REFERENCES + QUESTIONS
"""Photos that a scan keeps at either end, as far as there are so many."""


def counted(photos: ImageDataset, scanned: int) -> int:
    """Return for how many photos those scanned count.

    Of a group (crops of one photograph, frames of one video) no more are ranked than
    :data:`.PER_GROUP`.
    """
    if photos.groups is None:
        return scanned
    sizes = Counter(group for group in photos.groups if group is not None)
    alone = sum(group is None for group in photos.groups)
    return min(scanned, alone + sum(min(size, PER_GROUP) for size in sizes.values()))


def new_ranks(photos: int, kept: int, references: int, questions: int = QUESTIONS) -> range:
    """Return the ranks of the photos asked about, of ``kept`` at either end.

    They lie behind the references, in the upper or lower quarter of ``photos``: nearer to the
    middle a question asks for a difference that the neuron itself hardly makes. Of a smaller data
    set any of the first may be asked about, and the others are the references.
    """
    end = min(kept, references + questions, photos // QUARTER)
    if end >= references + FEWEST:
        return range(references, end)
    return range(min(kept, references + 1))


def source_of(photos: ImageDataset) -> Callable[[int], Hashable]:
    """Return what tells where a photo, given by its number, comes from.

    No reference may come from where a new photo comes from, nor one new photo from where the other
    does: crops of one photograph are near copies, frames of one video are too.
    """
    groups = photos.groups
    if groups is None:
        return photos.path
    known = groups
    return lambda i: photos.path(i) if known[i] is None else known[i]
