"""Running statistics against numpy on the whole data, in any order and any batching."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neuron_widget.scanning.extremes import Histogram, Moments, QuantileSketch, TopK
from neuron_widget.scanning.found import occupied

CPU = torch.device("cpu")
N, C = 97, 5


def scores() -> torch.Tensor:
    """Positive, negative, tied, constant and tiny columns."""
    g = torch.Generator().manual_seed(0)
    columns = torch.randn(N, C, generator=g)
    columns[:, 0] = columns[:, 0].relu()
    columns[:, 1] = (columns[:, 1] * 3).round()
    columns[:, 2] = 1000 + columns[:, 2] * 1e-2
    columns[:, 3] = 0
    columns[:, 4] *= 1e-6
    return columns


def batches(order: torch.Tensor, size: int):
    return order.split(size)


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("size", [1, 7, 97])
@pytest.mark.parametrize("k", [1, 9])
def test_top_k_is_a_stable_sort(largest: bool, size: int, k: int) -> None:
    x = scores()
    top = TopK(k, C, CPU, largest=largest)
    other = TopK(k, C, CPU, largest=largest)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(size))
    for i, rows in enumerate(batches(order, size)):
        (top if i % 2 else other).update(rows, x[rows], x[rows] + 1, rows[:, None].expand(-1, C))
    top.merge(other)
    found = top.result()
    for c in range(C):
        column = x[:, c].numpy()
        expected = np.argsort(-column if largest else column, kind="stable")[:k]
        assert found.index[c].tolist() == expected.tolist()
        assert np.array_equal(found.score[c], column[expected])
        assert np.array_equal(found.peak[c], column[expected] + 1)
        assert found.position[c].tolist() == expected.tolist()


def test_top_k_of_fewer_photos_and_nan() -> None:
    top = TopK(9, 1, CPU)
    x = torch.tensor([[1.0], [torch.nan], [-5.0], [-0.0], [0.0]])
    top.update(torch.arange(5), x, x, torch.zeros(5, 1, dtype=torch.int64))
    assert top.result().index.tolist() == [[0, 3, 4, 2, 1]]


@pytest.mark.parametrize("size", [1, 7, 97])
def test_moments(size: int) -> None:
    x = scores()
    first, second = Moments(C, CPU), Moments(C, CPU)
    for i, rows in enumerate(batches(torch.arange(N), size)):
        (first if i % 3 else second).update(x[rows], x[rows] + 2)
    first.merge(second)
    mean, std, peak = first.result()
    exact = x.numpy().astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(std, exact.std(0), rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(peak, (x + 2).amax(0))


@pytest.mark.parametrize("size", [1, 7, 97])
def test_histogram_counts_are_exact(size: int) -> None:
    x = scores()
    first, second = Histogram(C, CPU), Histogram(C, CPU)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(size))
    for i, rows in enumerate(batches(order, size)):
        (first if i % 2 else second).update(x[rows])
    first.merge(second)
    counts, edges = first.result()
    for c in range(C):
        expected, _ = np.histogram(x[:, c].numpy().astype(np.float64), bins=edges[c])
        assert counts[c].tolist() == expected.tolist()
        largest = float(x[:, c].abs().max())
        assert edges[c][-1] >= largest
        bars, bar_edges = occupied(counts[c], edges[c])
        assert bars.sum() == N
        assert len(bars) == len(bar_edges) - 1 <= 40


def test_histogram_range_ignores_zeros() -> None:
    small = Histogram(1, CPU)
    for value in (0.0, 1e-6, 0.0):
        small.update(torch.tensor([[value]]))
    assert small.result()[1][0, -1] < 2.1e-6


@pytest.mark.parametrize("q", [0.5, 0.99])
def test_quantile_is_within_its_error(q: float) -> None:
    g = torch.Generator().manual_seed(1)
    x = torch.randn(60, 4, 6, 6, generator=g)
    x[:, 0] = x[:, 0].relu() * 300
    x[:, 1] *= 1e-3
    x[:, 2] = -x[:, 2].abs() - 1
    x[:, 3] = 0
    first, second = QuantileSketch(4, CPU), QuantileSketch(4, CPU)
    for i, part in enumerate(x.split(7)):
        part = part.to(memory_format=torch.channels_last) if i % 2 else part
        (first if i % 2 else second).update(part)
    first.merge(second)
    by_neuron = x.permute(1, 0, 2, 3).reshape(4, -1).numpy()
    exact = np.quantile(by_neuron, q, axis=1, method="inverted_cdf")
    error = QuantileSketch.RELATIVE_ERROR
    np.testing.assert_allclose(first.result(q), exact, rtol=error * 1.3, atol=1e-6)


def test_nothing_seen() -> None:
    assert TopK(3, 2, CPU).result().index.shape == (2, 0)
    assert QuantileSketch(2, CPU).result().tolist() == [0, 0]
    assert Histogram(2, CPU).result()[0].sum() == 0
    assert Moments(2, CPU).result()[0].tolist() == [0, 0]


def greedy(column: np.ndarray, groups: np.ndarray, k: int, share: int, largest: bool) -> list[int]:
    """Go through all photos, best first, and leave out those whose group has had its share."""
    had: dict[int, int] = {}
    chosen: list[int] = []
    for i in np.argsort(-column if largest else column, kind="stable").tolist():
        had[groups[i]] = had.get(groups[i], 0) + 1
        if had[groups[i]] <= share:
            chosen.append(i)
    return chosen[:k]


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("size", [1, 7, 97])
@pytest.mark.parametrize("k", [1, 2, 9, 30])
@pytest.mark.parametrize("share", [1, 2, 4])
@pytest.mark.parametrize("of_them", [1, 3, 12, 97])
def test_top_k_leaves_each_group_its_share(
    largest: bool, size: int, k: int, share: int, of_them: int
) -> None:
    """In any order, in batches of any size, in parts that are joined, and taken up again."""
    x = scores()
    groups = np.random.default_rng(of_them).integers(0, of_them, N)
    how = {"largest": largest, "groups": groups, "share": share}
    top, other = TopK(k, C, CPU, **how), TopK(k, C, CPU, **how)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(size))
    for i, rows in enumerate(batches(order, size)):
        (top if i % 2 else other).update(rows, x[rows], x[rows] + 1, rows[:, None].expand(-1, C))
        if i % 3 == 0:
            taken_up = TopK(k, C, CPU, **how)
            taken_up.restore(top.tensors())
            top = taken_up
    top.merge(other)
    found = top.result()
    for c in range(C):
        column = x[:, c].numpy()
        expected = greedy(column, groups, k, share, largest)
        assert found.index[c].tolist() == expected
        assert np.array_equal(found.score[c], column[expected])
        assert np.array_equal(found.peak[c], column[expected] + 1)
        assert found.position[c].tolist() == expected
