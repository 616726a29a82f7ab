"""Activation maps of the photos of every neuron, so that showing them needs no network."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuron_widget.durable import Damaged, Record, pack_arrays, sha256_of, whole

if TYPE_CHECKING:
    from neuron_widget.networks.model import LayerInfo
    from neuron_widget.scanning import ScanResult
    from neuron_widget.scanning.receptive import ReceptiveFields

__all__ = ["LARGEST_MAPS", "MadeMaps", "StoredMaps", "make_maps", "maps_size"]

LARGEST_MAPS = 512 * 2**20
"""Bytes; of larger layers no maps are stored (64 neurons of 112 x 112 and 18 photos: 58 MB)."""

_PROBE = 2  # counts up when receptive fields are found otherwise
_LARGEST_SIDE = 2**16  # of an image, in pixels

Maps = dict[int, NDArray[np.float32]]


def maps_size(result: ScanResult) -> int:
    """Bytes that the maps of a scan take."""
    info = result._model.layer(result.layer)
    photos: int = result.tables.top.index.shape[1] + result.tables.bottom.index.shape[1]
    return 4 * info.channels * photos * info.height * info.width


def make_maps(result: ScanResult) -> Generator[tuple[int, int], None, MadeMaps]:
    """Read the layer once for every photo that any neuron names; yields (done, total) photos."""
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
    return MadeMaps(index, maps, result.receptive_fields, result.layer)


@dataclass(frozen=True)
class MadeMaps:
    """Maps in memory: ``index`` (C, n) photo numbers, -1 where there are fewer, ``maps``
    (C, n, h, w) float32, and the layer's receptive fields, which take a second to probe.

    Called as :class:`StoredMaps` is.
    """

    index: NDArray[np.int64]
    maps: NDArray[np.float32]
    fields: ReceptiveFields
    layer: str

    def __call__(self, neuron: int, photos: list[int]) -> Maps | None:
        """Return the maps of a neuron by photo; None unless all ``photos`` are there."""
        return _choose(self.index[neuron].tolist(), self.maps[neuron], photos)

    def pack(self, name: str) -> bytes:
        """Return them as the file of this name.

        The manifest holds a hash of each neuron's part, which is read by itself.
        """
        fields = {"field_first": self.fields.first, "field_last": self.fields.last}
        rows = enumerate(zip(self.index, self.maps, strict=True))
        return pack_arrays(
            {"index": self.index, "maps": self.maps, **fields},
            {
                "kind": "maps",
                "name": name,
                "layer": self.layer,
                "rows": [_row_hash(neuron, index, maps) for neuron, (index, maps) in rows],
                "fields": {
                    "size": self.fields.size,
                    "stride": self.fields.stride,
                    "probe": _PROBE,
                    "sha256": sha256_of(fields),
                },
            },
        )


class StoredMaps:
    """The maps in a store's file; one neuron's are read, and checked, at a time.

    Parameters
    ----------
    find
        Calls a function with the opened file, or returns None where there is none that is whole
        (see :meth:`.Folders.find`).
    layer
        The layer that they are of.
    """

    def __init__(self, find: Callable[[Callable[[Record], Any]], Any], layer: LayerInfo):
        self._find = find
        self._layer = layer

    def receptive_fields(self) -> ReceptiveFields | None:
        """Return the receptive fields of the layer; None where they are not known."""
        fields: ReceptiveFields | None = self._find(lambda record: self._fields(self._of(record)))
        return fields

    def whole(self) -> bool:
        """Whether there is a file, and nothing in it has changed: all of it is read."""
        return self._find(lambda record: self._of(record).arrays()) is not None

    def __call__(self, neuron: int, photos: list[int]) -> Maps | None:
        """Return the maps of a neuron by photo; None unless all ``photos`` are there."""

        def read(record: Record) -> tuple[list[int], NDArray[Any]]:
            self._of(record)
            index, maps = record.part("index", neuron), record.part("maps", neuron)
            if _row_hash(neuron, index, maps) != record.facts["rows"][neuron]:
                raise Damaged(f"the maps of neuron {neuron} have changed: their hash is another")
            return index.tolist(), maps

        found: tuple[list[int], NDArray[Any]] | None = self._find(read)
        return _choose(*found, photos) if found is not None else None

    def _of(self, record: Record) -> Record:
        layer = self._layer
        if record.facts["layer"] != layer.name:
            raise Damaged(f"maps of {record.facts['layer']!r}, expected {layer.name!r}")
        record.expect(
            index=("<i8", (layer.channels, None)),
            maps=("<f4", (layer.channels, None, layer.height, layer.width)),
            field_first=("<f8", (layer.channels, 2)),
            field_last=("<f8", (layer.channels, 2)),
        )
        return record

    def _fields(self, record: Record) -> ReceptiveFields | None:
        from neuron_widget.scanning.receptive import ReceptiveFields

        told = record.facts["fields"]
        arrays = {name: record.part(name) for name in ("field_first", "field_last")}
        if sha256_of(arrays) != told["sha256"]:
            raise Damaged("its receptive fields have changed: their hash is another")
        down, right = (whole(n, 1, _LARGEST_SIDE) for n in told["stride"])
        if told.get("probe") != _PROBE and any(n & (n - 1) for n in (down, right)):
            return None  # a stride such as 17 was found where it is 16
        size = whole(told["size"], 1, _LARGEST_SIDE)
        return ReceptiveFields(size, (down, right), arrays["field_first"], arrays["field_last"])


def _row_hash(neuron: int, index: NDArray[Any], maps: NDArray[Any]) -> str:
    """A hash of one neuron's part, with its number, so that two cannot be swapped."""
    return sha256_of({f"index {neuron}": index, f"maps {neuron}": maps})[:32]


def _choose(index: list[int], maps: NDArray[Any], photos: list[int]) -> Maps | None:
    by_photo = {photo: maps[place] for place, photo in enumerate(index) if photo >= 0}
    if not by_photo.keys() >= set(photos):
        return None
    return {photo: by_photo[photo] for photo in photos}
