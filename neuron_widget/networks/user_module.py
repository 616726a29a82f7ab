"""A module given by the user: what can be read of it, and how it wants its input."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from neuron_widget.errors import ModelError
from neuron_widget.networks import inception
from neuron_widget.networks.layouts import Layout
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.preprocessing import as_preprocess, timm_preprocess

__all__ = ["open_module"]


def open_module(
    module: nn.Module,
    device: torch.device | None,
    preprocess: Any,
    size: int | None,
    layout: Mapping[str, Layout] | None = None,
) -> VisionModel:
    """Open it; it is neither moved nor changed.

    Raises
    ------
    ModelError
        If its layers cannot be read, or how it wants its input is unknown.
    """
    module = _unwrapped(module)
    _refuse_unreadable(module)
    first = next(iter(module.parameters()), None)
    home = first.device if first is not None else torch.device("cpu")
    if device is not None and device.type != home.type:
        module = copy.deepcopy(module).to(device)
        home = device
    usual: int | None = None
    if preprocess is not None:
        transform, usual = as_preprocess(preprocess, size, home)
    elif isinstance(module, inception.InceptionV1) or _is_lucents_inception(module):
        transform, usual = inception.preprocess, inception.INPUT_SIZE
    elif (known := timm_preprocess(module)) is not None:
        transform, usual = known
    else:
        raise ModelError(
            f"how {type(module).__name__} wants its input is unknown, and is not guessed: pass "
            "preprocess=(mean, std), e.g. ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) for "
            "torchvision's networks, or the weights they were loaded with, or a function from "
            "images (N, 3, H, W) in 0..1 to the network's input"
        )
    name = type(module).__name__
    model = VisionModel(
        module,
        transform,
        name=name,
        title=name,
        device=home,
        input_size=size or usual or 224,
        loaded_here=False,
        layout=layout,
    )
    with model.private_copy():
        model.note = model.copy_refusal
    return model


def _unwrapped(module: nn.Module) -> nn.Module:
    """The network inside of what runs, compiles or averages it."""
    from torch.optim.swa_utils import AveragedModel

    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)
    while True:
        # The second is of torch.compile's wrapper, whose class is private.
        name = "module" if isinstance(module, wrappers) else "_orig_mod"
        inner = getattr(module, name, None)
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def _refuse_unreadable(module: nn.Module) -> None:
    """What would otherwise fail later, or be changed by looking at it."""
    name = type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(
            f"{module.original_name} is a TorchScript program (traced or scripted): nobody can "
            "look inside one while it runs. Open the Python module it was made from, with its "
            "weights: net.load_state_dict(program.state_dict())"
        )
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        raise ModelError(
            f"{name} lies on the 'meta' device and has no weights yet: load them first, "
            "net.load_state_dict(weights, assign=True)"
        )
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in module.parameters()):
        raise ModelError(
            f"{name} has lazy layers, whose sizes its first input fixes: run it once on images "
            "of its size first"
        )


def _is_lucents_inception(module: nn.Module) -> bool:
    return type(module).__module__.startswith("lucent.modelzoo.inceptionv1")
