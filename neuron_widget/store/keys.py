"""Names of stored results: hashes of everything that makes them, and of nothing else.

What is in a name: the network (name, hash of the weights, preprocessing, and the architecture of
a module that the user gave), layer, neuron, objective, parameters, seed, fingerprint of the data
set, version of the algorithm. What is not: the device and the versions of libraries, so that what
a teacher rendered on a GPU serves everybody's laptop; they are told in the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuron_widget.models import VisionModel

__all__ = ["SCAN_ALGORITHM", "Recipes", "image_family", "scan_family"]

SCAN_ALGORITHM = 1
"""Counts up when the same scan begins to give other numbers: part of every scan's name."""

OBJECTIVES = ("channel", "neuron")
"""Objectives that their name describes; the name of a user's function does not."""

_IMAGE = (
    "layer",
    "size",
    "lr",
    "seed",
    "objective",
    "engine",
    "redirect_relu",
    "precision",
    "augmentation",
    "algorithm",
)


def digest(kind: str, parts: Mapping[str, Any]) -> str:
    """40 hexadecimal digits: the SHA-256 of canonical JSON."""
    text = json.dumps([kind, parts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def image_family(recipe: Mapping[str, Any], settings: Mapping[str, Any], neuron: int) -> str | None:
    """Name of the images of one neuron, whatever their number of steps.

    None for an objective that its name does not describe: such images are not kept.
    """
    if settings["objective"] not in OBJECTIVES:
        return None
    chosen = {name: settings[name] for name in _IMAGE}
    return digest("image", {**recipe, **chosen, "neuron": neuron})


def scan_family(
    recipe: Mapping[str, Any],
    layer: str,
    fingerprint: str,
    photos: int,
    settings: Mapping[str, Any],
) -> str:
    """Name of the scans of one layer over one data set, whatever their number of photos and top k.

    The split is part of the fingerprint.
    """
    chosen = {name: settings[name] for name in ("seed", "precision", "input_size")}
    parts = {"layer": layer, "dataset": fingerprint, "photos": photos, "algorithm": SCAN_ALGORITHM}
    return digest("scan", {**recipe, **chosen, **parts})


class Recipes:
    """What of a network goes into names; worked out once a network, again if its weights change."""

    def __init__(self) -> None:
        from weakref import WeakKeyDictionary

        self._known: WeakKeyDictionary[VisionModel, tuple[int, dict[str, str]]]
        self._known = WeakKeyDictionary()

    def __call__(self, model: VisionModel) -> dict[str, str]:
        """Return the network's part of every name."""
        # A module of the user's may be trained on in between; ours never changes.
        version = 0 if model.owned else _version(model)
        known = self._known.get(model)
        if known is None:
            recipe = {"model": model.identity, "input": _describe_input(model)}
            if not model.owned:
                recipe["architecture"] = _describe_architecture(model)
            known = self._known[model] = (version, recipe)
        if known[0] != version:
            fresh = type(model).__dict__["identity"].func(model)
            known = self._known[model] = (version, {**known[1], "model": fresh})
        return known[1]


def _version(model: VisionModel) -> int:
    """A number that grows with every change in place of the weights (an optimiser's step)."""
    tensors = (*model.module.parameters(), *model.module.buffers())
    return sum(tensor._version for tensor in tensors if not tensor.is_inference())


def _describe_input(model: VisionModel) -> str:
    """What the preprocessing makes of four plain colours, to three digits."""
    import torch

    colours = torch.tensor([[0, 0, 0], [1, 1, 1], [0.2, 0.5, 0.8], [0.9, 0.4, 0.1]])
    side = model.input_size
    images = colours[:, :, None, None].expand(-1, -1, side, side).contiguous().to(model.device)
    with torch.inference_mode():
        found = model.preprocess(images)
    shape = "same" if found.shape == images.shape else str(tuple(found.shape[1:]))
    middle = found[..., found.shape[-2] // 2, found.shape[-1] // 2].flatten().tolist()
    # Fewer digits than any two devices differ in.
    return " ".join([shape, *(f"{value + 0.0:.3g}" for value in middle)])


def _describe_architecture(model: VisionModel) -> str:
    """A hash of the modules and of the code of their forward methods.

    Two modules with the same weights may still be two functions (ReLU and GELU between them).
    """
    sha = hashlib.sha256(repr(model.module).encode())
    for kind in sorted({type(m) for m in model.module.modules()}, key=lambda k: k.__qualname__):
        code = getattr(getattr(kind, "forward", None), "__code__", None)
        if code is not None and not kind.__module__.startswith("torch."):
            # Constants may hold code objects, whose text has an address in it.
            constants = [c for c in code.co_consts if not hasattr(c, "co_code")]
            sha.update(repr((kind.__qualname__, code.co_code, code.co_names, constants)).encode())
    return sha.hexdigest()[:16]
