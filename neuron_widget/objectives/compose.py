"""A function for each part of an expression; see :mod:`neuron_widget.targets.terms`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neuron_widget.errors import TargetError, WrongType, shown
from neuron_widget.names import OUTPUT, check_neuron
from neuron_widget.targets import GroupImage, Target, TargetLike, as_target, combine, group
from neuron_widget.targets.comparing import Alignment, Distance, Diversity, Interpolate, Only
from neuron_widget.targets.given import as_count, as_vector
from neuron_widget.targets.kinds import Centre, Named, Unit
from neuron_widget.targets.regions import Region, as_region
from neuron_widget.targets.target import as_number
from neuron_widget.targets.terms import (
    L1,
    L2,
    Blur,
    Direction,
    Layer,
    TotalVariation,
    Weights,
)

__all__ = [
    "alignment",
    "blur",
    "channel",
    "direction",
    "distance",
    "diversity",
    "images",
    "interpolate",
    "l1",
    "l2",
    "layer",
    "logit",
    "mean",
    "only",
    "total_variation",
    "unit",
    "weights",
]

Place = tuple[int, int] | str | None
"""Row and column of one position, ``"centre"``, rows and columns (``"2:5,0:3"``), or all."""


def _region(name: str, at: Place, *, picture: bool = False) -> Region:
    if at is None:
        return as_region(name, picture=picture)
    if isinstance(at, tuple) and len(at) == 2:
        row, column = (as_count(n, f"the {what}", 0) for n, what in zip(at, _AXES, strict=True))
        at = f"{row},{column}"
    if not isinstance(at, str):
        raise WrongType(
            f"at must be a row and a column such as (7, 7), 'centre' or '2:5,0:3', got {shown(at)}"
        )
    return as_region(name, at.replace(" ", ""))


_AXES = ("row", "column")


# ------------------------------------------------------------------ of the network


def channel(layer: str, neuron: int) -> Target:
    """A neuron: the mean of its map. ``mixed4a:68``."""
    return as_target(layer, neuron)


def unit(layer: str, neuron: int, row: int | None = None, column: int | None = None) -> Target:
    """One position of a neuron's map; without row and column the one in the middle.

    ``mixed4a:68@7,7``, ``mixed4a:68@centre``. Rows and columns count on the layer's map at the
    network's own input size. Lucent's ``neuron``.
    """
    own = as_target(layer, neuron)
    if row is None and column is None:
        return Centre(own.layer, own.neuron)
    return Unit(own.layer, own.neuron, as_count(row, "row", 0), as_count(column, "column", 0))


def logit(name: str | int) -> Target:
    """A class of the network's outputs, by name or number. ``logits:golden retriever``."""
    if isinstance(name, str):
        return Named(OUTPUT, name)
    return as_target(OUTPUT, check_neuron(name, None, OUTPUT))


def direction(layer: str, vector: Any, *, at: Place = None) -> Target:
    """How near a layer's activation is to a direction: their cosine, the mean over positions.

    ``direction(mixed4a, [0.5, 0, 1, ...])``; lucent's ``direction``, and with ``at="centre"`` its
    ``direction_neuron``.

    Parameters
    ----------
    layer
        Its name.
    vector
        A number for each channel: a list, an array or a tensor. Kept to float32.
    at
        Row and column, ``"centre"``, or rows and columns as ``"2:5,0:3"``.

    Examples
    --------
    >>> from neuron_widget.objectives import direction
    >>> str(direction("mixed4a", [0.5, 0, 1], at=(7, 7)))
    'direction(mixed4a@7,7, [0.5, 0, 1])'
    """
    return Direction(_region(layer, at), as_vector(vector))


def weights(layer: str, vector: Any = None, *, at: Place = None) -> Target:
    """Channels, each with a weight: the mean over positions and channels.

    ``weights(mixed4a, [0.5, 0, 1, ...])``; without a vector the weights are 1. Lucent's
    ``channel_weight``, with ``at="centre"`` its ``neuron_weight``, with ``at="2:5,0:3"`` its
    ``localgroup_weight``.
    """
    return Weights(_region(layer, at), () if vector is None else as_vector(vector))


def layer(name: str, *, at: Place = None) -> Target:
    """All of a layer: the mean of its squares, as in DeepDream. ``layer(mixed4a)``."""
    return Layer(_region(name, at))


# ------------------------------------------------------------------ of activations and pictures


def l1(what: str, constant: float = 0.0, *, at: Place = None) -> Target:
    """How far a layer, or the picture (``"image"``), is from a number: the mean distance.

    ``l1(image, 0.5)``. To keep pictures grey, or activations small, it is subtracted. Lucid's
    ``L1`` is a sum, whose weight depends on the size of the picture.
    """
    return L1(_region(what, at, picture=True), as_number(constant, "the constant of l1"))


def l2(what: str, constant: float = 0.0, *, at: Place = None) -> Target:
    """How far a layer, or the picture, is from a number: the root of the mean square."""
    return L2(_region(what, at, picture=True), as_number(constant, "the constant of l2"))


def total_variation(what: str = "image", *, at: Place = None) -> Target:
    """How much neighbours differ, in the picture or on a layer's map: the mean of differences.

    ``tv(image)``. To make pictures smooth it is subtracted.
    """
    return TotalVariation(_region(what, at, picture=True))


def blur(what: str = "image") -> Target:
    """How far the picture is from itself blurred a little, half the sum of squares.

    ``blur(image)``; lucent's ``blur_input_each_step``, which sums over the images of a batch.
    """
    return Blur(_region(what, None, picture=True))


def distance(what: str = "image", *, at: Place = None) -> Target:
    """How far a layer, or the picture, is from what it is in the photo that the image began from.

    ``distance(mixed3a)``: 0 where nothing changed; a share of the photo's own strength, so that a
    weight means the same in every layer. Subtracted it keeps an image near its photo, and shows
    what that would need to fire a neuron more (Hamblin et al., *Feature Accentuation*, 2024).

    Examples
    --------
    >>> from PIL import Image
    >>> from neuron_widget import load_model, render
    >>> from neuron_widget.objectives import channel, distance
    >>> model = load_model("efficientnet_lite0")
    >>> near = channel("blocks.1", 3) - 2 * distance("blocks.0")
    >>> photo = Image.effect_noise((64, 64), 60)
    >>> render(model, near, start=photo, steps=2, size=64, progress=False).images.shape
    (1, 64, 64, 3)
    """
    return Distance(_region(what, at, picture=True))


# ------------------------------------------------------------------ of several images


def images(target: TargetLike, count: int) -> tuple[GroupImage, ...]:
    """So many images of a target that form together, as one work with its own seed.

    ``... [4 images]``. Each is a target of its own, for :func:`neuron_widget.render`, which makes
    the whole group; it does not depend on what else is rendered beside it.

    Raises
    ------
    TargetError
        For fewer than two, or more than 64.

    Examples
    --------
    >>> from neuron_widget import load_model, render
    >>> from neuron_widget.objectives import channel, diversity, images
    >>> model = load_model("efficientnet_lite0")
    >>> facets = images(channel("blocks.1", 3) - 10 * diversity("blocks.1"), 2)
    >>> render(model, facets, steps=2, size=64, progress=False).images.shape
    (2, 64, 64, 3)
    """
    return group(as_target(target), count)


def diversity(layer: str) -> Target:
    """How alike the images of a group are in a layer. ``diversity(mixed4a)``.

    As in lucid and lucent it is a likeness, and is subtracted to make images differ:
    ``channel("mixed4a", 68) - 100 * diversity("mixed4a")``.
    """
    return Diversity(_region(layer, None))


def alignment(layer: str, decay: float = 2.0) -> Target:
    """How near images that follow each other in a group are in a layer: 0, or less.

    ``alignment(mixed4a)``. It is added, to keep what is alike at the same place.
    """
    return Alignment(_region(layer, None), as_number(decay, "the decay of an alignment"))


def interpolate(first: TargetLike, last: TargetLike) -> Target:
    """From one target, in a group's first image, to another in its last one.

    ``interpolate(mixed4a:68, mixed4b:3)``; lucent's ``channel_interpolate``.
    """
    return Interpolate(_single(first), _single(last))


def only(image: int, target: TargetLike) -> Target:
    """A target of one image of a group alone, counted from 0: lucent's ``batch=``."""
    return Only(as_count(image, "the number of an image", 0), _single(target))


def _single(given: TargetLike) -> Target:
    target = as_target(given)
    if isinstance(target, GroupImage):
        raise TargetError(f"{target} is one image of a group, and cannot be a part of another")
    return target


def mean(targets: Iterable[TargetLike]) -> Target:
    """The mean of several. ``mean(mixed4a:68, mixed4b:3)``.

    Raises
    ------
    TargetError
        If there is none.
    """
    if isinstance(targets, str) or not isinstance(targets, Iterable):
        raise WrongType(f"mean() takes a list of targets, got {shown(targets)}")
    parts = [as_target(target) for target in targets]
    return combine([(1 / len(parts), part) for part in parts])
