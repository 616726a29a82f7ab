"""How well a dictionary fits a layer, measured on activations it was not learnt from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from neuron_widget.networks.dictionaries import Dictionary

__all__ = ["figures_of_fit"]

_ROWS = 4096  # at a time


def figures_of_fit(dictionary: Dictionary, rows: Tensor, mean: Tensor) -> dict[str, Any]:
    """Variance explained, L0 and dead features of a dictionary on activations.

    Parameters
    ----------
    dictionary
        With a way back (``directions``).
    rows
        ``(n, C)`` float32, one a position.
    mean
        ``(C,)``: the mean activation, which a dictionary has to beat.

    Returns
    -------
    dict
        ``variance_explained`` (1 is perfect, 0 no better than the mean), ``l0`` (features that
        are not 0 at a position, on average), ``dead`` (features that are 0 at all of them),
        ``positions``.
    """
    left = total = active = 0.0
    seen = torch.zeros(dictionary.features, dtype=torch.bool, device=rows.device)
    constant = _constant(dictionary).to(rows.device)
    with torch.no_grad():
        for part in torch.split(rows, _ROWS):
            features = dictionary.read(part.T[None, :, :, None])
            rebuilt = dictionary.rebuild(features)[0, :, :, 0].T + constant
            left += float((part - rebuilt).double().square().sum())
            total += float((part - mean).double().square().sum())
            on = features[0, :, :, 0] != 0
            active += float(on.sum())
            seen |= on.any(dim=1)
    return {
        "variance_explained": 1 - left / total if total else 0.0,
        "l0": active / max(1, len(rows)),
        "dead": int((~seen).sum()),
        "positions": len(rows),
    }


def _constant(dictionary: Dictionary) -> Tensor:
    """What is added to the sum of the features."""
    if dictionary.encoder is not None:
        offset: Tensor = getattr(dictionary.encoder.module, "offset", torch.zeros(()))
        return offset.detach()
    offset = torch.zeros(dictionary.channels)
    return torch.from_numpy(dictionary.offset) if dictionary.offset is not None else offset
