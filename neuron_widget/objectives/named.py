"""What of a neuron is maximised: a registry of objectives by name, and functions of one's own.

An objective turns activation maps into one number for each image and channel. A new one is one
entry here: the page's menu, the command line, the checks and the store's keys read this list.

``render(objective=...)`` also takes a function of the activation, or an objective of torch-lucent;
see :mod:`neuron_widget.rendering.objective`.

This module imports no torch: the widget checks a cell's arguments with it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import WrongType, shown

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "OBJECTIVES",
    "ImagesObjective",
    "NamedObjective",
    "canonical_objective",
    "each",
    "objective",
    "together",
]

Values = Callable[["Tensor"], "Tensor"]


@dataclass(frozen=True)
class NamedObjective:
    """An objective that is known by name.

    Attributes
    ----------
    name
        What it is called in ``render(objective=...)``, in settings and on the command line.
    label, help
        Its entry on the page, and one line on what it changes.
    values
        From activation maps ``(n, channels, h, w)`` to what each channel is worth in each image,
        ``(n, channels)`` float32.
    key
        What stands for it in the keys of stored results.
    sign
        -1 where less of the neuron is more: then its activation is minus the value.
    """

    name: str
    label: str
    help: str
    values: Values
    key: str
    sign: int = 1


@dataclass(frozen=True)
class ImagesObjective:
    """A function of activations, with what it speaks of: each image, or all together.

    ``layers`` are those whose activations it gets, in order; empty for the target's own.
    """

    function: Callable[..., Tensor]
    together: bool
    layers: tuple[str, ...] = ()


def each(function: Callable[..., Tensor], *, layers: Sequence[str] = ()) -> ImagesObjective:
    """An objective that is asked of each image alone.

    ``function`` gets one image's activation ``(1, C, h, w)``. With ``layers`` it gets one of each
    of them, in order, from one forward pass.

    Examples
    --------
    A neuron of one layer that fires where the layer behind it is silent:

    >>> from neuron_widget import load_model, render
    >>> from neuron_widget.objectives import each
    >>> def unheard(early, late):
    ...     return early[:, 3].mean() - late.abs().mean()
    >>> model = load_model("efficientnet_lite0")
    >>> across = each(unheard, layers=["blocks.1", "blocks.2"])
    >>> result = render(model, "blocks.1:3", objective=across, steps=2, size=64, progress=False)
    """
    return ImagesObjective(function, together=False, layers=_names(layers))


def together(function: Callable[..., Tensor], *, layers: Sequence[str] = ()) -> ImagesObjective:
    """An objective that is asked of all images of one call together, and may compare them.

    ``function`` gets the activation ``(n, C, h, w)`` of all images, in the order of the targets.
    With ``layers`` it gets one of each of them. The images form as one group, so each depends on
    the others.

    Examples
    --------
    Four pictures of one neuron that are to differ:

    >>> from neuron_widget import load_model, render
    >>> from neuron_widget.objectives import together
    >>> def apart(maps):
    ...     means = maps.mean(dim=(2, 3))  # (n, C)
    ...     return means[:, 3].mean() + means.std(dim=0).mean()
    >>> model = load_model("efficientnet_lite0")
    >>> result = render(
    ...     model, "blocks.1", [3] * 4, objective=together(apart), steps=2, size=64, progress=False
    ... )
    >>> len(result.images)
    4
    """
    return ImagesObjective(function, together=True, layers=_names(layers))


def _names(layers: Sequence[str]) -> tuple[str, ...]:
    if isinstance(layers, str) or not all(isinstance(name, str) for name in layers):
        raise WrongType(f"layers must be a list of names such as ['mixed4a'], got {shown(layers)}")
    return tuple(layers)


OBJECTIVES: dict[str, NamedObjective] = {}

# lucent's word for a unit.
_ALIASES = {"neuron": "unit"}


def objective(
    name: str,
    *,
    label: str,
    help: str,  # noqa: A002  # as it is called everywhere
    key: str = "",
    sign: int = 1,
) -> Callable[[Values], Values]:
    """Register a function from maps ``(n, channels, h, w)`` to values ``(n, channels)``."""

    def register(values: Values) -> Values:
        OBJECTIVES[name] = NamedObjective(name, label, help, values, key or name, sign)
        return values

    return register


def canonical_objective(given: Any) -> Any:
    """The name an objective is known by; anything else comes back as it is."""
    return _ALIASES.get(given, given) if isinstance(given, str) else given


@objective(
    "channel",
    label="mean",
    help="The mean over the whole map, so the motif fills the image.",
)
def _channel(maps: Tensor) -> Tensor:
    import torch

    return maps.flatten(2).mean(dim=2, dtype=torch.float32)


@objective(
    "unit",
    label="centre unit",
    help="One position only, so the motif stands alone in the middle.",
    key="neuron",  # it was called so when the first results were stored
)
def _unit(maps: Tensor) -> Tensor:
    # Of an even number of positions the one right and below the middle, as in lucent.
    return maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2]


@objective(
    "least",
    label="least",
    help="As little as can be: what the neuron avoids. Behind ReLU the image rests once it is "
    "silent.",
    sign=-1,
)
def _least(maps: Tensor) -> Tensor:
    return -_channel(maps)
