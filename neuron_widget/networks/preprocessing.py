"""From images in 0..1 to what a network takes: the user's word, torchvision's or timm's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from neuron_widget.errors import ModelError
from neuron_widget.networks.model import Preprocess

__all__ = ["as_preprocess", "normalise", "timm_preprocess"]


def as_preprocess(given: Any) -> tuple[Preprocess, int | None]:
    """A function on images in 0..1, and the input size where ``given`` knows it."""
    preset = (
        given.transforms() if hasattr(given, "transforms") and hasattr(given, "meta") else given
    )
    if hasattr(preset, "mean") and hasattr(preset, "std"):
        crop = getattr(preset, "crop_size", None)
        side = crop[0] if isinstance(crop, (list, tuple)) and crop else None
        return normalise(preset.mean, preset.std), side
    if callable(preset):
        return preset, None
    try:
        mean, std = preset
        return normalise(mean, std), None
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"preprocess must be (mean, std) of three numbers each, torchvision weights, or a "
            f"function on (N, 3, H, W) images in 0..1; got {given!r}"
        ) from error


def normalise(mean: Sequence[float], std: Sequence[float]) -> Preprocess:
    """``(images - mean) / std``; ValueError for what is no three numbers each."""
    # Whatever mode the caller is in: these serve readings with gradients too.
    with torch.inference_mode(False):
        means = torch.tensor([float(v) for v in mean]).view(-1, 1, 1)
        stds = torch.tensor([float(v) for v in std]).view(-1, 1, 1)
    if len(means) != 3 or len(stds) != 3 or not bool((stds > 0).all()):
        raise ValueError("three numbers each, and std above 0")
    placed: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def normalised(images: Tensor) -> Tensor:
        # Moved once a device: a copy from the host in every step would be a sync.
        if images.device not in placed:
            with torch.inference_mode(False):
                placed[images.device] = (means.to(images.device), (1 / stds).to(images.device))
        shift, scale = placed[images.device]
        return (images - shift) * scale

    return normalised


def timm_preprocess(module: nn.Module) -> tuple[Preprocess, int | None] | None:
    """What a timm module says of its input, and the input size; None for another module."""
    config = getattr(module, "pretrained_cfg", None)
    if not isinstance(config, dict) or not config.get("mean"):
        return None
    side = (config.get("input_size") or (3, None, None))[-1]
    return normalise(config["mean"], config["std"]), side
