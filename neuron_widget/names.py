"""Names as people type them, and what is known of the built-in networks before any is loaded.

This module imports no torch: the widget checks a cell's arguments with it at once.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from neuron_widget.errors import (
    NeuronOutOfRange,
    NeuronWidgetError,
    UnknownLayer,
    WrongType,
    WrongValue,
    nearest,
    shown,
)

__all__ = [
    "EFFICIENTNET_LAYERS",
    "EMBEDDED",
    "INCEPTION",
    "INCEPTION_BLOCKS",
    "INCEPTION_LAYERS",
    "INCEPTION_MODULES",
    "OUTPUT",
    "as_path",
    "check_neuron",
    "path_as_typed",
    "resolve_layer",
]

INCEPTION = "inceptionv1"
# The layer of a network's outputs, one neuron a class; a module of that name goes first.
OUTPUT = "logits"
EMBEDDED = "efficientnet_lite0"  # its weights come with this package's dependencies

# Inputs, then the outputs of 1x1, 3x3_bottleneck, 3x3, 5x5_bottleneck, 5x5, pool_reduce.
INCEPTION_BLOCKS: dict[str, tuple[int, int, int, int, int, int, int]] = {
    "mixed3a": (192, 64, 96, 128, 16, 32, 32),
    "mixed3b": (256, 128, 128, 192, 32, 96, 64),
    "mixed4a": (480, 192, 96, 204, 16, 48, 64),
    "mixed4b": (508, 160, 112, 224, 24, 64, 64),
    "mixed4c": (512, 128, 128, 256, 24, 64, 64),
    "mixed4d": (512, 112, 144, 288, 32, 64, 64),
    "mixed4e": (528, 256, 160, 320, 32, 128, 128),
    "mixed5a": (832, 256, 160, 320, 48, 128, 128),
    "mixed5b": (832, 384, 192, 384, 48, 128, 128),
}

# Layers a person names, with their number of neurons.
INCEPTION_LAYERS: dict[str, int] = {"conv2d0": 64, "conv2d1": 64, "conv2d2": 192} | {
    name: c1 + c3 + c5 + pool for name, (_, c1, _, c3, _, c5, pool) in INCEPTION_BLOCKS.items()
}
# Every module of InceptionV1 that can be read: the branches of its blocks too.
_BRANCHES = ("1x1", "3x3_bottleneck", "3x3", "5x5_bottleneck", "5x5", "pool_reduce")
INCEPTION_MODULES: dict[str, int] = (
    INCEPTION_LAYERS
    | {
        f"{block}.{branch}": channels
        for block, (_, *outputs) in INCEPTION_BLOCKS.items()
        for branch, channels in zip(_BRANCHES, outputs, strict=True)
    }
    | {"maxpool0": 64, "localresponsenorm0": 64, "localresponsenorm1": 192}
    | {"maxpool1": 192, "maxpool4": 480, "maxpool10": 832}
)
EFFICIENTNET_LAYERS: dict[str, int] = {
    "conv_stem": 32,
    "bn1": 32,
    "blocks.0": 16,
    "blocks.1": 24,
    "blocks.2": 40,
    "blocks.3": 80,
    "blocks.4": 112,
    "blocks.5": 192,
    "blocks.6": 320,
    "conv_head": 1280,
    "bn2": 1280,
}


def _squeeze(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def resolve_layer(name: str, known: Iterable[str], *, model: str = "this model") -> str:
    """The name among ``known`` that ``name`` means.

    Case, dots and underscores do not matter: ``mixed_4a``, ``Mixed4a`` and ``mixed4a`` are one
    layer, and so are ``layer3.0.conv1`` and lucent's ``layer3_0_conv1``.

    Raises
    ------
    UnknownLayer
        With the nearest names, or with the names that ``name`` could mean.
    """
    names = list(known)
    if not isinstance(name, str):
        raise UnknownLayer(f"layer must be a name such as {names[0]!r}, got {name!r}")
    if name in names:
        return name
    underscored = [n for n in names if n.replace(".", "_") == name]
    same = underscored or [n for n in names if _squeeze(n) == _squeeze(name)]
    if len(same) == 1:
        return same[0]
    if same:
        raise UnknownLayer(f"layer {name!r} of {model} could mean {', '.join(map(repr, same))}")
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    hint = nearest(name, names) or nearest(_squeeze(name), names) or f"it has {shown}"
    raise UnknownLayer(f"{model} has no layer {name!r}; {hint}")


def check_neuron(neuron: object, channels: int | None, layer: str) -> int:
    """The neuron as an int; ``channels`` is None where only the opened network can tell.

    Raises
    ------
    NeuronOutOfRange
        With the valid range.
    """
    if isinstance(neuron, bool) or not hasattr(neuron, "__index__"):
        most = f"from 0 to {channels - 1}" if channels is not None else "0 or more"
        raise NeuronOutOfRange(f"neuron must be an integer {most}, got {shown(neuron)}")
    number: int = neuron.__index__()
    if channels is None:
        if number < 0:
            raise NeuronOutOfRange(f"there is no neuron {number}: they are counted from 0")
        return number
    if not 0 <= number < channels:
        raise NeuronOutOfRange(
            f"layer {layer} has {channels} neurons, 0 to {channels - 1}; "
            f"there is no neuron {number}"
        )
    return number


def as_path(
    given: object, what: str, error: type[NeuronWidgetError] = WrongValue, *, example: str
) -> Path:
    """The path that is given, ``~`` being the home; whether anything is there is not asked.

    Raises
    ------
    WrongType
        For what is no path, or an empty one; ``what`` names the argument.
    error
        For one that the system does not take: unknown home, null byte, a name too long.
    """
    text = os.fspath(given) if isinstance(given, str | os.PathLike) else None
    if not isinstance(text, str) or not text:
        raise WrongType(f"{what} must be a path such as {example!r}, got {shown(given)}")
    quoted = repr(text) if len(text) <= 120 else f"{text[:100]!r}... ({len(text):,} characters)"
    way_out = f"expected a path such as {example!r}"
    if "\0" in text:
        raise error(f"{what} {quoted} has a null character, which no path has; {way_out}")
    try:
        path = Path(text).expanduser()
    except RuntimeError as unknown:
        raise error(f"{what} {quoted} names the home of nobody here; {way_out}") from unknown
    try:
        path.exists()
    except OSError as refusal:
        why = refusal.strerror or refusal
        raise error(f"{what} {quoted} cannot be used: {why}; {way_out}") from refusal
    return path


def path_as_typed(text: str) -> str:
    """The path that a person typed or pasted: with spaces or quotes around it, or a file:// URL."""
    with contextlib.suppress(OSError):  # too long for a name
        if Path(text).exists():
            return text
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    if text.startswith("file:///"):
        from urllib.parse import urlsplit
        from urllib.request import url2pathname  # brings half of the network library with it

        return url2pathname(urlsplit(text).path)
    return text
