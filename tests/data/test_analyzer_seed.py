"""The course notebook's cells, on real weights and photos."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

import neuron_widget.scanning
from neuron_widget.analysis.analyzer import Analyzer

pytestmark = pytest.mark.data


def test_the_two_cells(
    photos: Path, inception_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scans = []
    scan = neuron_widget.scanning.scan_steps
    monkeypatch.setattr(
        neuron_widget.scanning, "scan_steps", lambda *a, **k: scans.append(k) or scan(*a, **k)
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


def test_step_by_step(photos: Path, inception_weights: Path, tmp_path: Path) -> None:
    analyzer = Analyzer(target_layer="mixed_4a", dataset_root=photos, weights=inception_weights)
    info = analyzer.get_layer_info()
    assert info["name"] == "mixed4a"
    assert info["module"] is analyzer.model.module.mixed4a
    image = analyzer.activation_maximization(1, steps=2, lr=0.05)
    best = analyzer.find_highly_activating_images(32, 6, dataset_root=photos)
    batch = torch.from_numpy(image).permute(2, 0, 1)[None]
    with analyzer.setup_activation_hook():
        value = analyzer.get_neuron_activation(batch, 1)
        kept = analyzer.activations["mixed_4a"]
    assert kept.shape == (1, 508, 14, 14)
    assert kept[0, 1].mean().item() == pytest.approx(value)
    analysis = analyzer.analyze_patterns(batch, best, 1)
    assert [len(rgb) for rgb in analysis["color_analysis"]["top_images"]] == [3] * 5
    assert analyzer.visualize_results(analysis=analysis, save_dir=tmp_path).is_file()
