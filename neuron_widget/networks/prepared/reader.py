"""The prepared copies of a network: made once for a layer, checked, and made anew when it changes.

A prepared copy is taken only where it gives what the network gives: on an image that it was not
made from, the activation and the gradient of the image are compared with the network's own.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor, nn

from neuron_widget.networks.arithmetic import full_float32
from neuron_widget.networks.copying import State
from neuron_widget.networks.identity import quick_look, weights_version
from neuron_widget.networks.layers import layer_reader
from neuron_widget.networks.layouts import Layout
from neuron_widget.networks.prepared.network import PreparedNetwork
from neuron_widget.networks.prepared.recording import CannotPrepare, record

__all__ = ["PreparedNetworks", "PreparedReader"]

_log = logging.getLogger("neuron_widget.networks")

_MOST = 8  # of a layer, a size and a precision each
_ANY_NUMBER = 0

# Of the largest activation, and of the gradient's length. Merged numbers differ in the last bits;
# another gradient (of a function with one of its own, of a part without) differs in the first.
_SAME_ACTIVATION, _SAME_GRADIENT = 1e-4, 1e-2
_SAME_IN_BFLOAT16 = 0.2


class _Model(Protocol):
    """What is asked of a :class:`..model.VisionModel`."""

    module: nn.Module
    title: str
    reads_alone: bool
    unchanging: bool

    @property
    def device(self) -> torch.device: ...

    def preprocess(self, images: Tensor) -> Tensor: ...

    def private_copy(self) -> AbstractContextManager[nn.Module]: ...

    def place(self, layer: str) -> tuple[str, Layout]: ...


class PreparedNetworks:
    """The prepared copies of one network."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state: tuple[list[object], object] | None = None
        self._known: OrderedDict[object, PreparedNetwork | None] = OrderedDict()

    def reader(self, model: _Model, layer: str, dtype: torch.dtype) -> PreparedReader | None:
        """From images to a layer's activation, with the weights as they are now.

        None where only the module itself will do: where somebody's hooks or forward methods are on
        it, where images mix, for other types than float32, and on devices where this was not
        measured.
        """
        module = model.module
        if model.device.type not in ("cpu", "cuda") or model.reads_alone or not _is_plain(module):
            return None
        if self._state is None or not model.unchanging:
            self._look(module)
        with self._lock:
            known = self._known
        return PreparedReader(self, model, layer, dtype, known)

    def _look(self, module: nn.Module) -> None:
        """Forget what was prepared of a module that has changed."""
        marks, numbers = State(module), quick_look(module)
        with self._lock:
            if self._state is None or not marks.has(self._state[0]) or self._state[1] != numbers:
                self._state = (marks.marks, numbers)
                self._known = OrderedDict()

    def find(
        self,
        known: OrderedDict[object, PreparedNetwork | None],
        key: tuple[object, ...],
        images: int,
        make: Callable[[int], PreparedNetwork | None],
    ) -> PreparedNetwork | None:
        """The one for so many images, made if need be; None if it cannot be made."""
        with self._lock:
            for number in (_ANY_NUMBER, images):
                if (*key, number) in known:
                    known.move_to_end((*key, number))
                    return known[*key, number]
        # Somebody's code: not under the lock. With one image, which mostly serves all numbers.
        made = make(1)
        for_all = made is None or made.any_number
        if not for_all and images != 1:
            made = make(images)
        with self._lock:
            known[*key, _ANY_NUMBER if for_all else images] = made
            while len(known) > _MOST:
                known.popitem(last=False)
        return made


class PreparedReader:
    """One layer in one precision; see :meth:`PreparedNetworks.reader`."""

    # More are faster by themselves, but what is larger than 32 MB is asked of the system page by
    # page once other programs' tensors lay there: eight of EfficientNet-Lite0 are as two times 4.
    at_once = 6

    def __init__(
        self,
        networks: PreparedNetworks,
        model: _Model,
        layer: str,
        dtype: torch.dtype,
        known: OrderedDict[object, PreparedNetwork | None],
    ):
        self._networks, self._model = networks, model
        self._layer, self._dtype, self._known = layer, dtype, known
        self._version = weights_version(model.module)

    def serves(self, images: int, size: int) -> bool:
        """Whether it can be called with so many images of that side, now.

        Not any more once weights were changed: then the network itself is run, whose weights are
        those of now.
        """
        if weights_version(self._model.module) != self._version:
            return False
        return self._network(images, size) is not None

    def __call__(
        self, images: Tensor, redirect: bool = False, neurons: Sequence[int] | None = None
    ) -> Tensor:
        """Images ``(N, 3, H, W)`` in 0..1 -> the activation; see :class:`..fast.Reader`."""
        network = self._network(len(images), images.shape[-1])
        assert network is not None
        return network(self._model.preprocess(images), redirect, neurons)

    def _network(self, images: int, size: int) -> PreparedNetwork | None:
        key = (self._layer, self._dtype, size)
        return self._networks.find(self._known, key, images, lambda n: self._prepare(n, size))

    def _prepare(self, images: int, size: int) -> PreparedNetwork | None:
        model = self._model
        noise = torch.rand(
            (2 * images, 3, size, size),
            generator=torch.Generator().manual_seed(1),
            dtype=torch.float32,
            device="cpu",
        )
        noise = noise.to(model.device)
        try:
            with torch.inference_mode(False), model.private_copy() as network:
                if network is model.module or not _is_plain(network):
                    raise CannotPrepare("it is not a copy of its own")
                name, layout = model.place(self._layer)
                read = layer_reader(network, name, layout=layout)
                with torch.no_grad():
                    first, second = (
                        model.preprocess(part).contiguous(memory_format=torch.channels_last)
                        for part in torch.split(noise, images)
                    )
                with full_float32(model.device):
                    return _prepared(read, first.clone(), second, self._dtype)
        except Exception as error:  # somebody's classes; it is run as it is written
            if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
                raise
            _log.info("%s up to %s is run as written: %s", model.title, self._layer, error)
            return None


def _prepared(
    read: Callable[[Tensor], Tensor], first: Tensor, second: Tensor, dtype: torch.dtype
) -> PreparedNetwork:
    """Made from the first images, compared on the second ones."""
    # cuDNN's batch normalisation is another operation, which :mod:`.merging` does not know.
    with torch.backends.cudnn.flags(enabled=False):
        ends = record(read, first)
    exact = PreparedNetwork(*ends, torch.float32)
    expected, gradient = _activation_and_gradient(read, second)
    found, ours = _activation_and_gradient(exact, second)
    largest, length = expected.abs().max(), gradient.norm()
    if not (found - expected).abs().max() <= _SAME_ACTIVATION * largest:
        raise CannotPrepare("a prepared copy gives another activation")
    if not (ours - gradient).norm() <= _SAME_GRADIENT * length:
        raise CannotPrepare("a prepared copy gives another gradient")
    if dtype == torch.float32:
        return exact
    low = PreparedNetwork(*ends, dtype)
    found, ours = _activation_and_gradient(low, second)
    if not (found.float() - expected).norm() <= _SAME_IN_BFLOAT16 * expected.norm():
        raise CannotPrepare(f"a prepared copy in {dtype} gives another activation")
    return low


def _activation_and_gradient(
    read: Callable[[Tensor], Tensor], images: Tensor
) -> tuple[Tensor, Tensor]:
    with torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
        images = images.detach().clone().requires_grad_()
        found = read(images)
        (gradient,) = torch.autograd.grad(found.square().mean(), images)
    return found.detach(), gradient


def _is_plain(module: nn.Module) -> bool:
    """Whether a forward pass is what the classes say, in float32, and has no other effect."""
    return (
        all(not any(_hooks(m)) and "forward" not in vars(m) for m in module.modules())
        and all(p.dtype == torch.float32 for p in module.parameters())
        and not any(isinstance(m, torch.jit.ScriptModule) for m in module.modules())
    )


def _hooks(module: nn.Module) -> list[object]:
    return [
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    ]
