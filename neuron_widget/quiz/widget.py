"""NeuronQuiz: which of two new photos fires the neuron more? A game in a notebook cell.

What it says to the page, and the page to it, stands in :mod:`neuron_widget.protocol.quiz`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from neuron_widget.errors import NeuronOutOfRange, WidgetError, WrongType, WrongValue
from neuron_widget.names import EFFICIENTNET_LAYERS, EMBEDDED, INCEPTION, check_neuron
from neuron_widget.notebook import HeardWhereSent, front_end

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.quiz.questions import Question
    from neuron_widget.rendering import RenderResult
    from neuron_widget.scanning import Example, ScanResult

__all__ = ["NeuronQuiz"]

_SIDES = ("left", "right")
_NEW, _REFERENCE, _SYNTHETIC = 320, 128, 288  # pixels


class NeuronQuiz(HeardWhereSent, anywidget.AnyWidget):
    """A game: references show what fires a neuron; which of two new photos fires it more?

    One question a neuron, with the rendered image, photos, or both as references, in turns. The
    scan and the images are made in the cell, with progress bars, unless they are given.

    Parameters
    ----------
    layer, model, weights, dataset, device
        As of :class:`neuron_widget.NeuronWidget`.
    neurons
        How many neurons, drawn at random, or which.
    conditions
        Some of ``"synthetic"``, ``"photos"``, ``"both"``: what the references are, in turns.
    references
        Photos of each kind (most and least activating) that are shown.
    steps, size
        Steps and side in pixels of the rendered images; see :func:`neuron_widget.render`.
    num_samples
        Photos to scan; default all of them.
    seed
        Of neurons, photos, sides and images. A class with the same seed has the same questions.
    scan
        What :func:`neuron_widget.scan` returned, to spare the pass over the photos; its ``top_k``
        must be larger than ``references``. ``layer``, ``model`` and ``dataset`` must be left out
        or be those of the scan.
    rendered
        What :func:`neuron_widget.render` returned. If ``neurons`` is a number, the rendered
        neurons are asked about, as many as that.
    progress
        Show progress bars.

    Raises
    ------
    DatasetError
        For photos that give no question.
    UnknownLayer, NeuronOutOfRange, ModelError, TypeError, ValueError
        For arguments that are wrong.

    Examples
    --------
    >>> from neuron_widget import NeuronQuiz
    >>> quiz = NeuronQuiz(
    ...     model="efficientnet_lite0", layer="blocks.0", neurons=3, steps=4, size=64,
    ...     num_samples=96, references=2, progress=False,
    ... )
    >>> quiz.answer(quiz.questions[0].fires_more)  # or a click, or an arrow key
    True
    >>> quiz.score
    {'synthetic': (1, 1), 'photos': (0, 0), 'both': (0, 0)}

    Notes
    -----
    After Borowski et al. (ICLR 2021), who showed nine most and nine least activating images of
    either kind; here the rendered image is one, and only of what fires the neuron.
    """

    _esm = front_end("quiz.js")
    _css = front_end("quiz.css")

    question = traitlets.Dict().tag(sync=True)
    answered = traitlets.Dict().tag(sync=True)
    tally: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)

    def __init__(
        self,
        layer: str | None = None,
        *,
        model: Any = None,
        weights: str | os.PathLike[str] | None = None,
        dataset: Any = "samples",
        neurons: int | Sequence[int] = 12,
        conditions: str | Sequence[str] = ("synthetic", "photos", "both"),
        references: int = 9,
        steps: int = 256,
        size: int | None = None,
        num_samples: int | None = None,
        seed: int = 0,
        device: Any = None,
        scan: ScanResult | None = None,
        rendered: RenderResult | None = None,
        progress: bool = True,
    ):
        from neuron_widget.quiz.questions import check_conditions, make_questions
        from neuron_widget.rendering import RenderResult
        from neuron_widget.scanning import ScanResult
        from neuron_widget.setting import check_int

        turns = check_conditions(conditions)
        for name, given, made_by in (
            ("scan", scan, ScanResult),
            ("rendered", rendered, RenderResult),
        ):
            if given is not None and not isinstance(given, made_by):
                made = made_by.__name__
                raise WrongType(f"{name} must be a {made} or left out, got {given!r:.80}")
        check_int("references", references, 1, 100)
        if isinstance(neurons, int):
            check_int("neurons", neurons, 1, 100_000)
            if rendered is not None:
                neurons = rendered.neurons[:neurons]
        elif isinstance(neurons, str) or not isinstance(neurons, Iterable):
            # The characters of a text would be taken for neurons.
            raise WrongType(f"neurons must be how many, or a list of which, got {neurons!r:.80}")
        elif not (neurons := tuple(check_neuron(n, None, "") for n in neurons)):
            raise NeuronOutOfRange("neurons is empty: expected how many neurons, or which")
        if scan is None or (rendered is None and set(turns) != {"photos"}):
            opened, name = _open(layer, model, weights, device, scan)
        found = scan
        if found is None:
            found = _scan(opened, name, dataset, references, num_samples, seed, progress)

        def render_them(wanted: tuple[int, ...]) -> RenderResult:
            from neuron_widget.rendering import render

            if rendered is not None:
                return rendered
            return render(
                opened, name, wanted, steps=steps, size=size, seed=seed, progress=progress
            )

        self._questions = make_questions(
            found, neurons, turns, render_them, references=references, seed=seed
        )
        self._layer = found.layer
        self._conditions = tuple(dict.fromkeys(turns))
        self._results: list[dict[str, Any]] = []
        self._at = 0
        super().__init__()
        self._show()
        self.on_msg(self._on_page_message)

    # -------------------------------------------------------------- for Python

    @property
    def questions(self) -> list[Question]:
        """All questions, with their answers (``.fires_more``): look at them after the game."""
        return list(self._questions)

    @property
    def results(self) -> list[dict[str, Any]]:
        """One row for each question answered.

        Keys: question (from 1), layer, neuron, condition, answer and fires_more (``"left"`` or
        ``"right"``), correct, seconds (None if answered from Python without a time), left_path,
        right_path, left_score, right_score.
        """
        return [dict(row) for row in self._results]

    @property
    def score(self) -> dict[str, tuple[int, int]]:
        """(right answers, answers) for each condition."""
        return {
            condition: (
                sum(row["correct"] for row in self._results if row["condition"] == condition),
                sum(row["condition"] == condition for row in self._results),
            )
            for condition in self._conditions
        }

    def to_frame(self) -> Any:
        """Return :attr:`results` as a pandas table. Raises ``PandasMissing`` without pandas."""
        from importlib import import_module

        from neuron_widget.scanning.tables import PandasMissing

        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise PandasMissing(
                "to_frame() needs pandas, which is not installed: pip install pandas. The same "
                "rows are in quiz.results, as dictionaries"
            ) from error
        return pandas.DataFrame(self._results)

    def answer(self, side: str, seconds: float | None = None) -> bool:
        """Answer the question that is shown, ``"left"`` or ``"right"``; say whether it is right.

        The page shows the answer as if it had been clicked (a show of hands, say).

        Raises
        ------
        ValueError
            For another side.
        RuntimeError
            If it is answered already, or none is left.
        """
        if side not in _SIDES:
            raise WrongValue(f"side must be 'left' or 'right', got {side!r}")
        if self._at >= len(self._questions):
            raise WidgetError("no question is left; restart() begins again")
        if len(self._results) > self._at:
            raise WidgetError("this question is answered already; next() shows the next one")
        question = self._questions[self._at]
        correct = side == question.fires_more
        self._results.append(
            {
                "question": self._at + 1,
                "layer": self._layer,
                "neuron": question.neuron,
                "condition": question.condition,
                "answer": side,
                "fires_more": question.fires_more,
                "correct": correct,
                "seconds": seconds,
                "left_path": question.left.path,
                "right_path": question.right.path,
                "left_score": question.left.score,
                "right_score": question.right.score,
            }
        )
        self._show_answer()
        return correct

    def next(self) -> None:
        """Show the next question, or the end. RuntimeError if this one is not answered."""
        if self._at >= len(self._results):
            raise WidgetError("this question is not answered yet: answer('left') or ('right')")
        self._at += 1
        self._show()

    def restart(self) -> None:
        """Begin again with the same questions; the results are forgotten."""
        self._results = []
        self._at = 0
        self._show()

    # -------------------------------------------------------------- the page

    def _on_page_message(self, _widget: object, content: Any, _buffers: object) -> None:
        """Dispatch one message; what does not fit the question that is shown is not for us."""
        if not isinstance(content, dict):
            return
        kind, side, seconds = content.get("kind"), content.get("side"), content.get("seconds")
        if kind == "restart":
            self.restart()
        elif content.get("question") != self._at:
            return
        elif kind == "answer" and side in _SIDES and len(self._results) == self._at:
            if not (isinstance(seconds, (int, float)) and 0 <= seconds < 1e6):
                seconds = None
            self.answer(str(side), None if seconds is None else round(float(seconds), 1))
        elif kind == "next" and len(self._results) > self._at:
            self.next()

    def _show(self) -> None:
        total = len(self._questions)
        shown: dict[str, Any] = {"number": self._at, "total": total, "layer": self._layer}
        if self._at < total:
            shown |= _pictures(self._questions[self._at])
        with self.hold_sync():
            self.question = shown
            self._show_answer()

    def _show_answer(self) -> None:
        """See :class:`.protocol.quiz.QuizAnswered` and :class:`.protocol.quiz.QuizTally`."""
        row = self._results[self._at] if len(self._results) > self._at else {}
        keys = ("answer", "fires_more", "correct", "left_score", "right_score", "neuron")
        with self.hold_sync():
            self.answered = {key: row[key] for key in keys} if row else {}
            self.tally = [
                {"condition": condition, "correct": correct, "answered": answered}
                for condition, (correct, answered) in self.score.items()
            ]


def _open(
    layer: str | None, model: Any, weights: Any, device: Any, scan: ScanResult | None
) -> tuple[VisionModel, str]:
    """The network, and the name of the layer."""
    from neuron_widget.networks.zoo import load_model

    if model is None and layer is not None:
        # As in NeuronWidget: a layer names its network.
        model = EMBEDDED if layer in EFFICIENTNET_LAYERS else INCEPTION
    opened = load_model(model, weights=weights, device=device)
    if scan is not None and scan.model_identity != opened.identity:
        raise WrongValue(
            f"the scan was made with {scan.model_identity}, and the images would be rendered with "
            f"{opened.identity}: pass the same model, or rendered="
        )
    name = opened.layer(layer or (scan.layer if scan else opened.default_layer)).name
    if scan is not None and scan.layer != name:
        raise WrongValue(f"the scan is of layer {scan.layer!r}, not of {name!r}: leave layer out")
    return opened, name


def _scan(
    model: VisionModel,
    layer: str,
    dataset: Any,
    references: int,
    num_samples: int | None,
    seed: int,
    progress: bool,
) -> ScanResult:
    from neuron_widget.quiz.questions import depth
    from neuron_widget.scanning import open_dataset, scan

    photos = open_dataset(dataset)
    looked_at = len(photos) if num_samples is None else min(num_samples, len(photos))
    return scan(
        model,
        layer,
        photos,
        top_k=depth(photos.name, looked_at, references),
        num_samples=num_samples,
        seed=seed,
        progress=progress,
    )


def _pictures(question: Question) -> dict[str, Any]:
    """See :class:`.protocol.quiz.QuizQuestion`: pictures, no scores, no names."""
    from neuron_widget.protocol.encode import jpeg

    def small(examples: Sequence[Example]) -> list[bytes]:
        return [jpeg(example.image(), _REFERENCE) for example in examples]

    synthetic = question.synthetic
    return {
        "condition": question.condition,
        "synthetic": jpeg(synthetic, _SYNTHETIC, 92) if synthetic is not None else None,
        "most": small(question.most),
        "least": small(question.least),
        "left": jpeg(question.left.image(), _NEW),
        "right": jpeg(question.right.image(), _NEW),
    }
