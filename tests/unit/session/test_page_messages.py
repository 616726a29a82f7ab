"""Whatever a page sends: what is not understood is refused in one line, by the protocol's table."""

from __future__ import annotations

import time
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import NeuronWidget, load_model
from neuron_widget.protocol import messages as protocol
from neuron_widget.protocol.check import MAX_ITEMS, MAX_TEXT, check_message

# Only a test that hangs takes so long.
LIMIT = 120

GOOD: dict[Any, Any] = {str: "2", int: 1, float: 0.5, bool: True, list[int]: [1, 2]}
BAD: dict[Any, list[Any]] = {
    str: [None, 3, 1.5, True, [], {}, "x" * (MAX_TEXT + 1), "a\0b", "\ud800", b"bytes"],
    int: [None, "3", 1.5, True, [], {}, 2**60, float("nan"), "x" * 10**6],
    float: [None, "3", True, [], {}, float("nan"), float("inf")],
    bool: [None, "true", 0, 1, [], {}],
    list: [None, "12", 3, {}, [None], ["1"], [[1]], [{}], [1] * (MAX_ITEMS + 1)],
    typing.Literal: [None, "", "nonsense", 3, [], {}],
    # A target, and the settings by name.
    types.UnionType: [
        *(None, "2:1", 3, [], {}, {"kind": "chanel"}, {"kind": []}, {"kind": "channel"}),
        {"kind": "channel", "layer": 2, "neuron": 1},
        {"kind": "channel", "layer": "2", "neuron": "1"},
        {"kind": "unit", "layer": "2", "neuron": 1, "row": 0},
        {"kind": "expression", "layer": "2", "neuron": 1},
        {"kind": "expression", "layer": "2", "neuron": 1, "text": 3},
    ],
    protocol.PhotoName: [
        *(None, "dataset", 3, [], {}, {"of": "dataset"}, {"number": 1}),
        {"of": "net", "number": 1},
        {"of": "dataset", "number": "1"},
        {"of": "brought", "number": 2**60},
    ],
    dict: [None, "", 3, [], {"size": []}, {"size": None}, {3: 3}, {"size": float("nan")}],
}
KINDS = {
    typing.get_args(typing.get_type_hints(kind)["kind"])[0]: typing.get_type_hints(kind)
    for kind in typing.get_args(protocol.FromPage)
}


def good(hint: Any) -> Any:
    """A value of this type."""
    if typing.get_origin(hint) is typing.Literal:
        return typing.get_args(hint)[0]
    if typing.is_typeddict(hint):
        return {name: good(inner) for name, inner in typing.get_type_hints(hint).items()}
    if typing.get_origin(hint) is list:
        return [good(typing.get_args(hint)[0])]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return good(typing.get_args(hint)[0])
    if typing.get_origin(hint) is dict:
        return {"size": 32}
    return GOOD[hint]


def message(kind: str) -> dict[str, Any]:
    """A message of this kind that is understood."""
    return {name: good(hint) for name, hint in KINDS[kind].items()}


def target(layer: str = "2", neuron: int = 1, kind: str = "channel", **more: Any) -> dict[str, Any]:
    return {"kind": kind, "layer": layer, "neuron": neuron, **more}


MALFORMED: list[Any] = [None, 3, "start", [], [1], {}, {"kind": None}, {"kind": []}]
MALFORMED += [{"kind": "dance"}, {"kind": 3, "layer": "2"}, {"layer": "2", "neuron": 1}]
for _kind, _fields in KINDS.items():
    for _name, _hint in _fields.items():
        if _name == "kind":
            continue
        MALFORMED.append({k: v for k, v in message(_kind).items() if k != _name})
        _bad = BAD[typing.get_origin(_hint) or _hint]
        MALFORMED += [{**message(_kind), _name: value} for value in _bad]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_understood_passes_and_what_is_not_asked_for_falls_away(kind: str) -> None:
    assert check_message({**message(kind), "more than this": [object()]}) == message(kind)


class Page:
    """A widget's page: what it was told."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3))
        self.widget = NeuronWidget(
            "2",
            model=load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32),
            dataset=[Image.new("RGB", (32, 32), (i, 0, 0)) for i in range(4)],
            **{"size": 32, "steps": 2, "store": False, "auto": False},
        )
        self.widget._outbox._send = lambda message, _buffers: self.heard.append(message)
        self.widget.wait()

    def send(self, content: object) -> list[dict[str, Any]]:
        """Send a message; the errors that are shown for it in the end."""
        self.heard.clear()
        self.widget._on_page_message(None, content, [])
        end = time.monotonic() + LIMIT
        while self.widget._session.foreground():
            assert time.monotonic() < end
            time.sleep(0.002)
        return [m for m in self.heard if m["kind"] == "error" and m["message"]]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    page = Page()
    yield page
    page.widget.close()


def test_what_is_not_understood_is_refused_in_one_line(page: Page) -> None:
    assert len(MALFORMED) > 250
    before = page.widget._session.state.snapshot()
    for content in MALFORMED:
        (error,) = page.send(content)
        said = error["message"]
        assert "the page" in said, said
        assert error["traceback"] == "", content
        assert "\n" not in said
        assert len(said) < 400
        said.encode()
    # Nothing of them was done.
    assert page.widget._session.state.snapshot() == before


WEIRD: list[dict[str, Any]] = [
    *({"target": target(name)} for name in ("", "9", "2" * MAX_TEXT, "../..", "<b>", "é" * 100)),
    *({"target": target(neuron=n)} for n in (-1, 6, 2**52)),
    *({"target": target(kind="unit", row=n, column=0)} for n in (-1, 99, 2**52)),
    *(
        {"target": target(kind="expression", text=text)}
        for text in ("", "2:1 +", "9:1 - 2:1", "2:1 - 2:99", "2:1 - diversity(2)", "(" * MAX_TEXT)
    ),
    *({"photo": {"of": of, "number": n}} for of in ("dataset", "brought") for n in (-1, 9, 2**52)),
    *({"steps": n} for n in (-1, 0, 2**52)),
    *({"rank": n} for n in (-1, 2**52)),
    *({"seq": n} for n in (-(2**52), 2**52)),
    *({"index": n} for n in (-1, 2**52)),
    *({"settings": {"size": n}} for n in (-1, 0, 2**52, "large", True)),
    *({"settings": {"lr": n}} for n in (-1, 0, 1e300, "fast")),
    *({"settings": {"seed": n}} for n in (-1, 2**52)),
    *({"settings": {"objective": n}} for n in ("", "most", 3)),
    {"settings": {"no such": 3}},
    *({"dataset": name} for name in ("/no/such", "x" * MAX_TEXT, "x" * 300, "~nobody/x", "é", " ")),
    *({"neurons": n} for n in ([-1], [2**52], [7, 7, 7])),
    *({"pins": [target(neuron=n) for n in some]} for some in ([9], [-1], range(6))),
    *({"view": name, "asker": name} for name in ("", "x" * MAX_TEXT)),
]


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_is_said_without_a_traceback(page: Page, kind: str) -> None:
    for change in WEIRD:
        if not set(change) & set(KINDS[kind]):
            continue
        fields = {name: value for name, value in change.items() if name in KINDS[kind]}
        for error in page.send({**message(kind), **fields}):
            assert error["traceback"] == "", (fields, error)
            assert "\n" not in error["message"]
