"""timm's networks of any size: transformers that can be asked to take more than their own."""

from __future__ import annotations

import torch
from torch import nn

from neuron_widget.settings import RENDER

__all__ = ["of_any_size", "usual_side"]

# Pixels: a photo of more takes four times as long as one of the usual size.
_LARGE = 448


def of_any_size(name: str, *, pretrained: bool) -> nn.Module:
    """One of timm's networks; where it can be asked to take images of any size, it is."""
    import timm

    try:
        module: nn.Module = timm.create_model(name, pretrained=pretrained, dynamic_img_size=True)
    except TypeError:  # it has no such argument
        module = timm.create_model(name, pretrained=pretrained)
    return module


def usual_side(module: nn.Module, own: int) -> tuple[int, str]:
    """The side that a network is opened at, where its own is ``own``, and what is to be known.

    Its own, unless that is large and the network takes the usual one as well.
    """
    usual: int = RENDER["size"].usual
    if own <= _LARGE or not _takes(module, usual):
        return own, ""
    return usual, (
        f"Opened at {usual} px: its own {own} px take {(own / usual) ** 2:.0f} times as long. "
        f"load_model(..., input_size={own}) opens it at that."
    )


def _takes(module: nn.Module, size: int) -> bool:
    try:
        with torch.inference_mode():
            module.eval()(torch.zeros(1, 3, size, size))
    except Exception:  # noqa: BLE001  # somebody's network
        return False
    return True
