"""Scans as files: one safetensors file with all numbers, and a JSON manifest in its header.

One file rather than two, so that a scan is whole or not there. Any reader of safetensors finds the
arrays by the names of :class:`~neuron_widget.scanning.ScanTables`; the manifest is the metadata.
What both mean is known to :class:`~neuron_widget.scanning.ScanResult`, which makes and takes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuron_widget.durable import (
    MALFORMED,
    Damaged,
    Record,
    open_record,
    pack_arrays,
    whole,
    write_atomically,
)
from neuron_widget.errors import StoreError
from neuron_widget.names import as_path

if TYPE_CHECKING:
    from neuron_widget.networks.beyond import AddedDictionary

__all__ = [
    "ALGORITHM",
    "check_model",
    "check_photos",
    "read_scan",
    "save_scan",
    "scan_bytes",
    "whole_file",
]

ALGORITHM = 2
"""Counts up when the same scan begins to give other numbers: part of every scan's key."""

# A file's own word for the size of its batches goes no further than this.
_LARGEST_BATCH = 512
_EXPECTED = "expected a file that ScanResult.save() wrote"
_LARGEST_SIDE = 2**14  # of an image, in pixels

Arrays = Mapping[str, NDArray[Any]]
Manifest = dict[str, Any]


def scan_bytes(arrays: Arrays, manifest: Mapping[str, Any]) -> bytes:
    """Return a scan as a file; the manifest is told what made it."""
    import torch

    from neuron_widget.version import __version__

    versions = {"neuron_widget": __version__, "torch": str(torch.__version__)}
    made_by = {"kind": "scan", "algorithm": ALGORITHM, "versions": versions}
    return pack_arrays(arrays, {**manifest, **made_by})


def read_scan(source: Path | Record) -> tuple[Manifest, dict[str, NDArray[Any]]]:
    """Return manifest and arrays of a scan, each number of which is within its range.

    ``source`` is a file that a user named (one of an older version too), for which StoreError says
    what is wrong with it; or an opened one of a store, which raises Damaged.
    """
    if isinstance(source, Path):
        with whole_file(source), open_record(source, older=True) as record:
            return read_scan(record)
    try:
        return _checked(source)
    except MALFORMED as error:
        raise Damaged(f"not a scan ({error!r})") from error


def _checked(record: Record) -> tuple[Manifest, dict[str, NDArray[Any]]]:
    facts = record.facts
    if "shard" in facts:
        raise Damaged("it is one part of a scan; all parts together make one: ScanResult.merge()")
    channels, height, width = (whole(n, 1) for n in facts["shape"])
    whole(facts["model"]["input_size"], 1, _LARGEST_SIDE)
    photos = whole(facts["dataset"]["photos"])
    whole(facts["scanned"])
    settings = dict(facts["settings"])
    whole(settings["top_k"], 1)
    if settings["precision"] not in ("exact", "fast"):
        raise ValueError(f"precision {settings['precision']!r}")
    further = _further(channels)
    record.expect(**_layout(channels), **(further if further.keys() & record.names else {}))
    arrays = record.arrays()
    if arrays["edges"].shape[1] != arrays["counts"].shape[1] + 1:
        raise ValueError("a histogram without all of its edges")
    for side in ("top", "bottom", "further_top", "further_bottom"):
        own = {name: a for name, a in arrays.items() if name.startswith(f"{side}_")}
        if len({array.shape for array in own.values()}) > 1:
            raise ValueError("tables of several lengths")
        for name, array in own.items():
            if name.endswith("_index"):
                _check_range(array, photos)
            elif name.endswith("_position"):
                _check_range(array, height * width)
    batch_size = min(whole(facts["batch_size"], 1), _LARGEST_BATCH)
    settings["split"] = str(settings["split"])
    return {**facts, "batch_size": batch_size, "settings": settings}, arrays


def _layout(channels: int) -> dict[str, tuple[str, tuple[int | None, ...]]]:
    """Types and shapes of the arrays of a scan."""
    columns = {"index": "<i8", "score": "<f4", "peak": "<f4", "position": "<i8"}
    sides = {
        f"{side}_{name}": (dtype, (channels, None))
        for side in ("top", "bottom")
        for name, dtype in columns.items()
    }
    single = dict.fromkeys(("mean", "std", "peak", "quantile"), ("<f4", (channels,)))
    histogram = {"counts": ("<i8", (channels, None)), "edges": ("<f8", (channels, None))}
    return {**sides, **single, **histogram}


def _further(channels: int) -> dict[str, tuple[str, tuple[int | None, ...]]]:
    """Types and shapes of the arrays that scans have since photos are asked about."""
    return {
        f"further_{side}_{name}": (dtype, (channels, None))
        for side in ("top", "bottom")
        for name, dtype in (("index", "<i8"), ("score", "<f4"))
    }


def _check_range(array: NDArray[np.int64], end: int) -> None:
    if array.size and not (array.min() >= 0 and array.max() < end):
        raise ValueError(f"numbers from {array.min()} to {array.max()}, expected 0 to {end - 1}")


@contextmanager
def whole_file(path: str | Path) -> Iterator[None]:
    """Say of which file it was that reading a scan failed, as a StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot read {str(path)!r}: {error.strerror or error}; {_EXPECTED}"
        ) from error
    except Damaged as error:
        raise StoreError(f"{path} cannot be loaded as a scan: {error}; {_EXPECTED}") from error


def save_scan(path: str | Path, arrays: Arrays, manifest: Mapping[str, Any]) -> Path:
    """Write a scan to a file ending in ``.safetensors``, and return its path.

    Raises StoreError for another ending, a full disk, or a folder that cannot be written to.
    """
    path = as_path(path, "the scan's file", StoreError, example="scan.safetensors")
    if path.suffix.lower() != ".safetensors":
        raise StoreError(
            f"a scan is saved as safetensors; got the name {path.name!r}, "
            f"expected one such as {path.stem + '.safetensors'!r}"
        )
    write_atomically(path, scan_bytes(arrays, manifest))
    return path


def check_model(
    path: str | Path,
    manifest: Mapping[str, Any],
    identity: str,
    added: AddedDictionary | None = None,
) -> None:
    """Raise StoreError unless the scan is of the network with this identity, and dictionary."""
    scanned = manifest["model"]["identity"]
    if identity != scanned:
        raise StoreError(
            f"{path} is a scan of {scanned}, and model= is {identity}; "
            "expected the same network with the same weights"
        )

    read_by = manifest.get("dictionary")
    if (added.dictionary.key if added is not None else None) != read_by:
        raise StoreError(
            f"{path} is a scan of {manifest['layer']}, and the network's dictionary of that name "
            "is another; expected the one that was scanned (its content is what counts)"
        )


def check_photos(
    path: str | Path, manifest: Mapping[str, Any], name: str, fingerprint: str
) -> None:
    """Raise StoreError unless the scan is of the data set with this fingerprint."""
    scanned = manifest["dataset"]
    if fingerprint != scanned["fingerprint"]:
        raise StoreError(
            f"{path} is a scan of {scanned['name']!r} (fingerprint {scanned['fingerprint']}), and "
            f"dataset= is {name!r} ({fingerprint}); expected the same photos, unchanged since"
        )
