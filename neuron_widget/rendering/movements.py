"""How far the random movements of an image go, said without torch: it is in every image's key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

__all__ = ["MOVEMENTS", "WIDE", "Movements", "movements", "moves", "moves_of"]


@dataclass(frozen=True)
class Movements:
    """Ranges of the random movements.

    Attributes
    ----------
    jitter
        Pixels the image is moved by before scaling: a window of ``jitter`` positions, centred.
    scale
        Smallest and largest factor.
    rotate
        Largest angle in degrees, both ways.
    jitter_after
        Pixels moved after scaling and rotating, as ``jitter``.
    crop
        In place of ``scale``: the smallest and the largest share of the image's side that the
        network sees at one step, anywhere in the image. None: all of it.
    noise
        Noise on what the network sees: uniform, up to so much of the range of a colour both ways.
    shift
        Share of its side that the image is moved by at most, both ways, besides ``jitter``.
    """

    jitter: float = 8
    scale: tuple[float, float] = (0.9, 1.1)
    rotate: float = 5.0
    jitter_after: float = 2
    crop: tuple[float, float] | None = None
    noise: float = 0.0
    shift: float = 0.0

    def as_dict(self) -> dict[str, object]:
        """For settings and cache keys."""
        told = {"pad": "reflect", **asdict(self)}
        # Those came later: without them an image is what it was, and so is its key.
        for name in ("crop", "noise", "shift"):
            if not told[name]:
                del told[name]
        return told


MOVEMENTS: Mapping[str, Movements] = MappingProxyType(
    {
        "fourier": Movements(),
        "maco": Movements(crop=(0.4, 1.0), noise=0.1),
        "pixel": Movements(),
    }
)
"""Those of each parameterisation, by its name."""

WIDE = Movements(jitter=0, scale=(0.6, 1.4), rotate=15.0, jitter_after=4, shift=0.07)
"""Of whole objects, whatever the image is made of.

A class's picture that must hold under them shows the thing whole and in its place, where small
movements leave parts of it all over the picture: another network recognises 90 % of them (top 5)
in place of 82 %, of MACO images 85 % in place of 67 % (150 classes, 256 steps).
"""


def movements(param: str, wanted: str, *, of_class: bool) -> Movements:
    """Those of a target's images: ``wanted`` is the setting, ``of_class`` what "auto" asks."""
    wide = of_class if wanted == "auto" else wanted == "wide"
    return WIDE if wide else MOVEMENTS[param]


def moves(each: Mapping[str, Movements]) -> dict[str, Any]:
    """Those of targets, by their texts, as settings tell them: once, where they are the same."""
    return _told({text: one.as_dict() for text, one in each.items()})


def moves_of(told: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """Of what settings tell, the part of these targets."""
    each = told.get("each")
    return dict(told) if each is None else _told({text: each[text] for text in texts})


def _told(each: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    first = next(iter(each.values()), {})
    return first if all(one == first for one in each.values()) else {"each": dict(each)}
