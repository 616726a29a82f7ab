"""Stand-ins for the network and the photos of a scan that was loaded without them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuron_widget.errors import DatasetError, ModelError
from neuron_widget.names import check_neuron, resolve_layer
from neuron_widget.networks.layer_info import LayerInfo
from neuron_widget.photos.files import open_photo
from neuron_widget.scanning.image_dataset import ImageDataset

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel

__all__ = ["AbsentModel", "AbsentPhotos", "photo_facts", "scan_facts"]


def scan_facts(
    model: VisionModel, layer: str, identity: str, photos: ImageDataset
) -> dict[str, Any]:
    """What a scan's file says of its layer, network and data set."""
    info = model.layer(layer)
    return {
        "layer": layer,
        "shape": (info.channels, info.height, info.width),
        **_facts_beyond(info, model),
        "model": {
            "identity": identity,
            "name": model.name,
            "title": model.title,
            "input_size": model.input_size,
        },
        "dataset": {
            "name": photos.name,
            "fingerprint": photos.fingerprint,
            "photos": len(photos),
        },
    }


def photo_facts(
    photos: ImageDataset, named: list[int], groups: Mapping[int, int] | NDArray[np.int64] | None
) -> dict[str, Any]:
    """What it says of some photos: paths, labels, and groups where there are any."""
    return {
        "photos": {str(i): (photos.path(i), photos.label(i)) for i in named},
        **({} if groups is None else {"groups": {str(i): int(groups[i]) for i in named}}),
    }


def _facts_beyond(info: LayerInfo, model: VisionModel) -> dict[str, Any]:
    """What a file says of a layer besides name and shape: nothing of most."""
    added = model.dictionary(info.name)
    key = added.dictionary.key if added is not None else getattr(model, "dictionary_key", None)
    more = {"word": info.word, "signed": info.signed, "names": list(info.names)}
    return {
        **(more if info.word != "neuron" else {}),
        **({"dictionary": key} if key is not None else {}),
    }


class AbsentModel:
    """What a file says of a network: enough for the numbers, not for activation maps."""

    def __init__(self, facts: dict[str, Any], layer: str, manifest: dict[str, Any]):
        self.identity = str(facts["identity"])
        self.name = str(facts["name"])
        self.title = str(facts["title"])
        self.input_size = int(facts["input_size"])
        self.dictionary_key = manifest.get("dictionary")
        channels, height, width = (int(n) for n in manifest["shape"])
        names = tuple(str(name) for name in manifest.get("names", ()))
        self._layer = LayerInfo(
            layer,
            channels,
            height,
            width,
            str(manifest.get("word", "neuron")),
            bool(manifest.get("signed", False)),
            names if len(names) == channels else (),
        )

    def layer(self, name: str) -> LayerInfo:
        """Return the scanned layer."""
        resolve_layer(name, [self._layer.name], model=f"this scan of {self.title}")
        return self._layer

    def check_neurons(self, _layer: str, neurons: int) -> tuple[int, ...]:
        """Return the neuron as a tuple; NeuronOutOfRange with the valid range."""
        return (check_neuron(neurons, self._layer.channels, self._layer.name),)

    def dictionary(self, _layer: str) -> None:
        """None is at hand: features are known by their numbers."""

    def reading(self, _layer: str) -> NoReturn:
        """Raise ModelError: there is no network to read."""
        raise self._missing()

    def _missing(self) -> ModelError:
        return ModelError(
            f"activation maps need the network {self.identity}: load the scan with "
            "ScanResult.load(path, model=load_model(...), dataset=...)"
        )

    @property
    def device(self) -> NoReturn:
        """Raise ModelError: there is no network."""
        raise self._missing()


class AbsentPhotos(ImageDataset):
    """What a file says of the photos it names; those that still are files can be loaded."""

    def __init__(self, facts: dict[str, Any], known: dict[str, Any]):
        self.name = str(facts["name"])
        self._fingerprint = str(facts["fingerprint"])
        self._count = int(facts["photos"])
        self._known = {int(i): (str(path), str(label)) for i, (path, label) in known.items()}

    def __len__(self) -> int:
        return self._count

    def load(self, i: int) -> Image.Image:
        """Return photo ``i`` if its file is where it was; DatasetError otherwise."""
        path = Path(self.path(i))
        if not path.is_file():
            raise DatasetError(
                f"{path} is not there; load the scan with the photos it was made from: "
                "ScanResult.load(path, model=..., dataset=...)"
            )
        return open_photo(path)

    def label(self, i: int) -> str:
        """Return the class name that the file gives."""
        return self._known.get(i, ("", ""))[1]

    def path(self, i: int) -> str:
        """Return the path that the file gives."""
        return self._known.get(i, (f"{self.name}[{i}]", ""))[0]

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the photos that were scanned."""
        return self._fingerprint
