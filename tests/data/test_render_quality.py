"""Rendered pictures of a real network: as strong as torch-lucent's, in fewer steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.rendering import RenderResult, render
from neuron_widget.settings import PREVIEW

pytestmark = pytest.mark.data

NEURONS = (68, 257, 427, 486, 501)

# Clean activations of torch-lucent 0.1.8 (right normalisation, these weights, the seed notebook's
# settings, 512 steps, 224 px).
LUCENT = np.array([878.0, 2202.0, 596.0, 1350.0, 1213.0])


@pytest.fixture(scope="module")
def model(inception_weights: Path) -> VisionModel:
    return load_model(weights=inception_weights, device="cpu")


@pytest.fixture(scope="module")
def result(model: VisionModel) -> RenderResult:
    return render(model, "mixed4a", NEURONS, steps=176, batch_size=5, progress=False)


def clean(model: VisionModel, images: np.ndarray) -> np.ndarray:
    with torch.no_grad(), model.reading("mixed4a") as read:
        means: np.ndarray = read(torch.from_numpy(images).permute(0, 3, 1, 2)).mean((2, 3)).numpy()
    return means


def test_activation_of_lucents_512_steps_after_a_third_of_them(result: RenderResult) -> None:
    assert result.activation.mean() >= LUCENT.mean()
    assert (result.activation > 0.9 * LUCENT).all()


def test_target_is_the_strongest_channel(model: VisionModel, result: RenderResult) -> None:
    means = clean(model, result.images)
    ranks = [int((means[i] > means[i, n]).sum()) for i, n in enumerate(NEURONS)]
    assert np.median(ranks) == 0
    assert max(ranks) <= 10


def test_pictures_are_pictures(result: RenderResult) -> None:
    """Neither flat nor noise (whose neighbours differ by 1.13 standard deviations on average)."""
    for image in result.images:
        assert image.std() > 0.08
        fine = np.abs(np.diff(image, axis=0)).mean()
        assert fine < 0.7 * image.std()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_picture_does_not_depend_on_its_company(model: VisionModel, precision: str) -> None:
    options = {"size": 112, "steps": 32, "precision": precision, "progress": False}
    together = render(model, "mixed4a", NEURONS, batch_size=5, **options)
    for order, batch_size in (((427,), 1), ((501, 68, 427, 257), 3)):
        other = render(model, "mixed4a", order, batch_size=batch_size, **options)
        for i, neuron in enumerate(order):
            where = NEURONS.index(neuron)
            np.testing.assert_allclose(other.images[i], together.images[where], atol=1e-4)


def test_bfloat16_is_as_strong_as_float32(model: VisionModel) -> None:
    options = {"size": 112, "steps": 96, "batch_size": 5, "progress": False}
    one, other = (
        render(model, "mixed4a", NEURONS, precision=p, **options).activation.mean()
        for p in ("float32", "bfloat16")
    )
    assert other == pytest.approx(one, rel=0.05)


def test_previews_show_their_neuron(model: VisionModel) -> None:
    previews = render(model, "mixed4a", NEURONS, **PREVIEW, progress=False)
    means = clean(model, previews.images)
    ranks = [int((means[i] > means[i, n]).sum()) for i, n in enumerate(NEURONS)]
    # Among the strongest of 508 channels.
    assert np.median(ranks) <= 5
