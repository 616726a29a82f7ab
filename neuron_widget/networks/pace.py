"""How far the host may run ahead of a GPU."""

from __future__ import annotations

from collections import deque

import torch

__all__ = ["Pace"]

_AHEAD = 2


class Pace:
    """Lets the host run two pieces of work ahead of a GPU, not hundreds: a stop must take effect.

    On other devices it does nothing.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._queued: deque[torch.cuda.Event] = deque()

    def keep(self) -> None:
        """Call after each piece of work was asked for."""
        if self._device.type != "cuda":
            return
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        self._queued.append(event)
        if len(self._queued) > _AHEAD:
            self._queued.popleft().synchronize()
