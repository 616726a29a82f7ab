"""What is sent to workers: names where there are some, else the thing itself, once.

What arrives must be what was sent: networks are compared by their identity (a hash of the weights),
data sets by their fingerprint.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_widget.cluster.connection import pack, unpack
from neuron_widget.errors import ClusterError, DatasetError, ModelError, first_line
from neuron_widget.names import INCEPTION, path_as_typed

if TYPE_CHECKING:
    from neuron_widget.networks import Dictionary, VisionModel
    from neuron_widget.scanning import ImageDataset

__all__ = ["NetworkRecipe", "PhotosRecipe", "check_versions", "versions"]


def versions() -> dict[str, str]:
    """What has to be the same on all machines for the same bits."""
    import torch

    from neuron_widget.version import __version__

    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"neuron-widget": __version__, "PyTorch": str(torch.__version__), "Python": python}


@dataclass(frozen=True)
class NetworkRecipe:
    """How a worker opens the network.

    Attributes
    ----------
    identity
        What it must be when it is open.
    opened
        What ``load_model`` takes, for one that has a name; None for a module of the user's.
    module
        The user's module and what is known of it, packed; None for one that has a name.
    dictionary
        The dictionary of the layer at hand (the layer that it reads, its name, itself).
    """

    identity: str
    opened: Mapping[str, Any] | None
    module: bytes | None
    dictionary: tuple[str, str, Dictionary] | None

    @classmethod
    def of(cls, model: VisionModel, layer: str) -> NetworkRecipe:
        """Return the recipe of an open network, for one of its layers."""
        added = model.dictionary(layer)
        dictionary = None
        if added is not None:
            dictionary = (added.source, added.name.partition("/")[2], added.dictionary)
        if model.opened_as is None:
            return cls(model.identity, None, _packed(model), dictionary)
        opened = {"model": model.name, **model.opened_as}
        weights = opened.get("weights")
        if weights is None and model.name == INCEPTION:
            weights = os.environ.get("NEURON_WIDGET_WEIGHTS")
        if weights not in (None, "random"):
            weights = os.path.abspath(weights)
        return cls(model.identity, {**opened, "weights": weights}, None, dictionary)

    def open(self) -> VisionModel:
        """Open it here. ModelError if it is another one."""
        from neuron_widget.networks.zoo import load_model, pick_device

        if self.opened is not None:
            model = load_model(**self.opened, report=lambda _line: None)
        else:
            assert self.module is not None
            model = _unpacked(self.module, pick_device())
        if model.identity != self.identity:
            raise ModelError(
                f"this machine opens {model.identity}, and {self.identity} was sent; expected the "
                "same weights on all machines, for instance a file on a common disk: weights="
            )
        if self.dictionary is not None:
            source, name, dictionary = self.dictionary
            model.add_dictionary(source, dictionary, name=name)
        return model


def _packed(model: VisionModel) -> bytes:
    """A network of the user's as bytes, its parameters on the CPU. It is not touched."""
    module = model.module
    if model.device.type != "cpu":
        module = copy.deepcopy(module).cpu()
    known = {
        "preprocess": model._preprocess,
        "name": model.name,
        "title": model.title,
        "input_size": model.input_size,
        "labels": model.labels,
        "layout": model.layout,
    }
    try:
        names = [type(part).__qualname__ for part in module.modules()]
        return pack((module, names, model._redirect_relu, known))
    except Exception as error:
        raise ModelError(
            f"{model.title} cannot be sent to workers ({first_line(error)}); expected a module "
            "that can be pickled, with its preprocessing"
        ) from error


def _unpacked(data: bytes, device: Any) -> VisionModel:
    from neuron_widget.networks.model import VisionModel

    try:
        module, names, redirect_relu, known = unpack(data)
    except Exception as error:
        raise ModelError(
            f"a network that was sent cannot be opened here ({first_line(error)}); expected the "
            "file that defines it to be importable on all machines"
        ) from error
    for part, name in zip(module.modules(), names, strict=True):
        # A class that is in no file arrives under a shorter name, and names are in the store's key.
        if type(part).__qualname__ != name:
            type(part).__qualname__ = name
    model = VisionModel(module.to(device), device=device, loaded_here=False, **known)
    model.redirect_relu = redirect_relu
    return model


@dataclass(frozen=True)
class PhotosRecipe:
    """How a worker opens the photos: by name and split, or packed; and their fingerprint."""

    fingerprint: str
    name: str | None
    split: str
    packed: bytes | None

    @classmethod
    def of(cls, given: Any, split: str, photos: ImageDataset) -> PhotosRecipe:
        """Return the recipe of open photos; ``given`` is what a user named."""
        if isinstance(given, str | os.PathLike):
            return cls(photos.fingerprint, _absolute(os.fspath(given)), split, None)
        try:
            packed = pack(photos)
        except Exception as error:
            raise DatasetError(
                f"{photos.name} cannot be sent to workers ({first_line(error)}); expected a "
                "folder, tars, or a data set that can be pickled"
            ) from error
        return cls(photos.fingerprint, None, split, packed)

    def open(self) -> ImageDataset:
        """Open them here. DatasetError if they are others."""
        from neuron_widget.scanning import open_dataset

        if self.packed is None:
            photos = open_dataset(self.name, split=self.split)
        else:
            try:
                photos = unpack(self.packed)
            except Exception as error:
                raise DatasetError(
                    f"a data set that was sent cannot be opened here ({first_line(error)}); "
                    "expected the file that defines it to be importable on all machines"
                ) from error
        if photos.fingerprint != self.fingerprint:
            raise DatasetError(
                f"{self.name or photos.name!r} holds other photos on this machine than on the "
                "one that sends the work; expected the same files (names, sizes, times) on all: a "
                "common disk, or copies made with cp -p"
            )
        return photos


def _absolute(name: str) -> str:
    """A path or pattern that means the same in another folder; built-in names stay."""
    from neuron_widget.scanning.kinds import all_kinds

    if name in [word for kind in all_kinds() for word in kind.words] and not Path(name).exists():
        return name
    return os.path.abspath(path_as_typed(name))


def check_versions(theirs: Mapping[str, str]) -> None:
    """Raise ClusterError unless the versions here are the sender's."""
    for name, own in versions().items():
        if theirs[name] != own:
            raise ClusterError(
                f"{name} is {own} on this machine, and {theirs[name]} where the work comes from; "
                "expected the same on all machines"
            )
