"""How one setting is described: its type, range, default, help, and its place on the page.

This module imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType
from typing import Any, Literal

from neuron_widget.errors import WrongType, WrongValue, nearest, shown

__all__ = ["SWITCH", "Choice", "PageControl", "Setting", "check_int"]


@dataclass(frozen=True)
class Choice:
    """One value of a setting that is chosen by name: its label and its line of help on the page."""

    name: str
    label: str = ""
    help: str = ""


@dataclass(frozen=True)
class PageControl:
    """How the page's settings panel shows a setting.

    ``low`` and ``high`` bound what a person may choose there and as a widget's argument; they may
    be narrower than what Python takes. ``task`` is the task that a switch turns off. ``choices``
    are those of a switch that can also be left to the network, under the names of :data:`SWITCH`.
    """

    label: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    task: str | None = None
    choices: tuple[Choice, ...] = ()


SWITCH: Mapping[str, bool | None] = MappingProxyType({"auto": None, "on": True, "off": False})
"""What the page calls the values of a switch that can be left to the network."""


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes
    ----------
    default
        Its value where nobody names one. None: chosen from the network or the processor.
    low, high
        Smallest and largest value of a number; ``low`` itself is not allowed if ``above``.
    choices
        The values there are, where it is chosen by name.
    help
        One line for people: docstrings, ``--help``, the page.
    in_key
        Whether results with different values are different results, and so have different keys in
        the store. ``"changed"``, for settings added later: only a value that is not the default
        stands in the key, so that results stored before the setting existed stay found.
    page
        How the page shows it; None keeps it off the page.
    optional
        Whether None is a value: "choose for me".
    usual
        What None comes to for most networks.
    only_with
        Name and value of the setting that it belongs to: with another value it has its default.
    """

    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    above: bool = False
    choices: tuple[Choice, ...] = ()
    in_key: Literal["always", "changed", "never"] = "changed"
    page: PageControl | None = None
    optional: bool = False
    usual: Any = None
    only_with: tuple[str, str] | None = None
    alias: Callable[[Any], Any] | None = None
    name: str = ""
    type: type = object

    def check(self, value: Any, *, on_page: bool = False) -> Any:
        """Return ``value`` as its type, within the range.

        Raises
        ------
        TypeError, ValueError
            Naming the value, what was expected, and the nearest right one.
        """
        if value is None and self.optional:
            return None
        if self.alias is not None:
            value = self.alias(value)
        if self.choices:
            return _check_choice(self.name, value, [choice.name for choice in self.choices])
        low, high = self.low, self.high
        if on_page and self.page is not None:
            low = self.page.low if self.page.low is not None else low
            high = self.page.high if self.page.high is not None else high
        if self.type is bool:
            if not isinstance(value, bool):
                wanted = "True, False or None" if self.optional else "True or False"
                raise WrongType(f"{self.name} must be {wanted}, got {shown(value)}")
            return value
        if self.type is int:
            assert low is not None
            return check_int(self.name, value, int(low), None if high is None else int(high))
        if self.type is float:
            return self._check_float(value)
        return value

    def to_page(self, value: Any) -> Any:
        """The value as the page knows it, which has no word for None."""
        if self.page is not None and self.page.choices:
            return next(name for name, meant in SWITCH.items() if meant is value)
        return self.usual if value is None else value

    def from_page(self, value: Any) -> Any:
        """A value of the page's, checked as :meth:`check` does."""
        if self.page is not None and self.page.choices:
            return SWITCH[_check_choice(self.name, value, list(SWITCH))]
        return self.check(value, on_page=True)

    def _check_float(self, value: Any) -> float:
        bounds = []
        if self.low is not None:
            bounds.append(f"above {self.low:g}" if self.above else f"at least {self.low:g}")
        if self.high is not None:
            bounds.append(f"at most {self.high:g}")
        wanted = f"{' and '.join(bounds)}, such as {self.default:g}"
        if isinstance(value, bool) or not isinstance(value, Real):
            raise WrongType(f"{self.name} must be a number {wanted}, got {shown(value)}")
        number = float(value)
        low_ok = self.low is None or (number > self.low if self.above else number >= self.low)
        high_ok = self.high is None or number <= self.high
        if not (math.isfinite(number) and low_ok and high_ok):
            raise WrongValue(f"{self.name} must be {wanted}; got {shown(value)}")
        return number


def check_int(name: str, value: object, low: int, high: int | None = None) -> int:
    """``value`` as an int in ``low..high``; TypeError or ValueError otherwise."""
    wanted = f"from {low:,} to {high:,}" if high is not None else f"of at least {low:,}"
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise WrongType(f"{name} must be an integer {wanted}, got {shown(value)}")
    number = int(value.__index__())
    if number < low or (high is not None and number > high):
        raise WrongValue(f"{name} must be {wanted}, got {shown(number)}")
    return number


def _check_choice(name: str, value: object, known: Sequence[str]) -> str:
    if not isinstance(value, str):
        raise WrongType(f"{name} must be one of {', '.join(map(repr, known))}, got {shown(value)}")
    if value not in known:
        hint = nearest(value, known) or f"expected {', '.join(map(repr, known))}"
        raise WrongValue(f"unknown {name} {shown(value)}; {hint}")
    return value
