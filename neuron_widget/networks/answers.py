"""What a network answers for an image, also with one layer's activation changed on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from neuron_widget.errors import ModelError, NeuronWidgetError, first_line
from neuron_widget.networks.dictionaries import Dictionary
from neuron_widget.networks.layouts import MAPS, Layout
from neuron_widget.networks.memory import is_out_of_memory
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.outputs import output_rows

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
        Of a dictionary's layer the features do: what they add to the activation below is changed.
        Of a layer that is called several times the first call, which is the one that is read.

    Raises
    ------
    ModelError
        If the network fails, does not come by the layer, or gives no row of numbers.
    """
    outputs_too = change if layer and model.is_output(layer) else None
    if outputs_too is not None:
        layer, change = "", None
    elif layer and (added := model.dictionary(layer)) is not None:
        layer, change = added.source, _through(added.dictionary, change)
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
        rows = output_rows(given, model.title, len(images)).float()
        return rows if outputs_too is None else outputs_too(rows[:, :, None, None])[:, :, 0, 0]


def _through(dictionary: Dictionary, change: Change | None) -> Change | None:
    """The change of an activation that changes its features so, and leaves the rest of it."""
    if change is None:
        return None

    def changed(activation: Tensor) -> Tensor:
        features = dictionary.read(activation)
        more = dictionary.rebuild(change(features) - features)
        return activation + more.to(activation.dtype)

    return changed


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
