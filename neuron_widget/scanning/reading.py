"""Photos of a scan looked at again: their squares, and what the layer makes of them.

The photos of a running scan are looked at again and again, and a neuron's map and picture are of
the same photo: what was made last is kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import closing
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuron_widget.errors import DatasetError, ModelError
from neuron_widget.scanning.image_dataset import ImageDataset
from neuron_widget.scanning.receptive import ReceptiveFields, probe_receptive_fields

if TYPE_CHECKING:
    from torch import Tensor

    from neuron_widget.networks.model import VisionModel
    from neuron_widget.scanning.loading import Batch

__all__ = ["PhotoReader"]

_KEPT_BYTES = 16 * 2**20  # of squares: a hundred at 224 pixels
_KEPT_NEURONS = 32

Maps = dict[int, NDArray[np.float32]]


class PhotoReader:
    """Squares and activations of a scan's photos. May be used from several threads.

    Parameters
    ----------
    model, layer
        What was scanned.
    dataset
        The photos.
    identity
        The network's identity when it was scanned.
    batch_size
        Photos in one forward pass.
    """

    def __init__(
        self, model: VisionModel, layer: str, dataset: ImageDataset, identity: str, batch_size: int
    ):
        self._model, self._layer, self._identity = model, layer, identity
        self._dataset = dataset
        self._squares = _KeptSquares(dataset)
        self._batch_size = batch_size
        self._lock = threading.Lock()  # of the maps below; no photo is read under it
        self._maps: OrderedDict[int, Maps] = OrderedDict()

    def attach(self, model: VisionModel) -> None:
        """Read with this network from now on."""
        self._model = model

    def square(self, index: int) -> Image.Image:
        """Return the square of a photo that the network saw; DatasetError if it is gone."""
        try:
            return self._squares.load_square(index, self._model.input_size).copy()
        except OSError as error:
            raise self._gone(index, error) from error

    @cached_property
    def receptive_fields(self) -> ReceptiveFields:
        """Receptive fields of the layer's units, probed once."""
        return probe_receptive_fields(self._model, self._layer)

    def maps(self, neuron: int, photos: Sequence[int]) -> Maps:
        """Return the neuron's maps ``(h, w)`` of some photos; those made before are not again."""
        with self._lock:
            found = dict(self._maps.get(neuron, {}))
        missing = [i for i in photos if i not in found]
        if missing:
            with closing(self._read(self._squares, missing)) as batches:
                for batch, activation in batches:
                    for i, reason in batch.skipped:
                        raise self._gone(i, reason)
                    made = activation[:, neuron].cpu().numpy()
                    found.update(zip(batch.index, made, strict=True))
        wanted = {i: found[i] for i in photos}
        with self._lock:
            self._maps[neuron] = wanted
            self._maps.move_to_end(neuron)
            while len(self._maps) > _KEPT_NEURONS:
                self._maps.popitem(last=False)
        return wanted

    def activations(self, index: Sequence[int]) -> Generator[tuple[Batch, Tensor], None, None]:
        """Yield the photos ``index`` in batches, each with its activation ``(N, C, h, w)``.

        Float32, on the model's device. Photos that cannot be read are in ``batch.skipped``.

        Raises ``ModelError`` if the network is not the one that was scanned any more.
        """
        return self._read(self._dataset, index)

    def _read(
        self, photos: ImageDataset, index: Sequence[int]
    ) -> Generator[tuple[Batch, Tensor], None, None]:
        import torch

        from neuron_widget.networks.arithmetic import full_float32
        from neuron_widget.networks.fast import scan_reader
        from neuron_widget.scanning.loading import load_batches, read_in_chunks, to_images

        model, layer = self._model, self._layer
        if model.identity != self._identity:
            raise ModelError(
                f"this scan is of {self._identity}, and the network has been changed since "
                f"(it is {model.identity} now): scan again"
            )
        overlap = model.device.type != "cpu"
        batches = load_batches(
            photos, index, model.input_size, self._batch_size, overlap=overlap, device=model.device
        )
        fast = scan_reader(model, layer, torch.float32)
        read = fast or partial(read_in_chunks, model.reader(layer))
        with closing(batches):
            for batch in batches:
                if batch.index:
                    off = torch.autocast(model.device.type, enabled=False)
                    with torch.inference_mode(), off, full_float32(model.device):
                        found = read(to_images(batch.squares, model.device)).float()
                else:
                    info = model.layer(layer)
                    found = torch.empty(
                        (0, info.channels, info.height, info.width), device=model.device
                    )
                yield batch, found

    def _gone(self, index: int, reason: object) -> DatasetError:
        return DatasetError(
            f"{self._dataset.path(index)} could be read during the scan and cannot now "
            f"({reason}); scan the data set again"
        )


class _KeptSquares(ImageDataset):
    """A data set whose squares looked at last are kept."""

    def __init__(self, photos: ImageDataset):
        self._photos = photos
        self.name = photos.name
        self._lock = threading.Lock()  # of what follows; no photo is read under it
        self._known: OrderedDict[tuple[int, int], Image.Image] = OrderedDict()

    def __len__(self) -> int:
        return len(self._photos)

    def load(self, i: int) -> Image.Image:
        """Return photo ``i``, upright, 8-bit RGB."""
        return self._photos.load(i)

    @property
    def fingerprint(self) -> str:
        """That of the photos."""
        return self._photos.fingerprint

    def load_square(self, i: int, input_size: int) -> Image.Image:
        """Return the square of photo ``i`` that a network with this input size sees."""
        key = i, input_size
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known
        made = self._photos.load_square(i, input_size)
        most = max(1, _KEPT_BYTES // (3 * input_size**2))
        with self._lock:
            self._known[key] = made
            while len(self._known) > most:
                self._known.popitem(last=False)
        return made
