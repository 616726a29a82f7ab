"""How a machine answers questions about one neuron: by likeness to the references."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuron_widget.analysis.embedding import Embedding
from neuron_widget.scanning.tables import Ranks

__all__ = ["CONDITIONS", "Answers", "Judge", "Share", "Standard"]

CONDITIONS = ("photos", "most", "photo", "image", "both")
"""What the references are: most and least activating photos; the most activating ones; the most
activating one alone; the rendered image alone; photos and image."""

_COPY = 0.9999  # cosine: what is as alike as this is one photo twice
_FEWEST = 5  # photos at either end that an answer must be about, to count for the neuron

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """Right answers of one neuron in one condition.

    ``share`` in 0..1, chance is 0.5; ``error`` is its standard error; ``pairs`` how many questions
    there were; ``halves`` the shares of two halves of them that have no photo in common.
    """

    share: float = np.nan
    error: float = np.nan
    pairs: int = 0
    halves: tuple[float, float] = (np.nan, np.nan)


@dataclass(frozen=True)
class Answers:
    """Shares of one neuron by condition, and why there are none (``""`` if there are)."""

    shares: dict[str, Share]
    reason: str = ""


class Standard:
    """Vectors standardised over photos and of length 1, so that their products are likenesses.

    ``parts``: widths of the parts of a vector that weigh the same; ``()`` for one.
    """

    def __init__(self, vectors: NDArray[np.float32], parts: tuple[int, ...] = ()):
        self._parts = parts if sum(parts) == vectors.shape[1] else (vectors.shape[1],)
        values = vectors.astype(np.float64)
        self._mean = values.mean(axis=0)
        spread = values.std(axis=0)
        size = np.abs(values).max(initial=0.0)
        # What differs by rounding alone tells nothing.
        self._use = spread > 1e-5 * size
        self._spread = np.where(self._use, spread, 1.0)

    @property
    def alike(self) -> bool:
        """Whether all photos are one and the same to the observer."""
        return not self._use.any()

    def __call__(self, vectors: NDArray[np.float32]) -> Array:
        """Return unit vectors ``(N, D)``."""
        moved = np.where(self._use, (vectors - self._mean) / self._spread, 0.0)
        pieces = np.split(moved, np.cumsum(self._parts)[:-1], axis=1)
        return _unit(np.concatenate([_unit(piece) for piece in pieces], axis=1))


def _unit(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Array = vectors / np.maximum(length, 1e-12)
    return unit


class Judge:
    """Answers all questions about a layer's neurons.

    A question shows ``references`` photos at either end and asks about one photo of the ranks
    behind them at the top, and one at the bottom; every photo asked about at the top meets every
    one at the bottom. The answer is the photo that is more like the most activating references than
    like the least activating ones (mean cosine). No reference counts that comes from where one of
    the two comes from, or is a copy of it.
    """

    def __init__(
        self,
        embedding: Embedding,
        top: Ranks,
        bottom: Ranks,
        source: Callable[[int], Hashable],
        *,
        photos: int,
        references: int,
        questions: int,
        parts: tuple[int, ...] = (),
        dead: tuple[int, ...] = (),
    ):
        self.standard = Standard(embedding.vectors, parts)
        self._units = self.standard(embedding.vectors)
        self._row = np.full(photos, -1, np.int64)
        self._row[embedding.index] = np.arange(len(embedding.index))
        numbers: dict[Hashable, int] = {}
        self._source = np.array(
            [numbers.setdefault(source(int(i)), len(numbers)) for i in embedding.index], np.int64
        )
        self._top, self._bottom = top, bottom
        self._references, self._questions = references, questions
        self._dead = frozenset(dead)

    def answers(self, neuron: int, image: NDArray[np.float32] | None = None) -> Answers:
        """Return the answers about a neuron; ``image`` is the vector of its rendered image."""
        most, high, high_score = self._photos(self._top, neuron)
        least, low, low_score = self._photos(self._bottom, neuron)
        if not (np.isfinite(high_score).all() and np.isfinite(low_score).all()):
            return Answers({}, "its scores are not numbers")
        told = high_score[:, None] > low_score[None, :]
        if not told.any():
            return Answers({}, self._why_alike(neuron))
        told &= self._apart(high, low)
        first, last = self._likeness(most, high, low), self._likeness(least, high, low)
        asked = told & (first.count > 0) & (last.count > 0)
        fewest = min(_FEWEST, self._questions)
        if min(asked.any(axis=1).sum(), asked.any(axis=0).sum()) < fewest:
            return Answers(
                {},
                "too few of its photos can be asked about: it fires on few, or they are copies of "
                "one another",
            )
        best = self._likeness(most[:1], high, low)
        shares = {
            "photos": _share(first.mean - last.mean, asked),
            "most": _share(first.mean, asked),
            "photo": _share(best.mean, asked & (best.count > 0)),
        }
        if image is not None:
            like = self._units[np.concatenate([high, low])] @ self.standard(image[None])[0]
            seen = like[: len(high), None] - like[None, len(high) :]
            # One reference more among those that fire it most.
            both = (first.mean * first.count + seen) / (first.count + 1) - last.mean
            shares |= {"image": _share(seen, asked), "both": _share(both, asked)}
        return Answers(shares)

    def _photos(
        self, ranks: Ranks, neuron: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Rows of the references, rows of the photos asked about, and the scores of those."""
        rows = self._row[ranks.index[neuron]]
        first, end = self._references, self._references + self._questions
        asked = np.flatnonzero(rows[first:end] >= 0) + first
        references = rows[:first]
        return references[references >= 0], rows[asked], ranks.score[neuron][asked]

    def _apart(self, some: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of some photos come from elsewhere than which of the others, ``(n, m)``."""
        apart: NDArray[np.bool_] = self._source[some][:, None] != self._source[others][None, :]
        return apart & (self._units[some] @ self._units[others].T < _COPY)

    def _likeness(
        self, references: NDArray[np.int64], high: NDArray[np.int64], low: NDArray[np.int64]
    ) -> _Likeness:
        """How much more like the references each high photo is than each low one."""
        use_high, use_low = (self._apart(a, references).astype(float) for a in (high, low))
        like_high = use_high * (self._units[high] @ self._units[references].T)
        like_low = use_low * (self._units[low] @ self._units[references].T)
        count = use_high @ use_low.T
        total = like_high @ use_low.T - use_high @ like_low.T
        return _Likeness(total / np.maximum(count, 1), count)

    def _why_alike(self, neuron: int) -> str:
        if neuron in self._dead:
            return "it never fires on these photos"
        return "its photos have one and the same score: there is no right answer"


@dataclass(frozen=True)
class _Likeness:
    """Mean difference of two photos' likeness to references, and to how many; ``(H, L)``."""

    mean: Array
    count: Array


def _share(margin: Array, asked: NDArray[np.bool_]) -> Share:
    """The share of right answers among the questions asked.

    Its standard error is DeLong's for an area under a curve: questions share their photos.
    """
    if not asked.any():
        return Share()
    right = np.where(asked, (margin > 0) + 0.5 * (margin == 0), 0.0)
    variance = 0.0
    for axis in (0, 1):
        count = asked.sum(axis=axis)
        each = right.sum(axis=axis)[count > 0] / count[count > 0]
        if len(each) > 1:
            variance += each.var(ddof=1) / len(each)
    halves = tuple(_mean(right[i::2, i::2], asked[i::2, i::2]) for i in (0, 1))
    return Share(
        _mean(right, asked), float(np.sqrt(variance)), int(asked.sum()), (halves[0], halves[1])
    )


def _mean(right: Array, asked: NDArray[np.bool_]) -> float:
    return float(right.sum() / asked.sum()) if asked.any() else float("nan")
