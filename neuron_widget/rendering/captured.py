"""A step as one CUDA graph: the host asks once for what are some hundred kernels.

A single image keeps a GPU busy for less time than it takes to ask for each kernel of a step. A
graph holds the kernels with their arguments, so what a step reads and writes must lie where it lay
when the graph was captured, and nothing in it may depend on the host.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable

import torch
from torch import nn

from neuron_widget.networks.identity import weights_version

__all__ = ["Captured"]

_log = logging.getLogger("neuron_widget.rendering")

# Libraries choose their ways and ask for their workspaces in the first runs.
_RUNS_BEFORE = 2

_CAPTURING = threading.Lock()


class Captured:
    """Runs one function on a GPU's tensors: as it is written at first, then as a graph.

    On other devices, and where it cannot be captured, it is run as it is written for good: the
    numbers are the same.

    Parameters
    ----------
    module
        The network that the function reads. Once its weights were changed or moved the graph is
        left, whose weights would be those of before.
    device
        Where it works.
    """

    def __init__(self, module: nn.Module, device: torch.device):
        self._module, self._device = module, device
        self._left = device.type != "cuda"
        self._runs = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._version: object = None

    def __call__(self, work: Callable[[], None]) -> None:
        """Do it once, by the fastest way there is. It is the same work at every call."""
        if self._left:
            work()
            return
        if self._graph is not None and weights_version(self._module) != self._version:
            self.leave("the network's weights were changed")
        elif self._graph is None and self._runs >= _RUNS_BEFORE:
            self._capture(work)
        if self._graph is not None:
            self._graph.replay()
        else:
            work()
            self._runs += 1

    def leave(self, why: str) -> None:
        """Run as it is written from now on; what the graph held is free."""
        _log.info("a step is run as it is written: %s", why)
        self._graph, self._left = None, True

    def _capture(self, work: Callable[[], None]) -> None:
        """Note what the work asks of the GPU; nothing is computed."""
        self._version = weights_version(self._module)
        graph = torch.cuda.CUDAGraph()
        # Another thread's work on the GPU is nothing that forbids capturing.
        try:
            with (
                _CAPTURING,
                torch.cuda.device(self._device),
                torch.cuda.graph(
                    graph, stream=_stream(self._device), capture_error_mode="thread_local"
                ),
            ):
                work()
        except Exception as error:  # noqa: BLE001  # nothing was computed: it is run as it is
            self.leave(f"it cannot be captured ({type(error).__name__}: {error})")
            return
        self._graph = graph


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The stream to capture on: one, because libraries keep a workspace for each that they saw."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
