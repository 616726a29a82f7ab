"""The tiles of a whole layer in one file: a gallery opens with one read, not with hundreds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuron_widget.durable import Damaged, pack_arrays, read_arrays

__all__ = ["gallery_bytes", "read_gallery"]


def gallery_bytes(tiles: Mapping[int, bytes], layer: str) -> bytes:
    """Return JPEG tiles by neuron as a file: ``neurons`` (n,), ``ends`` (n,), ``jpeg`` bytes."""
    neurons = sorted(tiles)
    arrays: dict[str, NDArray[Any]] = {
        "neurons": np.array(neurons, np.int64),
        "ends": np.cumsum([len(tiles[n]) for n in neurons], dtype=np.int64),
        "jpeg": np.frombuffer(b"".join(tiles[n] for n in neurons), np.uint8),
    }
    return pack_arrays(arrays, {"kind": "gallery", "layer": layer})


def read_gallery(path: Path) -> dict[int, bytes]:
    """Return the tiles by neuron; raises Damaged for a torn file, OSError for none."""
    _, arrays = read_arrays(path)
    try:
        data, ends = arrays["jpeg"].tobytes(), arrays["ends"].tolist()
        begins = [0, *ends[:-1]]
        return {
            neuron: data[begin:end]
            for neuron, begin, end in zip(arrays["neurons"].tolist(), begins, ends, strict=True)
        }
    except (KeyError, ValueError) as error:
        raise Damaged(f"not a gallery ({error!r})") from error
