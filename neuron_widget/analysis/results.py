"""What is found about one neuron, as the dictionary that people work on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from neuron_widget.analysis.images import ImageLike, as_picture, as_unit_floats
from neuron_widget.analysis.statistics import (
    ColourStatistics,
    colour_statistics,
    contrast,
    pattern_labels,
)
from neuron_widget.errors import WrongType, WrongValue
from neuron_widget.photos.decode import as_image

__all__ = ["Analysis", "ColourAnalysis", "TextureAnalysis", "TopImage", "analyse", "check_analysis"]

TopImage = tuple[Image.Image, float, NDArray[np.float32]]

_TRIPLES = "(photo, score, activation map), as find_highly_activating_images() returns them"

MEAN_COLOURS = 5
"""Photos whose mean colours stand in ``color_analysis["top_images"]``."""


class ColourAnalysis(TypedDict):
    """Colours of the optimised image and of the top photos, 0..255.

    ``top_images`` holds the mean colour ``[r, g, b]`` of the five best photos;
    ``top_image_statistics`` mean and standard deviation of every one of them.
    """

    optimized_image: ColourStatistics
    top_images: list[list[float]]
    top_image_statistics: list[ColourStatistics]


class TextureAnalysis(TypedDict):
    """Contrast (standard deviation of all values, 0..255) of the same images."""

    optimized_image: float
    top_images: list[float]


class Analysis(TypedDict):
    """What is found about one neuron.

    ``optimization_result`` is the image ``(H, W, 3)`` float32 in 0..1; ``top_activating_images``
    are (photo as the network saw it, spatial mean of the activation, activation map ``(h, w)``),
    best first; ``patterns_detected`` speaks of the optimised image.
    """

    neuron_id: int
    layer: str
    optimization_result: NDArray[np.float32]
    top_activating_images: list[TopImage]
    patterns_detected: list[str]
    color_analysis: ColourAnalysis
    texture_analysis: TextureAnalysis


def analyse(
    layer: str, neuron: int, optimized_image: ImageLike, top_images: Sequence[Any]
) -> Analysis:
    """Return colours, contrast and pattern labels together with the images.

    Parameters
    ----------
    layer, neuron
        What the images are of.
    optimized_image
        What :func:`~neuron_widget.analysis.images.as_picture` takes.
    top_images
        ``(photo, score, map)`` each: an image of any form, a number, ``(h, w)``.

    Raises
    ------
    TypeError, ValueError
        Naming what is no image or no such triple.
    """
    picture = as_picture(optimized_image, "optimized_image")
    if not isinstance(top_images, Sequence) or isinstance(top_images, str):
        raise WrongType(f"top_images is {_short(top_images)}; expected a list of {_TRIPLES}")
    rows = [_top_image(row, i) for i, row in enumerate(top_images)]
    colours = [colour_statistics(photo) for photo, _, _ in rows]
    return {
        "neuron_id": neuron,
        "layer": layer,
        "optimization_result": as_unit_floats(picture),
        "top_activating_images": rows,
        "patterns_detected": pattern_labels(picture),
        "color_analysis": {
            "optimized_image": colour_statistics(picture),
            "top_images": [one["mean_rgb"] for one in colours[:MEAN_COLOURS]],
            "top_image_statistics": colours,
        },
        "texture_analysis": {
            "optimized_image": contrast(picture),
            "top_images": [contrast(photo) for photo, _, _ in rows],
        },
    }


def check_analysis(analysis: object) -> None:
    """Raise ``TypeError`` or ``ValueError`` for what is not an :class:`Analysis`."""
    source = "expected what run_complete_analysis() or analyze_patterns() returns"
    if not isinstance(analysis, Mapping):
        raise WrongType(f"analysis is a {type(analysis).__name__}; {source}")
    missing = [repr(key) for key in Analysis.__annotations__ if key not in analysis]
    if missing:
        raise WrongValue(f"analysis has no {', '.join(missing)}; {source}")


def _top_image(row: Any, place: int) -> TopImage:
    name = f"top_images[{place}]"
    if not isinstance(row, (tuple, list)) or len(row) != 3:
        raise WrongType(f"{name} is {_short(row)}; expected one of {_TRIPLES}")
    photo, score, activation = row
    if isinstance(activation, torch.Tensor):
        activation = activation.detach().cpu().float().numpy()
    if not isinstance(activation, np.ndarray) or activation.ndim != 2 or activation.size == 0:
        raise WrongType(f"{name}[2] is {_short(activation)}; expected an activation map (h, w)")
    if not isinstance(score, (Real, torch.Tensor)):
        raise WrongType(f"{name}[1] is {_short(score)}; expected the score, a number")
    return as_image(as_picture(photo, f"{name}[0]")), float(score), activation


def _short(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
