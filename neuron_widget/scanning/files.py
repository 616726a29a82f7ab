"""Scans as files: one safetensors file with all numbers, and a JSON manifest in its header.

One file rather than two, so that a scan is whole or not there. Any reader of safetensors finds the
arrays by the names of :class:`~neuron_widget.scanning.ScanTables`; the manifest is the metadata.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from neuron_widget.durable import Damaged, pack_arrays, read_arrays, write_atomically
from neuron_widget.errors import StoreError

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.scanning import ImageDataset, ScanResult

__all__ = ["ALGORITHM", "load_scan", "read_scan", "save_scan", "scan_bytes"]

ALGORITHM = 2
"""Counts up when the same scan begins to give other numbers: part of every scan's key."""

_MODEL = ("name", "title", "input_size")


def scan_bytes(result: ScanResult, *, photos: bool = True) -> bytes:
    """Return a scan as a file; ``photos``: with paths and labels of the photos it names."""
    import torch

    import neuron_widget

    model, dataset, tables = result._model, result._photos, result.tables
    info = model.layer(result.layer)
    named: dict[str, tuple[str, str]] = {}
    if photos:
        winners = np.unique(np.concatenate([tables.top.index, tables.bottom.index], axis=None))
        named = {str(i): (dataset.path(i), dataset.label(i)) for i in winners.tolist()}
    facts = {
        "kind": "scan",
        "layer": result.layer,
        "shape": (info.channels, info.height, info.width),
        "model": {
            "identity": result.model_identity,
            **{name: getattr(model, name) for name in _MODEL},
        },
        "dataset": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "photos": len(dataset),
        },
        "scanned": result.scanned,
        "skipped": result.skipped,
        "settings": result.settings,
        "batch_size": result._batch_size,
        "algorithm": ALGORITHM,
        "versions": {"neuron_widget": neuron_widget.__version__, "torch": str(torch.__version__)},
        "photos": named,
    }
    return pack_arrays(tables.arrays(), facts)


def read_scan(
    path: Path, model: VisionModel | None = None, dataset: ImageDataset | None = None
) -> ScanResult:
    """Return the scan in a file; without model or data set, stand-ins answer for them.

    Raises Damaged if it is torn or foreign; OSError if it cannot be read.
    """
    from neuron_widget.scanning import ScanResult, ScanTables
    from neuron_widget.scanning.absent import AbsentModel, AbsentPhotos

    facts, arrays = read_arrays(path)
    try:
        layer = str(facts["layer"])
        absent = AbsentModel(facts["model"], layer, facts["shape"])
        return ScanResult(
            model if model is not None else cast("VisionModel", absent),
            layer,
            dataset if dataset is not None else AbsentPhotos(facts["dataset"], facts["photos"]),
            ScanTables.from_arrays(arrays),
            scanned=int(facts["scanned"]),
            skipped=[(str(p), str(reason)) for p, reason in facts["skipped"]],
            settings=dict(facts["settings"]),
            model_identity=str(facts["model"]["identity"]),
            batch_size=int(facts["batch_size"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"not a scan ({error!r})") from error


def save_scan(result: ScanResult, path: str | Path) -> Path:
    """Write a scan to a file ending in ``.safetensors``, and return its path.

    Raises StoreError for another ending, a full disk, or a folder that cannot be written to.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() != ".safetensors":
        raise StoreError(
            f"a scan is saved as safetensors; got the name {path.name!r}, "
            f"expected one such as {path.stem + '.safetensors'!r}"
        )
    write_atomically(path, scan_bytes(result))
    return path


def load_scan(path: str | Path, model: Any = None, dataset: Any = None) -> ScanResult:
    """Return the scan in a file.

    Parameters
    ----------
    path
        What :func:`save_scan` wrote.
    model, dataset
        The network and the photos of the scan (what ``load_model`` and ``open_dataset`` take).
        Without them all numbers, paths and labels are there; images are where the files still
        are; activation maps need both.

    Raises
    ------
    StoreError
        A missing, torn or foreign file; another network or other photos than the scan's.
    """
    path = Path(path).expanduser()
    opened = photos = None
    if model is not None:
        from neuron_widget.networks.zoo import load_model

        opened = load_model(model)
    try:
        plain = read_scan(path)
        if dataset is not None:
            from neuron_widget.scanning import open_dataset

            photos = open_dataset(dataset, split=plain.settings["split"])
        found = read_scan(path, opened, photos) if opened or photos else plain
    except OSError as error:
        raise StoreError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except Damaged as error:
        raise StoreError(f"{path} cannot be loaded as a scan: {error}") from error
    if opened is not None and opened.identity != plain.model_identity:
        raise StoreError(
            f"{path} is a scan of {plain.model_identity}, and model= is {opened.identity}; "
            "expected the same network with the same weights"
        )
    if photos is not None and photos.fingerprint != plain.fingerprint:
        raise StoreError(
            f"{path} is a scan of {plain.dataset!r} (fingerprint {plain.fingerprint}), and "
            f"dataset= is {photos.name!r} ({photos.fingerprint}); expected the same photos, "
            "unchanged since"
        )
    return found
