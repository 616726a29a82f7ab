"""Scans as files: one safetensors file with all numbers, and a JSON manifest in its header.

One file rather than two, so that a scan is whole or not there. Any reader of safetensors finds the
arrays by the names of :class:`~neuron_widget.scanning.ScanTables`; the manifest is the metadata.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

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

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.scanning import ImageDataset, ScanResult

__all__ = ["ALGORITHM", "load_scan", "read_scan", "save_scan", "scan_bytes"]

ALGORITHM = 2
"""Counts up when the same scan begins to give other numbers: part of every scan's key."""

# A file's own word for the size of its batches goes no further than this.
_LARGEST_BATCH = 512
_LARGEST_SIDE = 2**14  # of an image, in pixels

_MODEL = ("name", "title", "input_size")


def scan_bytes(result: ScanResult, *, photos: bool = True, name: str = "") -> bytes:
    """Return a scan as a file; ``photos``: with paths and labels of the photos it names.

    ``name`` is that of the file in a store.
    """
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
        **({"name": name} if name else {}),
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
    source: Path | Record, model: VisionModel | None = None, dataset: ImageDataset | None = None
) -> ScanResult:
    """Return the scan in a file; without model or data set, stand-ins answer for them.

    ``source`` is a file that a user named (one of an older version too), or an opened one of a
    store. Raises Damaged if it is torn, changed or foreign; OSError if it cannot be read.
    """
    if isinstance(source, Path):
        with open_record(source, older=True) as record:
            return read_scan(record, model, dataset)
    try:
        return _read_scan(source, model, dataset)
    except MALFORMED as error:
        raise Damaged(f"not a scan ({error!r})") from error


def _read_scan(
    record: Record, model: VisionModel | None, dataset: ImageDataset | None
) -> ScanResult:
    from neuron_widget.scanning import ScanResult, ScanTables
    from neuron_widget.scanning.absent import AbsentModel, AbsentPhotos

    facts = record.facts
    layer, settings = str(facts["layer"]), dict(facts["settings"])
    channels, height, width = (whole(n, 1) for n in facts["shape"])
    whole(facts["model"]["input_size"], 1, _LARGEST_SIDE)
    whole(facts["dataset"]["photos"])
    absent = AbsentModel(facts["model"], layer, facts["shape"])
    photos = dataset if dataset is not None else AbsentPhotos(facts["dataset"], facts["photos"])
    whole(settings["top_k"], 1)
    if settings["precision"] not in ("exact", "fast"):
        raise ValueError(f"precision {settings['precision']!r}")
    record.expect(**_layout(channels))
    tables = ScanTables.from_arrays(record.arrays())
    if tables.edges.shape[1] != tables.counts.shape[1] + 1:
        raise ValueError("a histogram without all of its edges")
    for found in (tables.top, tables.bottom):
        if len({array.shape for array in vars(found).values()}) != 1:
            raise ValueError("tables of several lengths")
        _check_range(found.index, len(photos))
        _check_range(found.position, height * width)
    return ScanResult(
        model if model is not None else cast("VisionModel", absent),
        layer,
        photos,
        tables,
        scanned=whole(facts["scanned"]),
        skipped=[(str(p), str(reason)) for p, reason in facts["skipped"]],
        settings={**settings, "split": str(settings["split"])},
        model_identity=str(facts["model"]["identity"]),
        batch_size=min(whole(facts["batch_size"], 1), _LARGEST_BATCH),
    )


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


def _check_range(array: NDArray[np.int64], end: int) -> None:
    if array.size and not (array.min() >= 0 and array.max() < end):
        raise ValueError(f"numbers from {array.min()} to {array.max()}, expected 0 to {end - 1}")


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
        _check_same(path, plain, opened, photos)
        return read_scan(path, opened, photos) if opened or photos else plain
    except OSError as error:
        raise StoreError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except Damaged as error:
        raise StoreError(f"{path} cannot be loaded as a scan: {error}") from error


def _check_same(
    path: Path, plain: ScanResult, opened: VisionModel | None, photos: ImageDataset | None
) -> None:
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
