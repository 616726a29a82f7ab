"""From images in 0..1 to what a network takes: the user's word, torchvision's or timm's.

A rendering shows the very pixels that the network sees, and maps lie on the photo: so a
preprocessing works on each pixel by itself. What resizes, crops or turns is left out or refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from neuron_widget.errors import ModelError, first_line
from neuron_widget.networks.model import Preprocess

__all__ = ["as_preprocess", "normalise", "timm_preprocess"]

# What 0..1 images are instead of: these fail on a batch of tensors, or change nothing.
_TO_TENSOR = frozenset({"ToTensor", "PILToTensor", "ToImage", "MaybeToTensor", "MaybePILToTensor"})

# How bright a colour looks (ITU-R BT.601), as Pillow's mode "L" has it.
_LUMINANCE = (0.299, 0.587, 0.114)


def as_preprocess(
    given: Any, side: int | None = None, device: torch.device | None = None
) -> tuple[Preprocess, int | None]:
    """A function on images in 0..1, and the input size where ``given`` knows it.

    Parameters
    ----------
    given
        ``(mean, std)`` of three numbers each, or of one each for a network of grey images;
        torchvision weights or their transforms; a composition of transforms with a Normalize, of
        which what works on single pixels is taken; an image processor of transformers; or a
        function on ``(N, 3, H, W)``.
    side, device
        The input size, where the user named it, and where the network is.

    Raises
    ------
    ModelError
        For anything else, and for a function that moves pixels.
    """
    preset = (
        given.transforms() if hasattr(given, "transforms") and hasattr(given, "meta") else given
    )
    if hasattr(preset, "mean") and hasattr(preset, "std"):
        return _normalise_or_refuse(preset.mean, preset.std, given), _side_of(preset)
    if hasattr(preset, "image_mean") and hasattr(preset, "image_std"):
        return _normalise_or_refuse(preset.image_mean, preset.image_std, given), None
    parts = _parts(preset)
    if parts is not None:
        crop = next((s for s in map(_side_of, reversed(parts)) if s is not None), None)
        return _of_single_pixels(parts, side or crop or 224, device), crop
    if callable(preset):
        fault = _moves_pixels(preset, side or 224, device)
        if fault:
            raise ModelError(
                f"preprocess={type(given).__name__} {fault}: a network's preprocessing may only "
                "change colours here (photos are resized and cropped before, to input_size). "
                "Pass preprocess=(mean, std), or a function that does the last step alone"
            )
        return preset, None
    return _normalise_or_refuse(*_pair(given), given), None


def _pair(given: Any) -> tuple[Any, Any]:
    try:
        mean, std = given
        return mean, std
    except (TypeError, ValueError):
        return None, None


def _normalise_or_refuse(mean: Any, std: Any, given: Any) -> Preprocess:
    try:
        return normalise(mean, std)
    except (TypeError, ValueError) as error:
        raise ModelError(
            "preprocess must be (mean, std) of three numbers each (of one each for a network of "
            "grey images), torchvision weights, or a function on (N, 3, H, W) images in 0..1; "
            f"got {given!r}"
        ) from error


def normalise(mean: Sequence[float], std: Sequence[float]) -> Preprocess:
    """``(images - mean) / std``; ValueError for what is no three numbers each.

    With one number each the images are made grey: ``(N, 3, H, W)`` -> ``(N, 1, H, W)``.
    """
    # Whatever mode the caller is in: these serve readings with gradients too.
    with torch.inference_mode(False):
        means = torch.tensor([float(v) for v in mean], dtype=torch.float32, device="cpu").view(
            -1, 1, 1
        )
        stds = torch.tensor([float(v) for v in std], dtype=torch.float32, device="cpu").view(
            -1, 1, 1
        )
        luminance = torch.tensor(_LUMINANCE, dtype=torch.float32, device="cpu").view(-1, 1, 1)
    finite = bool(torch.cat([means, stds]).isfinite().all())
    if len(means) not in (1, 3) or len(stds) != len(means) or not finite or bool((stds <= 0).any()):
        raise ValueError("three numbers each, or one each, and std above 0")
    grey = len(means) == 1
    placed: dict[torch.device, tuple[Tensor, Tensor, Tensor]] = {}

    def normalised(images: Tensor) -> Tensor:
        # Moved once a device: a copy from the host in every step would be a sync.
        device = images.device
        if device not in placed:
            with torch.inference_mode(False):
                placed[device] = (means.to(device), (1 / stds).to(device), luminance.to(device))
        shift, scale, weights = placed[device]
        if grey:
            images = (images * weights).sum(dim=1, keepdim=True)
        return (images - shift) * scale

    return normalised


def timm_preprocess(module: nn.Module) -> tuple[Preprocess, int | None] | None:
    """What a timm module says of its input, and the input size; None for another module."""
    config = getattr(module, "pretrained_cfg", None)
    if not isinstance(config, dict) or not config.get("mean"):
        return None
    mean, std = config["mean"], config["std"]
    # timm.create_model(..., in_chans=1) keeps the three of the network it was derived from.
    if next((w.shape[1] for w in module.parameters() if w.ndim == 4), 3) == 1:
        mean, std = ((sum(numbers) / len(numbers),) for numbers in (mean, std))
    side = (config.get("input_size") or (3, None, None))[-1]
    return normalise(mean, std), side


# ------------------------------------------------------------------ transforms of others


def _parts(given: Any) -> list[Any] | None:
    """The steps of a composition, None for a single function."""
    steps = list(given) if isinstance(given, nn.Sequential) else getattr(given, "transforms", None)
    if not isinstance(steps, (list, tuple)):
        return None
    return [part for step in steps for part in (_parts(step) or [step])]


def _side_of(part: Any) -> int | None:
    """The size a transform crops or resizes to."""
    for name in ("crop_size", "size"):
        size = getattr(part, name, None)
        if isinstance(size, (list, tuple)) and size:
            size = size[-1]
        if isinstance(size, int) and not isinstance(size, bool):
            return size
    return None


def _of_single_pixels(parts: Sequence[Any], side: int, device: torch.device | None) -> Preprocess:
    """The steps that change colours, in their order; the others are ours to do."""
    kept: list[Preprocess] = []
    for part in parts:
        if type(part).__name__ in _TO_TENSOR:
            continue
        if hasattr(part, "mean") and hasattr(part, "std"):
            if max(map(float, part.mean)) > 1 and not kept:
                raise ModelError(
                    f"preprocess normalises with mean {tuple(map(float, part.mean))}, which is "
                    "for images in 0..255: images are in 0..1 here, so pass preprocess=(mean, "
                    "std) with both divided by 255"
                )
            kept.append(_normalise_or_refuse(part.mean, part.std, part))
        elif not _moves_pixels(part, side, device):
            kept.append(part)
    if not kept and not any(type(part).__name__ in _TO_TENSOR for part in parts):
        raise ModelError(
            f"preprocess has no step that changes colours ({', '.join(_names(parts))}): pass "
            "preprocess=(mean, std), ((0, 0, 0), (1, 1, 1)) if the network takes 0..1"
        )

    def all_kept(images: Tensor) -> Tensor:
        for step in kept:
            images = step(images)
        return images

    return all_kept


def _names(parts: Sequence[Any]) -> list[str]:
    return [type(part).__name__ for part in parts]


def _moves_pixels(transform: Preprocess, side: int, device: torch.device | None) -> str:
    """What is wrong with a function that is to change colours; empty if nothing is.

    A mark beside the middle must stay where it is, and the size too, at two sizes; and the same
    image must give the same.
    """
    with torch.inference_mode(False), torch.no_grad(), torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(0)  # not those of GPUs
        for size in (side, side * 3 // 4):
            noise = torch.rand(
                (1, 3, size, size),
                generator=torch.Generator().manual_seed(0),
                dtype=torch.float32,
                device="cpu",
            )
            noise = noise.to(device)
            marked = noise.clone()
            mark = (slice(size // 8, size // 4), slice(size // 2, size * 5 // 8))
            marked[..., mark[0], mark[1]] = 1 - marked[..., mark[0], mark[1]]
            try:
                plain, found, again = map(transform, (noise.clone(), marked, noise.clone()))
            except Exception as error:  # noqa: BLE001  # the user's function
                if size != side:
                    continue  # it may be made for one size
                return f"fails on a tensor (1, 3, {size}, {size}) in 0..1 ({first_line(error)})"
            if not isinstance(found, Tensor) or found.ndim != 4:
                what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
                return f"makes {what} of images (1, 3, {size}, {size})"
            if found.shape[2:] != noise.shape[2:]:
                return f"makes {tuple(found.shape[2:])} of images of {size} x {size} pixels"
            change = (found - plain).float().abs().amax(dim=(0, 1))
            there = change > change.max() / 2
            outside = there.clone()
            outside[mark] = False
            if not bool(there[mark].any()) or bool(outside.any()):
                return "moves pixels (it resizes, crops, turns, or draws at random)"
            if not torch.allclose(plain, again, equal_nan=True):
                return "makes two results of one image (it draws at random)"
    return ""
