"""What one forward pass tells of a network: which of its layers have maps, and of what kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from neuron_widget.errors import ModelError, NeuronWidgetError, first_line
from neuron_widget.networks.evidence import needs_evidence, recognise
from neuron_widget.networks.layers import first_tensor_of, layer_output, layer_reader, relu_top
from neuron_widget.networks.layouts import Layout

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
    layouts
        How they give it; see :mod:`.layouts`.
    same
        The block's name -> the child's that it stands for.
    unchanged
        Layers that give what they are given, such as a dropout.
    in_doubt
        Name -> shape of layers whose layout is not known.
    not_images
        Name -> shape of layers whose first axis is not the images' (windows of attention).
    has_relu
        Whether ReLU or ReLU6 was called: a start from which no gradient leads on is possible.
    gives_vector
        Whether what the network gives is a row of numbers for each image.
    """

    shapes: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    layouts: dict[str, Layout] = field(default_factory=dict)
    same: dict[str, str] = field(default_factory=dict)
    unchanged: frozenset[str] = frozenset()
    in_doubt: dict[str, tuple[int, ...]] = field(default_factory=dict)
    not_images: dict[str, tuple[int, ...]] = field(default_factory=dict)
    has_relu: bool = False
    gives_vector: bool = False

    @property
    def plain(self) -> bool:
        """Whether all layers give ``(N, C, h, w)``, or a row of numbers, for all that is known."""
        kinds = {layout.kind for layout in self.layouts.values()}
        return kinds <= {"maps", "vector"} and not self.in_doubt and not self.not_images


def probe(
    module: nn.Module,
    images: Tensor,
    prepare: Callable[[Tensor], Tensor],
    *,
    alone: bool = False,
    said: Mapping[str, Layout] = MappingProxyType({}),
) -> Probed:
    """A forward pass of two images, and what it takes to know the layers' layouts.

    Parameters
    ----------
    module
        The network, in evaluation mode.
    images
        ``(2, 3, S, S)`` noise in 0..1.
    prepare
        The network's preprocessing.
    alone
        Whether it takes one image at a time.
    said
        Layouts that are not to be looked for, by patterns of layers' names.
    """
    example = prepare(images[:1] if alone else images)
    found: dict[int, tuple[str, Tensor, int]] = {}
    called: set[str] = set()
    same: dict[str, str] = {}
    unchanged: set[str] = set()
    handles = []

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, args: Any, given: Any) -> None:
            if name in called:
                return
            called.add(name)
            output = _only_tensor_of(given)
            if output is None or output.ndim not in (2, 3, 4):
                return
            # A tensor made under inference_mode counts no versions.
            version = 0 if output.is_inference() else output._version
            before = found.get(id(output))
            if before is not None:
                inner, _, version_before = before
                is_outer = inner.startswith(f"{name}.")
                if not is_outer and version == version_before:
                    return  # passed through unchanged
                if version == version_before:
                    same[name] = inner
                del found[id(output)]
            elif version == 0 and any(output is arg for arg in args):
                unchanged.add(name)
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
            given = module(example)
        finally:
            for handle in handles:
                handle.remove()
    every = {name: tuple(output.shape) for name, output, _ in found.values()}
    found.clear()
    shapes = {name: shape for name, shape in every.items() if shape[0] == len(example)}
    layouts = laid_out(module, shapes, needs_evidence(shapes), images, prepare, alone, said)
    last = first_tensor_of(given)
    return Probed(
        {n: layouts[n].size_of(shapes[n]) for n in shapes if n in layouts},
        layouts,
        same,
        frozenset(unchanged),
        {name: shape for name, shape in shapes.items() if name not in layouts},
        {name: shape for name, shape in every.items() if name not in shapes},
        relu.seen,
        last is not None and last.ndim > 1 and last.shape[2:].numel() == 1,
    )


def laid_out(
    module: nn.Module,
    shapes: Mapping[str, tuple[int, ...]],
    asked: Sequence[str],
    images: Tensor,
    prepare: Callable[[Tensor], Tensor],
    alone: bool,
    said: Mapping[str, Layout],
) -> dict[str, Layout]:
    """The layouts of layers: those that were said, and those that are recognised."""
    known: dict[str, Layout] = {}
    for name, shape in shapes.items():
        layout = next((x for pattern, x in said.items() if fnmatchcase(name, pattern)), None)
        if layout is not None and len(shape) == layout.rank:
            known[name] = layout.on(name, shape, images.shape[-1])
    others = {name: shape for name, shape in shapes.items() if name not in known}
    asked = [name for name in asked if name in others]
    found = recognise(module, others, asked, images, prepare, alone=alone) | known
    return {name: found[name] for name in shapes if name in found}


def probe_one(
    module: nn.Module,
    name: str,
    images: Tensor,
    prepare: Callable[[Tensor], Tensor],
    *,
    alone: bool = False,
    plain: bool = True,
    said: Mapping[str, Layout] = MappingProxyType({}),
) -> tuple[tuple[int, int, int], Layout]:
    """(channels, height, width) of one layer's maps, and its layout.

    ``plain``: whether the network is one of convolutions, so that shapes tell enough.

    Raises
    ------
    ModelError
        If it has no maps, or not one for each image.
    """
    example = prepare(images[:1] if alone else images)
    with torch.inference_mode(False), torch.no_grad():
        shape = tuple(layer_output(module, name)(example).shape)
    if not 2 <= len(shape) <= 4:
        raise ModelError(
            f"layer {name!r} gives activations of shape {shape}, expected (N, channels, height, "
            "width), (N, tokens, channels) or (N, channels): choose the block around it"
        )
    if shape[0] != len(example):
        raise ModelError(
            f"layer {name!r} gives activations of shape {shape} for {len(example)} image(s): its "
            "first axis is not the images (windows of attention?), so what belongs to which image "
            "is unknown; choose the block around it"
        )
    shapes = {name: shape}
    asked = needs_evidence(shapes) if plain or len(shape) == 2 else [name]
    layout = laid_out(module, shapes, asked, images, prepare, alone, said).get(name)
    if layout is None:
        raise ModelError(
            f"layer {name!r} gives activations of shape {shape}, and where on the image they are "
            "could not be found out (attention's weights or heads, windows, tokens in another "
            f"order?): choose the block around it, or say it: load_model(..., layout={{{name!r}: "
            "'tokens'}})"
        )
    return layout.size_of(shape), layout


def mixes_images(module: nn.Module, seen: Probed, both: Tensor, first: Tensor) -> bool:
    """Whether what an image gives depends on the image beside it (batch statistics)."""
    if not seen.shapes:
        return False
    # As deep as can be, but for the classifier.
    deep = [n for n in seen.shapes if seen.layouts[n].kind != "vector"] or list(seen.shapes)
    name = deep[-1]
    read = layer_reader(module, name, layout=seen.layouts[name])
    with torch.inference_mode(False), torch.no_grad():
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


def _only_tensor_of(given: Any) -> Tensor | None:
    """The tensor that a module gives; None for several of a kind, or with names."""
    if isinstance(given, Mapping):
        return None
    first = first_tensor_of(given)
    others = given[1:] if isinstance(given, (tuple, list)) else ()
    if first is None or any(isinstance(x, Tensor) and x.ndim == first.ndim for x in others):
        return None
    return first


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
