"""The seed notebook's two example cells, on real weights and photos."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import neuron_widget.analysis.analyzer
from neuron_widget.analysis.analyzer import Analyzer

pytestmark = pytest.mark.data


def test_the_two_cells(
    photos: Path, inception_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scans = []
    scan = neuron_widget.analysis.analyzer.scan
    monkeypatch.setattr(
        neuron_widget.analysis.analyzer, "scan", lambda *a, **k: scans.append(k) or scan(*a, **k)
    )

    # The first cell.
    analyzer = Analyzer(target_layer="mixed_4a", dataset_root=photos, weights=inception_weights)
    analyzer.load_model()
    first = analyzer.run_complete_analysis(neuron=0, num_samples=64, top_k=10, optim_steps=4)

    # The second cell.
    results = {0: first}
    for neuron in range(1, 11):
        results[neuron] = analyzer.run_complete_analysis(
            neuron=neuron, num_samples=64, top_k=10, optim_steps=1
        )

    assert len(scans) == 1
    for neuron in range(11):
        assert results[neuron]["neuron_id"] == neuron
        assert len(results[neuron]["top_activating_images"]) == 10
        path = tmp_path / "results" / f"neuron_{neuron}_analysis_with_activations.png"
        with Image.open(path) as figure:
            assert figure.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    maxima = {activation.max() for _, _, activation in first["top_activating_images"]}
    assert len(maxima) == 10  # the seed printed 1.0 beside every map
