"""How far the random movements of an image go, said without torch: it is in every image's key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType

__all__ = ["MOVEMENTS", "Movements"]


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
    """

    jitter: float = 8
    scale: tuple[float, float] = (0.9, 1.1)
    rotate: float = 5.0
    jitter_after: float = 2
    crop: tuple[float, float] | None = None
    noise: float = 0.0

    def as_dict(self) -> dict[str, object]:
        """For settings and cache keys."""
        told = {"pad": "reflect", **asdict(self)}
        # Those came later: without them an image is what it was, and so is its key.
        for name in ("crop", "noise"):
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
