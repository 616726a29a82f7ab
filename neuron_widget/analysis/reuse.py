"""One image, or one scan, from the store where it has it; made and kept there otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuron_widget.networks.model import VisionModel
from neuron_widget.rendering import render
from neuron_widget.scanning import ImageDataset, ScanResult, scan
from neuron_widget.store import Store

__all__ = ["image_of", "scan_of"]


def image_of(
    store: Store | None, model: VisionModel, layer: str, neuron: int, progress: bool, **how: Any
) -> NDArray[np.float32]:
    """Return the image ``(H, W, 3)`` in 0..1; one that was begun goes on where it was."""
    place = (model, layer, neuron)
    if store is not None:
        store.model_key.forget(model)
    result = store.find_render(*place, **how) if store is not None else None
    if result is None:
        begun = store.find_resumable(*place, **how) if store is not None else None
        result = render(*place, resume=begun, progress=progress, **how)
        if store is not None:
            store.keep(model, result)
    image: NDArray[np.float32] = np.asarray(result.images[0])
    return image


def scan_of(
    store: Store | None,
    model: VisionModel,
    layer: str,
    dataset: ImageDataset,
    progress: bool,
    *,
    num_samples: int | None,
    **how: Any,
) -> ScanResult:
    """Return the scan; one that was interrupted goes on where it was."""
    place = (model, layer, dataset)
    if store is None:
        return scan(*place, num_samples=num_samples, progress=progress, **how)
    store.model_key.forget(model)
    result = store.find_scan(*place, num_samples=num_samples, **how)
    if result is None:
        checkpoint = store.checkpoint(*place, **how)
        result = scan(
            *place, num_samples=num_samples, progress=progress, checkpoint=checkpoint, **how
        )
        store.keep(model, result)
    return result
