"""Targets: their texts, what they are checked against, and what they are in messages and keys."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from torch import nn

from neuron_widget import load_model
from neuron_widget.errors import NeuronOutOfRange, TargetError, UnknownLayer
from neuron_widget.targets import (
    Channel,
    Unit,
    as_target,
    as_targets,
    from_dict,
    group,
    parse,
    parse_targets,
)

TEXTS = {
    "mixed4a:68": Channel("mixed4a", 68),
    "blocks.4.1:0": Channel("blocks.4.1", 0),
    "mixed4a:68@7,7": Unit("mixed4a", 68, 7, 7),
    "mixed4a.3x3:12@0,13": Unit("mixed4a.3x3", 12, 0, 13),
}


@pytest.fixture(scope="module")
def model():
    module = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU())
    return load_model(module, preprocess=((0.5,) * 3, (0.25,) * 3), input_size=32)


@pytest.mark.parametrize(("text", "target"), TEXTS.items())
def test_text_and_target_are_one(text, target) -> None:
    assert parse(text) == target
    assert str(target) == text
    assert hash(parse(text)) == hash(target)
    assert from_dict(json.loads(json.dumps(target.as_dict()))) == target
    assert target.channel == Channel(target.layer, target.neuron)


@pytest.mark.parametrize(
    ("given", "neurons", "targets"),
    [
        ("a", 3, [Channel("a", 3)]),
        ("a", [3, 1], [Channel("a", 3), Channel("a", 1)]),
        ("a", range(2), [Channel("a", 0), Channel("a", 1)]),
        ("a:3", None, [Channel("a", 3)]),
        ("a:3-5", None, [Channel("a", n) for n in (3, 4, 5)]),
        ("a:1, 4-5", None, [Channel("a", n) for n in (1, 4, 5)]),
        (("a", 3), None, [Channel("a", 3)]),
        (("a", [3, 1]), None, [Channel("a", 3), Channel("a", 1)]),
        (("a:3", "b:1"), None, [Channel("a", 3), Channel("b", 1)]),
        (
            ["a:3", ("b", 1), Unit("c", 1, 2, 3)],
            None,
            [Channel("a", 3), Channel("b", 1), Unit("c", 1, 2, 3)],
        ),
    ],
)
def test_every_way_to_say_it(given, neurons, targets) -> None:
    assert list(as_targets(given, neurons)) == targets


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: parse("mixed4a"), TargetError, "'mixed4a' as a target; expected LAYER:NEURON"),
        (lambda: parse("mixed4a:-1"), TargetError, "mixed4a:-1"),
        (lambda: parse("mixed4a:1@2"), TargetError, "LAYER:NEURON@ROW,COLUMN"),
        (lambda: parse(":3"), TargetError, "':3'"),
        (lambda: parse(3), TargetError, "got 3"),
        (lambda: as_target(nn.Linear(2, 2)), TargetError, "expected a target"),
        (lambda: as_target("a", "b"), NeuronOutOfRange, "got 'b'"),
        (lambda: as_target("a", True), NeuronOutOfRange, "got True"),
        (lambda: as_target(3, 1), TargetError, "got 3"),
        (lambda: as_targets("mixed4a"), TargetError, "names a layer and no neuron"),
        (lambda: as_targets("a", []), NeuronOutOfRange, "no neuron of layer a"),
        (lambda: as_targets([]), TargetError, "no target is named"),
        (lambda: parse_targets("a:5-3"), TargetError, "'5-3' in 'a:5-3'"),
        (lambda: parse_targets("a:0-999999999"), TargetError, "1,000,000,000 neurons"),
        (
            lambda: from_dict({"kind": "chanel", "layer": "a"}),
            TargetError,
            "did you mean 'channel'",
        ),
        (lambda: from_dict({"kind": "channel", "layer": "a"}), TargetError, "no target of kind"),
        (
            lambda: from_dict({"kind": "channel", "layer": 1, "neuron": 1}),
            TargetError,
            "must be a text",
        ),
        (
            lambda: from_dict({"kind": "channel", "layer": "a", "neuron": "1"}),
            TargetError,
            "integer",
        ),
        (lambda: from_dict(7), TargetError, "unknown kind of target 7"),
    ],
)
def test_what_names_no_target_is_told(call, error, says) -> None:
    with pytest.raises(error, match=re.escape(says)):
        call()


def test_checked_against_the_network(model) -> None:
    assert parse("0:7@14,0").check(model) == Unit("0", 7, 14, 0)
    for text, error, says in (
        ("0:8", NeuronOutOfRange, "layer 0 has 8 neurons, 0 to 7; there is no neuron 8"),
        ("0:7@15,0", NeuronOutOfRange, "has 15 rows, 0 to 14; there is no row 15"),
        ("0:7@0,99", NeuronOutOfRange, "there is no column 99"),
        ("zero:1", UnknownLayer, "no layer 'zero'"),
    ):
        with pytest.raises(error, match=says):
            parse(text).check(model)


def test_keys_and_random_numbers_of_channels_are_what_they_were() -> None:
    channel, unit = parse("a:3"), parse("a:3@1,2")
    assert channel.key_parts() == {"layer": "a", "neuron": 3}
    assert channel.random_stream == "a|3"
    assert unit.key_parts() == {"layer": "a", "neuron": 3, "position": [1, 2]}
    assert unit.random_stream == "a:3@1,2"


def test_images_that_lead_from_one_to_another_begin_alike_and_others_do_not() -> None:
    for text, alike in (
        ("interpolate(a:3, b:5)", True),
        ("0.01*alignment(a) + interpolate(a:3, b:5)", True),
        ("0.01*alignment(a) + a:3", False),
        ("apart(a:3, a)", False),
    ):
        streams = {image.random_stream for image in group(parse(text), 3)}
        assert len(streams) == (1 if alike else 3), text


def test_no_torch_is_needed() -> None:
    code = (
        "import sys, neuron_widget.targets, neuron_widget.settings, neuron_widget.objectives\n"
        "print([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
