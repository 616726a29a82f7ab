"""All that a scan keeps of the photos it has seen: the running statistics of a layer, together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuron_widget.scanning.extremes import Histogram, Moments, QuantileSketch, TopK
from neuron_widget.scanning.found import TopKResult
from neuron_widget.scanning.image_dataset import PER_GROUP
from neuron_widget.scanning.pairs import DEPTH
from neuron_widget.scanning.tables import QUANTILE, Ranks, ScanTables

__all__ = ["ScanStatistics", "depths"]

# With bfloat16, photos near the k-th place may swap: this many times k candidates are kept, and
# scored again in float32 (tests/data/test_scan_reference.py holds how many are needed).
_CANDIDATES = 2
_RESERVE = 7


def depths(settings: Mapping[str, Any], photos: int) -> tuple[int, int]:
    """How many photos of a neuron are shown, or may be; and how many are kept at either end.

    Behind those shown are those that questions are made of.
    """
    k = settings["top_k"]
    shown = min(_CANDIDATES * k + _RESERVE if settings["precision"] == "fast" else k, photos)
    return shown, min(max(shown, DEPTH), photos)


class ScanStatistics:
    """Running statistics of every neuron of a layer; free of the photos' order, to the last bit.

    Parameters
    ----------
    channels
        Neurons of the layer.
    photos
        Photos of the data set.
    settings
        The scan's, of which ``top_k`` and ``precision`` say how many photos are kept.
    groups
        A number for each photo, equal for those of one group; None without groups.
    device
        Where they live.
    """

    def __init__(
        self,
        channels: int,
        photos: int,
        settings: Mapping[str, Any],
        groups: NDArray[np.int64] | None,
        device: torch.device,
    ):
        self._shown, kept = depths(settings, photos)
        # Of the candidates half may fall to the groups' share, and top_k be left.
        share = PER_GROUP * (_CANDIDATES if settings["precision"] == "fast" else 1)
        grouped: dict[str, Any] = {"groups": groups, "share": share}
        self.top = TopK(kept, channels, device, **grouped)
        self.bottom = TopK(kept, channels, device, largest=False, **grouped)
        self.moments = Moments(channels, device)
        self._histogram = Histogram(channels, device)
        self._sketch = QuantileSketch(channels, device)

    def _parts(self) -> dict[str, TopK | Moments | Histogram | QuantileSketch]:
        return {
            "top": self.top,
            "bottom": self.bottom,
            "moments": self.moments,
            "histogram": self._histogram,
            "sketch": self._sketch,
        }

    def update(self, index: Tensor, activation: Tensor) -> None:
        """Take in photos: their numbers (N,), and their activation ``(N, C, h, w)``."""
        score = activation.mean(dim=(2, 3), dtype=torch.float32)
        peak, position = activation.flatten(2).max(dim=2)
        self.top.update(index, score, peak, position)
        self.bottom.update(index, score, peak, position)
        self.moments.update(score, peak)
        self._histogram.update(score)
        self._sketch.update(activation)

    @torch.inference_mode()
    def merge(self, other: ScanStatistics) -> None:
        """Take in the statistics of other photos."""
        self.top.merge(other.top)
        self.bottom.merge(other.bottom)
        self.moments.merge(other.moments)
        self._histogram.merge(other._histogram)
        self._sketch.merge(other._sketch)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the whole state, for a file; :meth:`restore` goes on from it."""
        return {
            f"{part}.{name}": tensor.cpu().numpy()
            for part, statistic in self._parts().items()
            for name, tensor in statistic.tensors().items()
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]], scanned: int) -> None:
        """Take on a state of ``scanned`` photos; ValueError or KeyError if it does not fit."""
        states: dict[str, dict[str, Tensor]] = {part: {} for part in self._parts()}
        for name, array in arrays.items():
            part, _, tensor = name.partition(".")
            states[part][tensor] = torch.from_numpy(array)
        for part, statistic in self._parts().items():
            statistic.check(states[part])
        for part, statistic in self._parts().items():
            statistic.restore(states[part])
        self.moments.count = scanned

    def check_best_photos(self, photos: int, positions: int) -> None:
        """Raise ValueError if photos or positions that were restored are not there."""
        for found in (self.top.result(), self.bottom.result()):
            for numbers, end in ((found.index, photos), (found.position, positions)):
                if numbers.size and not (numbers.min() >= 0 and numbers.max() < end):
                    raise ValueError(f"it names {numbers.max()} of {end} photos or positions")

    def tables(self) -> ScanTables:
        """Return the numbers of the photos seen up to now."""
        mean, std, peak = self.moments.result()
        counts, edges = self._histogram.result()
        top, further_top = _divided(self.top.result(), self._shown)
        bottom, further_bottom = _divided(self.bottom.result(), self._shown)
        return ScanTables(
            top=top,
            bottom=bottom,
            mean=mean,
            std=std,
            peak=peak,
            counts=counts,
            edges=edges,
            quantile=self._sketch.result(QUANTILE),
            further_top=further_top,
            further_bottom=further_bottom,
        )


def _divided(found: TopKResult, shown: int) -> tuple[TopKResult, Ranks]:
    """The photos that are shown, and those behind them."""
    first = {name: column[:, :shown] for name, column in vars(found).items()}
    return TopKResult(**first), Ranks(found.index[:, shown:], found.score[:, shown:])
