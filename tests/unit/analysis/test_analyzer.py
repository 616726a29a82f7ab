"""The Analyzer on a tiny network: keys, one scan for all neurons, one hook at most."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import neuron_widget.analysis.analyzer
import neuron_widget.scanning
from neuron_widget.analysis.analyzer import Analysis, Analyzer
from neuron_widget.errors import NeuronOutOfRange
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model

KEYS = set(Analysis.__annotations__)


def test_complete_analysis(analyzer: Analyzer, tmp_path: Path) -> None:
    results = analyzer.run_complete_analysis(
        neuron=2, num_samples=8, top_k=3, optim_steps=2, save_dir=tmp_path / "results"
    )
    assert set(results) == KEYS
    assert (results["neuron_id"], results["layer"]) == (2, "0")
    image = results["optimization_result"]
    assert (image.shape, image.dtype) == ((224, 224, 3), np.float32)
    scores = [score for _, score, _ in results["top_activating_images"]]
    assert scores == sorted(scores, reverse=True)
    for photo, score, activation in results["top_activating_images"]:
        assert photo.size == (32, 32)
        assert activation.shape == (8, 8)
        assert activation.mean() == pytest.approx(score, rel=1e-5)
        assert analyzer.get_neuron_activation(photo) == pytest.approx(score, rel=1e-4)
    colours = results["color_analysis"]
    assert set(colours) == {"optimized_image", "top_images", "top_image_statistics"}
    assert set(colours["optimized_image"]) == {"mean_rgb", "std_rgb"}
    assert len(colours["top_images"]) == len(results["texture_analysis"]["top_images"]) == 3
    assert 0 < colours["optimized_image"]["mean_rgb"][0] < 255
    json.dumps([colours, results["texture_analysis"], results["patterns_detected"]])
    assert (tmp_path / "results" / "neuron_2_analysis_with_activations.png").is_file()


def test_one_scan_for_all_neurons(analyzer: Analyzer, monkeypatch: pytest.MonkeyPatch) -> None:
    scans = []
    scan = neuron_widget.scanning.scan_steps
    monkeypatch.setattr(
        neuron_widget.scanning, "scan_steps", lambda *a, **k: scans.append(k) or scan(*a, **k)
    )
    for neuron in range(4):
        assert len(analyzer.find_highly_activating_images(9, 3, neuron=neuron)) == 3
    analyzer.find_highly_activating_images(9, 2)
    assert len(scans) == 1
    analyzer.find_highly_activating_images(9, 5)
    analyzer.find_highly_activating_images(4, 3)
    assert len(scans) == 3


def test_learning_rate_reaches_the_optimiser(analyzer: Analyzer) -> None:
    slow = analyzer.activation_maximization(0, optim_steps=2, lr=1e-4, progress=False)
    fast = analyzer.activation_maximization(0, optim_steps=2, lr=0.5, progress=False)
    assert np.abs(slow - fast).max() > 0.01


def test_hooks_do_not_pile_up(analyzer: Analyzer, model: VisionModel) -> None:
    layer = model.module[0]
    for _ in range(3):
        handle = analyzer.setup_activation_hook()
    assert len(layer._forward_hooks) == 1
    model.module(torch.zeros(1, 3, 32, 32))
    assert analyzer.activation is not None
    assert analyzer.activation.shape == (1, 4, 8, 8)
    handle.remove()
    with analyzer.setup_activation_hook():
        assert len(layer._forward_hooks) == 1
    assert len(layer._forward_hooks) == 0


def test_the_hook_goes_with_its_analyzer(model: VisionModel) -> None:
    Analyzer("0", model=model).setup_activation_hook()
    gc.collect()
    assert len(model.module[0]._forward_hooks) == 0


def test_activation_of_any_form_of_image(analyzer: Analyzer) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    forms = [
        pixels,
        Image.fromarray(pixels),
        torch.from_numpy(pixels).permute(2, 0, 1),
        torch.from_numpy(pixels).permute(2, 0, 1) / 255,
        (pixels / 255).astype(np.float32),
        torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255,
        torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255 * 1.001 - 0.0005,  # resized, say
        pixels.transpose(2, 0, 1)[None],
        pixels[None],
    ]
    values = [analyzer.get_neuron_activation(form, 1) for form in forms]
    assert values == pytest.approx([values[0]] * len(forms), rel=1e-5)
    assert analyzer.get_neuron_activation_map(Image.new("RGB", (90, 60))).shape == (8, 8)


def test_layer_info_and_selection(analyzer: Analyzer) -> None:
    info = analyzer.get_layer_info()
    assert (info["layer"], info["num_neurons"], info["map_size"]) == ("0", 4, (8, 8))
    analyzer.set_selected_neuron(3)
    assert analyzer.selected_neuron == 3
    with pytest.raises(NeuronOutOfRange, match="0 to 3"):
        analyzer.set_selected_neuron(4)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_device_may_be_either(device: object, folder: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU())
    user_module = load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32, device=device)
    assert (
        Analyzer("0", device=device, model=user_module, dataset_root=folder).load_model()
        is user_module
    )
