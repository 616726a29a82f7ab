"""One neuron end to end without a widget: optimised image, best photos, numbers, figure."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from neuron_widget.analysis.figures import neuron_figure, save_figure
from neuron_widget.analysis.statistics import (
    ColourStatistics,
    colour_statistics,
    contrast,
    pattern_labels,
)
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.rendering import render
from neuron_widget.scanning import ImageDataset, ScanResult, open_dataset, scan
from neuron_widget.scanning.decode import as_image, square, to_rgb
from neuron_widget.store import StoreLike, open_store

__all__ = ["Analysis", "Analyzer", "TopImage"]

TopImage = tuple[Image.Image, float, NDArray[np.float32]]


class ColourAnalysis(TypedDict):
    """Colours of the optimised image and of each top photo, 0..255."""

    optimized_image: ColourStatistics
    top_images: list[ColourStatistics]


class TextureAnalysis(TypedDict):
    """Contrast (standard deviation of all values, 0..255) of the same images."""

    optimized_image: float
    top_images: list[float]


class Analysis(TypedDict):
    """What is found about one neuron.

    ``optimization_result`` is the image ``(H, W, 3)`` float32 in 0..1; ``top_activating_images``
    are (photo as the network saw it, spatial mean of the activation, activation map ``(h, w)``),
    best first; ``patterns_detected`` speaks of the optimised image.
    """

    neuron_id: int
    layer: str
    optimization_result: NDArray[np.float32]
    top_activating_images: list[TopImage]
    patterns_detected: list[str]
    color_analysis: ColourAnalysis
    texture_analysis: TextureAnalysis


class Analyzer:
    """Analyse neurons (channels) of one layer, one after the other.

    All neurons share one scan of the photos.

    Parameters
    ----------
    target_layer
        Name of the layer; ``"mixed_4a"`` is ``mixed4a``.
    device
        ``"cuda"``, ``"mps"``, ``"cpu"`` or a ``torch.device``; default the best there is.
    model, weights
        What :func:`neuron_widget.load_model` takes.
    dataset_root
        A folder of photos, or anything else that :func:`neuron_widget.open_dataset` takes.
    split
        Split of the data set, where it has several.
    seed
        Seed of the images and of the sample of photos.
    store
        Where results are kept and looked for first: a folder, ``False`` for none; default the
        one that ``NEURON_WIDGET_STORE`` names, else the platform's cache folder.

    Examples
    --------
    >>> from neuron_widget import Analyzer
    >>> analyzer = Analyzer("blocks.0", model="efficientnet_lite0", dataset_root="samples")
    >>> results = analyzer.run_complete_analysis(
    ...     neuron=3, num_samples=16, top_k=2, optim_steps=4, progress=False
    ... )
    >>> results["optimization_result"].shape, len(results["top_activating_images"])
    ((224, 224, 3), 2)
    """

    def __init__(
        self,
        target_layer: str = "mixed4a",
        device: str | torch.device | None = None,
        model: str | nn.Module | VisionModel = "inceptionv1",
        weights: str | Path | None = None,
        dataset_root: Any = "data/imagenette2-320",
        split: str = "train",
        seed: int = 0,
        store: StoreLike = None,
    ):
        self.target_layer = target_layer
        self.device = device
        self.dataset_root = dataset_root
        self.split = split
        self.seed = seed
        self.selected_neuron = 0
        self.model: VisionModel | None = None
        self.activation: Tensor | None = None
        self._source = (model, weights)
        self._store = open_store(store)
        self._dataset: ImageDataset | None = None
        self._scans: dict[tuple[object, ...], ScanResult] = {}
        self._hook: RemovableHandle | None = None

    def load_model(self) -> VisionModel:
        """Open the network and return it; every other method does so when it has to.

        Raises ``ModelError``, ``WeightsUnavailable`` or ``UnknownLayer`` with the way out.
        """
        if self.model is None:
            model, weights = self._source
            opened = load_model(model, weights=weights, device=self.device)
            opened.layer(self.target_layer)
            self.model = opened
            self.device = opened.device
        return self.model

    def set_selected_neuron(self, neuron: int) -> None:
        """Choose the neuron that the other methods speak of unless told otherwise.

        Raises ``NeuronOutOfRange`` with the valid range.
        """
        (self.selected_neuron,) = self.load_model().check_neurons(self.target_layer, neuron)

    def get_layer_info(self) -> dict[str, Any]:
        """Return name, number of neurons and map size of the layer, and the model's identity."""
        model = self.load_model()
        info = model.layer(self.target_layer)
        return {
            "layer": info.name,
            "num_neurons": info.channels,
            "map_size": (info.height, info.width),
            "model": model.identity,
            "device": str(model.device),
        }

    def activation_maximization(
        self,
        neuron: int | None = None,
        optim_steps: int = 512,
        lr: float = 0.05,
        size: int = 224,
        progress: bool = True,
    ) -> NDArray[np.float32]:
        """Return the image ``(H, W, 3)`` in 0..1 that the neuron responds to most."""
        model, chosen, store = self.load_model(), self._neuron(neuron), self._store
        how: dict[str, Any] = {"steps": optim_steps, "size": size, "lr": lr, "seed": self.seed}
        place = (model, self.target_layer, chosen)
        if store is not None:
            store.recipe.forget(model)
        result = store.find_render(*place, **how) if store is not None else None
        if result is None:
            begun = store.find_resumable(*place, **how) if store is not None else None
            result = render(*place, resume=begun, progress=progress, **how)
            if store is not None:
                store.keep(model, result)
        image: NDArray[np.float32] = np.asarray(result.images[0])
        return image

    def setup_activation_hook(self) -> RemovableHandle:
        """Keep the layer's activation of every forward pass in ``self.activation``.

        Nothing else here needs it. A second call replaces the first hook; ``handle.remove()``, or
        leaving ``with analyzer.setup_activation_hook():``, takes it off.
        """
        if self._hook is not None:
            self._hook.remove()
        model = self.load_model()
        layer = model.module.get_submodule(model.layer(self.target_layer).name)

        def keep(_module: nn.Module, _args: object, output: Tensor) -> None:
            self.activation = output.detach()

        self._hook = layer.register_forward_hook(keep)
        return self._hook

    def get_neuron_activation_map(
        self, image: Image.Image | Tensor | NDArray[Any], neuron: int | None = None
    ) -> NDArray[np.float32]:
        """Return the neuron's activation ``(h, w)`` on an image, not normalised.

        A PIL image is resized and cropped as in a scan; a tensor ``(3, H, W)`` or array
        ``(H, W, 3)``, in 0..1 or uint8, is too.
        """
        model = self.load_model()
        picture = to_rgb(as_image(image))
        if picture.size != (model.input_size,) * 2:  # a photo out of a scan is square already
            picture = square(picture, model.input_size)
        pixels = torch.from_numpy(np.array(picture)).to(model.device)
        with torch.inference_mode(), model.reading(self.target_layer) as read:
            activation = read(pixels.permute(2, 0, 1)[None].float() / 255)
        found: NDArray[np.float32] = activation[0, self._neuron(neuron)].float().cpu().numpy()
        return found

    def get_neuron_activation(
        self, image: Image.Image | Tensor | NDArray[Any], neuron: int | None = None
    ) -> float:
        """Return the spatial mean of the neuron's activation on an image."""
        return float(self.get_neuron_activation_map(image, neuron).mean())

    def scan(
        self, num_samples: int | None = 1000, top_k: int = 10, progress: bool = True
    ) -> ScanResult:
        """Return the scan that all neurons share; made at the first call, and kept.

        One that was interrupted goes on where it was. The sample is the same for every neuron.
        Raises ``DatasetError`` with the way out.
        """
        model = self.load_model()
        if self._dataset is None:
            self._dataset = open_dataset(self.dataset_root, split=self.split)
        key = (self._dataset.fingerprint, num_samples, self.seed, self.target_layer)
        known = self._scans.get(key)
        if known is None or known.settings["top_k"] < top_k:
            known = self._scans[key] = self._scan(
                model, self._dataset, progress, top_k=top_k, num_samples=num_samples
            )
        return known

    def _scan(
        self,
        model: VisionModel,
        dataset: ImageDataset,
        progress: bool,
        *,
        top_k: int,
        num_samples: int | None,
    ) -> ScanResult:
        place, store = (model, self.target_layer, dataset), self._store
        how: dict[str, Any] = {"top_k": top_k, "seed": self.seed}
        if store is None:
            return scan(*place, num_samples=num_samples, progress=progress, **how)
        store.recipe.forget(model)
        result = store.find_scan(*place, num_samples=num_samples, **how)
        if result is None:
            checkpoint = store.checkpoint(*place, **how)
            result = scan(
                *place, num_samples=num_samples, progress=progress, checkpoint=checkpoint, **how
            )
            store.keep(model, result)
        return result

    def find_highly_activating_images(
        self,
        num_samples: int | None = 1000,
        top_k: int = 10,
        neuron: int | None = None,
        progress: bool = True,
    ) -> list[TopImage]:
        """Return (photo, spatial mean, activation map) of the best photos, best first."""
        examples = self.scan(num_samples, top_k, progress).top(self._neuron(neuron), top_k)
        return [(e.image(), e.score, e.activation_map()) for e in examples]

    def analyze_patterns(
        self,
        optimized_image: NDArray[np.float32],
        top_images: Sequence[TopImage],
        neuron: int | None = None,
    ) -> Analysis:
        """Return colours, contrast and pattern labels together with the images."""
        photos = [image for image, _, _ in top_images]
        return {
            "neuron_id": self._neuron(neuron),
            "layer": self.target_layer,
            "optimization_result": optimized_image,
            "top_activating_images": list(top_images),
            "patterns_detected": pattern_labels(optimized_image),
            "color_analysis": {
                "optimized_image": colour_statistics(optimized_image),
                "top_images": [colour_statistics(photo) for photo in photos],
            },
            "texture_analysis": {
                "optimized_image": contrast(optimized_image),
                "top_images": [contrast(photo) for photo in photos],
            },
        }

    def visualize_results(
        self, results: Analysis, save_dir: str | Path = "results", show: bool = True
    ) -> Path:
        """Save the figure at 300 dpi and return its path; in a notebook it is shown as well.

        The file is ``<save_dir>/neuron_<n>_analysis_with_activations.png``.
        """
        neuron = results["neuron_id"]
        figure = neuron_figure(
            results["layer"],
            neuron,
            results["optimization_result"],
            results["top_activating_images"],
            notes=self._notes(results),
            labels=self._labels(results),
        )
        name = f"neuron_{neuron}_analysis_with_activations.png"
        path = save_figure(figure, Path(save_dir) / name)
        if show:
            _show(figure)
        return path

    def run_complete_analysis(
        self,
        neuron: int | None = None,
        num_samples: int | None = 1000,
        top_k: int = 10,
        optim_steps: int = 512,
        save_dir: str | Path = "results",
        lr: float = 0.05,
        progress: bool = True,
    ) -> Analysis:
        """Render, find photos, analyse, and save the figure of one neuron."""
        if neuron is not None:
            self.set_selected_neuron(neuron)
        # Photos first: a wrong folder should not cost a rendering.
        photos = self.find_highly_activating_images(num_samples, top_k, progress=progress)
        image = self.activation_maximization(optim_steps=optim_steps, lr=lr, progress=progress)
        results = self.analyze_patterns(image, photos)
        self.visualize_results(results, save_dir)
        return results

    def _neuron(self, neuron: int | None) -> int:
        wanted = self.selected_neuron if neuron is None else neuron
        (number,) = self.load_model().check_neurons(self.target_layer, wanted)
        return number

    def _notes(self, results: Analysis) -> list[str]:
        """Lines beside the image: what was measured, and on what."""
        image = results["optimization_result"]
        model = self.load_model()
        clean = self.get_neuron_activation(image, results["neuron_id"])
        colours = results["color_analysis"]["optimized_image"]
        triple = " ".join(f"{value:.0f}" for value in colours["mean_rgb"])
        lines = [
            model.name,
            f"activation of this image: {clean:.4g}",
            f"mean RGB: {triple}   contrast: {results['texture_analysis']['optimized_image']:.0f}",
            ", ".join(results["patterns_detected"]) or "no pattern label",
        ]
        seen = self._scan_of(results)
        if seen is not None:
            best = results["top_activating_images"][0][1]
            lines.append(f"best of {seen.scanned} photos ({seen.dataset}): {best:.4g}")
            lines.append("\nMaps share one colour scale.")
        return lines

    def _labels(self, results: Analysis) -> list[str]:
        seen = self._scan_of(results)
        return [e.label for e in seen.top(results["neuron_id"])] if seen is not None else []

    def _scan_of(self, results: Analysis) -> ScanResult | None:
        """The scan that the photos came from, known by their scores; None for other photos."""
        scores = [score for _, score, _ in results["top_activating_images"]]
        for known in self._scans.values():
            examples = known.top(results["neuron_id"], len(scores))
            if scores and scores == [example.score for example in examples]:
                return known
        return None


def _show(figure: Any) -> None:
    """Show the figure under the cell, small: at 300 dpi eleven of them would fill a notebook."""
    if "IPython" not in sys.modules:
        return
    from IPython.core.getipython import get_ipython
    from IPython.display import Image as Picture
    from IPython.display import display

    if getattr(get_ipython(), "kernel", None) is None:
        return
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=90, format="png")
    display(Picture(data=buffer.getvalue()))  # type: ignore[no-untyped-call]
