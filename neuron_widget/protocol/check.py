"""Messages from the page, checked against the protocol before anything is done with them."""

from __future__ import annotations

import math
import reprlib
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from neuron_widget.errors import nearest
from neuron_widget.protocol import messages as protocol

__all__ = ["check_message"]

# Far above what a page has to say: a path, the neurons in view.
MAX_TEXT = 4096
MAX_ITEMS = 4096
MAX_INTEGER = 2**53  # the integers that JavaScript knows

_WAY_OUT = "Reload the page, which may be of another version"


def _fields(kind: Any) -> dict[str, Any]:
    """The fields of a ``TypedDict``; what need not be there is ``NotRequired[...]``."""
    return typing.get_type_hints(kind, include_extras=True)


_KINDS: dict[str, dict[str, Any]] = {
    typing.get_args(fields["kind"])[0]: fields
    for fields in map(_fields, typing.get_args(protocol.FromPage))
}


def check_message(content: object) -> dict[str, Any]:
    """The fields of a message of the page, of the types that its ``TypedDict`` gives them.

    Raises
    ------
    ValueError
        For a kind that is unknown, a field that is missing, or one of another type or too large.
    """
    if not isinstance(content, Mapping):
        raise ValueError(
            f"the page sent no message but {_short(content)}; expected a record with a kind. "
            f"{_WAY_OUT}"
        )
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        hint = nearest(kind[:MAX_TEXT], _KINDS) if isinstance(kind, str) else ""
        raise ValueError(
            f"the page sent a message of unknown kind {_short(kind)}; "
            f"{hint or 'expected one such as start'}. {_WAY_OUT}"
        )
    try:
        return _record(content, _KINDS[kind])
    except ValueError as error:
        raise ValueError(
            f"the page's message {kind!r} is not understood: {error}. {_WAY_OUT}"
        ) from error


def _record(value: object, fields: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a record of {', '.join(fields)}, got {_short(value)}")
    for name, hint in fields.items():
        if name not in value and typing.get_origin(hint) is not typing.NotRequired:
            raise ValueError(f"{name} is missing")
    there = {name: hint for name, hint in fields.items() if name in value}
    return {name: _checked(name, value[name], hint) for name, hint in there.items()}


def _checked(name: str, value: Any, hint: Any) -> Any:
    if typing.get_origin(hint) is typing.NotRequired:
        (hint,) = typing.get_args(hint)
    if typing.is_typeddict(hint):
        return _record(value, _fields(hint))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return _one_of(name, value, typing.get_args(hint))
    if typing.get_origin(hint) is dict:
        if not isinstance(value, Mapping) or len(value) > MAX_ITEMS:
            raise ValueError(f"{name} must be a record by name, got {_short(value)}")
        _, inner = typing.get_args(hint)
        return {_checked("a name", key, str): _checked(key, v, inner) for key, v in value.items()}
    if typing.get_origin(hint) is list:
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise ValueError(f"{name} must be a list of at most {MAX_ITEMS:,}, got {_short(value)}")
        (inner,) = typing.get_args(hint)
        return [_checked(name, item, inner) for item in value]
    if typing.get_origin(hint) is Literal:
        known = typing.get_args(hint)
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{name} must be {' or '.join(map(repr, known))}, got {_short(value)}")
        return value
    expected, fits = _PLAIN[hint]
    if not fits(value):
        raise ValueError(f"{name} must be {expected}, got {_short(value)}")
    return value


def _one_of(name: str, value: Any, hints: tuple[Any, ...]) -> Any:
    """A value of one of several types; records are told apart by their ``kind``."""
    kinds = {typing.get_args(_fields(h)["kind"])[0]: h for h in hints if typing.is_typeddict(h)}
    if kinds:
        kind = value.get("kind") if isinstance(value, Mapping) else value
        if not isinstance(kind, str) or kind not in kinds:
            known = " or ".join(map(repr, kinds))
            raise ValueError(f"{name} must be of the kind {known}, got {_short(kind)}")
        return _record(value, _fields(kinds[kind]))
    for hint in hints:
        if _PLAIN[hint][1](value):
            return value
    wanted = " or ".join(_PLAIN[hint][0] for hint in hints)
    raise ValueError(f"{name} must be {wanted}, got {_short(value)}")


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or len(value) > MAX_TEXT or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half a character
        return False
    return True


def _is_integer(value: object) -> bool:
    return type(value) is int and abs(value) < MAX_INTEGER


def _is_number(value: object) -> bool:
    return _is_integer(value) or (type(value) is float and math.isfinite(value))


_PLAIN = {
    str: (f"a text of at most {MAX_TEXT:,} characters", _is_text),
    int: ("an integer", _is_integer),
    float: ("a number", _is_number),
    bool: ("true or false", lambda value: isinstance(value, bool)),
}


def _short(value: object) -> str:
    """A value in a line, cut where it is long, in letters that any page can show."""
    return reprlib.repr(value).encode("utf-8", "replace").decode()
