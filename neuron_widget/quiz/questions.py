"""Questions about a neuron: given references, which of two new photos fires it more?

The two-alternative task of Borowski et al., *Exemplary Natural Images Explain CNN Activations
Better than State-of-the-Art Feature Visualization*, ICLR 2021: one of the two photos is among
those that fire the neuron most, the other among those that fire it least, and neither is among
the references. Which photos these are is the rule of :mod:`neuron_widget.scanning.pairs`, which
:func:`neuron_widget.predictability` asks a machine by, too.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from neuron_widget.errors import DatasetError, NeuronWidgetError, WrongType, WrongValue, nearest
from neuron_widget.rendering import RenderResult
from neuron_widget.scanning import ScanResult
from neuron_widget.scanning.examples import Example
from neuron_widget.scanning.kinds.samples import SampleCrops
from neuron_widget.scanning.pairs import FEWEST, QUARTER, QUESTIONS, counted, new_ranks, source_of

__all__ = ["CONDITIONS", "Question", "check_conditions", "depth", "make_questions"]

CONDITIONS = ("synthetic", "photos", "both")
"""What is shown as reference: the rendered image, photos, or both."""


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes
    ----------
    neuron
        The neuron it is about.
    condition
        ``"synthetic"``, ``"photos"`` or ``"both"``.
    synthetic
        The rendered image; None in the condition ``"photos"``.
    most, least
        Reference photos, best and lowest first; empty in the condition ``"synthetic"``.
    left, right
        The two new photos.
    """

    neuron: int
    condition: str
    synthetic: Image.Image | None
    most: tuple[Example, ...]
    least: tuple[Example, ...]
    left: Example
    right: Example

    @property
    def fires_more(self) -> str:
        """``"left"`` or ``"right"``: the photo with the larger spatial mean."""
        return "left" if self.left.score > self.right.score else "right"


@dataclass(frozen=True)
class _Draft:
    neuron: int
    most: tuple[Example, ...]
    least: tuple[Example, ...]
    high: Example
    low: Example


def check_conditions(conditions: str | Sequence[str]) -> tuple[str, ...]:
    """The conditions as a tuple; ValueError for an unknown one or none."""
    if not isinstance(conditions, Iterable):
        raise WrongType(
            f"conditions must be some of {', '.join(CONDITIONS)}, got {conditions!r:.80}"
        )
    many = (conditions,) if isinstance(conditions, str) else tuple(conditions)
    for condition in many or ("",):
        if condition not in CONDITIONS:
            hint = nearest(str(condition), CONDITIONS) or f"expected {', '.join(CONDITIONS)}"
            raise WrongValue(f"unknown condition {condition!r}; {hint}")
    return many


def depth(dataset_name: str, photos: int, references: int) -> int:
    """How many most and least activating photos a scan must keep (its ``top_k``).

    The photos asked about come from the ranks behind the references, as far as a quarter of the
    photos goes; of a smaller data set one of the first is asked about, and the other question's
    photo is left out. Crops of one photograph are near copies: of ``"samples"`` more are kept, to
    find several photographs.
    """
    wanted = references + 2
    if dataset_name != SampleCrops.name and photos // QUARTER >= references + FEWEST:
        wanted = min(references + QUESTIONS, photos // QUARTER)
    if dataset_name == SampleCrops.name:
        wanted *= 8
    return max(1, min(wanted, photos // 2))


def make_questions(
    found: ScanResult,
    neurons: int | Sequence[int],
    conditions: Sequence[str],
    render: Callable[[tuple[int, ...]], RenderResult],
    *,
    references: int = 9,
    seed: int = 0,
) -> list[Question]:
    """Make one question for each neuron.

    Parameters
    ----------
    found
        A scan with a ``top_k`` of at least :func:`depth`.
    neurons
        Which neurons, or how many, drawn at random among those that can be asked about.
    conditions
        Taken in turns.
    render
        Called once with the neurons that need a rendered image, if there are any.
    references
        Photos of each kind that are shown.
    seed
        Of the neurons, the photos and the sides; the same seed gives the same questions.

    Raises
    ------
    DatasetError
        If the photos do not tell the neurons apart (too few, or too much alike).
    NeuronOutOfRange
        With the valid range.
    """
    rng = np.random.default_rng(seed)
    given = None if isinstance(neurons, int) else [int(neuron) for neuron in neurons]
    pool = rng.permutation(len(found.mean)).tolist() if given is None else given
    wanted = neurons if isinstance(neurons, int) else len(pool)
    drafts: list[_Draft] = []
    for neuron in pool:
        draft = _draft(found, neuron, references, rng)
        if draft is not None:
            drafts.append(draft)
        elif given is not None:
            raise DatasetError(f"neuron {neuron}: {_too_alike(found)}")
        if len(drafts) == wanted:
            break
    if not drafts:
        raise DatasetError(f"no neuron of {found.layer}: {_too_alike(found)}")
    turns = [conditions[i % len(conditions)] for i in range(len(drafts))]
    to_render = [d.neuron for d, turn in zip(drafts, turns, strict=True) if turn != "photos"]
    images = _images(render(tuple(dict.fromkeys(to_render)))) if to_render else {}
    return [
        _question(draft, turn, images, swapped)
        for draft, turn, swapped in zip(drafts, turns, rng.random(len(drafts)) < 0.5, strict=True)
    ]


def _images(rendered: RenderResult) -> dict[int, Image.Image]:
    return {neuron: rendered.to_pil(i) for i, neuron in enumerate(rendered.neurons)}


def _question(
    draft: _Draft, condition: str, images: dict[int, Image.Image], swapped: bool
) -> Question:
    if condition != "photos" and draft.neuron not in images:
        raise NeuronWidgetError(
            f"neuron {draft.neuron} is asked about and not among the rendered neurons "
            f"{sorted(images)}; render it too, or pass neurons= with rendered ones only"
        )
    left, right = (draft.low, draft.high) if swapped else (draft.high, draft.low)
    return Question(
        neuron=draft.neuron,
        condition=condition,
        synthetic=images[draft.neuron] if condition != "photos" else None,
        most=draft.most if condition != "synthetic" else (),
        least=draft.least if condition != "synthetic" else (),
        left=left,
        right=right,
    )


def _draft(
    found: ScanResult, neuron: int, references: int, rng: np.random.Generator
) -> _Draft | None:
    """Photos for one question, or None where they do not tell enough."""
    top, bottom = found.top(neuron), found.bottom(neuron)
    at = source_of(found._photos)

    def source(example: Example) -> Hashable:
        return at(example.index)

    photos = counted(found._photos, found.scanned)
    high = _draw(top, source, new_ranks(photos, len(top), references), None, rng)
    if high is None:
        return None
    low = _draw(bottom, source, new_ranks(photos, len(bottom), references), source(high), rng)
    if low is None or not high.score > low.score:
        return None
    # No reference may come from where the two new photos come from.
    asked = {source(high), source(low)}
    most = tuple(e for e in top if source(e) not in asked)[:references]
    least = tuple(e for e in bottom if source(e) not in asked)[:references]
    if not most or not least:
        return None
    return _Draft(neuron, most, least, high, low)


def _draw(
    examples: Sequence[Example],
    source: Callable[[Example], Hashable],
    ranks: range,
    taken: Hashable,
    rng: np.random.Generator,
) -> Example | None:
    """A photo out of the ranks that are asked about, the strongest of its source."""
    strongest: dict[Hashable, Example] = {}
    for place, example in enumerate(examples[ranks.start :]):
        if place + ranks.start not in ranks and len(strongest) > 1:
            break
        if source(example) != taken:
            strongest.setdefault(source(example), example)
    choices = list(strongest.values())
    return choices[int(rng.integers(len(choices)))] if choices else None


def _too_alike(found: ScanResult) -> str:
    return (
        f"the {found.scanned} photos of {found.dataset!r} give no question: expected several "
        "photos that fire it most and several that fire it least. Use more photos, another layer, "
        f"or a scan with a larger top_k (this one has {found.settings['top_k']})"
    )
