"""Activation maps of the photos of every neuron, so that showing them needs no network."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuron_widget.durable import pack_arrays, read_facts

if TYPE_CHECKING:
    from neuron_widget.scanning import ScanResult
    from neuron_widget.scanning.receptive import ReceptiveFields

__all__ = ["LARGEST_MAPS", "StoredMaps", "make_maps", "maps_from_bytes", "maps_size"]

LARGEST_MAPS = 512 * 2**20
"""Bytes; of larger layers no maps are stored (64 neurons of 112 x 112 and 18 photos: 58 MB)."""

Maps = dict[int, NDArray[np.float32]]


def maps_size(result: ScanResult) -> int:
    """Bytes that the maps of a scan take."""
    info = result._model.layer(result.layer)
    photos: int = result.tables.top.index.shape[1] + result.tables.bottom.index.shape[1]
    return 4 * info.channels * photos * info.height * info.width


def make_maps(result: ScanResult) -> Generator[tuple[int, int], None, bytes]:
    """Read the layer once for every photo that any neuron names; yields (done, total) photos.

    Returns a file: ``index`` (C, n) photo numbers, -1 where there are fewer, ``maps``
    (C, n, h, w) float32, and the layer's receptive fields, which take a second to probe.
    """
    tables = result.tables
    info = result._model.layer(result.layer)
    both = np.concatenate([tables.top.index, tables.bottom.index], axis=1)
    index = np.full(both.shape, -1, np.int64)
    wanted: dict[int, list[tuple[int, int]]] = {}
    for neuron, row in enumerate(both):
        for place, photo in enumerate(np.unique(row)):
            index[neuron, place] = photo
            wanted.setdefault(int(photo), []).append((neuron, place))
    maps = np.zeros((*index.shape, info.height, info.width), np.float32)
    order, done = sorted(wanted), 0
    with closing(result.activations(order)) as batches:
        for batch, activation in batches:
            for photo, found in zip(batch.index, activation.cpu().numpy(), strict=True):
                for neuron, place in wanted[photo]:
                    maps[neuron, place] = found[neuron]
            for photo, _ in batch.skipped:  # readable in the scan, and not now
                for neuron, place in wanted[photo]:
                    index[neuron, place] = -1
            done += len(batch.index) + len(batch.skipped)
            yield done, len(order)
    fields = result.receptive_fields
    return pack_arrays(
        {"index": index, "maps": maps, "field_first": fields.first, "field_last": fields.last},
        {
            "kind": "maps",
            "layer": result.layer,
            "fields": {"size": fields.size, "stride": fields.stride},
        },
    )


class StoredMaps:
    """The maps in a file; one neuron's are read at a time."""

    def __init__(self, path: Path):
        self._facts = read_facts(path)
        self._path = path

    def receptive_fields(self) -> ReceptiveFields | None:
        """Return the receptive fields of the layer; None where the file has none."""
        from safetensors import SafetensorError, safe_open

        from neuron_widget.scanning.receptive import ReceptiveFields

        try:
            how = self._facts["fields"]
            with safe_open(str(self._path), framework="numpy") as file:
                first, last = file.get_tensor("field_first"), file.get_tensor("field_last")
            return ReceptiveFields(int(how["size"]), tuple(how["stride"]), first, last)
        except (KeyError, TypeError, OSError, SafetensorError):
            return None

    def __call__(self, neuron: int, photos: list[int]) -> Maps | None:
        """Return the maps of a neuron by photo; None unless all ``photos`` are there."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(self._path), framework="numpy") as file:
                index: list[int] = file.get_slice("index")[neuron].tolist()
                maps: NDArray[Any] = file.get_slice("maps")[neuron]
        except (OSError, SafetensorError):
            return None
        return _choose(index, maps, photos)


def maps_from_bytes(data: bytes) -> Callable[[int, list[int]], Maps | None]:
    """What :func:`make_maps` returned, as :class:`StoredMaps` answers, from memory."""
    from safetensors.numpy import load

    arrays = load(data)
    index, maps = arrays["index"], arrays["maps"]
    return lambda neuron, photos: _choose(index[neuron].tolist(), maps[neuron], photos)


def _choose(index: list[int], maps: NDArray[Any], photos: list[int]) -> Maps | None:
    by_photo = {photo: maps[place] for place, photo in enumerate(index) if photo >= 0}
    if not by_photo.keys() >= set(photos):
        return None
    return {photo: by_photo[photo] for photo in photos}
