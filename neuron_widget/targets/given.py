"""Vectors and counts as people give them."""

from __future__ import annotations

import math
import struct
from typing import Any

from neuron_widget.errors import TargetError, WrongType, WrongValue, shown

__all__ = ["as_count", "as_vector"]


def as_vector(given: Any) -> tuple[float, ...]:
    """A vector of any kind as numbers, as short as float32 tells them apart.

    Raises
    ------
    WrongType, WrongValue
    """
    values = given.tolist() if hasattr(given, "tolist") else given
    if not isinstance(values, list | tuple) or not values:
        raise WrongType(
            f"expected a number for each channel, a list or an array, got {shown(given)}"
        )
    found = []
    for i, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise WrongType(f"number {i} of a direction must be a number, got {shown(value)}")
        if not math.isfinite(value):
            raise WrongValue(f"number {i} of a direction must be finite, got {value}")
        try:
            single = _single(value)
        except OverflowError as error:
            raise WrongValue(f"number {i} of a direction is too large: {value:g}") from error
        texts = (f"{single:.{digits}g}" for digits in range(6, 10))
        found.append(float(next(t for t in texts if _single(float(t)) == single)))
    return tuple(found)


def _single(value: float) -> float:
    """The nearest number of float32."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def as_count(given: object, what: str, least: int) -> int:
    """An integer of at least ``least``; raise TargetError."""
    if isinstance(given, bool) or not hasattr(given, "__index__") or given.__index__() < least:
        raise TargetError(f"{what} must be an integer of at least {least}, got {shown(given)}")
    return int(given.__index__())
