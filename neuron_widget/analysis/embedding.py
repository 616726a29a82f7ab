"""The vectors of the photos that are asked about: each made once, and kept."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from neuron_widget.analysis.observers import Observer
from neuron_widget.errors import StoreError
from neuron_widget.scanning import ImageDataset
from neuron_widget.scanning.loading import load_batches, to_images
from neuron_widget.store import Store

__all__ = ["Embedding", "embed_images", "embed_steps"]

_BATCH = 16
_EVERY_S = 30.0


@dataclass(frozen=True)
class Embedding:
    """Vectors ``(n, D)`` float32 of photos ``index`` ``(n,)``, ascending."""

    index: NDArray[np.int64]
    vectors: NDArray[np.float32]


def embed_steps(
    observer: Observer, dataset: ImageDataset, wanted: Iterable[int], store: Store | None
) -> Generator[tuple[int, int], None, Embedding]:
    """Show photos to an observer; yields (done, total), of those the store does not know.

    They are kept every 30 s and when this is closed. Photos that cannot be read any more are left
    out of the result.
    """
    order = np.unique(np.fromiter(wanted, np.int64))
    known = _known(observer, dataset, store)
    missing = [int(i) for i in order if int(i) not in known]
    fresh: dict[int, NDArray[np.float32]] = {}
    done, kept_at = 0, time.monotonic()

    def keep() -> None:
        if store is None or not observer.identity or not fresh:
            return
        index = np.array(sorted(fresh), np.int64)
        try:
            vectors = np.stack([fresh[int(i)] for i in index])
            store.put_vectors(observer.identity, dataset, index, vectors)
        except StoreError as error:
            store.fail(error)

    yield 0, len(missing)
    overlap = torch.cuda.is_available()
    batches = load_batches(dataset, missing, observer.input_size, _BATCH, overlap=overlap)
    with closing(batches):
        try:
            for batch in batches:
                if batch.index:
                    images = to_images(batch.squares, torch.device("cpu"))
                    fresh.update(zip(batch.index, _look(observer, images), strict=True))
                done += len(batch.index) + len(batch.skipped)
                if time.monotonic() - kept_at > _EVERY_S:
                    keep()
                    kept_at = time.monotonic()
                yield done, len(missing)
        finally:
            keep()
    known |= fresh
    index = np.array([i for i in order if int(i) in known], np.int64)
    rows = [known[int(i)] for i in index]
    return Embedding(index, np.stack(rows) if rows else np.zeros((0, 1), np.float32))


def embed_images(observer: Observer, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors ``(N, D)`` of rendered images ``(N, H, W, 3)`` in 0..1."""
    side = (observer.input_size, observer.input_size)
    found = []
    for part in np.array_split(images, max(1, -(-len(images) // _BATCH))):
        batch = torch.from_numpy(np.ascontiguousarray(part)).permute(0, 3, 1, 2)
        if batch.shape[-2:] != side:
            batch = torch.nn.functional.interpolate(
                batch, side, mode="bilinear", antialias=True, align_corners=False
            )
        found.append(_look(observer, batch))
    return np.concatenate(found)


def _known(
    observer: Observer, dataset: ImageDataset, store: Store | None
) -> dict[int, NDArray[np.float32]]:
    found = None
    if store is not None and observer.identity:
        found = store.find_vectors(observer.identity, dataset)
    return {} if found is None else dict(zip(found[0].tolist(), found[1], strict=True))


def _look(observer: Observer, images: torch.Tensor) -> NDArray[np.float32]:
    vectors = observer(images)
    found: NDArray[np.float32] = vectors.detach().float().cpu().numpy()
    return np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)
