"""What a network answers for an image, also with one layer's activation changed on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from neuron_widget.errors import ModelError, NeuronWidgetError, first_line
from neuron_widget.networks.layouts import MAPS, Layout
from neuron_widget.networks.memory import is_out_of_memory
from neuron_widget.networks.model import VisionModel

__all__ = ["answers"]

Change = Callable[[Tensor], Tensor]


def answers(
    model: VisionModel, images: Tensor, layer: str = "", change: Change | None = None
) -> Tensor:
    """The network's outputs for its classes, ``(N, classes)`` float32, before any softmax of ours.

    Parameters
    ----------
    model
        The network; a private copy of it is run.
    images
        ``(N, 3, H, W)`` in 0..1.
    layer, change
        The layer's activation ``(N, C, h, w)`` goes through ``change`` on its way to what follows.
        Of a layer that is called several times the first call, which is the one that is read.

    Raises
    ------
    ModelError
        If the network fails, does not come by the layer, or gives no row of numbers.
    """
    name, layout = model.place(layer) if change is not None else ("", MAPS)
    with (
        model.private_copy() as network,
        torch.inference_mode(),
        torch.autocast(images.device.type, enabled=False),
    ):
        hook = _Hook(change, layout, (images.shape[-2], images.shape[-1]))
        handle = (
            network.get_submodule(name).register_forward_hook(hook) if change is not None else None
        )
        try:
            given = network(model.preprocess(images))
        except NeuronWidgetError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise ModelError(
                f"{model.title} fails on images {tuple(images.shape)} when it is run to its end: "
                f"{first_line(error)}"
            ) from error
        finally:
            if handle is not None:
                handle.remove()
        if change is not None and not hook.called:
            raise ModelError(
                f"layer {layer!r} was not reached in the forward pass of {model.title}"
            )
        return _rows(given, model.title, len(images)).float()


class _Hook:
    """Changes what the first call of a module gives."""

    def __init__(self, change: Change | None, layout: Layout, image: tuple[int, int]):
        self._change, self._layout, self._image = change, layout, image
        self.called = False

    def __call__(self, _module: nn.Module, _args: Any, output: Any) -> Any:
        if self.called or self._change is None:
            return None
        self.called = True
        return self._changed(output)

    def _changed(self, output: Any) -> Any:
        """The output with its first tensor changed: not in place, others may hold it."""
        if isinstance(output, Tensor):
            if output.is_quantized:
                raise ModelError(
                    "a quantised network's activation cannot be changed: open the network it was "
                    "made from"
                )
            assert self._change is not None
            maps = self._layout.read(output, self._image)
            return self._layout.write(output, self._change(maps))
        if isinstance(output, (tuple, list)) and output:
            parts = [self._changed(output[0]), *output[1:]]
            kind: Any = type(output)
            return kind(*parts) if hasattr(output, "_fields") else kind(parts)
        raise ModelError(f"the layer returned {type(output).__name__}, expected a tensor")


def _rows(given: Any, title: str, images: int) -> Tensor:
    """The outputs among what a network returns: itself, its ``logits``, or the first of several."""
    found = given
    for name in ("logits", "out"):
        inner = found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)
        if isinstance(inner, Tensor):
            found = inner
    while isinstance(found, (tuple, list)) and found:
        found = found[0]
    if isinstance(found, Tensor) and found.ndim == 4 and found.shape[2:] == (1, 1):
        found = found.flatten(1)
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != images:
        what = (
            f"a tensor {tuple(found.shape)}"
            if isinstance(found, Tensor)
            else f"a {type(found).__name__}"
        )
        raise ModelError(
            f"{title} gives {what} for {images} image(s), and no number for each class: expected "
            f"({images}, classes). What its classes would become cannot be told"
        )
    return found
