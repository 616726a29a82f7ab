"""The layer that is analysed: whether there is one of its name, and what it gives."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from neuron_widget.errors import UnknownLayer
from neuron_widget.names import (
    EFFICIENTNET_LAYERS,
    EMBEDDED,
    INCEPTION,
    INCEPTION_MODULES,
    OUTPUT,
    resolve_layer,
)

__all__ = ["is_known", "keep_activations"]


def is_known(layer: str, model: object) -> bool:
    """Return whether the network has the layer, False also if only the opened network can tell.

    Raises ``UnknownLayer`` where it is certain that it has not.
    """
    if not isinstance(layer, str):
        raise UnknownLayer(
            f"target_layer must be a name such as 'mixed4a', got {type(layer).__name__}"
        )
    if layer == OUTPUT or "/" in layer:
        return False
    if model == INCEPTION:
        resolve_layer(layer, INCEPTION_MODULES, model="InceptionV1")
        return True
    if model == EMBEDDED:
        with suppress(UnknownLayer):  # one inside a block, perhaps
            resolve_layer(layer, EFFICIENTNET_LAYERS)
            return True
    return False


def keep_activations(
    module: nn.Module, names: Collection[str], into: dict[str, Tensor]
) -> RemovableHandle:
    """Put what the module gives in each forward pass into a dictionary, under each of the names.

    The hook holds nothing but the dictionary, so that whoever set it up need not live as long as
    the module.
    """

    def keep(_module: nn.Module, _args: object, output: Any) -> None:
        while isinstance(output, (tuple, list)) and output:
            output = output[0]
        if isinstance(output, Tensor):
            into.update(dict.fromkeys(names, output.detach()))

    return module.register_forward_hook(keep)
