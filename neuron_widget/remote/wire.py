"""What travels to a server of sessions: names and plain values, checked where they arrive."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from neuron_widget import errors
from neuron_widget.errors import (
    DatasetError,
    ModelError,
    NeuronWidgetError,
    WidgetError,
    WrongType,
    WrongValue,
    shown,
)
from neuron_widget.names import check_neuron
from neuron_widget.session import Settings
from neuron_widget.session.arguments import check_arguments, target_in
from neuron_widget.session.settings import WIDGET
from neuron_widget.version import __version__

__all__ = ["OWN", "SessionGone", "error_of", "plain", "told_error", "wish_of"]

OWN = ("start", "spectrum")
"""Settings that are files or objects of whoever asks: they do not travel."""

Wish = dict[str, Any]


class SessionGone(WidgetError):
    """A session that the server does not have (any more)."""


def wish_of(
    *,
    layer: Any,
    model: Any,
    weights: Any,
    dataset: Any,
    neuron: Any,
    device: Any,
    store: Any,
    **options: Any,
) -> tuple[Wish, Settings]:
    """The arguments of a widget as they travel, and as settings of the page here.

    Only what was said travels: the rest is as the server has it.

    Raises
    ------
    UnknownLayer, NeuronOutOfRange, ModelError, DatasetError, TypeError, ValueError
        For what is wrong whatever the server has, and for what cannot travel.
    """
    for name, value in (("weights", weights), ("device", device), ("store", store)):
        if value is not None:
            raise WrongValue(
                f"{name}={shown(value)} is of this machine, and with cluster= the work is done on "
                "another: leave it out; the server was started with its own"
            )
    if model is not None and not isinstance(model, str):
        raise ModelError(
            f"with cluster= a network goes by its name, such as 'inceptionv1', got "
            f"{type(model).__name__}; leave out cluster= to look into an object of this process"
        )
    if isinstance(dataset, os.PathLike):
        dataset = os.fspath(dataset)
    if dataset is not None and not isinstance(dataset, str):
        raise DatasetError(
            f"with cluster= photos go by a name or a path on the server, such as 'samples', got "
            f"{type(dataset).__name__}; leave out cluster= to scan an object of this process"
        )
    for name in OWN:
        if options.get(name) is not None:
            raise WrongValue(f"{name}= does not travel to a cluster; leave out {name}= or cluster=")
    if not isinstance(options.get("objective", ""), str):
        raise WrongType("with cluster= an objective goes by its name, such as 'channel'")
    usual: dict[str, Any] = {"weights": None, "dataset": "samples", "device": None}
    target = target_in(layer, options)
    if target is not None:
        layer, neuron = target.layer, target.neuron
    # Of a network that the server chooses it alone knows the layers.
    named = layer if model is not None else None
    settings = check_arguments(layer=named, model=model, neuron=neuron, **usual, **options)
    settings = settings.replace(
        layer=settings.layer or layer,
        neuron=check_neuron(neuron, None, ""),
        dataset=dataset or "samples",
        target=None if target is None or target == target.channel else target,
    )
    wish: Wish = {
        "layer": str(target) if target is not None else settings.layer,
        "neuron": settings.neuron,
        "model": settings.model if model is not None else None,
        "dataset": dataset,
        "version": __version__,
        "options": {name: settings.options[name] for name in options},
    }
    return wish, settings


def told_error(error: BaseException | None) -> list[str] | None:
    """An error as it travels: its kind and its text."""
    return None if error is None else [type(error).__name__, str(error)]


def error_of(told: Any) -> NeuronWidgetError | None:
    """An error that has travelled; of our own kinds, or a WidgetError that names the kind."""
    if told is None:
        return None
    name, text = map(str, told)
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, NeuronWidgetError):
        return kind(text)
    return WidgetError(f"{name}: {text}" if text else name)


def plain(value: Any, most: int = 100) -> Mapping[str, Any]:
    """A record of a client's, as far as it is one."""
    if not isinstance(value, Mapping) or len(value) > most:
        raise WrongType(f"expected a record, got {shown(value)}")
    unknown = [name for name in value if name not in WIDGET]
    if unknown:
        raise WrongType(f"there is no setting {shown(unknown[0])}")
    return value
