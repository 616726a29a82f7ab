"""The registry of what an image is made of, by the names of the setting ``param``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch

from neuron_widget.rendering.files import SPECTRA
from neuron_widget.rendering.maco import MacoImage
from neuron_widget.rendering.param import FourierImage, Parameterisation
from neuron_widget.rendering.pixel import PixelImage
from neuron_widget.rendering.settings import RenderSettings

__all__ = ["PARAMETERISATIONS", "parameterisation", "state_shapes"]

PARAMETERISATIONS: Mapping[str, type[Parameterisation]] = MappingProxyType(
    {"fourier": FourierImage, "maco": MacoImage, "pixel": PixelImage}
)


def parameterisation(
    settings: RenderSettings, device: torch.device | str = "cpu", *, grey: bool = False
) -> Parameterisation:
    """What the settings of a rendering ask for."""
    options, size = settings.options, settings.size
    kind: Callable[..., Parameterisation] = PARAMETERISATIONS[options["param"]]
    own: dict[str, dict[str, object]] = {
        "fourier": {"decay": options["decay"]},
        "maco": {"spectrum": settings.spectrum},
    }
    return kind(size, size, device, grey=grey, **own.get(options["param"], {}))


def state_shapes(settings: RenderSettings) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays of one image's state, by name."""
    kind, size = PARAMETERISATIONS[settings.options["param"]], settings.size
    shapes = dict.fromkeys(SPECTRA, kind.shape_for(size, size))
    return {**shapes, "alpha": (size, size)} if kind.marks_alpha else shapes
