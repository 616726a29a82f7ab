"""The tiles of a whole layer in one file: a gallery opens with one read, not with hundreds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuron_widget.durable import Damaged, Record, pack_arrays

__all__ = ["gallery_bytes", "read_gallery"]


def gallery_bytes(tiles: Mapping[int, bytes], layer: str, name: str) -> bytes:
    """Return JPEG tiles by neuron as a file: ``neurons`` (n,), ``ends`` (n,), ``jpeg`` bytes."""
    neurons = sorted(tiles)
    arrays: dict[str, NDArray[Any]] = {
        "neurons": np.array(neurons, np.int64),
        "ends": np.cumsum([len(tiles[n]) for n in neurons], dtype=np.int64),
        "jpeg": np.frombuffer(b"".join(tiles[n] for n in neurons), np.uint8),
    }
    return pack_arrays(arrays, {"kind": "gallery", "name": name, "layer": layer})


def read_gallery(record: Record, layer: str, channels: int) -> dict[int, bytes]:
    """Return the tiles by neuron of a layer of so many; raises Damaged for any other file."""
    if record.facts.get("layer") != layer:
        raise Damaged(f"a gallery of {record.facts.get('layer')!r}, expected {layer!r}")
    record.expect(neurons=("<i8", (None,)), ends=("<i8", (None,)), jpeg=("u1", (None,)))
    arrays = record.arrays()
    neurons, ends = arrays["neurons"].tolist(), arrays["ends"].tolist()
    data = arrays["jpeg"].tobytes()
    edges = [0, *ends]
    if (
        len(neurons) != len(ends)
        or len(set(neurons)) != len(neurons)
        or not all(0 <= neuron < channels for neuron in neurons)
        or edges != sorted(edges)
        or edges[-1] != len(data)
    ):
        raise Damaged("not a gallery: its tiles are not where it says")
    return {
        neuron: data[begin:end] for neuron, begin, end in zip(neurons, edges, ends, strict=False)
    }
