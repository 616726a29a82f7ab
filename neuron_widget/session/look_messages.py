"""The messages about a photo that was brought. Their meaning stands in :mod:`.protocol`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neuron_widget.protocol.encode import jpeg, map_bytes
from neuron_widget.session.messages import Message, Part
from neuron_widget.targets import Channel, Target

if TYPE_CHECKING:
    from neuron_widget.looking import Changed, Firing, Look

__all__ = ["answer", "looked", "no_answer", "photo_map", "place"]

SQUARE_PX = 448


def looked(look: Look, number: int) -> Part:
    """See :class:`.protocol.Looked`."""
    _, height, width = look.maps.shape
    percentiles = look.percentile
    message = {
        "kind": "looked",
        "look": number,
        "name": look.name,
        "layer": look.layer,
        "measure": look.measure,
        "order": look.order.tolist(),
        "percentiles": [] if percentiles is None else [round(float(p), 2) for p in percentiles],
        "scores": np.nan_to_num(look.scores).tolist(),
        "map_height": height,
        "map_width": width,
    }
    return message, [jpeg(look.image, SQUARE_PX, quality=92)]


def photo_map(look: Look, number: int, neuron: int) -> Part:
    """See :class:`.protocol.PhotoMap`."""
    message = {"kind": "map", "look": number, "target": Channel(look.layer, neuron).as_dict()}
    return message, [_bytes(look, neuron)]


def place(look: Look, number: int, firing: Sequence[Firing], position: Sequence[int]) -> Part:
    """See :class:`.protocol.Place`."""
    message = {
        "kind": "place",
        "look": number,
        "position": [int(p) for p in position],
        "neurons": [one.neuron for one in firing],
        "activations": np.nan_to_num([one.activation for one in firing]).tolist(),
        "usual": [one.usual for one in firing if one.usual is not None],
    }
    return message, [_bytes(look, one.neuron) for one in firing]


def answer(number: int, targets: Sequence[Target], to: str, times: float, made: Changed) -> Message:
    """See :class:`.protocol.Answer`."""
    classes = [
        {
            "output": one.output,
            "label": one.label,
            # JSON knows no NaN.
            "before": float(np.nan_to_num(one.before)),
            "after": float(np.nan_to_num(one.after)),
            "rank_after": one.rank_after,
        }
        for one in made.best()
    ]
    return {**no_answer(number, targets, to, times, ""), "classes": classes}


def no_answer(number: int, targets: Sequence[Target], to: str, times: float, why: str) -> Message:
    """An answer without classes."""
    return {
        "kind": "answer",
        "look": number,
        "targets": [target.as_dict() for target in targets],
        "to": to,
        "times": times,
        "classes": [],
        "note": why,
    }


def _bytes(look: Look, neuron: int) -> bytes:
    return map_bytes(np.nan_to_num(look.map(neuron)), look.scale(neuron))
