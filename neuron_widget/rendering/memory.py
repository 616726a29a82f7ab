"""How many images fit side by side."""

from __future__ import annotations

import gc

import torch

from neuron_widget.networks.model import VisionModel

__all__ = ["default_batch_size", "free_memory"]

# More images side by side than this do not make a step of one image faster.
_MAX_BATCH = {"cpu": 8, "cuda": 128, "mps": 16}

# Copies of each activation that live at the peak of a step (forward, gradient, workspaces).
_COPIES = 6


def default_batch_size(model: VisionModel, layer: str, size: int) -> int:
    """A power of two, from free memory and the sizes of the layers; a guess on the safe side.

    A wrong guess costs little: a batch that does not fit is halved.
    """
    most = _MAX_BATCH.get(model.device.type, 8)
    if model.device.type != "cuda":
        return most
    added = model.dictionary(layer)
    layer = added.source if added is not None else layer
    elements = 0
    for info in model.layers:
        elements += info.channels * info.height * info.width
        if info.name == layer:
            break
    bytes_an_image = max(1, elements) * 4 * _COPIES * (size / model.input_size) ** 2
    free, _total = torch.cuda.mem_get_info(model.device)
    fits = max(1, int(free / 2 / bytes_an_image))
    return min(most, 1 << (fits.bit_length() - 1))


def free_memory(device: torch.device) -> None:
    """Give cached blocks back before a smaller attempt."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
