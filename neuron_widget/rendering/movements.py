"""How far the random movements of an image go, said without torch: it is in every image's key."""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["Movements"]


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
    """

    jitter: float = 8
    scale: tuple[float, float] = (0.9, 1.1)
    rotate: float = 5.0
    jitter_after: float = 2

    def as_dict(self) -> dict[str, object]:
        """For settings and cache keys."""
        return {"pad": "reflect", **asdict(self)}
