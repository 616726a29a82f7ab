"""Who looks at the photos: small machines that turn pictures into vectors."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from neuron_widget.errors import ModelError, WeightsUnavailable, nearest
from neuron_widget.names import EMBEDDED, INCEPTION
from neuron_widget.networks import zoo
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.weights import inception_at_hand

__all__ = ["OBSERVERS", "NetworkObserver", "Observer", "ObserverLike", "open_observer"]


@runtime_checkable
class Observer(Protocol):
    """Turns pictures into vectors: two pictures are alike where their vectors point alike.

    Attributes
    ----------
    name
        What to call it, such as ``"EfficientNet-Lite0"``.
    identity
        What it is and a hash of its weights: part of the name of stored vectors.
    input_size
        Side in pixels of the pictures it takes.
    """

    name: str
    identity: str
    input_size: int

    def __call__(self, images: Tensor) -> Tensor:
        """Return vectors ``(N, D)`` of images ``(N, 3, S, S)`` in 0..1."""


ObserverLike = Any  # an Observer, a name, a VisionModel, a function of images, or None


class NetworkObserver:
    """The mean of each channel of some layers.

    Means over all positions know what is in a picture and not where, as does the score of a photo.
    Standard deviations beside them, grids of positions and other layers were tried on other photos
    than those the figures are reported of (``benchmarks/RESULTS.md``).

    Attributes
    ----------
    parts
        Widths of the layers' parts of a vector; each part weighs the same.
    """

    def __init__(self, model: VisionModel, layers: Sequence[str] = (), size: int | None = None):
        self._model = model
        infos = [model.layer(name) for name in layers or [model.default_layer]]
        self._layers = [info.name for info in infos]
        self.parts = tuple(info.channels for info in infos)
        self.name = model.title
        self.input_size = size or model.input_size
        self.identity = f"{model.identity} {' '.join(self._layers)} mean {self.input_size} px"

    @property
    def weights(self) -> str:
        """What tells the network's weights from others, whatever it is called."""
        return self._model.identity.rpartition("-")[2]

    def __call__(self, images: Tensor) -> Tensor:
        """See :class:`Observer`."""
        model, off = self._model, torch.autocast(self._model.device.type, enabled=False)
        images = images.to(model.device)
        with torch.inference_mode(), off:
            if len(self._layers) == 1:
                found = [model.reader(self._layers[0])(images)]
            else:
                found = self._read_all(images)
            return torch.cat([one.float().mean(dim=(2, 3)) for one in found], dim=1).cpu()

    def _read_all(self, images: Tensor) -> list[Tensor]:
        """The activations of all layers in one forward pass of a copy of the network."""
        found: dict[str, Tensor] = {}
        with self._model.private_copy() as network, ExitStack() as hooks:
            for name in self._layers:

                def keep(_module: Any, _args: Any, output: Tensor, name: str = name) -> None:
                    found[name] = output

                handle = network.get_submodule(name).register_forward_hook(keep)
                hooks.callback(handle.remove)
            network(self._model.preprocess(images))
        return [found[name] for name in self._layers]


class _Function:
    """A function of the user's, from images to vectors. Nothing tells what it is: none is kept."""

    identity = ""
    input_size = 224

    def __init__(self, function: Callable[[Tensor], Any]):
        self._function = function
        self.name = str(getattr(function, "__name__", type(function).__name__))

    def __call__(self, images: Tensor) -> Tensor:
        with torch.inference_mode():
            found = torch.as_tensor(self._function(images)).detach().float().cpu()
        if found.ndim != 2 or len(found) != len(images):
            raise ModelError(
                f"the observer {self.name} returned {tuple(found.shape)} for {len(images)} images; "
                f"expected one vector for each: ({len(images)}, D)"
            )
        return found


def _embedded() -> NetworkObserver:
    # As good as at 224 px, in less than half the time.
    layers = [f"blocks.{i}" for i in (1, 4, 5, 6)]
    return NetworkObserver(zoo.load_model(EMBEDDED), layers, size=160)


def _inception() -> NetworkObserver:
    layers = ("conv2d2", "mixed4a", "mixed4d", "mixed5a")  # as deep as those above
    return NetworkObserver(zoo.load_model(INCEPTION, report=lambda _line: None), layers)


def _dreamsim() -> Observer:
    """DreamSim (Fu et al., NeurIPS 2023), where it is installed with its weights."""
    try:
        from dreamsim import dreamsim  # type: ignore[import-not-found]
    except ImportError as error:
        raise ModelError(
            "observer='dreamsim' needs the package dreamsim, which is not installed: pip install "
            f"dreamsim, or take observer={EMBEDDED!r}, which needs nothing"
        ) from error
    folder = Path(os.environ.get("DREAMSIM_WEIGHTS", Path(torch.hub.get_dir()) / "dreamsim"))
    if not folder.is_dir():  # it would fetch 0.4 GB that nobody asked for
        raise WeightsUnavailable(
            f"DreamSim's weights are not at hand: there is no folder {str(folder)!r}; fetch them "
            f"once with dreamsim(pretrained=True, cache_dir={str(folder)!r}), or name their folder "
            "with DREAMSIM_WEIGHTS"
        )
    model, _ = dreamsim(pretrained=True, device="cpu", cache_dir=str(folder))
    found = _Function(model.embed)
    found.name = "DreamSim"
    files = sorted((str(f.relative_to(folder)), f.stat().st_size) for f in folder.rglob("*.*"))
    found.identity = f"dreamsim-{hashlib.sha256(repr(files).encode()).hexdigest()[:12]}"
    return found


OBSERVERS: dict[str, Callable[[], Observer]] = {
    EMBEDDED: _embedded,
    INCEPTION: _inception,
    "dreamsim": _dreamsim,
}


def open_observer(observer: ObserverLike, shown: VisionModel) -> tuple[Observer, str]:
    """Return an observer, and what has to be said of it: ``""``, or that it judges itself.

    Without a choice it is the embedded network; if that is the one shown, InceptionV1, if its
    weights are at hand.

    Raises
    ------
    ModelError, WeightsUnavailable
    """
    if observer is None:
        own = _open(EMBEDDED)
        if not _same(own, shown):
            return own, ""
        if inception_at_hand():  # nobody asked for a download
            return _open(INCEPTION), ""
        return own, _judges_itself(own)
    opened = _open(observer)
    return opened, _judges_itself(opened) if _same(opened, shown) else ""


def _open(observer: ObserverLike) -> Observer:
    if isinstance(observer, str):
        if observer not in OBSERVERS:
            hint = nearest(observer, OBSERVERS) or f"expected {', '.join(OBSERVERS)}"
            raise ModelError(f"unknown observer {observer!r}; {hint}, or a function of images")
        return OBSERVERS[observer]()
    if isinstance(observer, VisionModel):
        return NetworkObserver(observer)
    if isinstance(observer, Observer):
        return observer
    if callable(observer):
        return _Function(observer)
    raise TypeError(
        f"observer must be one of {', '.join(OBSERVERS)}, a network of load_model, or a function "
        f"from images (N, 3, S, S) to vectors (N, D); got {observer!r}"
    )


def _same(observer: Observer, shown: VisionModel) -> bool:
    """Whether the observer looks through the weights of the network that is shown."""
    weights = getattr(observer, "weights", None)
    return weights is not None and weights == shown.identity.rpartition("-")[2]


def _judges_itself(observer: Observer) -> str:
    return f"{observer.name} is the network shown: it judges itself, so the numbers are too high"
