"""The quiz: fair questions, answers, scores, and what the page may say and see."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import NeuronQuiz, load_model, render, scan
from neuron_widget.errors import DatasetError, NeuronOutOfRange, NeuronWidgetError
from neuron_widget.networks.model import VisionModel
from neuron_widget.rendering import RenderResult
from neuron_widget.scanning import ScanResult

PHOTOS = 40


class Tiny(nn.Module):
    """Two convolutions; channel 0 of ``body`` is never above 0."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(8, 10, 3, padding=1), nn.ReLU())
        with torch.no_grad():
            self.body[0].weight[0] = -self.body[0].weight[0].abs()
            self.body[0].bias[0] = -1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(self.stem(x))


@pytest.fixture(scope="module")
def model() -> VisionModel:
    return load_model(Tiny(), preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    numbers = np.random.default_rng(0)
    return [
        Image.fromarray(numbers.integers(0, 256, (6, 6, 3), np.uint8)).resize((48, 48))
        for _ in range(PHOTOS)
    ]


@pytest.fixture(scope="module")
def found(model: VisionModel, photos: list[Image.Image]) -> ScanResult:
    return scan(model, "body", photos, top_k=11, progress=False)


@pytest.fixture(scope="module")
def rendered(model: VisionModel) -> RenderResult:
    return render(model, "body", range(1, 10), steps=2, size=32, progress=False)


@pytest.fixture
def quiz(found: ScanResult, rendered: RenderResult) -> NeuronQuiz:
    return NeuronQuiz(scan=found, rendered=rendered, neurons=6)


def test_questions_are_fair(quiz: NeuronQuiz, found: ScanResult) -> None:
    assert len(quiz.questions) == 6
    assert [q.condition for q in quiz.questions] == ["synthetic", "photos", "both"] * 2
    assert len({q.neuron for q in quiz.questions}) == 6
    for question in quiz.questions:
        top = {e.index for e in found.top(question.neuron)}
        bottom = {e.index for e in found.bottom(question.neuron)}
        high, low = question.left, question.right
        if question.fires_more == "right":
            high, low = low, high
        assert high.score > low.score
        assert high.index in top
        assert low.index in bottom
        new = {high.path, low.path}
        assert not new & {e.path for e in (*question.most, *question.least)}
        photos = question.condition != "synthetic"
        assert (len(question.most), len(question.least)) == ((9, 9) if photos else (0, 0))
        assert (question.synthetic is None) == (question.condition == "photos")


def test_crops_of_one_photograph_are_never_reference_and_question() -> None:
    small = load_model(Tiny(), preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
    quiz = NeuronQuiz(
        "body", model=small, conditions="photos", neurons=[1, 2, 3, 4], progress=False
    )
    for question in quiz.questions:
        new = {question.left.label, question.right.label}
        assert len(new) == 2
        assert not new & {e.label for e in (*question.most, *question.least)}


def test_a_seed_gives_the_same_questions_and_both_sides(
    found: ScanResult, rendered: RenderResult
) -> None:
    def asked(seed: int) -> list[tuple[object, ...]]:
        quiz = NeuronQuiz(scan=found, neurons=9, conditions="photos", seed=seed)
        return [(q.neuron, q.left.index, q.right.index, q.fires_more) for q in quiz.questions]

    assert asked(1) == asked(1)
    assert asked(1) != asked(2)
    assert {row[3] for seed in range(3) for row in asked(seed)} == {"left", "right"}


def test_a_game(quiz: NeuronQuiz) -> None:
    dice = random.Random(0)
    expected = []
    while "left" in quiz.question:
        side = dice.choice(["left", "right"])
        question = quiz.questions[quiz.question["number"]]
        correct = quiz.answer(side, seconds=1.5)
        assert correct == (side == question.fires_more)
        assert quiz.answered["correct"] == correct
        expected.append((question.condition, correct))
        quiz.next()
    assert [(r["condition"], r["correct"]) for r in quiz.results] == expected
    for condition, (correct, answered) in quiz.score.items():
        mine = [c for name, c in expected if name == condition]
        assert (correct, answered) == (sum(mine), len(mine))
    assert [row["question"] for row in quiz.results] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(RuntimeError, match="no question is left"):
        quiz.answer("left")
    quiz.restart()
    assert quiz.results == []
    assert quiz.question["number"] == 0


def test_results_are_copies_and_a_table(quiz: NeuronQuiz) -> None:
    pandas = pytest.importorskip("pandas")
    quiz.answer("left")
    quiz.results[0]["correct"] = "forged"
    assert quiz.results[0]["correct"] in (True, False)
    table = quiz.to_frame()
    assert isinstance(table, pandas.DataFrame)
    assert list(table["condition"]) == ["synthetic"]


def test_the_page_is_not_told_the_answer(quiz: NeuronQuiz) -> None:
    pictures = {"synthetic", "most", "least", "left", "right"}
    assert set(quiz.question) - pictures == {"number", "total", "layer", "condition"}
    assert quiz.answered == {}
    assert quiz.question["left"].startswith(b"\xff\xd8")


def say(quiz: NeuronQuiz, content: Any) -> None:
    quiz._handle_custom_msg(content, [])


def test_what_the_page_says(quiz: NeuronQuiz) -> None:
    say(quiz, {"kind": "answer", "question": 0, "side": "left", "seconds": 2.345})
    assert quiz.results[0]["seconds"] == 2.3
    say(quiz, {"kind": "answer", "question": 0, "side": "right", "seconds": 3})  # a second click
    assert len(quiz.results) == 1
    say(quiz, {"kind": "next", "question": 0})
    say(quiz, {"kind": "next", "question": 0})
    assert quiz.question["number"] == 1
    say(quiz, {"kind": "restart"})
    assert quiz.question["number"] == 0


@pytest.mark.parametrize(
    "content",
    [
        None,
        "answer",
        {},
        {"kind": "answer", "question": 5, "side": "left"},
        {"kind": "answer", "question": 0, "side": "up"},
        {"kind": "answer", "question": 0, "side": ["left"]},
        {"kind": "next", "question": 0},
        {"kind": "explode", "question": 0},
    ],
)
def test_nonsense_of_the_page_changes_nothing(quiz: NeuronQuiz, content: Any) -> None:
    say(quiz, content)
    assert quiz.results == []
    assert quiz.question["number"] == 0


@pytest.mark.parametrize("seconds", [None, "2", -1, float("nan"), float("inf"), 1e9])
def test_strange_times_are_no_times(quiz: NeuronQuiz, seconds: Any) -> None:
    say(quiz, {"kind": "answer", "question": 0, "side": "left", "seconds": seconds})
    assert quiz.results[0]["seconds"] is None


def test_answers_in_order(quiz: NeuronQuiz) -> None:
    with pytest.raises(RuntimeError, match="not answered yet"):
        quiz.next()
    with pytest.raises(ValueError, match="'left' or 'right', got 'up'"):
        quiz.answer("up")
    quiz.answer("left")
    with pytest.raises(RuntimeError, match="answered already"):
        quiz.answer("left")


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"conditions": ["photo"]}, ValueError, "did you mean 'photos'"),
        ({"conditions": []}, ValueError, "expected synthetic, photos, both"),
        ({"neurons": 0}, ValueError, "neurons must be from 1"),
        ({"neurons": [10]}, NeuronOutOfRange, "0 to 9"),
        ({"neurons": [0]}, DatasetError, "neuron 0: the 40 photos of 'list' give no question"),
        ({"references": 0}, ValueError, "references must be from 1"),
        ({"neuron": 3}, TypeError, "neuron"),
    ],
)
def test_bad_arguments(
    found: ScanResult,
    rendered: RenderResult,
    arguments: dict[str, Any],
    error: type[Exception],
    says: str,
) -> None:
    with pytest.raises(error, match=says):
        NeuronQuiz(scan=found, rendered=rendered, **arguments)


def test_what_is_given_must_fit(
    found: ScanResult, rendered: RenderResult, model: VisionModel
) -> None:
    with pytest.raises(NeuronWidgetError, match="not among the rendered neurons"):
        NeuronQuiz(
            scan=found,
            rendered=render(model, "body", [3], steps=1, size=32, progress=False),
            neurons=[5],
            conditions="both",
        )
    with pytest.raises(ValueError, match="leave layer out"):
        NeuronQuiz("stem", model=model, scan=found, conditions="both")
    other = Tiny()
    with torch.no_grad():
        other.body[0].bias += 1
    changed = load_model(other, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
    with pytest.raises(ValueError, match="pass the same model"):
        NeuronQuiz(model=changed, scan=found, conditions="both")


def test_images_are_rendered_where_none_are_given(found: ScanResult, model: VisionModel) -> None:
    quiz = NeuronQuiz(
        model=model,
        scan=found,
        neurons=2,
        conditions=["photos", "both"],
        steps=1,
        size=32,
        progress=False,
    )
    assert [q.synthetic is None for q in quiz.questions] == [True, False]


def test_one_photo_gives_no_question(model: VisionModel, photos: list[Image.Image]) -> None:
    with pytest.raises(DatasetError, match="no neuron of body: the 1 photos"):
        NeuronQuiz("body", model=model, dataset=photos[:1], conditions="photos", progress=False)


@pytest.mark.parametrize(
    ("neurons", "kind", "says"),
    [("12", TypeError, "neurons must be how many"), ([], NeuronOutOfRange, "neurons is empty")],
)
def test_wrong_neurons_are_named(
    found: ScanResult, neurons: Any, kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        NeuronQuiz(scan=found, neurons=neurons, conditions="photos")
    few = NeuronQuiz(scan=found, neurons=iter((3, 4)), conditions="photos", references=2)
    assert [question.neuron for question in few.questions] == [3, 4]
