"""Composed targets as texts: one canonical text for each, and what is no expression."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neuron_widget import load_model, render_steps
from neuron_widget import objectives as o
from neuron_widget.errors import NeuronWidgetError
from neuron_widget.networks.model import VisionModel
from neuron_widget.targets import Channel, Target, as_targets, from_dict, parse, works

A, B = o.channel("a", 1), o.channel("b", 2)

# What it is, and its one text.
TEXTS: list[tuple[Target, str]] = [
    (A + B, "a:1 + b:2"),
    (B + A, "a:1 + b:2"),
    (A - 0.5 * B, "a:1 - 0.5*b:2"),
    (0.5 * B - A, "0.5*b:2 - a:1"),
    (-A, "-a:1"),
    (A + A, "2*a:1"),
    (3 * (A - B) / 2 + B * 0.5, "1.5*a:1 - b:2"),
    (A + 1 - 3, "a:1 - 2"),
    (1 - A, "-a:1 + 1"),
    (1e-7 * A + 1e20 * B, "1e-07*a:1 + 1e+20*b:2"),
    (o.mean([A, B, "c:3"]), "mean(a:1, b:2, c:3)"),
    (o.mean([A, B]) - o.mean([A, B]) / 2, "0.25*a:1 + 0.25*b:2"),
    (o.mean([A, A]) * 2, "2*a:1"),
    (o.unit("a", 1, 0, 3) + o.unit("a", 1), "a:1@centre + a:1@0,3"),
    (o.logit("golden retriever") - 0.1 * A, 'logits:"golden retriever" - 0.1*a:1'),
    (o.logit(3) - A, "logits:3 - a:1"),
    (o.channel("a/nmf-32", 5) - A, "a/nmf-32:5 - a:1"),
    (o.channel("odd name", 5) - A, '"odd name":5 - a:1'),
    (o.direction("a", [0, 1, -0.1]), "direction(a, [0, 1, -0.1])"),
    (o.direction("a", torch.tensor([0.1, 1 / 3])), "direction(a, [0.1, 0.33333334])"),
    (o.direction("a", np.array([2.0]), at=(7, 7)), "direction(a@7,7, [2])"),
    (o.weights("a"), "weights(a)"),
    (o.weights("a", [1, 2], at="centre"), "weights(a@centre, [1, 2])"),
    (o.weights("a", at="2:5, 0:3"), "weights(a@2:5,0:3)"),
    (o.layer("a") - o.total_variation(), "layer(a) - tv(image)"),
    (o.total_variation("a") + o.l1("image", 0.5), "l1(image, 0.5) + tv(a)"),
    (o.l1("a", 0.0) + 2 * o.l2("b", 1), "l1(a) + 2*l2(b, 1)"),
    (A - o.blur(), "a:1 - blur(image)"),
    (o.layer("image"), 'layer("image")'),
    (A - 100 * o.diversity("a"), "a:1 - 100*diversity(a)"),
    (o.apart(-1 * A, "a"), "apart(-a:1, a)"),
    (o.apart(A, "a", 0.25), "apart(a:1, a, 0.25)"),
    (o.alignment("a") + o.alignment("a", 3), "alignment(a) + alignment(a, 3)"),
    (o.interpolate(A, B - A), "interpolate(a:1, b:2 - a:1)"),
    (o.only(0, A) + o.only(1, "b:2"), "only(0, a:1) + only(1, b:2)"),
    (o.images(A - 2 * o.diversity("a"), 4)[2], "a:1 - 2*diversity(a) [image 2 of 4]"),
    (o.images("a:1", 2)[0], "a:1 [image 0 of 2]"),
    (np.float32(0.5) * A + np.int64(2) * B, "0.5*a:1 + 2*b:2"),
]


@pytest.mark.parametrize(("target", "text"), TEXTS, ids=[text for _, text in TEXTS])
def test_an_expression_has_one_text(target: Target, text: str) -> None:
    assert str(target) == text
    again = parse(text)
    assert again == target
    assert hash(again) == hash(target)
    assert from_dict(target.as_dict()) in (target, target.channel)
    if not str(target).endswith("]"):
        inside = 2 * target + Channel("z", 0)
        assert parse(str(inside)) == inside


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a:1+b:2", "a:1 + b:2"),
        ("  b:2  +a:1 ", "a:1 + b:2"),
        ("a:1-2*b:2", "a:1 - 2*b:2"),
        ("2*(a:1 - (b:2 - c:3))/4", "0.5*a:1 + 0.5*c:3 - 0.5*b:2"),
        ("a:1 + 0*b:2", "a:1"),
        (".5*a:1*4", "2*a:1"),
        ("mean(a:1)", "a:1"),
        ("logits:golden retriever - a:1", 'logits:"golden retriever" - a:1'),
        ("a:1@center + b:2", "a:1@centre + b:2"),
        ("2*0:3", "2*0:3"),
        ("logits:crane (bird)", "logits:crane (bird)"),
        ("logits:jack-o'-lantern", "logits:jack-o'-lantern"),
    ],
)
def test_other_spellings_are_turned_into_it(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


def test_a_text_of_a_group_names_its_images() -> None:
    facets = o.images(A - o.diversity("a"), 3)
    assert as_targets("a:1 - diversity(a) [3 images]") == facets
    assert as_targets(facets) == facets
    assert as_targets(["a:1", "a:1 - diversity(a) [3 images]"]) == (A, *facets)
    assert as_targets([A, facets]) == (A, *facets)
    mixed = (facets[1], A, facets[0], *facets, facets[2])
    assert works(mixed) == [(2, 0, 5), (1,), (3, 4, 6)]


@pytest.fixture(scope="module")
def model() -> VisionModel:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
    return load_model(module, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)


WRONG: list[tuple[Any, str]] = [
    ("0:1 +", r"cannot read '0:1 \+' at its end: expected a target"),
    ("0:1 - - 2:1", "at '- 2:1': expected a target"),
    ("0:1 * 2:1", "multiplied by each other; expected a number"),
    ("(0:1 - 2:1", r"at its end: expected '\)'"),
    ("0:1 - 2:1)", r"at '\)': expected \+, -, \* or the end"),
    ("0:1 2:1 + 0:1", r"at '2:1 \+ 0:1': expected \+"),
    ("first - 2:1", "'first' is none: a neuron .first:68., all of a layer .layer.first.."),
    ("0:1-3 + 2:1", "expected one neuron, such as 0:1; .* mean"),
    ("x*0:1", "'x' is none"),
    ("nan*0:1", "nan is no finite number"),
    ("1e999*0:1", "1e999 is no finite number"),
    ("0:1/0", "divides by 0"),
    ("0:1 - 0:1", "nothing is left to maximise"),
    ("9:1 + 0:1", "no layer '9'; it has"),
    ("diversity(9) + 0:1 [2 images]", "no layer '9'; it has"),
    ("0:4 + 2:1", "layer 0 has 4 neurons, 0 to 3; there is no neuron 4"),
    ("0:1@8,0 + 2:1", "no row 8"),
    ("weights(0@2:9,0:1)", "has 8 rows, 0 to 7; there is no row 8"),
    ("0:1@7 + 2:1", "expected @ROW,COLUMN"),
    ("weights(0@3:3,0:1)", "holds no position"),
    ("divresity(0) + 0:1", "unknown objective 'divresity'; did you mean 'diversity'"),
    ("diversity() + 0:1", r"needs more than it is given; expected diversity\(layer\)"),
    ("layer(0, 1)", r"because it is layer\(layer\)"),
    ("direction(0, [1, 2])", "has 2 numbers, and layer 0 has 4 channels"),
    ("direction(0, [0, 0, 0, 0])", "at least one number that is not 0"),
    ("direction(0, [1, x, 0, 0])", "expected a number"),
    ("0:1 - diversity(0)", r"speaks of several images, and there is one: .*\[4 images\]'"),
    ("interpolate(0:1, 2:1)", "speaks of several images"),
    ("only(0, 0:1)", "speaks of several images"),
    ("apart(0:1, 0)", r"speaks of several images, and there is one: .*\[4 images\]'"),
    ("apart(0:1, 0, 0) [2 images]", "must be above 0, got 0"),
    ("0:1 - diversity(0) [1 images]", "at least 2, got 1"),
    ("0:1 - diversity(0) [99 images]", "at most 64 images"),
    ("0:1 - diversity(0) [image 2 of 2]", "images 0 to 1; there is no image 2"),
    ("0:1 - diversity(0) [image 0 of 2]", "1 of its 2 images are named.*all of them"),
    ("only(5, 0:1) + 0:1 [4 images]", "speaks of image 5, and a group of 4 has images 0 to 3"),
    ("alignment(0, 0) + 0:1 [2 images]", "decay of an alignment must be above 0"),
    ("tv(image)", "speaks of the picture alone"),
    ("0*0:1 - tv(image)", "speaks of the picture alone"),
    ("logits:nobody - 0:1", "no layer|no class|no names|outputs"),
    ("(" * 60 + "0:1", "at most 20 parentheses"),
    (lambda: A * math.nan, "a weight must be a finite number such as 0.5, got nan"),
    (lambda: A * math.inf, "finite number"),
    (lambda: A * "2", "a weight must be a number such as 0.5, got '2'"),
    (lambda: A * True, "got True"),
    (lambda: A * None, "got None"),
    (lambda: A * torch.tensor(2.0), "a weight must be a number"),
    (lambda: A * B, "not by each other"),
    (lambda: A / 0, "cannot be divided by 0"),
    (lambda: A / B, "not by each other"),
    (lambda: A + "b:2", r"the text 'b:2'; write parse\('b:2'\)"),
    (lambda: A + None, "got None"),
    (lambda: A - math.nan, "finite"),
    (lambda: sum(o.images(A, 2)), "nothing can be added to"),
    (lambda: o.mean([]), "nothing is left"),
    (lambda: o.mean("a:1"), "takes a list"),
    (lambda: o.images(A, 1), "at least 2, got 1"),
    (lambda: o.images(A, 2.5), "got 2.5"),
    (lambda: o.images(o.images(A, 2)[0], 2), "one image of a group already"),
    (lambda: o.direction("a", "abc"), "a number for each channel"),
    (lambda: o.direction("a", [1, math.nan]), "number 1 of a direction must be finite"),
    (lambda: o.direction("a", [[1.0]]), r"number 0 of a direction must be a number, got \[1.0\]"),
    (lambda: o.direction("a", [1e300]), "too large"),
    (lambda: o.direction("a", [1], at=7), r"at must be a row and a column such as \(7, 7\)"),
    (lambda: o.direction("a", [1], at="middle"), "cannot read 'middle' as a place"),
    (lambda: o.layer(3), "name of a layer such as 'mixed4a', got 3"),
    (lambda: o.unit("a", 1, 3), "column must be an integer of at least 0, got None"),
    (lambda: o.l1("image", math.nan), "constant of l1 must be a finite number"),
    (lambda: o.only(-1, A), "at least 0, got -1"),
    (lambda: o.logit(-1), "no neuron -1"),
    (lambda: o.interpolate(o.images(A, 2)[0], B), "cannot be a part of another"),
]


@pytest.mark.parametrize(
    ("wrong", "says"),
    WRONG,
    ids=[w[:40] if isinstance(w, str) else f"{i} {says[:30]}" for i, (w, says) in enumerate(WRONG)],
)
def test_what_is_no_expression_is_told_before_any_work(
    wrong: str | Callable[[], object], says: str, model: VisionModel
) -> None:
    with pytest.raises(NeuronWidgetError, match=says):
        render_steps(model, wrong, steps=2, size=32) if isinstance(wrong, str) else wrong()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"objective": "unit"}, "says by itself what is maximised: leave objective='unit' out"),
        ({"objective": lambda a: a.mean()}, "says by itself what is maximised"),
        ({"engine": "lucent"}, "use engine='fast'"),
    ],
)
def test_what_does_not_go_with_an_expression(
    arguments: dict[str, Any], says: str, model: VisionModel
) -> None:
    with pytest.raises(NeuronWidgetError, match=says):
        render_steps(model, "0:1 - 2:1", steps=2, size=32, **arguments)
