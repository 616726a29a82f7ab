"""Scans as files: one safetensors file with all numbers, and a JSON manifest in its header.

One file rather than two, so that a scan is whole or not there. Any reader of safetensors finds the
arrays by the names of :class:`~neuron_widget.scanning.ScanTables`; the manifest is the metadata.
What both mean is known to :class:`~neuron_widget.scanning.ScanResult`, which makes and takes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from neuron_widget.durable import Damaged, pack_arrays, read_arrays, write_atomically
from neuron_widget.errors import StoreError

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

Arrays = Mapping[str, NDArray[Any]]
Manifest = dict[str, Any]


def scan_bytes(arrays: Arrays, manifest: Mapping[str, Any]) -> bytes:
    """Return a scan as a file; the manifest is told what made it."""
    import torch

    from neuron_widget.version import __version__

    versions = {"neuron_widget": __version__, "torch": str(torch.__version__)}
    made_by = {"kind": "scan", "algorithm": ALGORITHM, "versions": versions}
    return pack_arrays(arrays, {**manifest, **made_by})


def read_scan(path: Path) -> tuple[Manifest, dict[str, NDArray[Any]]]:
    """Return manifest and arrays of a file. Raises StoreError if it is missing, torn or foreign."""
    with whole_file(path):
        return read_arrays(path)


@contextmanager
def whole_file(path: Path) -> Iterator[None]:
    """Say of which file it was that reading a scan failed, as a StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except Damaged as error:
        raise StoreError(f"{path} cannot be loaded as a scan: {error}") from error


def save_scan(path: str | Path, arrays: Arrays, manifest: Mapping[str, Any]) -> Path:
    """Write a scan to a file ending in ``.safetensors``, and return its path.

    Raises StoreError for another ending, a full disk, or a folder that cannot be written to.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() != ".safetensors":
        raise StoreError(
            f"a scan is saved as safetensors; got the name {path.name!r}, "
            f"expected one such as {path.stem + '.safetensors'!r}"
        )
    write_atomically(path, scan_bytes(arrays, manifest))
    return path


def check_model(path: Path, manifest: Mapping[str, Any], identity: str) -> None:
    """Raise StoreError unless the scan is of the network with this identity."""
    scanned = manifest["model"]["identity"]
    if identity != scanned:
        raise StoreError(
            f"{path} is a scan of {scanned}, and model= is {identity}; "
            "expected the same network with the same weights"
        )


def check_photos(path: Path, manifest: Mapping[str, Any], name: str, fingerprint: str) -> None:
    """Raise StoreError unless the scan is of the data set with this fingerprint."""
    scanned = manifest["dataset"]
    if fingerprint != scanned["fingerprint"]:
        raise StoreError(
            f"{path} is a scan of {scanned['name']!r} (fingerprint {scanned['fingerprint']}), and "
            f"dataset= is {name!r} ({fingerprint}); expected the same photos, unchanged since"
        )
