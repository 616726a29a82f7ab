"""What a client may ask for: what a page may ask for, and of files only what the server names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuron_widget.errors import (
    ClusterError,
    DatasetError,
    ModelError,
    WidgetError,
    WrongType,
    WrongValue,
)
from neuron_widget.remote.rules import Rules
from neuron_widget.remote.server import Sessions
from neuron_widget.remote.wire import error_of, told_error, wish_of
from neuron_widget.version import __version__

NOTHING: dict[str, Any] = dict.fromkeys(
    ("layer", "model", "weights", "dataset", "device", "store")
) | {"neuron": 0}


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    for name in ("photos", "more", "secret"):
        (tmp_path / name).mkdir()
    return Rules(
        confined=True,
        model="efficientnet_lite0",
        layer="blocks.1",
        dataset=str(tmp_path / "photos"),
        folders=(str(tmp_path / "more"),),
        store=False,
        steps=64,
        size=96,
    )


def wish(**said: Any) -> dict[str, Any]:
    return {"version": __version__, "options": {}, **said}


def test_what_is_not_said_is_as_the_server_has_it(rules: Rules) -> None:
    settings = rules.settings(wish(), False)
    assert (settings.layer, settings.model, settings.dataset) == (
        "blocks.1",
        "efficientnet_lite0",
        rules.dataset,
    )
    assert (settings.steps, settings.options["size"]) == (64, 96)
    assert rules.settings(wish(options={"size": None}), False).options["size"] == 96
    free = Rules().settings(wish(layer="mixed4a", dataset="samples"), False)
    assert (free.model, free.layer, free.steps) == ("inceptionv1", "mixed4a", 512)


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ({"version": "0"}, ClusterError, "on the server and '0' here"),
        ({"model": "timm/resnet18"}, ModelError, "this server shows efficientnet_lite0"),
        ({"dataset": "/etc"}, DatasetError, "does not look into '/etc'"),
        ({"dataset": "SECRET"}, DatasetError, "does not look into"),
        ({"dataset": "DOTS"}, DatasetError, "does not look into"),
        ({"dataset": "imagenette"}, DatasetError, "does not look into"),
        ({"dataset": "PATTERN"}, DatasetError, "does not look into"),
        ({"dataset": 3}, WrongType, "must be a text"),
        ({"neuron": 24}, ValueError, "0 to 23"),
        ({"options": {"steps": 65}}, WrongValue, "at most 64"),
        ({"options": {"size": 97}}, WrongValue, "at most 96"),
        ({"options": {"steps": np.int64(65)}}, WrongValue, "at most 64"),
        ({"options": {"steps": "65"}}, WrongType, "must be an integer"),
        ({"options": {"start": "/etc/passwd"}}, WrongValue, "a file of the server"),
        ({"options": {"spectrum": "/etc/passwd"}}, WrongValue, "a file of the server"),
        ({"options": {"objective": len}}, WrongType, "by its name"),
        ({"options": {"store": "/tmp"}}, WrongType, "no setting"),
        ({"options": [1]}, WrongType, "a record"),
        ({"options": {"lr": -1}}, ValueError, "lr"),
    ],
)
def test_wishes_that_are_refused(
    said: dict[str, Any], error: type[Exception], words: str, rules: Rules, tmp_path: Path
) -> None:
    more = tmp_path / "more"
    places = {
        "SECRET": tmp_path / "secret",
        "DOTS": more / ".." / "secret",
        "PATTERN": more / "{..,x}" / "secret",
    }
    said = {name: str(places.get(str(value), "")) or value for name, value in said.items()} | {
        name: value for name, value in said.items() if str(value) not in places
    }
    with pytest.raises(error, match=words):
        rules.settings(wish(**said), False)


def test_folders_that_are_named_are_looked_into(rules: Rules, tmp_path: Path) -> None:
    (tmp_path / "more" / "birds").mkdir()
    (tmp_path / "more" / "way out").symlink_to(tmp_path / "secret")
    inside = str(tmp_path / "more" / "birds")
    assert rules.photos(inside) == inside
    assert rules.photos("samples") == "samples"
    with pytest.raises(DatasetError, match="does not look into"):
        rules.photos(str(tmp_path / "more" / "way out"))


TARGET = {"kind": "channel", "layer": "blocks.1", "neuron": 1}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"kind": "start", "target": TARGET, "steps": 65}, "at most 64"),
        ({"kind": "select", "seq": 1, "target": TARGET, "steps": 65, "settled": True}, "at most"),
        ({"kind": "configure", "settings": {"size": 128}}, "at most 96"),
        ({"kind": "scan", "dataset": "/etc", "download": False}, "does not look into"),
        ({"kind": "scan", "dataset": "samples", "download": True}, "downloads nothing"),
        ({"kind": "dictionary", "wish": "/etc/passwd"}, "opens no files"),
        ({"kind": "open_embedded"}, "and no other"),
        ({"kind": "exec", "code": "1"}, "unknown kind"),
        ({"kind": "start", "target": TARGET}, "steps is missing"),
        ("start", "no message"),
    ],
)
def test_messages_that_are_refused(message: Any, words: str, rules: Rules) -> None:
    with pytest.raises((ValueError, WidgetError), match=words):
        rules.check(message)


def test_messages_that_are_not(rules: Rules) -> None:
    assert rules.check({"kind": "start", "target": TARGET, "steps": 64})["steps"] == 64
    assert rules.check({"kind": "dictionary", "wish": "nmf 8"})["wish"] == "nmf 8"
    assert rules.check({"kind": "scan", "dataset": "", "download": False})["dataset"] == ""
    free = Rules().check({"kind": "scan", "dataset": "/photos", "download": True})
    assert free["dataset"] == "/photos"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"weights": "w.pth"}, "is of this machine"),
        ({"device": "cuda"}, "is of this machine"),
        ({"store": "folder"}, "is of this machine"),
        ({"model": object()}, "goes by its name"),
        ({"dataset": [1]}, "go by a name"),
        ({"start": "dog.jpg"}, "does not travel"),
        ({"objective": len}, "goes by its name"),
        ({"layer": 3}, "must be a name"),
        ({"layer": "mixed4a:9999", "model": "inceptionv1"}, "508 neurons"),
        ({"neuron": -1}, "neuron"),
        ({"steps": 0}, "steps"),
    ],
)
def test_what_does_not_travel(said: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        wish_of(**{**NOTHING, **said})


def test_what_travels_is_what_was_said() -> None:
    said, settings = wish_of(**{**NOTHING, "layer": "layer3:7", "steps": 64})
    assert said == {
        "layer": "layer3:7",
        "neuron": 7,
        "model": None,
        "dataset": None,
        "version": __version__,
        "options": {"steps": 64},
    }
    assert (settings.layer, settings.neuron, settings.steps) == ("layer3", 7, 64)


def test_errors_travel_by_kind_and_text() -> None:
    for error in (DatasetError("no photos"), WrongValue("3 is wrong")):
        back = error_of(told_error(error))
        assert (type(back), str(back)) == (type(error), str(error))
    assert str(error_of(told_error(KeyError("x")))) == "KeyError: 'x'"
    assert error_of(["SystemExit", "now"]).args == ("SystemExit: now",)
    assert error_of(None) is None


def test_a_key_is_the_clients_own_secret(rules: Rules) -> None:
    sessions = Sessions(rules)
    for key in ("", "short", 3, "x" * 101):
        with pytest.raises(WrongValue, match="a key of its client"):
            sessions.open(key, wish())  # type: ignore[arg-type]
    with pytest.raises(Exception, match="not there any more"):
        sessions.tell("x" * 32, [])
    with pytest.raises(WrongValue, match="limit"):
        Sessions(Rules(sessions=0)).open("x" * 32, wish())
