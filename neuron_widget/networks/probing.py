"""What one forward pass tells of a network: which of its layers have maps, and of what kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from neuron_widget.errors import ModelError, NeuronWidgetError, first_line
from neuron_widget.networks.layers import are_channels_last, layer_reader, relu_top

__all__ = ["Probed", "mixes_images", "probe", "probe_one", "why_not"]


@dataclass(frozen=True)
class Probed:
    """What was seen in a forward pass.

    Attributes
    ----------
    shapes
        Name -> (channels, height, width) of every layer with maps, in order of execution. Where
        several modules give the very same activation, one name stands for all: the block's for
        its last child's, the activation function's for that of the convolution it works on in
        place, the convolution's for that of a dropout behind it. A module that is called several
        times counts for its first call, as :func:`.layers.layer_reader` reads it.
    channels_last
        Those that give ``(N, h, w, C)``.
    not_images
        Name -> shape of layers whose first axis is not the images' (windows of attention).
    has_relu
        Whether ReLU or ReLU6 was called: a start from which no gradient leads on is possible.
    """

    shapes: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    channels_last: frozenset[str] = frozenset()
    not_images: dict[str, tuple[int, ...]] = field(default_factory=dict)
    has_relu: bool = False


def probe(module: nn.Module, example: Tensor) -> Probed:
    """One forward pass of ``example`` (at least two images) through a network of one's own."""
    found: dict[int, tuple[str, Tensor, int]] = {}
    called: set[str] = set()
    handles = []

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            if name in called:
                return
            called.add(name)
            if not isinstance(output, Tensor) or output.ndim != 4:
                return
            # A tensor made under inference_mode counts no versions.
            version = 0 if output.is_inference() else output._version
            before = found.get(id(output))
            if before is not None:
                inner, _, version_before = before
                is_outer = inner.startswith(f"{name}.")
                if not is_outer and version == version_before:
                    return  # passed through unchanged
                del found[id(output)]
            found[id(output)] = (name, output, version)

        return hook

    relu = _SeesReLU()
    # Not in inference_mode, the caller's neither: there a tensor's versions are not counted.
    with torch.inference_mode(False), torch.no_grad(), relu:
        try:
            for name, m in module.named_modules():
                # TorchScript takes no hooks.
                if name and not isinstance(m, torch.jit.ScriptModule):
                    handles.append(m.register_forward_hook(keep(name)))
            module(example)
        finally:
            for handle in handles:
                handle.remove()
    outputs = [(name, output) for name, output, _ in found.values()]
    of_images = [(name, output) for name, output in outputs if len(output) == len(example)]
    last = frozenset(name for name, output in of_images if are_channels_last(output))
    shapes = {
        name: tuple(output.permute(0, 3, 1, 2).shape if name in last else output.shape)
        for name, output in of_images
    }
    return Probed(
        {name: (c, h, w) for name, (_, c, h, w) in shapes.items()},
        last,
        {name: tuple(output.shape) for name, output in outputs if len(output) != len(example)},
        relu.seen,
    )


def probe_one(module: nn.Module, name: str, example: Tensor) -> tuple[tuple[int, int, int], bool]:
    """(channels, height, width) of one layer's maps, and whether it gives ``(N, h, w, C)``.

    Raises
    ------
    ModelError
        If it has no maps, or not one for each image.
    """
    with torch.inference_mode():
        activation = layer_reader(module, name, channels_last=False)(example)
    shape = tuple(activation.shape)
    if len(shape) != 4:
        raise ModelError(
            f"layer {name!r} gives activations of shape {shape}, expected (N, channels, height, "
            "width): choose a convolutional layer"
        )
    count, a, b, c = shape
    if count != len(example):
        raise ModelError(
            f"layer {name!r} gives activations of shape {shape} for {len(example)} image(s): its "
            "first axis is not the images (windows of attention?), so what belongs to which image "
            "is unknown; choose the block around it"
        )
    last = are_channels_last(activation)
    return ((c, a, b) if last else (a, b, c)), last


def mixes_images(module: nn.Module, seen: Probed, both: Tensor, first: Tensor) -> bool:
    """Whether what an image gives depends on the image beside it (batch statistics)."""
    if not seen.shapes:
        return False
    read = layer_reader(module, list(seen.shapes)[-1])
    with torch.inference_mode():
        beside, alone = read(both)[0].float(), read(first)[0].float()
    return bool((beside - alone).abs().max() > 0.01 * alone.abs().max())


def why_not(module: nn.Module, preprocess: Callable[[Tensor], Tensor], image: Tensor) -> str:
    """Why a network does not take an image ``(1, 3, H, W)``, as far as can be told."""
    try:
        given = preprocess(image).shape[1]
    except Exception as error:  # noqa: BLE001  # the user's function
        return f"preprocess= fails on tensors (N, 3, H, W) in 0..1: {first_line(error)}"
    takes = next((w.shape[1] for w in module.parameters() if w.ndim == 4), 3)
    if takes == 1 and given == 3:
        return (
            "its first convolution takes one channel; for a network of grey images pass "
            "preprocess=((mean,), (std,)), one number each"
        )
    return "is this the size it wants (input_size=), and does preprocess= give what it takes?"


@contextmanager
def watching_output(module: nn.Module, given: list[tuple[Any, int]]) -> Iterator[None]:
    """Note what the network gives at its end, and of how many images, in every pass inside."""

    def hook(_module: nn.Module, args: Any, output: Any) -> None:
        given.append((output, len(args[0]) if args and isinstance(args[0], Tensor) else 0))

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def explaining(title: str, images: Tensor, why: Callable[[int], str]) -> Iterator[None]:
    """What goes wrong in somebody's forward pass, with what it was given, and ``why`` so."""
    try:
        yield
    except NeuronWidgetError:
        raise
    except Exception as error:
        raise ModelError(
            f"{title} cannot be run on images {tuple(images.shape)}: {why(images.shape[-1])} "
            f"({first_line(error)})"
        ) from error


def its_own_failure(title: str, images: Tensor, layer: str, error: Exception) -> ModelError:
    """What to raise where a network that ran when it was opened fails later."""
    return ModelError(
        f"{title} fails on images {tuple(images.shape)}, up to layer {layer}: {first_line(error)}. "
        "It ran when it was opened, so this comes from its own code, or from what was changed since"
    )


class _SeesReLU(TorchFunctionMode):
    """Notes whether ReLU is called; changes nothing."""

    seen = False

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Look at every call, and pass it on."""
        if relu_top(func, args, kwargs or {}) is not None:
            self.seen = True
        return func(*args, **(kwargs or {}))
