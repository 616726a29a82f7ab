"""Whether a neuron has one picture: the same target from several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from neuron_widget.analysis.embedding import embed_images
from neuron_widget.analysis.judging import Standard
from neuron_widget.analysis.observers import ObserverLike, open_observer
from neuron_widget.networks.zoo import load_model
from neuron_widget.settings import RENDER
from neuron_widget.store import StoreLike, open_store
from neuron_widget.targets import as_targets

__all__ = ["Stability", "stability"]


@dataclass(frozen=True)
class Stability:
    """How alike the pictures of one neuron from several seeds are.

    Attributes
    ----------
    layer, neurons, seeds
        What was rendered.
    share
        ``(N,)`` in 0..1: how often a picture is more like one of the same neuron from another seed
        than like one of another neuron; chance is a half.
    observer, note
        Who was asked, and what has to be known of it.

    Examples
    --------
    >>> from neuron_widget import stability
    >>> told = stability(
    ...     "efficientnet_lite0", "blocks.0", [0, 1], seeds=(0, 1), steps=2, size=32, store=False,
    ...     observer=lambda images: images.mean(dim=(2, 3)), progress=False,
    ... )
    >>> told.neurons, told.share.shape
    ((0, 1), (2,))
    """

    layer: str
    neurons: tuple[int, ...]
    seeds: tuple[int, ...]
    share: NDArray[np.float64]
    observer: str
    note: str = ""


def stability(
    model: Any,
    layer: str,
    neurons: Sequence[int],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    observer: ObserverLike = None,
    store: StoreLike = None,
    progress: bool = True,
    **settings: Any,
) -> Stability:
    """Render neurons from several seeds and ask a machine whose pictures are whose.

    Parameters
    ----------
    model, layer, neurons, settings
        As :func:`neuron_widget.render` takes them; two neurons at least, to be told apart.
    seeds
        Two at least.
    observer, store, progress
        As :func:`neuron_widget.predictability` takes them. Images are kept in the store, too.

    Raises
    ------
    ValueError
        For fewer than two neurons or seeds.

    Examples
    --------
    >>> from neuron_widget import stability
    >>> stability("efficientnet_lite0", "blocks.0", [3], progress=False)
    Traceback (most recent call last):
    ValueError: stability needs two neurons and two seeds at least, ...
    """
    from neuron_widget.store.reuse import render_steps

    opened = load_model(model)
    chosen = [target.check(opened) for target in dict.fromkeys(as_targets(layer, neurons))]
    numbers = tuple(dict.fromkeys(RENDER["seed"].check(seed) for seed in seeds))
    if len(chosen) < 2 or len(numbers) < 2:
        raise ValueError(
            "stability needs two neurons and two seeds at least, to tell pictures apart; got "
            f"neurons {[target.neuron for target in chosen]} and seeds {list(numbers)}"
        )
    where, kept = [], open_store(store)
    for seed in tqdm(numbers, disable=not progress, unit=" seeds", desc="Rendering"):
        steps = render_steps(kept, opened, chosen, seed=seed, **settings)
        with closing(steps):
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    where.append(end.value.images)
                    break
    looks, note = open_observer(observer, opened)
    vectors = np.stack([embed_images(looks, images) for images in where])  # (S, N, D)
    share = _share(vectors, getattr(looks, "parts", ()))
    found = tuple(target.neuron for target in chosen)
    return Stability(chosen[0].layer, found, numbers, share, looks.name, note)


def _share(vectors: NDArray[np.float32], parts: tuple[int, ...]) -> NDArray[np.float64]:
    seeds, neurons, width = vectors.shape
    flat = vectors.reshape(seeds * neurons, width)
    like = Standard(flat, parts)(flat)
    likeness = like @ like.T
    whose = np.tile(np.arange(neurons), seeds)
    found = np.zeros(neurons)
    for neuron in range(neurons):
        own, others = np.flatnonzero(whose == neuron), np.flatnonzero(whose != neuron)
        right = []
        for picture in own:
            same = likeness[picture, own[own != picture]][:, None]
            other = likeness[picture, others][None, :]
            right.append((same > other) + 0.5 * (same == other))
        found[neuron] = np.mean(right)
    return found
