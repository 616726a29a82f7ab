"""What is wrong is told in our words, and before the work."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import neuron_widget.analysis.analyzer
from neuron_widget.analysis.analyzer import Analysis, Analyzer
from neuron_widget.errors import DatasetError, NeuronOutOfRange, StoreError, UnknownLayer
from neuron_widget.networks.model import VisionModel

KEYS = set(Analysis.__annotations__)
BATCH = torch.linspace(0, 1, 3 * 48 * 40).reshape(1, 3, 48, 40)


@pytest.mark.parametrize("layer", ["mixed9z", "mixed4a.7x7", 4, ["mixed4a"]])
@pytest.mark.parametrize("source", ["inceptionv1", "efficientnet_lite0", None])
def test_an_unknown_layer_is_a_value_error_of_the_constructor(
    layer: Any, source: str | None, model: VisionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    if source == "inceptionv1":  # without weights, too
        monkeypatch.setattr(neuron_widget.analysis.analyzer, "load_model", None)
    with pytest.raises(ValueError, match="mixed") as raised:
        Analyzer(layer, model=source or model)
    assert raised.type is UnknownLayer


def test_a_built_in_network_is_opened_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    load = neuron_widget.analysis.analyzer.load_model
    monkeypatch.setattr(
        neuron_widget.analysis.analyzer,
        "load_model",
        lambda name, **how: opened.append(name) or load(name, **how),
    )
    Analyzer("mixed_4a")
    Analyzer("mixed4a_3x3_bottleneck")
    analyzer = Analyzer("Blocks_1", model="efficientnet_lite0", weights="random")
    assert opened == []
    assert analyzer.model is analyzer.model is analyzer.load_model()
    assert opened == ["efficientnet_lite0"]
    assert analyzer.get_layer_info()["name"] == "blocks.1"
    # A layer that only the opened network knows.
    inside = Analyzer("blocks.1.0", model="efficientnet_lite0", weights="random")
    assert inside.get_layer_info()["name"] == "blocks.1.0"


WRONG: dict[str, tuple[Callable[[Analyzer], Any], type[Exception], str]] = {
    "two numbers of steps": (
        lambda a: a.activation_maximization(1, steps=2, optim_steps=3),
        TypeError,
        "two names of one setting",
    ),
    "no steps": (lambda a: a.activation_maximization(1, steps=0), ValueError, "steps"),
    "a neuron in split's place": (
        lambda a: a.find_highly_activating_images(4, 2, 3),
        TypeError,
        "neuron=3",
    ),
    "no photos": (lambda a: a.find_highly_activating_images(4, 0), ValueError, "top_k"),
    "half a sample": (lambda a: a.find_highly_activating_images(0.5), TypeError, "num_samples"),
    "no such folder": (
        lambda a: a.find_highly_activating_images(dataset_root="no/where"),
        DatasetError,
        "no/where",
    ),
    "two images": (
        lambda a: a.get_neuron_activation(torch.zeros(2, 3, 8, 8)),
        ValueError,
        r"2 images; give one: image\[0\]",
    ),
    "no colours": (
        lambda a: a.get_neuron_activation(torch.zeros(5, 8, 8)),
        ValueError,
        r"\(5, 8, 8\); expected a PIL image",
    ),
    "0 to 255": (
        lambda a: a.get_neuron_activation(BATCH * 255),
        ValueError,
        "divide it by 255",
    ),
    "normalised": (
        lambda a: a.analyze_patterns((BATCH - 0.5) / 0.2),
        ValueError,
        "optimized_image has values in -2.5..2.5.*normalisation",
    ),
    "not a number": (lambda a: a.analyze_patterns(BATCH * torch.nan), ValueError, "nan"),
    "whole numbers": (lambda a: a.analyze_patterns(BATCH.long()), ValueError, "int64"),
    "a path": (lambda a: a.get_neuron_activation("cat.jpg"), TypeError, "PIL.Image.open"),
    "photos alone": (
        lambda a: a.analyze_patterns(BATCH, [Image.new("RGB", (8, 8))]),
        TypeError,
        r"top_images\[0\] is a Image; expected one of \(photo, score, activation map\)",
    ),
    "one photo": (
        lambda a: a.analyze_patterns(BATCH, Image.new("RGB", (8, 8))),
        TypeError,
        "expected a list",
    ),
    "a map that is none": (
        lambda a: a.analyze_patterns(BATCH, [(BATCH, 1.0, np.zeros(3))]),
        TypeError,
        r"array of shape \(3,\); expected an activation map",
    ),
    "a score that is none": (
        lambda a: a.analyze_patterns(BATCH, [(BATCH, "1", np.zeros((3, 3)))]),
        TypeError,
        "a number",
    ),
    "nothing to draw": (lambda a: a.visualize_results(), ValueError, "run_complete_analysis"),
    "half an analysis": (
        lambda a: a.visualize_results({"neuron_id": 1, "layer": "0"}),
        ValueError,
        "no 'optimization_result'.*analyze_patterns",
    ),
    "an image to draw": (lambda a: a.visualize_results(BATCH), TypeError, "analysis is a Tensor"),
}


@pytest.mark.parametrize(("call", "error", "says"), WRONG.values(), ids=WRONG)
def test_wrong_arguments(
    call: Callable[[Analyzer], Any], error: type[Exception], says: str, analyzer: Analyzer
) -> None:
    with pytest.raises(error, match=says):
        call(analyzer)


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"save_dir": "FILE"}, StoreError, "save_dir="),
        ({"save_dir": "FILE/results"}, StoreError, "save_dir="),
        ({"save_dir": "a\0b"}, StoreError, "save_dir="),
        ({"save_dir": "~nobody-of-this-name/results"}, StoreError, "save_dir="),
        ({"save_dir": ""}, TypeError, "path of a folder"),
        ({"save_dir": None}, TypeError, "path of a folder"),
        ({"neuron": 4}, NeuronOutOfRange, "0 to 3"),
        ({"optim_steps": -1}, ValueError, "steps"),
        ({"lr": "fast"}, TypeError, "lr"),
        ({"top_k": 0}, ValueError, "top_k"),
        ({"num_samples": "all"}, TypeError, "num_samples"),
    ],
    ids=str,
)
def test_before_the_hours_of_work(
    wrong: dict[str, Any],
    error: type[Exception],
    says: str,
    analyzer: Analyzer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("FILE").touch()
    monkeypatch.setattr(neuron_widget.analysis.analyzer, "scan_steps", None)
    monkeypatch.setattr(neuron_widget.analysis.analyzer, "render_steps", None)
    with pytest.raises(error, match=says):
        analyzer.run_complete_analysis(**wrong)


def test_a_folder_is_looked_at_again(analyzer: Analyzer, folder: Path) -> None:
    """Photos that came, and photos that went: scanning again is what the error asks for."""
    before = analyzer.scan(progress=False)
    assert analyzer.scan(progress=False) is before
    photos = sorted((folder / "train" / "class0").iterdir())
    shutil.copy(photos[0], folder / "train" / "class0" / "more.png")
    assert analyzer.scan(progress=False).scanned == before.scanned + 1
    photos[1].unlink()
    assert len(analyzer.find_highly_activating_images(neuron=1, progress=False)) == before.scanned


def test_a_full_disk_costs_the_figure_only(
    analyzer: Analyzer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(neuron_widget.analysis.analyzer, "save_figure", full)
        with pytest.raises(StoreError, match=r"^the figure of neuron 2 could not be saved"):
            analyzer.run_complete_analysis(2, 4, 2, optim_steps=1, save_dir=tmp_path)
    assert analyzer.last_analysis is not None
    assert set(analyzer.last_analysis) == KEYS
    assert analyzer.visualize_results(save_dir=tmp_path).is_file()


def test_errors_come_early(model: VisionModel, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no folder"):
        Analyzer("0", model=model, dataset_root=tmp_path / "no").run_complete_analysis(neuron=0)
