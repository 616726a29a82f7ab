"""What an observer sees in a data set's photos: one vector a photo, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuron_widget.durable import Damaged, Record, pack_arrays
from neuron_widget.store.folders import Folders
from neuron_widget.store.keys import digest

if TYPE_CHECKING:
    from neuron_widget.scanning import ImageDataset

__all__ = ["Vectors"]

Seen = tuple[NDArray[np.int64], NDArray[np.float32]]


class Vectors(Folders):
    """Vectors of photos, by observer and data set: one file, which grows."""

    def find_vectors(self, observer: str, dataset: ImageDataset) -> Seen | None:
        """Return the photos seen so far, ``(n,)`` ascending, and their vectors ``(n, D)``.

        ``observer`` is the observer's identity: what it is, and a hash of its weights.
        """
        photos = len(dataset)

        def read(record: Record) -> Seen:
            facts = record.facts
            if (facts["observer"], facts["dataset"]) != (observer, dataset.fingerprint):
                raise Damaged("vectors of other photos, or of another observer")
            record.expect(index=("<i8", (None,)), vectors=("<f4", (None, None)))
            arrays = record.arrays()
            index, vectors = arrays["index"], arrays["vectors"]
            if len(index) != len(vectors) or (np.diff(index) <= 0).any():
                raise Damaged("not one vector for each of its photos")
            if len(index) and not 0 <= index[0] <= index[-1] < photos:
                raise Damaged(f"photo {index[-1]} of {photos}")
            if not np.isfinite(vectors).all():
                raise Damaged("vectors that are no numbers")
            return index, vectors

        found: Seen | None = self.find("vectors", self._vectors_name(observer, dataset), read)
        return found

    def put_vectors(
        self, observer: str, dataset: ImageDataset, index: NDArray[Any], vectors: NDArray[Any]
    ) -> None:
        """Write the vectors of these photos, beside those that are there. Raises StoreError."""
        known = self.find_vectors(observer, dataset)
        if known is not None and known[1].shape[1:] == vectors.shape[1:]:
            index = np.concatenate([known[0], index])
            vectors = np.concatenate([known[1], vectors])
        index, first = np.unique(np.asarray(index, np.int64), return_index=True)
        name = self._vectors_name(observer, dataset)
        facts = {
            "kind": "vectors",
            "name": name,
            "observer": observer,
            "dataset": dataset.fingerprint,
        }
        arrays = {"index": index, "vectors": np.ascontiguousarray(vectors[first], np.float32)}
        self.write("vectors", name, pack_arrays(arrays, facts))

    def _vectors_name(self, observer: str, dataset: ImageDataset) -> str:
        parts = {"observer": observer, "dataset": dataset.fingerprint, "photos": len(dataset)}
        return f"{digest('vectors', parts)}.safetensors"
