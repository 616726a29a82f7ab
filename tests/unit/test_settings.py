"""The one list of settings: checks, keys, and what is made of it."""

from __future__ import annotations

import inspect
import re

import pytest

from neuron_widget import render, render_steps, scan, scan_steps
from neuron_widget.objectives import OBJECTIVES
from neuron_widget.settings import (
    PREVIEW,
    RENDER,
    SCAN,
    VIEW,
    check_settings,
    defaults,
    key_parts,
    page_settings,
)


@pytest.mark.parametrize("settings", [RENDER, SCAN, VIEW], ids=["render", "scan", "view"])
def test_every_setting_says_what_it_is(settings) -> None:
    for name, setting in settings.items():
        assert setting.name == name
        assert setting.help.endswith(".")
        assert setting.type in (int, float, bool, str)
        assert setting.check(setting.default) == setting.default
        if setting.choices and not setting.optional:
            assert setting.default in [choice.name for choice in setting.choices]


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"steps": 0}, ValueError, "steps must be from 1 to 100,000, got 0"),
        ({"steps": 1.5}, TypeError, "steps must be an integer from 1 to 100,000, got 1.5"),
        ({"size": True}, TypeError, "size must be an integer"),
        ({"lr": 0}, ValueError, "lr must be above 0 and at most 10, such as 0.05; got 0"),
        ({"lr": float("nan")}, ValueError, "got nan"),
        ({"lr": "fast"}, TypeError, "got 'fast'"),
        ({"seed": -1}, ValueError, "seed must be from 0"),
        ({"objective": "chanel"}, ValueError, "did you mean 'channel'"),
        ({"engine": 3}, TypeError, "'fast', 'lucent'"),
        ({"redirect_relu": 1}, TypeError, "redirect_relu must be True, False or None, got 1"),
        ({"precision": "half"}, ValueError, "'float32', 'bfloat16'"),
        ({"step": 3}, TypeError, r"render() has no setting 'step'; did you mean 'steps'"),
    ],
)
def test_what_is_wrong_is_told(given, error, says) -> None:
    with pytest.raises(error, match=re.escape(says)):
        check_settings(RENDER, given, what="render()")


def test_lucents_word_for_a_unit_is_understood() -> None:
    assert RENDER["objective"].check("neuron") == "unit"


def test_keys_of_earlier_results_stay(monkeypatch) -> None:
    """What was in a key from the first stays; what came later is in it only where it is changed."""
    import dataclasses

    assert sorted(key_parts(RENDER, defaults(RENDER))) == sorted(
        ["size", "lr", "seed", "objective", "engine", "redirect_relu", "precision"]
    )
    later = dataclasses.replace(RENDER["lr"], name="decay", default=1.0, in_key="changed")
    more = {**RENDER, "decay": later}
    assert "decay" not in key_parts(more, defaults(more))
    assert key_parts(more, {**defaults(more), "decay": 2.0})["decay"] == 2.0


def test_people_see_every_setting_of_a_function() -> None:
    takes = ((render, RENDER), (render_steps, RENDER), (scan, SCAN), (scan_steps, SCAN))
    for function, settings in takes:
        shown = inspect.signature(function).parameters
        assert {name: shown[name].default for name in settings} == defaults(settings)
        assert all(p.kind is not p.VAR_KEYWORD for p in shown.values())


def test_the_page_shows_what_it_can_describe() -> None:
    shown = page_settings()
    assert list(shown) == [
        *("size", "lr", "seed", "objective", "param", "movements", "redirect_relu"),
        *("facets", "previews"),
    ]
    assert {choice.name for choice in shown["objective"].choices} == set(OBJECTIVES)
    for setting in shown.values():
        assert setting.page is not None
        assert setting.page.label
        assert setting.check(setting.default, on_page=True) == setting.default


@pytest.mark.parametrize(("word", "meant"), [("auto", None), ("on", True), ("off", False)])
def test_a_switch_that_is_left_to_the_network_has_three_words(word, meant) -> None:
    switch = RENDER["redirect_relu"]
    assert switch.from_page(word) is meant
    assert switch.to_page(meant) == word
    assert {choice.name for choice in switch.page.choices} >= {word}
    with pytest.raises(ValueError, match=r"unknown redirect_relu 'of'; did you mean 'off'"):
        switch.from_page("of")


def test_the_page_knows_no_none() -> None:
    for setting in page_settings().values():
        shown = setting.to_page(setting.default)
        assert shown is not None
        assert setting.to_page(setting.from_page(shown)) == shown


def test_previews_are_settings_of_a_picture() -> None:
    check_settings(RENDER, PREVIEW, what="a preview")
