"""Copies of a network to read from, so that the network itself is never touched.

A user's network may be training in another cell while it is looked into. So hooks, evaluation
mode and forward passes happen on a copy of its tree of modules:

* Its parameters are other objects over the same memory: what an optimiser does is seen, and no
  gradient, version count or flag of the user's own ones is touched.
* Its buffers and other tensors are copies, brought up to date before each reading: a network that
  writes into them (batch norm, a counter) writes into its own.
* The user's hooks come along, and so do functions that were put on a module. Where these hold a
  part of the network (``self`` of a method, a variable of a closure), the copy's hold the copy's.
* Objects from elsewhere (locks, loggers, a trainer whose method is a hook) are shared.

A copy is made again when anything but the numbers in its tensors has changed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from neuron_widget.networks.copying import Copying, State
from neuron_widget.networks.layers import eval_mode

__all__ = ["PrivateCopies", "PrivateCopy"]

_log = logging.getLogger("neuron_widget.networks")

_MOST_IDLE = 4

# Only for networks that cannot be copied: all who read one take turns.
_LOCKS: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()


class PrivateCopies:
    """Copies of one network, lent to one reader each.

    Attributes
    ----------
    refusal : str
        That the network cannot be copied, and what this means; empty where it can.
    """

    def __init__(self, module: nn.Module):
        self._module = module
        self._idle: list[PrivateCopy] = []
        self._refused: list[object] | None = None
        self.refusal = ""

    @contextmanager
    def borrow(self) -> Iterator[nn.Module]:
        """A copy in evaluation mode, as the network is now; nobody else runs it inside this block.

        Where the network cannot be copied: the network itself, with its mode switched inside this
        block, and one block at a time.
        """
        copy = self._take()
        if copy is None:
            with _LOCKS.setdefault(self._module, threading.RLock()), eval_mode(self._module):
                yield self._module
            return
        try:
            yield copy.network
        finally:
            if len(self._idle) < _MOST_IDLE:
                self._idle.append(copy)

    def _take(self) -> PrivateCopy | None:
        state = State(self._module)
        while True:
            try:
                copy = self._idle.pop()
            except IndexError:
                break
            if copy.is_of(state):
                copy.refresh()
                return copy
        if self._refused is not None and state.has(self._refused):
            return None
        try:
            copy = PrivateCopy(self._module, state)
            self._refused, self.refusal = None, ""
            return copy
        except Exception as error:  # noqa: BLE001  # somebody's classes
            self._refused = state.marks
            self.refusal = (
                f"{type(self._module).__name__} cannot be copied ({error}): it is switched to "
                "evaluation mode while it is read, so do not train it at the same time."
            )
            _log.warning(self.refusal)
            return None


class PrivateCopy:
    """A copy of a network in evaluation mode; see this module's description.

    Raises
    ------
    Exception
        Of any kind, from the classes of somebody's network.
    """

    def __init__(self, module: nn.Module, state: State | None = None):
        state = state or State(module)
        self._marks = state.marks
        copying = Copying(state)
        # Whatever mode the caller is in: gradients are to pass through.
        with torch.inference_mode(False), torch.no_grad():
            network = copying.of(module)
            assert isinstance(network, nn.Module)
            self.network = network.eval()
        self._parameters = copying.parameters
        self._tensors = copying.tensors
        self._attributes = copying.attributes

    def is_of(self, state: State) -> bool:
        """Whether this is a copy of that state."""
        return state.has(self._marks)

    def refresh(self) -> None:
        """Bring the numbers up to date."""
        with torch.inference_mode(False), torch.no_grad():
            for theirs, own in self._parameters:
                own.data = theirs.data  # the same memory, unless somebody gave it another
            for theirs, own in self._tensors:
                if own.shape != theirs.shape or own.dtype != theirs.dtype:
                    own.data = theirs.detach().clone()
            if self._tensors:
                theirs_all, own_all = zip(*self._tensors, strict=True)
                torch._foreach_copy_(own_all, theirs_all)
            for their_attributes, own_attributes, name in self._attributes:
                value = their_attributes.get(name)
                if isinstance(value, Tensor):
                    own_attributes[name] = value.detach().clone()
