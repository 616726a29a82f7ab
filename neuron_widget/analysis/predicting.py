"""How far one may trust a neuron's pictures: a machine plays the quiz, for every neuron.

After Zimmermann, Klindt, Brendel, *Measuring Mechanistic Interpretability at Scale Without Humans*,
NeurIPS 2024. What people do with such questions: Borowski et al., ICLR 2021 (nine and nine photos
92 % right, one photo 73 %, nine and nine synthetic images 82 %, one 65 %).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from neuron_widget.analysis.embedding import embed_images, embed_steps
from neuron_widget.analysis.judging import CONDITIONS, Answers, Judge, Share
from neuron_widget.analysis.no_number import absent, copies, one_class, only_class, too_small
from neuron_widget.analysis.observers import Observer, ObserverLike, open_observer
from neuron_widget.errors import DatasetError
from neuron_widget.networks.model import VisionModel
from neuron_widget.scanning import ImageDataset, ScanResult
from neuron_widget.scanning.pairs import QUARTER, QUESTIONS, REFERENCES, counted, source_of
from neuron_widget.scanning.tables import PandasMissing, Ranks
from neuron_widget.setting import check_int
from neuron_widget.store import Store, StoreLike, open_store

if TYPE_CHECKING:
    from neuron_widget.rendering import RenderResult

__all__ = ["Predictability", "Watching", "predictability", "predictability_steps"]

NEAR_CHANCE = 0.6
"""Below this share, or within two standard errors of a half, pictures tell little."""

# With fewer photos to ask about, a share says too little.
_FEWEST = 20


@dataclass(frozen=True)
class Watching:
    """How far it is: photos shown to the observer, or (``task`` ``"scan"``) scanned once more."""

    task: str
    done: int
    total: int


@dataclass(frozen=True)
class Predictability:
    """How often a machine that saw a neuron's pictures is right about new photos.

    Attributes
    ----------
    layer, dataset, model_identity
        What was asked about.
    observer
        Who was asked, and ``note``: what has to be known of it (``""`` for nothing).
    references, questions
        Photos at either end that were shown, and that were asked about.
    answers
        For each neuron its shares of right answers by condition, or why there are none:
        ``"photos"`` (most and least activating ones), ``"most"`` (the most activating ones),
        ``"photo"`` (the most activating one alone), ``"image"`` (the rendered image alone),
        ``"both"`` (photos and image).
    reason
        Why no neuron has a number; ``""`` where there are numbers.

    Examples
    --------
    >>> from neuron_widget import predictability, scan
    >>> found = scan(
    ...     "efficientnet_lite0", "blocks.0", "samples", num_samples=40, progress=False
    ... )
    >>> predictability(found, observer="efficientnet_lite0", store=False, progress=False).reason
    '40 photos of few photographs, which count as ..., are too few for fair questions: ...'
    """

    layer: str
    dataset: str
    model_identity: str
    observer: str
    references: int
    questions: int
    answers: tuple[Answers, ...]
    reason: str = ""
    note: str = ""
    _judge: Judge | None = field(default=None, repr=False, compare=False)
    _watch: Observer | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        head = f"<Predictability {self.layer} over {self.dataset!r}, by {self.observer}"
        return f"{head}: {self.reason or self.summary('photos')}>"

    def share(self, condition: str = "photos") -> NDArray[np.float64]:
        """Return the share of right answers of each neuron in 0..1, ``(C,)``; NaN for none."""
        return np.array([self._of(n, condition).share for n in range(len(self.answers))])

    def error(self, condition: str = "photos") -> NDArray[np.float64]:
        """Return the standard error of each neuron's share, ``(C,)``; NaN for none."""
        return np.array([self._of(n, condition).error for n in range(len(self.answers))])

    def pairs(self, condition: str = "photos") -> NDArray[np.int64]:
        """Return the number of questions about each neuron, ``(C,)``."""
        return np.array([self._of(n, condition).pairs for n in range(len(self.answers))], np.int64)

    def reason_of(self, neuron: int) -> str:
        """Return why a neuron has no number; ``""`` where it has one."""
        return self.reason or self.answers[neuron].reason

    def near_chance(self, neuron: int, condition: str = "image") -> bool:
        """Whether the references tell little or nothing of this neuron."""
        one = self._of(neuron, condition)
        return bool(one.share < NEAR_CHANCE or one.share - 2 * one.error <= 0.5)

    def reliability(self, condition: str = "photos") -> float:
        """Return how two halves of the questions, no photo in both, correlate over neurons."""
        halves = np.array([self._of(n, condition).halves for n in range(len(self.answers))])
        halves = halves[np.isfinite(halves).all(axis=1)] if len(halves) else halves
        if len(halves) < 3 or not halves.std(axis=0).all():
            return float("nan")
        return float(np.corrcoef(halves.T)[0, 1])

    def summary(self, condition: str = "photos") -> str:
        """Return the layer in a line: mean, tenth, median."""
        there = self.share(condition)
        there = there[np.isfinite(there)]
        if not len(there):
            return "no neuron has a number"
        tenth, median = np.quantile(there, [0.1, 0.5])
        return (
            f"{len(there)} neurons, right in {there.mean():.1%} of the pairs (tenth "
            f"{tenth:.0%}, median {median:.0%}; chance is 50%)"
        )

    def with_images(self, images: Mapping[int, NDArray[np.float32]]) -> Predictability:
        """Return the same with rendered images ``(H, W, 3)`` in 0..1 of some neurons, too."""
        if self._judge is None or self._watch is None or not images:
            return self
        vectors = [embed_images(self._watch, image[None])[0] for image in images.values()]
        answers = list(self.answers)
        for neuron, vector in zip(images, vectors, strict=True):
            answers[neuron] = self._judge.answers(neuron, vector)
        return replace(self, answers=tuple(answers))

    def with_answers(self, answers: Mapping[int, Answers]) -> Predictability:
        """Return the same with these answers about images; other neurons have none."""
        plain = [
            Answers({k: v for k, v in one.shares.items() if k not in ("image", "both")}, one.reason)
            for one in self.answers
        ]
        for neuron, one in answers.items():
            plain[neuron] = one
        return replace(self, answers=tuple(plain))

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each neuron: shares, standard errors and pairs by condition, reason."""
        rows = []
        for neuron in range(len(self.answers)):
            row: dict[str, Any] = {"neuron": neuron}
            for condition in CONDITIONS:
                one = self._of(neuron, condition)
                row |= {condition: one.share, f"{condition}_error": one.error}
            row |= {"pairs": self._of(neuron, "photos").pairs, "reason": self.reason_of(neuron)}
            rows.append(row)
        return rows

    def to_frame(self, scan: ScanResult | None = None) -> Any:
        """Return :meth:`rows` as a pandas table, behind the columns of the scan if it is given.

        Raises ``PandasMissing`` without pandas.
        """
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise PandasMissing(
                "to_frame() needs pandas, which is not installed: pip install pandas. The same "
                "numbers are in rows()"
            ) from error
        table = pandas.DataFrame(self.rows()).set_index("neuron")
        return table if scan is None else scan.to_frame().join(table)

    def _of(self, neuron: int, condition: str) -> Share:
        if condition not in CONDITIONS:
            raise ValueError(f"unknown condition {condition!r}; expected {', '.join(CONDITIONS)}")
        return self.answers[neuron].shares.get(condition, Share())


def predictability(
    scan: ScanResult,
    *,
    observer: ObserverLike = None,
    references: int = REFERENCES,
    questions: int = QUESTIONS,
    rendered: RenderResult | None = None,
    store: StoreLike = None,
    progress: bool = True,
) -> Predictability:
    """Ask a machine which of two new photos fires a neuron more, for every neuron of a scan.

    It sees what a person sees in :class:`~neuron_widget.NeuronQuiz`: photos that fire the neuron
    most and least, the rendered image, or both. Its share of right answers says how far pictures
    predict the neuron; chance is a half.

    Parameters
    ----------
    scan
        What :func:`~neuron_widget.scan` returned, with its network and photos.
    observer
        Who is asked: ``None`` for the embedded network (InceptionV1, if the embedded one is the
        network shown and its weights are at hand), ``"efficientnet_lite0"``, ``"inceptionv1"``,
        ``"dreamsim"`` (where it is installed), a network of ``load_model``, or a function from
        images ``(N, 3, 224, 224)`` in 0..1 to vectors ``(N, D)``.
    references
        Photos at either end that are shown.
    questions
        Photos at either end, behind those, that are asked about, each with each: at most so many,
        from the upper and the lower quarter of the photos.
    rendered
        What :func:`~neuron_widget.render` returned, of all or some of the neurons.
    store
        Where the observer's vectors of the photos are kept (what ``NeuronWidget`` takes).
    progress
        Show a progress bar.

    Raises
    ------
    ModelError, WeightsUnavailable
        For an observer that cannot be opened.
    DatasetError
        For a scan that was loaded without its photos.
    TypeError, ValueError

    Returns
    -------
    Predictability
        Where the data set is too small, of one class, or of copies, ``reason`` says so and there
        are no numbers.

    Examples
    --------
    >>> from neuron_widget import predictability, scan
    >>> found = scan(
    ...     "efficientnet_lite0", "blocks.0", "samples", num_samples=64, progress=False
    ... )
    >>> def colours(images):  # an observer: images (N, 3, 224, 224) to vectors (N, D)
    ...     return images.mean(dim=(2, 3))
    >>> told = predictability(
    ...     found, observer=colours, references=2, questions=5, store=False, progress=False
    ... )
    >>> told.share("photos").shape, told.observer, told.reason
    ((16,), 'colours', '')
    """
    steps = predictability_steps(
        scan,
        observer=observer,
        references=references,
        questions=questions,
        rendered=rendered,
        store=store,
    )
    with closing(steps), tqdm(disable=not progress, unit=" photos", desc="Looking") as bar:
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                found: Predictability = end.value
                return found
            bar.total = step.total
            bar.n = step.done
            bar.refresh()


def predictability_steps(
    scan: ScanResult,
    *,
    observer: ObserverLike = None,
    references: int = REFERENCES,
    questions: int = QUESTIONS,
    rendered: RenderResult | None = None,
    store: StoreLike = None,
) -> Generator[Watching, None, Predictability]:
    """As :func:`predictability`, as a generator that can be closed at any step.

    What the observer has seen until then is kept, and not shown to it again.
    """
    check_int("references", references, 1, 1000)
    check_int("questions", questions, 1, 10_000)
    if not isinstance(scan, ScanResult):
        raise TypeError(f"scan must be what scan() returned, got {type(scan).__name__}")
    images = _images(scan, rendered)
    return _steps(scan, observer, references, questions, images, open_store(store))


def _images(scan: ScanResult, rendered: RenderResult | None) -> dict[int, NDArray[np.float32]]:
    if rendered is None:
        return {}
    made = rendered.settings.get("model")
    if rendered.layer != scan.layer or made not in (None, scan.model_identity):
        raise ValueError(
            f"rendered= is of {rendered.layer} of {made}; expected {scan.layer} of "
            f"{scan.model_identity}, as the scan is"
        )
    places = {target.neuron: i for i, target in enumerate(rendered.targets) if not target.position}
    return {neuron: np.asarray(rendered.images[i]) for neuron, i in places.items()}


def _steps(
    scan: ScanResult,
    chosen: ObserverLike,
    references: int,
    questions: int,
    images: dict[int, NDArray[np.float32]],
    store: Store | None,
) -> Generator[Watching, None, Predictability]:
    model, photos = scan._model, scan._photos
    if not isinstance(model, VisionModel):
        raise DatasetError(absent(scan))
    yield Watching("look", 0, 0)
    observer, note = open_observer(chosen, model)
    room = counted(photos, scan.scanned) // QUARTER - references
    plain = Predictability(
        scan.layer,
        scan.dataset,
        scan.model_identity,
        observer.name,
        references,
        min(questions, max(room, 0)),
        (Answers({}),) * len(scan.mean),
        note=note,
    )
    if room < min(questions, _FEWEST):
        needed = QUARTER * (references + min(questions, _FEWEST))
        return replace(plain, reason=too_small(scan, references, needed))
    depth = references + plain.questions
    ranks = yield from _ranks(scan, model, photos, depth, store)
    wanted = np.unique(np.concatenate([side.index[:, :depth] for side in ranks], axis=None))
    if len(wanted) and (label := only_class(photos, wanted)):
        return replace(plain, reason=one_class(scan, label))
    looking = embed_steps(observer, photos, wanted.tolist(), store)
    with closing(looking):
        while True:
            try:
                yield Watching("look", *next(looking))
            except StopIteration as end:
                embedding = end.value
                break
    if not len(embedding.index):
        raise DatasetError(absent(scan))
    judge = Judge(
        embedding,
        *ranks,
        source_of(photos),
        photos=len(photos),
        references=references,
        questions=plain.questions,
        parts=getattr(observer, "parts", ()),
        dead=scan.dead,
    )
    if judge.standard.alike:
        return replace(plain, reason=copies(scan))
    answers: list[Answers] = []
    for neuron in range(len(scan.mean)):
        answers.append(judge.answers(neuron))
        if neuron % 32 == 0:  # others may have a turn
            yield Watching("look", len(wanted), len(wanted))
    found = replace(plain, answers=tuple(answers), _judge=judge, _watch=observer)
    return found.with_images(images)


def _ranks(
    scan: ScanResult, model: VisionModel, photos: ImageDataset, depth: int, store: Store | None
) -> Generator[Watching, None, tuple[Ranks, Ranks]]:
    """The photos at either end; a scan that kept too few of them is made once more."""
    from neuron_widget.store.reuse import scan_steps

    def ranks(found: ScanResult) -> tuple[Ranks, Ranks]:
        return found.tables.ranked("top"), found.tables.ranked("bottom")

    if min(side.index.shape[1] for side in ranks(scan)) >= min(depth, scan.scanned):
        return ranks(scan)
    same = {name: scan.settings[name] for name in ("num_samples", "seed", "precision")}
    steps = scan_steps(store, model, scan.layer, photos, top_k=depth, **same)
    with closing(steps):
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                return ranks(end.value)
            yield Watching("scan", step.done, step.total)
