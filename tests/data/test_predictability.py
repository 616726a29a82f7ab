"""Real neurons and photos: how far pictures predict them, and in which order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neuron_widget import predictability, scan
from neuron_widget.analysis.predicting import Predictability
from neuron_widget.networks.zoo import load_model

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def told(inception_weights: Path, photos: Path) -> Predictability:
    model = load_model(weights=inception_weights, device="cpu")
    found = scan(model, "mixed4a", photos, split="train", progress=False)
    return predictability(found, store=False, progress=False)


def test_mixed4a_is_as_predictable_as_it_was_found(told: Predictability) -> None:
    assert np.isfinite(told.share()).all()
    assert 0.94 < told.share().mean() < 0.96
    assert told.reliability() > 0.65
    assert (told.pairs() == 2500).all()


def test_more_references_tell_more(told: Predictability) -> None:
    nine, most, one = (told.share(c).mean() for c in ("photos", "most", "photo"))
    assert nine > most > one > 0.7


def test_the_best_and_the_worst_neuron_differ_beyond_their_errors(told: Predictability) -> None:
    share, error = told.share(), told.error()
    worst, best = np.argmin(share), np.argmax(share)
    assert share[worst] + 3 * error[worst] < share[best] - 3 * error[best]
