"""The messages about a photo that was brought. Their meaning stands in :mod:`.protocol`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neuron_widget.protocol.encode import jpeg, map_bytes
from neuron_widget.session.messages import Message, Part
from neuron_widget.targets import Channel

if TYPE_CHECKING:
    from neuron_widget.looking import Changed, Firing, Look

__all__ = ["answer", "looked", "no_answer", "photo_map", "place", "whole"]

SQUARE_PX = 448


def looked(look: Look, number: int) -> Part:
    """See :class:`.protocol.Looked`."""
    _, height, width = look.maps.shape
    message = {
        "kind": "looked",
        "look": number,
        "name": look.name,
        "layer": look.layer,
        "unit": "score" if look.scan is None else "percentile",
        "order": look.order.tolist(),
        "worth": _worth(look),
        "map_height": height,
        "map_width": width,
    }
    return message, [jpeg(look.image, SQUARE_PX, quality=92)]


def _worth(look: Look) -> list[str]:
    """How unusual each neuron's score is."""
    if look.percentile is None:
        return [f"{score:.3g}" for score in look.scores]
    # What some photo passes is not rounded up to 100.
    return [f"{p if p >= 100 else min(p, 99.9):.1f}" for p in look.percentile]


def photo_map(look: Look, number: int, neuron: int) -> Part:
    """See :class:`.protocol.PhotoMap`."""
    message = {"kind": "map", "look": number, "target": Channel(look.layer, neuron).as_dict()}
    return message, [_bytes(look, neuron)]


def whole(look: Look, number: int, neurons: int) -> Part:
    """See :class:`.protocol.Place`: the most unusual neurons on all of the photo."""
    worth = _worth(look)
    chosen = look.order[:neurons].tolist()
    title = "Most unusual on this photo" if look.scan else "Strongest on this photo"
    note = f"Compared by {look.measure}."
    return _place(look, number, chosen, [worth[i] for i in chosen], title, note, whole=True)


def place(look: Look, number: int, row: int, column: int, neurons: int) -> Part:
    """See :class:`.protocol.Place`: the neurons that fire most at a position."""
    firing = look.at(row, column, neurons)
    title = f"{'Firing' if firing else 'No neuron fires'} at row {row}, column {column}"
    note = "Compared by activation: without a scan it is unknown what is usual."
    if look.scan is not None:
        note = "Compared with the level that 1 % of a neuron's positions pass in the data set."
    chosen, worth = [one.neuron for one in firing], [_times(one) for one in firing]
    return _place(look, number, chosen, worth, title, note)


def _times(one: Firing) -> str:
    if one.ratio is None:
        return f"{one.activation:.3g}"
    return f"{one.ratio:.1f}\N{MULTIPLICATION SIGN}" if one.usual else "rare"


def _place(
    look: Look,
    number: int,
    neurons: list[int],
    worth: list[str],
    title: str,
    note: str,
    *,
    whole: bool = False,
) -> Part:
    message = {
        "kind": "place",
        "look": number,
        "whole": whole,
        "title": title,
        "note": note,
        "neurons": neurons,
        "worth": worth,
    }
    return message, [_bytes(look, neuron) for neuron in neurons]


def answer(number: int, question: str, made: Changed) -> Message:
    """See :class:`.protocol.Answer`."""
    classes = [
        {
            "name": one.name.split(",")[0],
            "before": f"{100 * one.before:.1f}\u00a0%",
            "after": f"{100 * one.after:.1f}\u00a0%",
            "change": f"{100 * one.change:+.1f}".replace("-", "\N{MINUS SIGN}"),
        }
        for one in made.best()
    ]
    return {**no_answer(number, question, ""), "classes": classes}


def no_answer(number: int, question: str, why: str) -> Message:
    """An answer without classes."""
    return {"kind": "answer", "look": number, "question": question, "classes": [], "note": why}


def _bytes(look: Look, neuron: int) -> bytes:
    return map_bytes(np.nan_to_num(look.map(neuron)), look.scale(neuron))
