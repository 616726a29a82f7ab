"""Running statistics of every neuron at once: extremes, moments, histogram, quantile.

Small objects with ``update``, ``merge`` and ``result``, after baukit's ``runningstats``. Their
memory depends on the number of neurons, never on the number of photos; they live on the model's
device and never make the host wait for it. Every result is the same whatever the order of the
photos and the size of the batches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuron_widget.scanning.found import TopKResult
from neuron_widget.scanning.groups import surplus

__all__ = ["Histogram", "Moments", "QuantileSketch", "TopK"]

_INDEX_BITS = 32
_INDEX_MASK = (1 << _INDEX_BITS) - 1
_NOTHING = torch.iinfo(torch.int64).min


class _Running:
    """A running statistic whose state can be taken away and put back."""

    _state: tuple[str, ...]

    def tensors(self) -> dict[str, Tensor]:
        """The state as tensors by name; :meth:`restore` goes on from it."""
        return {name.strip("_"): getattr(self, name) for name in self._state}

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """Raise ValueError for a state of another statistic or of another size."""
        for name in self._state:
            ours, theirs = getattr(self, name), tensors.get(name.strip("_"))
            if theirs is None or (theirs.shape, theirs.dtype) != (ours.shape, ours.dtype):
                raise ValueError(f"not the state of {type(self).__name__}: {name.strip('_')}")

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take on a state; ValueError if it is another statistic's or of another size."""
        self.check(tensors)
        for name in self._state:
            ours = getattr(self, name)
            setattr(self, name, tensors[name.strip("_")].to(ours.device, copy=True))


class TopK(_Running):
    """The ``k`` photos with the largest (or smallest) score of each neuron.

    Score and photo number are packed into one integer, the score's bits above, so that a single
    ``topk`` orders by score and breaks ties by the lower number.

    Parameters
    ----------
    k
        Photos to keep a neuron.
    channels
        Number of neurons.
    device
        Where the running state lives.
    largest
        Whether large scores win.
    groups
        A number for each photo ``(photos,)``, equal for those of one group; None: no groups.
    share
        Photos that a group may have among the ``k``. The result is that of going through all
        photos, best first, and leaving out those whose group has had its share, as for any
        choice that is greedy on a matroid: it may be made part by part, in any order.
    """

    _state = ("_key", "_peak", "_position")

    def __init__(
        self,
        k: int,
        channels: int,
        device: torch.device,
        *,
        largest: bool = True,
        groups: NDArray[np.int64] | None = None,
        share: int = 1,
    ):
        self.k = k
        self.largest = largest
        self._share = share
        self._groups = torch.from_numpy(groups).to(device) if groups is not None else None
        self._key = torch.full((channels, k), _NOTHING, dtype=torch.int64, device=device)
        self._peak = torch.zeros((channels, k), dtype=torch.float32, device=device)
        self._position = torch.zeros((channels, k), dtype=torch.int64, device=device)

    def update(self, index: Tensor, score: Tensor, peak: Tensor, position: Tensor) -> None:
        """Take in photos: ``index`` (N,), the others (N, C). A NaN score never wins."""
        signed = score if self.largest else -score
        ordered = _ordered_bits(torch.nan_to_num(signed.float(), nan=-torch.inf)).to(torch.int64)
        key = (ordered << _INDEX_BITS) | (_INDEX_MASK - index)[:, None]
        self._keep(key.T, peak.T.float(), position.T)

    def merge(self, other: TopK) -> None:
        """Take in another running state of other photos."""
        self._keep(other._key, other._peak, other._position)

    def _keep(self, key: Tensor, peak: Tensor, position: Tensor) -> None:
        keys = torch.cat([self._key, key], dim=1)
        if self._groups is not None:
            keys = self._without_surplus(keys)
        self._key, chosen = keys.topk(self.k, dim=1)
        self._peak = torch.cat([self._peak, peak], dim=1).gather(1, chosen)
        self._position = torch.cat([self._position, position], dim=1).gather(1, chosen)

    def _without_surplus(self, keys: Tensor) -> Tensor:
        """The keys with nothing in the place of photos whose group has its share of better ones."""
        assert self._groups is not None
        ordered, place = keys.sort(dim=1, descending=True)
        # Empty places come last, whatever photo their number stands for.
        photo = (_INDEX_MASK - (ordered & _INDEX_MASK)).clamp_(max=len(self._groups) - 1)
        late = surplus(self._groups[photo], self._share)
        return keys.scatter(1, place, ordered.masked_fill(late, _NOTHING))

    def result(self) -> TopKResult:
        """TopKResult so far; fewer than ``k`` columns where there were fewer photos."""
        key = self._key.cpu()
        found = int((key != _NOTHING).sum(dim=1).min())
        key = key[:, :found]
        score = _from_ordered_bits((key >> _INDEX_BITS).to(torch.int32))
        score = score if self.largest else -score
        return TopKResult(
            (_INDEX_MASK - (key & _INDEX_MASK)).numpy(),
            (score + 0.0).numpy(),  # -0.0 -> 0.0
            self._peak[:, :found].cpu().numpy(),
            self._position[:, :found].cpu().numpy(),
        )


def _ordered_bits(x: Tensor) -> Tensor:
    """Float32 bits as an int32 that has the order of the floats (and -0.0 equal to 0.0)."""
    bits = (x + 0.0).view(torch.int32)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


def _from_ordered_bits(ordered: Tensor) -> Tensor:
    return (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).view(torch.float32)


class Moments(_Running):
    """Mean and standard deviation of the scores, and the largest activation of each neuron.

    The sums are exact, and so free of the order of the photos: every score is a whole number of
    24 bits times a power of two, and numbers of one power are added as integers. Powers are taken
    together eight at a time, each number shifted within its bin, so that 2^32 photos fit. Squares
    have 48 bits, which are added in two halves.
    """

    _state = ("_sum", "_square", "_rest", "_peak")
    _BITS, _BIN = 24, 8  # of a float32's digits; powers of two in a bin
    _LOWEST = -152  # a multiple of _BIN below the exponents of all float32 (frexp's)
    _BINS = (128 - _LOWEST) // _BIN + 1
    _HALF = _BITS // _BIN  # bins from one half of a square to the other
    _SQUARE_BINS = 2 * (128 - _LOWEST) // _BIN + _HALF + 1

    def __init__(self, channels: int, device: torch.device):
        self.count = 0
        self._sum = torch.zeros((channels, self._BINS), dtype=torch.int64, device=device)
        self._square = torch.zeros((channels, self._SQUARE_BINS), dtype=torch.int64, device=device)
        # Scores that are no finite numbers.
        self._rest = torch.zeros(channels, dtype=torch.float32, device=device)
        self._peak = torch.full((channels,), -torch.inf, dtype=torch.float32, device=device)

    def update(self, score: Tensor, peak: Tensor) -> None:
        """Take in photos: ``score`` and ``peak`` (N, C)."""
        self.count += len(score)
        score = score.float()
        finite = score.isfinite()
        self._rest += score.masked_fill(finite, 0).sum(dim=0)
        part, exponent = torch.frexp(score.masked_fill(~finite, 0).T)
        digits = (part * (1 << self._BITS)).long()
        place = exponent.long() - self._LOWEST
        self._sum.scatter_add_(1, place // self._BIN, digits << place % self._BIN)
        square, place = digits * digits, 2 * place
        low, high = square & ((1 << self._BITS) - 1), square >> self._BITS
        self._square.scatter_add_(1, place // self._BIN, low << place % self._BIN)
        self._square.scatter_add_(1, place // self._BIN + self._HALF, high << place % self._BIN)
        self._peak = torch.maximum(self._peak, peak.float().amax(dim=0))

    def merge(self, other: Moments) -> None:
        """Take in another running state of other photos."""
        self.count += other.count
        self._sum += other._sum
        self._square += other._square
        self._rest += other._rest
        self._peak = torch.maximum(self._peak, other._peak)

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Mean, standard deviation (population) and largest activation, each ``(C,)``."""
        count = max(self.count, 1)
        sums, squares = _totals(self._sum, self._BIN), _totals(self._square, self._BIN)
        # The integers are in units of 2^unit, squares in those of 2^(2 unit).
        unit = self._LOWEST - self._BITS
        mean = [math.ldexp(total / count, unit) for total in sums]
        variance = [
            math.ldexp((count * square - total * total) / (count * count), 2 * unit)
            for total, square in zip(sums, squares, strict=True)
        ]
        rest = self._rest.cpu().numpy()
        std = np.where(rest == 0, np.sqrt(variance), np.nan)
        found = (np.array(mean) + rest).astype(np.float32), std.astype(np.float32)
        return *found, self._peak.cpu().numpy()


def _totals(bins: Tensor, width: int) -> list[int]:
    """The exact sum of each row, whose bins are ``width`` powers of two apart."""
    numbers = bins.cpu().numpy()
    totals = [0] * len(numbers)
    rows, columns = np.nonzero(numbers)
    values = numbers[rows, columns]
    for row, column, value in zip(rows.tolist(), columns.tolist(), values.tolist(), strict=True):
        totals[row] += value << (width * column)
    return totals


class Histogram(_Running):
    """Counts of each neuron's scores in equal bins, the range growing with what it sees.

    The range is -R..R with R a power of two: when a score falls outside, R doubles and
    neighbouring bins are added together, exactly, as often as needed. The final R depends on the
    largest score alone, so that the counts are exact and free of the order of the photos. At
    least a quarter of the ``bins`` lie on either side between 0 and the largest score.
    """

    _state = ("_counts", "_exponent")
    _SMALLEST = -40  # exponent of the first range

    def __init__(self, channels: int, device: torch.device, bins: int = 256):
        self._half = bins // 2
        self._counts = torch.zeros((channels, bins), dtype=torch.int32, device=device)
        self._exponent = torch.full((channels,), self._SMALLEST, dtype=torch.int32, device=device)
        self._bins = torch.arange(bins, device=device)

    def update(self, values: Tensor) -> None:
        """Take in ``values`` (N, C)."""
        values = torch.nan_to_num(values.float())
        # frexp: |x| = m * 2^e with m in 0.5..1, so that 2^e is the first power of two above.
        largest = values.abs().amax(dim=0)
        _, exponent = torch.frexp(largest)
        self._grow(torch.where(largest > 0, exponent, self._SMALLEST))
        width = torch.ldexp(torch.ones_like(values[0]), self._exponent) / self._half
        place = (values / width).floor().long() + self._half
        place = place.clamp(0, 2 * self._half - 1).T
        ones = torch.ones_like(place, dtype=torch.int32)
        self._counts.scatter_add_(1, place, ones)

    def _grow(self, exponent: Tensor) -> None:
        """Double the range of each neuron until it holds ``2^exponent``."""
        doublings = (exponent - self._exponent).clamp(min=0)
        self._exponent = self._exponent + doublings
        steps = doublings.clamp(max=31).long()[:, None]
        place = ((self._bins - self._half)[None, :] >> steps) + self._half
        self._counts = torch.zeros_like(self._counts).scatter_add_(1, place, self._counts)

    def merge(self, other: Histogram) -> None:
        """Take in another running state of other photos."""
        self._grow(other._exponent)
        steps = (self._exponent - other._exponent).clamp(min=0, max=31).long()[:, None]
        place = ((self._bins - self._half)[None, :] >> steps) + self._half
        self._counts.scatter_add_(1, place, other._counts)

    def result(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Counts ``(C, bins)`` and edges ``(C, bins + 1)``."""
        limits = np.ldexp(1.0, self._exponent.cpu().numpy())
        edges = limits[:, None] * np.linspace(-1, 1, 2 * self._half + 1)
        return self._counts.cpu().numpy().astype(np.int64), edges


class QuantileSketch(_Running):
    """Quantiles of all activations of each neuron, to a known relative error.

    Bins are the leading bits of a float: its sign, exponent and 5 bits of mantissa, so that a bin
    is at most 1/32 of its value wide and the middle of a bin is within 1/64 (1.6 %) of every
    value in it. This is the logarithmic histogram of HdrHistogram and DDSketch (Masson et al.
    2019) with the logarithm read off the bits. Values below 2^-20 count as 0, above 2^20 as 2^20.
    Counts are exact, so that the answer is free of the order of the photos.
    """

    _state = ("_counts",)
    RELATIVE_ERROR = 1 / 64
    _MANTISSA = 5
    _LOW, _HIGH = -20, 20
    _SIDE = ((_HIGH - _LOW) << _MANTISSA) + 1  # bin 0 holds the zeros
    BINS = 2 * _SIDE - 1  # of each neuron

    def __init__(self, channels: int, device: torch.device):
        self._shift = 23 - self._MANTISSA
        self._first = (127 + self._LOW) << self._MANTISSA
        self._side = self._SIDE
        self._channels = channels
        self._counts = torch.zeros(channels * self.BINS, dtype=torch.int64, device=device)
        self._row = torch.arange(channels, device=device, dtype=torch.int32) * self.BINS

    def update(self, activation: Tensor) -> None:
        """Take in activations ``(N, C, h, w)``."""
        bits = activation.float().view(torch.int32)
        size = ((bits & 0x7FFFFFFF) >> self._shift) - (self._first - 1)
        size = size.clamp_(0, self._side - 1)
        # -1 for negative numbers, else 1: the sign bit smeared over the word.
        place = size.mul_((bits >> 31) | 1).add_(self._side - 1)
        place += self._row[None, :, None, None]
        # Reading the bins in the activation's own memory order spares a copy.
        flat = place.permute(0, 2, 3, 1).reshape(-1)
        if flat.device.type == "cpu":
            self._counts += torch.bincount(flat, minlength=len(self._counts))
        else:  # bincount makes the host wait for the largest value
            ones = torch.ones_like(flat, dtype=torch.int64)
            self._counts.scatter_add_(0, flat.long(), ones)

    def merge(self, other: QuantileSketch) -> None:
        """Take in another running state of other photos."""
        self._counts += other._counts

    def result(self, q: float = 0.99) -> NDArray[np.float32]:
        """The ``q`` quantile of each neuron, ``(C,)``; 0 where nothing was seen."""
        counts = self._counts.view(self._channels, -1).cpu().numpy()
        below = counts.cumsum(axis=1)
        wanted = np.maximum(1, np.ceil(q * below[:, -1:]))
        place = (below < wanted).sum(axis=1) - (self._side - 1)
        place[below[:, -1] == 0] = 0
        size = np.abs(place)
        bits = (size + self._first - 1).astype(np.int64) << self._shift
        middle = bits + (1 << (self._shift - 1))
        value = middle.astype(np.int32).view(np.float32) * np.sign(place)
        return np.where(size == 0, 0, value).astype(np.float32)
