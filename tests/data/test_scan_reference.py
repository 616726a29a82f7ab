"""The scan of real photos against activations computed with torch-lucent's own module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.scanning import ScanResult, scan

pytestmark = pytest.mark.data
PHOTOS, NEURONS = 140, 508


@pytest.fixture(scope="module")
def model(inception_weights: Path) -> VisionModel:
    return load_model(weights=inception_weights, device="cpu")


@pytest.fixture(scope="module")
def reference(test_data: Path) -> dict[str, np.ndarray]:
    with np.load(test_data / "reference" / "val_activations.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def everything(model: VisionModel, photos: Path) -> ScanResult:
    """All photos of every neuron, in order."""
    return scan(model, "mixed_4a", photos, split="val", top_k=PHOTOS, progress=False)


def test_photos_are_those_of_the_reference(everything, reference, photos) -> None:
    top = everything.top(0)
    by_number = sorted(top, key=lambda example: example.index)
    files = [str(Path(e.path).relative_to(photos / "val")) for e in by_number]
    assert files == reference["files"].tolist()


def test_means_agree(everything, reference) -> None:
    winners = everything.tables.top
    expected = np.take_along_axis(reference["mixed4a"].T, winners.index, axis=1)
    # Scores reach 300; the few that are almost 0 hold nothing but rounding.
    np.testing.assert_allclose(winners.score, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(everything.mean, reference["mixed4a"].mean(0), rtol=1e-3)
    np.testing.assert_allclose(everything.std, reference["mixed4a"].std(0), rtol=1e-3)


@pytest.mark.parametrize("side", ["top", "bottom"])
def test_top_nine_agree(everything, reference, side: str) -> None:
    sign = -1 if side == "top" else 1
    expected = np.argsort(sign * reference["mixed4a"], axis=0, kind="stable")[:9].T
    found = getattr(everything.tables, side).index[:, :9]
    assert np.array_equal(np.sort(found, axis=1), np.sort(expected, axis=1))


def test_positions_agree(everything, reference) -> None:
    winners = everything.tables.top
    expected = np.take_along_axis(reference["argmax_mixed4a"].T, winners.index, axis=1)
    assert (winners.position == expected).mean() >= 0.99


def test_batches_do_not_change_the_examples(model, everything, photos) -> None:
    result = scan(model, "mixed4a", photos, split="val", batch_size=5, workers=1, progress=False)
    assert np.array_equal(result.tables.top.index, everything.tables.top.index[:, :9])
    assert np.array_equal(result.tables.bottom.index, everything.tables.bottom.index[:, :9])


def test_fast_keeps_the_exact_examples(model, everything, photos) -> None:
    fast = scan(model, "mixed4a", photos, split="val", precision="fast", progress=False)
    for side in ("top", "bottom"):
        exact = getattr(everything.tables, side).index[:, :9]
        kept = getattr(fast.tables, side).index
        inside = [set(a) <= set(b) for a, b in zip(exact.tolist(), kept.tolist(), strict=True)]
        assert np.mean(inside) >= 0.999
    for neuron in (68, 257, 427, 486, 501):
        examples = fast.top(neuron)
        exact = [e.index for e in everything.top(neuron, 9)]
        assert [e.index for e in examples] == exact
        scores = [e.score for e in everything.top(neuron, 9)]
        assert [e.score for e in examples] == pytest.approx(scores, rel=1e-4)


def test_maps_agree_with_the_scan(model, photos) -> None:
    result = scan(model, "mixed4a", photos, split="val", num_samples=40, progress=False)
    for example in (*result.top(68), *result.bottom(68)):
        activation = example.activation_map()
        assert activation.shape == (14, 14)
        assert activation.mean() == pytest.approx(example.score, rel=1e-4, abs=1e-4)
        assert activation[example.position] == pytest.approx(example.peak, rel=1e-4)


def test_receptive_fields_are_those_of_the_architecture(everything) -> None:
    """1x1, 3x3 and 5x5 branches of mixed4a see 107, 139 and 171 pixels; a stride is 16."""
    fields = everything.receptive_fields
    width = fields.last - fields.first + 1
    for neuron, exact in ((0, 107), (191, 107), (192, 139), (395, 139), (396, 171), (443, 171)):
        assert exact <= width[neuron].min()
        assert width[neuron].max() <= exact + 8
