"""What is wrong with a cell's arguments, as far as it can be told without torch or the network."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from neuron_widget.errors import DatasetError, ModelError, TargetError, WrongType, nearest
from neuron_widget.names import (
    EFFICIENTNET_LAYERS,
    EMBEDDED,
    INCEPTION,
    INCEPTION_LAYERS,
    INCEPTION_MODULES,
    OUTPUT,
    as_path,
    check_neuron,
    path_as_typed,
    resolve_layer,
)
from neuron_widget.objectives import canonical_objective
from neuron_widget.protocol.check import MAX_TEXT
from neuron_widget.session.settings import WIDGET, Settings
from neuron_widget.targets import Target, TargetLike, as_shown, inside, looks_composed

__all__ = ["as_shown_with", "check_arguments", "reject_unknown", "target_in"]


def reject_unknown(unknown: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Raise TypeError for keyword arguments that are no settings, and ``function`` does not have.

    Traitlets would ignore them, and a misspelt one would go unnoticed.
    """
    if not any(name not in WIDGET for name in unknown):
        return
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = [p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds]
    known.remove("self")
    name = next(name for name in unknown if name not in WIDGET)
    hint = nearest(name, known) or f"expected {', '.join(known)}"
    raise WrongType(f"NeuronWidget() has no argument {name!r}; {hint}")


def check_arguments(
    *,
    layer: Any,
    model: Any,
    weights: Any,
    dataset: Any,
    neuron: Any,
    device: Any,
    store: Any = None,
    **options: Any,
) -> Settings:
    """The arguments of a widget as settings.

    Raises
    ------
    UnknownLayer, NeuronOutOfRange, ModelError, DatasetError, TypeError, ValueError
    """
    target = target_in(layer, options)
    if target is not None:
        layer, neuron = target.layer, target.neuron
    if weights is not None and not isinstance(weights, (str, os.PathLike)):
        raise WrongType(f"weights must be the path of a file, got {type(weights).__name__}")
    _check_dataset(dataset)
    neuron = check_neuron(neuron, None, "") if layer is None else neuron
    if model is None and layer not in (None, OUTPUT):  # every network has outputs
        # A layer names its network: that one is opened, or the widget says why it could not be.
        embedded = _find(layer, EFFICIENTNET_LAYERS) and not _find(layer, INCEPTION_MODULES)
        model = EMBEDDED if embedded else INCEPTION
    if isinstance(model, str):
        model = _check_model_name(model)
        for part in inside(target) if target is not None and target.composed else ():
            own = 0 if part.composed else part.neuron
            for name in part.layers:
                _check_layer(name, own if name == part.layer else 0, model)
        layer = _check_layer(layer, neuron, model)
    # What the page can show of a setting is what a widget takes.
    checked = {name: WIDGET[name].check(value, on_page=True) for name, value in options.items()}
    if checked.get("spectrum") is not None:
        from neuron_widget.rendering.natural import as_spectrum

        checked["spectrum"] = as_spectrum(checked["spectrum"])
    if checked.get("start") is not None:
        from neuron_widget.rendering.start import as_start

        checked["start"] = as_start(checked["start"])
    return Settings(
        model=model,
        weights=weights,
        device=device,
        dataset=dataset,
        layer=layer,
        neuron=check_neuron(neuron, None, layer or ""),
        target=None if target is None or target == target.channel else _in(layer, target),
        store=_check_store(store),
        **checked,
    )


def target_in(layer: Any, options: Mapping[str, Any]) -> Target | None:
    """The target, where one was given in a layer's place; see :func:`as_shown_with`."""
    if isinstance(layer, Target):
        return as_shown_with(layer, options)
    if layer is not None and not isinstance(layer, str):
        kind = type(layer).__name__
        raise WrongType(f"layer must be a name such as 'mixed4a' or a target, got {kind}")
    if layer is not None and (":" in layer or looks_composed(layer)):
        return as_shown_with(layer, options)
    return None


def as_shown_with(given: TargetLike, options: Mapping[str, Any]) -> Target:
    """The target that a widget is to show, as far as it can be told without the network.

    ``options``: the settings that its pictures are made with.

    Raises
    ------
    TargetError, ValueError
    """
    target = as_shown(given)
    if target.composed:
        from neuron_widget.rendering.settings import check_composed, check_near

        objective = canonical_objective(options.get("objective", "channel"))
        check_composed((target,), objective, options.get("engine"))
        check_near((target,), options.get("start"))
        if len(str(target)) > MAX_TEXT:
            raise TargetError(
                f"the text of {target.title} has {len(str(target)):,} characters, and a page takes "
                f"{MAX_TEXT:,}: neuron_widget.render(model, ...) makes its pictures; a dictionary "
                "of the direction makes it a neuron (model.add_dictionary)"
            )
    return target


def _in(layer: str | None, target: Target) -> Target:
    """The target with its layer's own name; what is composed has several."""
    return target if target.composed or layer is None else target.in_layer(layer)


def _check_store(store: Any) -> Any:
    """StoreError for what is no folder, list of folders, True-or-False or Store."""
    if store is not None:
        from neuron_widget.store import open_store

        open_store(store)
    return store


def _check_layer(layer: str | None, neuron: Any, model: str) -> str | None:
    """The layer's own name, if the network is a built-in one."""
    if layer is None or layer == OUTPUT or "/" in layer:
        return layer  # only the opened network can tell
    if model == INCEPTION:
        # Suggestions come from the names people use, the branches of blocks are found too.
        known = INCEPTION_MODULES if _find(layer, INCEPTION_MODULES) else INCEPTION_LAYERS
    elif model == EMBEDDED and (
        _find(layer, EFFICIENTNET_LAYERS) or not layer.startswith("blocks")
    ):
        known = EFFICIENTNET_LAYERS
    else:
        return layer  # only the opened network can tell
    layer = resolve_layer(layer, known, model=model)
    check_neuron(neuron, known[layer], layer)
    return layer


def _find(layer: str, known: Mapping[str, int]) -> bool:
    try:
        resolve_layer(layer, known)
    except ValueError:
        return False
    return True


def _check_model_name(model: str) -> str:
    plain = model.lower().replace("_", "").replace("-", "")
    for name in (INCEPTION, EMBEDDED):
        if plain == name.replace("_", ""):
            return name
    if model.startswith(("torchvision/", "timm/")):
        return model
    known = [INCEPTION, EMBEDDED, "torchvision/<name>", "timm/<name>"]
    hint = nearest(model, known) or f"expected {', '.join(map(repr, known))} or an nn.Module"
    raise ModelError(f"unknown model {model!r}; {hint}")


def _check_dataset(dataset: Any) -> None:
    ways = "a folder, a pattern, a data set, a list of images, 'samples' or 'imagenette'"
    if isinstance(dataset, (bool, int, float)):
        raise DatasetError(f"dataset must be {ways}; got {dataset!r}")
    names = ("samples", "imagenette")
    if isinstance(dataset, str):
        dataset = path_as_typed(dataset)
    is_path = isinstance(dataset, os.PathLike) or (
        isinstance(dataset, str) and dataset not in names
    )
    if is_path:
        as_path(dataset, "dataset", DatasetError, example="photos")
    # What a pattern names is looked for when it is opened.
    pattern = is_path and any(sign in os.fspath(dataset) for sign in "*?[{")
    if is_path and not pattern and not Path(dataset).expanduser().exists():
        hint = nearest(str(dataset), names)
        raise DatasetError(f"there is no folder '{dataset}'; {hint or f'expected {ways}'}")
