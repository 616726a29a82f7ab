"""Every call of the course notebook: signatures, names, and kinds of results."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget.analysis.analyzer import Analyzer
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model

KEYS = {
    "neuron_id",
    "layer",
    "optimization_result",
    "top_activating_images",
    "patterns_detected",
    "color_analysis",
    "texture_analysis",
}


SIGNATURES = {
    "__init__": ("target_layer", "device"),
    "load_model": (),
    "set_selected_neuron": ("neuron",),
    "get_layer_info": (),
    "activation_maximization": ("neuron", "steps", "lr"),
    "setup_activation_hook": (),
    "get_neuron_activation": ("image", "neuron"),
    "get_neuron_activation_map": ("image", "neuron"),
    "find_highly_activating_images": ("num_samples", "top_k", "split", "dataset_root"),
    "analyze_patterns": ("optimized_image", "top_images"),
    "visualize_results": ("analysis", "save_dir"),
    "run_complete_analysis": ("neuron", "num_samples", "top_k", "optim_steps", "save_dir"),
}


@pytest.mark.parametrize(("method", "first"), SIGNATURES.items(), ids=SIGNATURES)
def test_signatures(method: str, first: tuple[str, ...]) -> None:
    parameters = inspect.signature(getattr(Analyzer, method)).parameters
    assert tuple(parameters)[1 : 1 + len(first)] == first
    # What is offered beyond the notebook is never asked for.
    beyond = [p for name, p in parameters.items() if name not in ("self", *first)]
    assert all(p.default is not inspect.Parameter.empty for p in beyond)


def test_defaults_are_the_notebooks() -> None:
    def default(method: str, name: str) -> object:
        return inspect.signature(getattr(Analyzer, method)).parameters[name].default

    assert default("run_complete_analysis", "neuron") == 0
    assert default("run_complete_analysis", "optim_steps") == 512
    assert default("activation_maximization", "steps") == 512
    assert default("activation_maximization", "lr") == 0.05
    assert default("visualize_results", "save_dir") == "results"


def image(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.shape == (224, 224, 3) and value.max() <= 1


def best_photos(count: int) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        kinds = [[type(part) for part in row] for row in value]
        return kinds == [[Image.Image, float, np.ndarray]] * count

    return check


def analysis(value: Any) -> bool:
    return set(value) == KEYS and value["optimization_result"].shape == (48, 40, 3)


BATCH = torch.linspace(0, 1, 3 * 48 * 40).reshape(1, 3, 48, 40)

CALLS: dict[str, tuple[Callable[[Analyzer, Path], Any], Callable[[Any], bool]]] = {
    "model after the constructor": (
        lambda a, _: a.model,
        lambda found: isinstance(found, VisionModel),
    ),
    "load_model": (lambda a, _: a.load_model(), lambda found: isinstance(found, VisionModel)),
    "layer info: name": (lambda a, _: a.get_layer_info()["name"], lambda name: name == "0"),
    "layer info: module": (
        lambda a, _: a.get_layer_info()["module"],
        lambda module: isinstance(module, nn.Conv2d),
    ),
    "steps": (lambda a, _: a.activation_maximization(1, steps=2, lr=0.05), image),
    "steps in their place": (lambda a, _: a.activation_maximization(1, 2, 0.05), image),
    "optim_steps": (lambda a, _: a.activation_maximization(1, optim_steps=2), image),
    "activation of a batch of one": (
        lambda a, _: a.get_neuron_activation(BATCH, 1),
        lambda found: isinstance(found, float),
    ),
    "map of a batch of one": (
        lambda a, _: a.get_neuron_activation_map(BATCH, 1),
        lambda found: found.shape == (8, 8),
    ),
    "photos": (
        lambda a, root: a.find_highly_activating_images(
            num_samples=6, top_k=2, split="train", dataset_root=root
        ),
        best_photos(2),
    ),
    "photos, arguments in their places": (
        lambda a, root: a.find_highly_activating_images(6, 5, "val", root),
        best_photos(2),  # so many are in "val"
    ),
    "patterns of a batch of one": (
        lambda a, _: a.analyze_patterns(BATCH, a.find_highly_activating_images(6, 2)),
        analysis,
    ),
    "patterns of the image alone": (lambda a, _: a.analyze_patterns(BATCH), analysis),
    "patterns of photos as tensors": (
        lambda a, _: a.analyze_patterns(BATCH, [(BATCH, torch.tensor(1.5), torch.rand(8, 8))]),
        analysis,
    ),
    "figure: analysis": (
        lambda a, root: a.visualize_results(
            analysis=a.analyze_patterns(BATCH), save_dir=root.parent
        ),
        lambda path: path.is_file(),
    ),
    "figure: results": (
        lambda a, root: a.visualize_results(
            results=a.analyze_patterns(BATCH, a.find_highly_activating_images(6, 2)),
            save_dir=root.parent,
        ),
        lambda path: path.is_file(),
    ),
}


@pytest.mark.parametrize(("call", "kind"), CALLS.values(), ids=CALLS)
def test_calls_and_kinds_of_results(
    call: Callable[[Analyzer, Path], Any],
    kind: Callable[[Any], bool],
    analyzer: Analyzer,
    folder: Path,
) -> None:
    assert kind(call(analyzer, folder))


def test_without_a_neuron_it_is_neuron_0(analyzer: Analyzer, tmp_path: Path) -> None:
    how: dict[str, Any] = {"num_samples": 4, "top_k": 2, "optim_steps": 1, "save_dir": tmp_path}
    analyzer.set_selected_neuron(3)
    assert analyzer.run_complete_analysis(None, **how)["neuron_id"] == 3
    assert analyzer.run_complete_analysis(**how)["neuron_id"] == analyzer.selected_neuron == 0


def test_mean_colours_of_the_first_five(analyzer: Analyzer) -> None:
    photos = analyzer.find_highly_activating_images(9, 7)
    colours = analyzer.analyze_patterns(BATCH, photos)["color_analysis"]
    means = [np.asarray(photo).reshape(-1, 3).mean(axis=0) for photo, _, _ in photos]
    assert isinstance(colours["top_images"], list)
    assert [[type(v) for v in rgb] for rgb in colours["top_images"]] == [[float] * 3] * 5
    assert np.allclose(colours["top_images"], means[:5])
    assert np.allclose([one["mean_rgb"] for one in colours["top_image_statistics"]], means)


def test_activations_by_the_layers_name(model: VisionModel) -> None:
    named = nn.Sequential()
    named.add_module("mixed4a", model.module)
    user_module = load_model(named, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
    analyzer = Analyzer("mixed_4a", model=user_module)
    assert analyzer.activations == {}
    with analyzer.setup_activation_hook():
        named(torch.zeros(2, 3, 32, 32))
        for name in ("mixed_4a", "mixed4a"):
            assert analyzer.activations[name].shape == (2, 6, 8, 8)
        value = analyzer.get_neuron_activation(BATCH, 1)
        assert analyzer.activations["mixed_4a"][0, 1].mean().item() == pytest.approx(value)
    seen = analyzer.activations["mixed_4a"]
    named(torch.zeros(2, 3, 32, 32))
    assert analyzer.activations["mixed_4a"] is seen


def test_other_photos_than_the_analyzers_own(analyzer: Analyzer, folder: Path) -> None:
    def scores(photos: list[Any]) -> list[float]:
        return [score for _, score, _ in photos]

    own = scores(analyzer.find_highly_activating_images(None, 2))
    others = scores(analyzer.find_highly_activating_images(None, 2, "val"))
    assert others == scores(
        Analyzer(
            "0", model=analyzer.model, dataset_root=folder / "val"
        ).find_highly_activating_images(None, 2)
    )
    assert own != others
    assert own == scores(analyzer.find_highly_activating_images(None, 2, dataset_root=folder))
