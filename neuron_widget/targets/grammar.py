"""Expressions as people write them: ``mixed4a:68 - 0.5*mixed3b:12 + tv(image)``.

```text
sum      =  [-] product  { (+ | -) product }
product  =  factor { * factor | / NUMBER }           at most one factor is no number
factor   =  NUMBER  |  ( sum )  |  neuron  |  mean( sum, ... )  |  WORD( argument, ... )
neuron   =  LAYER : NUMBER [ @ place ]  |  logits : NAME
layer    =  LAYER [ @ place ]
place    =  ROW , COLUMN  |  ROW:ROW , COLUMN:COLUMN  |  centre
```

A layer of an odd name, and a class's name with signs in it, stand in double quotes.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from neuron_widget.errors import TargetError, nearest
from neuron_widget.names import OUTPUT
from neuron_widget.targets.comparing import Alignment, Distance, Diversity, Interpolate, Only
from neuron_widget.targets.given import as_vector
from neuron_widget.targets.kinds import Centre, Channel, Named, Unit
from neuron_widget.targets.regions import LAYER, Region, as_region
from neuron_widget.targets.target import Target, combine
from neuron_widget.targets.term import Term
from neuron_widget.targets.terms import (
    L1,
    L2,
    Blur,
    Direction,
    Layer,
    TotalVariation,
    Weights,
)

__all__ = ["TERMS", "looks_composed", "read_expression"]

TERMS: dict[str, type[Term]] = {
    term.word: term
    for term in (
        Direction,
        Weights,
        Layer,
        L1,
        L2,
        TotalVariation,
        Blur,
        Distance,
        Diversity,
        Alignment,
        Interpolate,
        Only,
    )
}
"""The words there are."""

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?:nan|inf(?:inity)?)\b(?!\s*[:(.])"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PLACE = r"@\s*(cent(?:re|er)\b|\d+(?::\d+)?\s*,\s*\d+(?::\d+)?)"
_NAME = r'([^"*()\[\],+@]*?[^\W\d_][^"*()\[\],+@]*?)(?=\s+[-+](?:\s|$)|\s*[,)\[*/]|\s*$)'

# Deeper parentheses than anybody writes, and longer texts than any direction.
_DEEPEST = 20
_LONGEST = 10**6

_SIGNS = re.compile(r"[*()]|(?:^|\s)[-+](?:\s|$)|^\s*-|:\s*\d+\s*[-+/]\s*[^\d\s,-]|:\s*\d+\s*/")


def looks_composed(text: str) -> bool:
    """Whether a text has a sign of an expression in it."""
    return _SIGNS.search(text) is not None


def read_expression(text: str) -> Target:
    """Return what an expression means.

    Raises
    ------
    TargetError
        With the place where it cannot be read, and what was expected there.
    """
    if len(text) > _LONGEST:
        raise TargetError(f"an expression of {len(text):,} characters is too long to be read")
    return _Reader(text).whole()


class _Reader:
    """A text that is read from left to right."""

    def __init__(self, text: str):
        self._text, self._at, self._depth = text, 0, 0

    def whole(self) -> Target:
        found = self._sum()
        if self._take(r"\S", keep=True):
            raise self._wrong("+, -, * or the end")
        return found

    def _take(self, pattern: str, *, keep: bool = False) -> re.Match[str] | None:
        """What stands here, if it is that; blanks before it are passed over."""
        found = re.compile(rf"\s*(?:{pattern})").match(self._text, self._at)
        if found is not None and not keep:
            self._at = found.end()
        return found

    def _wrong(self, expected: str) -> TargetError:
        rest = self._text[self._at :].strip()
        where = f"at {rest[:40]!r}" if rest else "at its end"
        shown = self._text if len(self._text) <= 200 else f"{self._text[:180]}..."
        return TargetError(f"cannot read {shown!r} {where}: expected {expected}")

    # -------------------------------------------------------------- sums and products

    def _sum(self) -> Target:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise TargetError(f"an expression has at most {_DEEPEST} parentheses in each other")
        sign = self._take(r"[-+]")
        parts = [self._product(-1.0 if sign and sign[0].strip() == "-" else 1.0)]
        while sign := self._take(r"[-+]"):
            parts.append(self._product(-1.0 if sign[0].strip() == "-" else 1.0))
        self._depth -= 1
        return combine(parts)

    def _product(self, weight: float) -> tuple[float, Target | None]:
        target: Target | None = None
        while True:
            factor = self._factor()
            if isinstance(factor, float):
                weight *= factor
            elif target is None:
                target = factor
            else:
                raise TargetError(
                    f"cannot read {self._text!r}: {target.title} and {factor.title} are multiplied "
                    "by each other; expected a number as one of the two"
                )
            while self._take(r"/"):
                divisor = self._number("a number to divide by")
                if divisor == 0:
                    raise TargetError(f"{self._text!r} divides by 0")
                weight /= divisor
            if not self._take(r"\*"):
                return weight, target

    def _number(self, expected: str) -> float:
        found = self._take(rf"-?\s*(?:{_NUMBER})(?![\w.])")
        if found is None:
            raise self._wrong(expected)
        number = float(found[0].replace(" ", ""))
        if not math.isfinite(number):
            raise TargetError(
                f"{self._text!r}: {found[0].strip()} is no finite number, and weights are"
            )
        return number

    def _factor(self) -> Target | float:
        if self._take(rf"(?:{LAYER}|{_QUOTED})\s*:", keep=True):
            return self._neuron()
        if self._take(rf"(?:{_NUMBER})(?![\w.])", keep=True):
            return self._number("")
        if self._take(r"\("):
            found = self._sum()
            self._close()
            return found
        if word := self._take(r"(\w+)\s*\("):
            return self._call(word[1])
        if word := self._take(rf"{LAYER}", keep=True):
            raise self._wrong(
                f"a target, and {word[0].strip()!r} is none: a neuron ({word[0].strip()}:68), all "
                f"of a layer (layer({word[0].strip()})), or a number with * behind it"
            )
        raise self._wrong("a target such as mixed4a:68, or a number")

    def _close(self) -> None:
        if not self._take(r"\)"):
            raise self._wrong("')'")

    # -------------------------------------------------------------- targets

    def _layer(self) -> str:
        found = self._take(rf"({LAYER})|({_QUOTED})")
        if found is None:
            raise self._wrong("the name of a layer")
        return found[1] or self._unquoted(found[2])

    def _unquoted(self, text: str) -> str:
        try:
            return str(json.loads(text))
        except ValueError as error:
            raise TargetError(f"cannot read {text} in {self._text!r}: {error}") from error

    def _neuron(self) -> Target:
        layer = self._layer()
        self._take(r":")
        if number := self._take(r"(\d+)(?!\w)"):
            if self._take(r"(?<=\d)[-,]\d+(?!\s*[*.\d:/])", keep=True):
                raise self._wrong(
                    f"one neuron, such as {layer}:{number[1]}; several are named one by one: "
                    f"mean({layer}:{number[1]}, ...)"
                )
            place = self._take(_PLACE)
            if place is None and self._take("@", keep=True):
                raise self._wrong("@ROW,COLUMN (@7,7) or @centre")
            return self._placed(layer, int(number[1]), place[1] if place else None)
        if name := self._take(_QUOTED):
            return Named(layer, self._unquoted(name[0].strip()))
        if layer == OUTPUT and (name := self._take(_NAME)):
            return Named(layer, name[1])
        raise self._wrong(f"the number of a neuron of layer {layer}")

    def _placed(self, layer: str, neuron: int, place: str | None) -> Target:
        if place is None:
            return Channel(layer, neuron)
        if place.startswith("cent"):
            return Centre(layer, neuron)
        if ":" in place:
            raise TargetError(
                f"cannot read {self._text!r}: {layer}:{neuron}@{place} are several units of a "
                "neuron; expected one, @ROW,COLUMN"
            )
        row, column = place.split(",")
        return Unit(layer, neuron, int(row), int(column))

    def _call(self, word: str) -> Target:
        if word == "mean":
            return self._mean()
        kind = TERMS.get(word)
        if kind is None:
            hint = nearest(word, [*TERMS, "mean"]) or f"there are mean, {', '.join(TERMS)}"
            raise TargetError(f"cannot read {self._text!r}: unknown objective {word!r}; {hint}")
        given: dict[str, Any] = {}
        for name, what in kind.arguments.items():
            if self._take(r"\)", keep=True):
                break
            if given and not self._take(","):
                raise self._wrong("',' or ')'")
            given[name] = self._argument(what)
        if self._take(",", keep=True):
            raise self._wrong(f"')', because it is {kind.form}")
        self._close()
        try:
            return kind(**given)
        except TypeError as error:
            raise TargetError(
                f"cannot read {self._text!r}: {word}(...) needs more than it is given; expected "
                f"{kind.form}"
            ) from error

    def _mean(self) -> Target:
        parts = [self._sum()]
        while self._take(","):
            parts.append(self._sum())
        self._close()
        return combine([(1 / len(parts), part) for part in parts])

    def _argument(self, what: str) -> Any:
        if what == "target":
            return self._sum()
        if what == "number":
            return self._number("a number")
        if what == "image":
            number = self._number("the number of an image")
            if number < 0 or not number.is_integer():
                raise TargetError(
                    f"{self._text!r}: images are counted from 0, and there is no image {number:g}"
                )
            return int(number)
        if what == "vector":
            return self._vector()
        named = self._take(_QUOTED, keep=True)
        layer = self._layer()
        place = self._take(_PLACE)
        if place is None and self._take("@", keep=True):
            raise self._wrong("@ROW,COLUMN (@7,7), @ROWS,COLUMNS (@2:5,0:3) or @centre")
        if place is None and not named:
            return as_region(layer, picture=what == "picture")
        return Region.placed(layer, place[1].replace(" ", "") if place else None)

    def _vector(self) -> tuple[float, ...]:
        if not self._take(r"\["):
            raise self._wrong("a direction such as [0.5, 0, 1]")
        numbers = [self._number("a number")]
        while self._take(","):
            numbers.append(self._number("a number"))
        if not self._take(r"\]"):
            raise self._wrong("',' or ']'")
        return as_vector(numbers)
