"""Reading one layer of a network: its activation, and its gradient.

Everything here is scoped to one forward pass: after it, by success, error or cancel, the module
has no hook of ours.
"""

from __future__ import annotations

import math
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from neuron_widget.errors import ModelError
from neuron_widget.networks.layouts import MAPS, Layout

__all__ = [
    "LayerReached",
    "RedirectedReLU",
    "eval_mode",
    "first_tensor_of",
    "keeping",
    "layer_output",
    "layer_outputs",
    "layer_reader",
    "outputs_of",
    "relu_top",
]

# ------------------------------------------------------------------ scopes


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, each submodule's own mode again afterwards."""
    training = [m for m in module.modules() if m.training]
    module.eval()
    try:
        yield
    finally:
        for m in training:
            m.training = True


class LayerReached(BaseException):
    """Ends a forward pass at the layer. Not an ``Exception``: a model's own handlers let it by."""


def layer_reader(
    module: nn.Module, name: str, *, stop: bool = True, layout: Layout = MAPS
) -> Callable[[Tensor], Tensor]:
    """A function from a network input to the activation of one layer, ``(N, C, h, w)``.

    The forward pass ends at the layer (a model that cannot be stopped runs on, and still works).
    Gradients follow the caller's grad mode. The hook lasts for one call: between calls, and after
    an error, nothing of ours is on the module.

    Parameters
    ----------
    module
        The network, in evaluation mode (see :mod:`.private_copy`).
    name
        An exact name out of ``module.named_modules()``.
    stop
        Whether to end the forward pass at the layer.
    layout
        How the layer itself gives it.

    Notes
    -----
    One hook and an exception to stop, after baukit's ``nethook.Trace``.
    """
    output = layer_output(module, name, stop=stop)

    def read(x: Tensor) -> Tensor:
        return layout.read(output(x), (x.shape[-2], x.shape[-1]))

    return read


def layer_output(module: nn.Module, name: str, *, stop: bool = True) -> Callable[[Tensor], Tensor]:
    """As :func:`layer_reader`, to what the layer itself gives."""
    output = layer_outputs(module, (name,), stop=stop)

    def read(x: Tensor) -> Tensor:
        return output(x)[name]

    return read


def layer_outputs(
    module: nn.Module, names: Sequence[str], *, stop: bool = True
) -> Callable[[Tensor], dict[str, Tensor]]:
    """What several layers give in one forward pass, which ends at the last of them."""

    def read(x: Tensor) -> dict[str, Tensor]:
        with keeping(module, names, stop=stop) as seen:
            module(x)
        return outputs_of(module, names, seen, x)

    for name in names:
        _hookable(module, name)
    return read


def _hookable(module: nn.Module, name: str) -> nn.Module:
    layer = module.get_submodule(name)
    if isinstance(layer, torch.jit.ScriptModule):
        raise ModelError(
            f"layer {name!r} is TorchScript (traced or scripted), which takes no hooks: choose a "
            "layer outside of it, or open the network with the Python module it was made from"
        )
    return layer


@contextmanager
def keeping(
    module: nn.Module, names: Sequence[str], *, stop: bool = True
) -> Iterator[dict[str, Tensor]]:
    """Keep what layers give in a forward pass inside; ``stop`` ends it at the last of them."""
    seen: dict[str, Tensor] = {}
    thread = threading.get_ident()

    def kept(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def keep(_module: nn.Module, _args: Any, output: Any) -> None:
            # A network that cannot be copied may be in use in a thread of the user's. Of a layer
            # that is called several times the first call counts, as in :func:`probe_layers`.
            if threading.get_ident() != thread or name in seen:
                return
            seen[name] = _first_tensor(output)
            if stop and len(seen) == len(names):
                raise LayerReached
            if len(names) > 1 or not stop:
                # What comes behind may work in place.
                seen[name] = seen[name].clone()

        return keep

    handles = [_hookable(module, n).register_forward_hook(kept(n)) for n in names]
    try:
        yield seen
    except LayerReached as reached:
        # Generators that wait in the frames that were left (torch's checkpoint) end now, and
        # not when the garbage is collected.
        traceback.clear_frames(reached.__traceback__)
    finally:
        for handle in handles:
            handle.remove()


def outputs_of(
    module: nn.Module, names: Sequence[str], seen: Mapping[str, Tensor], x: Tensor
) -> dict[str, Tensor]:
    """What was kept of each layer, in order; raise ModelError for what cannot be used."""
    found = {}
    for name in names:
        if name not in seen:
            raise ModelError(
                f"layer {name!r} was not reached in the forward pass of {type(module).__name__}; "
                "choose a layer that the forward pass runs through"
            )
        if x.requires_grad and torch.is_grad_enabled() and not seen[name].requires_grad:
            raise ModelError(
                f"no gradient leads from layer {name!r} of {type(module).__name__} to the image, "
                "so it can be scanned, but not rendered: its forward pass switches gradients off "
                "(torch.no_grad, detach, checkpoint(use_reentrant=True)) or computes in integers "
                "(a quantised network: open the one it was made from)"
            )
        found[name] = seen[name].dequantize() if seen[name].is_quantized else seen[name]
    return found


def first_tensor_of(output: Any) -> Tensor | None:
    """What of a module's output is read: itself, or the first of several; None for no tensor."""
    while isinstance(output, (tuple, list, Mapping)) and output:
        output = next(iter(output.values())) if isinstance(output, Mapping) else output[0]
    return output if isinstance(output, Tensor) else None


def _first_tensor(output: Any) -> Tensor:
    found = first_tensor_of(output)
    if found is None:
        raise ModelError(f"the layer returned {type(output).__name__}, expected a tensor")
    return found


# ------------------------------------------------------------------ redirected ReLU


class _RedirectedClamp(torch.autograd.Function):
    """ReLU (or ReLU6) whose gradient never dies for a whole sample.

    The rule is lucid's (``lucid/misc/redirected_relu_grad.py``): per sample, and only where the
    ordinary gradient lets nothing through at all, negative inputs receive the gradient that
    pushes them up (and inputs above 6, for ReLU6, the gradient that pushes them down).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, top: float | None) -> Tensor:
        ctx.save_for_backward(x)
        ctx.top = top
        return x.clamp(min=0.0, max=top)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        (grad,) = grads
        zero = grad.new_zeros(())
        low = x < 0
        high = x > ctx.top if ctx.top is not None else torch.zeros_like(low)
        plain = torch.where(low | high, zero, grad)
        # Optimisers descend: a positive gradient lowers x. Never push a dead unit further away.
        useless = (low & (grad > 0)) | (high & (grad < 0))
        redirected = torch.where(useless, zero, grad)
        alive = plain.flatten(1).abs().amax(dim=1) > 0
        alive = alive.view(-1, *[1] * (x.ndim - 1))
        return torch.where(alive, plain, redirected), None


_RELU: Sequence[Any] = (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
_RELU6: Sequence[Any] = (F.relu6, torch._C._nn.relu6)


def relu_top(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> float | None:
    """What a call of ReLU or ReLU6 clamps to (infinity, 6); None for a call of anything else."""
    if func in _RELU:
        return math.inf
    if func in _RELU6:
        return 6.0
    if func is F.hardtanh and (args[1:] or kwargs):
        # nn.ReLU6 is a Hardtanh between 0 and 6.
        low, high = (*args[1:3], kwargs.get("min_val"), kwargs.get("max_val"))[:2]
        if low == 0.0 and high == 6.0:
            return 6.0
    return None


class RedirectedReLU(TorchFunctionMode):
    """Inside this block every ReLU and ReLU6 passes gradients by lucid's redirected rule.

    Works on any model, by taking over the functions rather than the modules: nothing in the model
    is changed, nothing is left behind, and other threads are not touched. In-place variants
    become ordinary ones inside the block.

    Source: Olah, Mordvintsev, Schubert, *Feature Visualization*, Distill 2017, and lucid's code.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace calls to ReLU and ReLU6; pass everything else on."""
        top = relu_top(func, args, kwargs or {})
        if top is not None:
            x = args[0] if args else (kwargs or {})["input"]
            return _RedirectedClamp.apply(x, top if top < math.inf else None)
        return func(*args, **(kwargs or {}))
