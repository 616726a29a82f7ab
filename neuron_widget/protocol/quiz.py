"""What :class:`neuron_widget.NeuronQuiz` and its page say to each other.

What the page shows is in three traits, so that a reloaded or a second view has it too:
``question`` (:class:`QuizQuestion`, after the last one :class:`QuizPlace`), ``answered``
(:class:`QuizAnswered`, empty before the answer) and ``tally`` (a :class:`QuizTally` for each
condition). No answer is on the page before it is given.

What the person does comes as one of :data:`FromQuiz`. ``question`` is the number it speaks of, so
that a click that arrives twice is heard once.
"""

from __future__ import annotations

from typing import Literal, TypedDict


class QuizPlace(TypedDict):
    """Where the game is: question ``number`` (from 0) of ``total``; ``total`` is the end."""

    number: int
    total: int
    layer: str


class QuizQuestion(QuizPlace):
    """Which of two new photos, ``left`` or ``right``, fires the neuron more? Pictures are JPEG.

    The references are the rendered image (``synthetic``, null where the ``condition`` is
    ``photos``) and photos that fire the neuron most and least (none where it is ``synthetic``).
    """

    condition: Literal["synthetic", "photos", "both"]
    synthetic: bytes | None
    most: list[bytes]
    least: list[bytes]
    left: bytes
    right: bytes


class QuizAnswered(TypedDict):
    """The answer that was given, and what is true. Scores are means over the activation map."""

    answer: Literal["left", "right"]
    fires_more: Literal["left", "right"]
    correct: bool
    left_score: float
    right_score: float
    neuron: int


class QuizTally(TypedDict):
    """Answers so far with one kind of references."""

    condition: Literal["synthetic", "photos", "both"]
    correct: int
    answered: int


class QuizAnswer(TypedDict):
    """The person chose a photo, ``seconds`` after the question was shown."""

    kind: Literal["answer"]
    question: int
    side: Literal["left", "right"]
    seconds: float


class QuizNext(TypedDict):
    """The person wants the next question."""

    kind: Literal["next"]
    question: int


class QuizRestart(TypedDict):
    """The person wants to begin again."""

    kind: Literal["restart"]
    question: int


FromQuiz = QuizAnswer | QuizNext | QuizRestart
