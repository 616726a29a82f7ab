"""Whatever a page sends is answered in one line of ours, and the session works afterwards."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from typing import Any

import pytest

from neuron_widget.protocol import messages as protocol


def nested(depth: int) -> Any:
    """Lists in lists."""
    found: Any = []
    for _ in range(depth):
        found = [found]
    return found


HOSTILE: list[tuple[str, Any]] = [
    ("nothing", None),
    ("a list", []),
    ("lists in lists", nested(900)),
    ("a long text", "x" * 10**6),
    ("half a character", "\ud800"),
    ("a null byte", "a\0b"),
    ("bytes", b"bytes"),
    ("a huge number", 10**400),
    ("no number", float("nan")),
    ("a record of records", {"kind": {"kind": {}}}),
    ("a long list", [0] * 10**5),
    ("an object", object()),
]
GOOD: dict[Any, Any] = {str: "2", int: 1, float: 0.5, bool: True}


def good(hint: Any) -> Any:
    """A value of this type."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if typing.is_typeddict(hint):
        return {name: good(one) for name, one in typing.get_type_hints(hint).items()}
    if origin is typing.Literal:
        return inner[0]
    if origin in (typing.Union, types.UnionType):
        return good(inner[0])
    if origin is list:
        return [good(inner[0])]
    return {"size": 32} if origin is dict else GOOD[hint]


CASES: list[Any] = [pytest.param(value, "page sent", id=name) for name, value in HOSTILE]
for _message in typing.get_args(protocol.FromPage):
    _fields = typing.get_type_hints(_message)
    _right = good(_message)
    for _name in _fields:
        for _what, _value in HOSTILE:
            if _what == "a list" and _name in ("neurons", "pins", "targets"):
                continue  # none is a choice too
            _said = "unknown kind" if _name == "kind" else "message.*not understood"
            CASES.append(
                pytest.param(
                    {**_right, _name: _value}, _said, id=f"{_right['kind']}.{_name} {_what}"
                )
            )


def test_the_table_is_a_large_one() -> None:
    assert len(CASES) > 300


@pytest.fixture(scope="module")
def heard(things: Any) -> list[dict[str, Any]]:
    """What the page is told."""
    messages: list[dict[str, Any]] = []
    things.widget._outbox._send = lambda message, _buffers: messages.append(message)
    return messages


@pytest.mark.parametrize(("content", "said"), CASES)
def test_a_message_that_is_none_is_told(
    content: Any, said: str, things: Any, heard: list[dict[str, Any]], told: Callable[..., None]
) -> None:
    before = things.widget._session.state.snapshot()
    heard.clear()
    things.widget._on_page_message(None, content, [])
    (error,) = [m for m in heard if m["kind"] == "error"]
    assert error["traceback"] == ""
    told(error["message"], said)
    error["message"].encode()
    assert things.widget._session.state.snapshot() == before


def test_the_session_works_afterwards(things: Any, heard: list[dict[str, Any]]) -> None:
    heard.clear()
    things.widget._on_page_message(None, {"kind": "ready", "view": "after"}, [])
    assert "snapshot" in [message["kind"] for message in heard]
    assert things.widget.render(wait=True) is not None
