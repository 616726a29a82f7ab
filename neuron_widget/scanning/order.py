"""In which order photos are looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["sample"]


def sample(photos: int, num_samples: int | None, seed: int, run: int = 1) -> NDArray[np.int64]:
    """Return the photos to look at, in random order: the same for every neuron and layer.

    A smaller sample with the same seed is the beginning of a larger one. ``run`` neighbours stay
    together (:attr:`.ImageDataset.run`); what is left of the last run comes last.
    """
    first = np.random.default_rng(seed).permutation(photos // run) * run
    runs = (first[:, None] + np.arange(run)).reshape(-1)
    order: NDArray[np.int64] = np.concatenate([runs, np.arange(len(runs), photos)])
    return order if num_samples is None else order[:num_samples]
