"""Which sizes of images a network takes: found by trying."""

from __future__ import annotations

from collections.abc import Callable

from neuron_widget.errors import ModelError, first_line
from neuron_widget.networks.memory import is_out_of_memory

__all__ = ["USUAL_SIZES", "Sizes"]

USUAL_SIZES = (224, 32, 28, 64, 96, 128, 160, 192, 256, 299, 320, 384, 448, 512)
"""Sides of images that networks are made for, in pixels."""

# Of patches and strides: a size may have to be a multiple of one.
_STEPS = (8, 14, 16, 32)
_LEAST = 16

Attempt = Callable[[int, str | None], None]


class Sizes:
    """The sizes that were tried on one network.

    Parameters
    ----------
    usual
        The side of its usual input.

    Notes
    -----
    ``attempt`` runs the network on one image of a side, up to a layer (None: to its end), or
    raises.
    """

    def __init__(self, usual: int):
        self._usual = usual
        self._refusals: dict[tuple[int, str | None], Exception | None] = {}

    def refusal(self, attempt: Attempt, size: int, layer: str | None) -> Exception | None:
        """What the network says to an image of this side, up to a layer; None where it takes it.

        What does not fit into memory is not refused: the network may well take it elsewhere.
        """
        if size == self._usual:
            return None  # the whole network was run on it, to see its layers
        key = (size, layer)
        if key not in self._refusals:
            error: Exception | None = None
            try:
                attempt(size, layer)
            except Exception as refused:  # noqa: BLE001  # somebody's network
                if is_out_of_memory(refused):
                    return None
                error = refused.with_traceback(None)
            self._refusals[key] = error
        return self._refusals[key]

    def check(self, attempt: Attempt, size: int, layer: str | None, title: str) -> None:
        """Raise ModelError, with the nearest size that goes, if the network ``title`` refuses."""
        error = self.refusal(attempt, size, layer)
        if error is None:
            return
        only = f"; it takes {self._usual} px alone" if self.is_fixed(attempt, layer) else ""
        up_to = f" (up to layer {layer})" if layer is not None else ""
        raise ModelError(
            f"{title} takes no images of {size} px{up_to}{only}: choose "
            f"size={self.nearest(attempt, size, layer)} ({first_line(error)})"
        ) from error

    def limits(self, attempt: Attempt, low: int, high: int, layer: str | None) -> tuple[int, int]:
        """The smallest and the largest side between ``low`` and ``high`` px to choose from."""
        least = self.nearest(attempt, low, layer)
        if least == self._usual and self.is_fixed(attempt, layer):
            return least, least
        return max(low, min(least, high)), high

    def nearest(self, attempt: Attempt, wanted: int, layer: str | None) -> int:
        """The side nearest to ``wanted`` that the network takes, up to a layer.

        Tried are ``wanted``, multiples of usual strides beside it, and the usual size.
        """
        near = {wanted, self._usual}
        for step in _STEPS:
            near |= {max(_LEAST, wanted // step * step), (wanted // step + 1) * step}
        for size in sorted(near, key=lambda size: (abs(size - wanted), size)):
            if self.refusal(attempt, size, layer) is None:
                return size
        return self._usual

    def is_fixed(self, attempt: Attempt, layer: str | None) -> bool:
        """Whether the network takes its usual size alone."""
        others = {max(_LEAST, self._usual // step * step - step) for step in _STEPS}
        others |= {self._usual // step * step + step for step in _STEPS}
        return all(
            self.refusal(attempt, size, layer) is not None for size in others - {self._usual}
        )
