"""One neuron end to end without a widget: optimised image, best photos, numbers, figure."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from neuron_widget.analysis.figures import save_figure
from neuron_widget.analysis.images import ImageLike, as_picture
from neuron_widget.analysis.layer import is_known, keep_activations
from neuron_widget.analysis.report import figure_of, scan_behind, show_figure
from neuron_widget.analysis.results import Analysis, TopImage, analyse, check_analysis
from neuron_widget.durable import writable_folder
from neuron_widget.errors import StoreError, WrongType, WrongValue
from neuron_widget.names import check_neuron
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.photos.decode import as_image, square, to_rgb
from neuron_widget.progress import drain
from neuron_widget.scanning import ImageDataset, ScanResult, open_dataset
from neuron_widget.setting import check_int
from neuron_widget.settings import RENDER, RenderOptions
from neuron_widget.store import StoreLike, open_store
from neuron_widget.store.reuse import render_steps, scan_steps

__all__ = ["Analysis", "Analyzer", "TopImage"]

STEPS: int = RENDER["steps"].default


class Analyzer:
    """Analyse neurons (channels) of one layer, one after the other.

    All neurons share one scan of the photos. A built-in network is opened when it is first needed,
    any other one at once.

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

    Attributes
    ----------
    model : VisionModel
        The network; opened here if nothing has opened it yet.
    selected_neuron : int
        The neuron that is meant where none is named.
    activations : dict of str to torch.Tensor
        The layer's activation ``(N, C, h, w)`` on the image last looked at, by the layer's name;
        after :meth:`setup_activation_hook` that of every forward pass of ``model.module``.
    last_analysis : Analysis or None
        What :meth:`run_complete_analysis` found last.

    Raises
    ------
    UnknownLayer
        A ``ValueError`` with the nearest names.

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
        self.activations: dict[str, Tensor] = {}
        self.last_analysis: Analysis | None = None
        self._source = (model, weights)
        self._model: VisionModel | None = None
        self._store = open_store(store)
        self._datasets: dict[tuple[object, str], tuple[ImageDataset, object]] = {}
        self._scans: dict[tuple[object, ...], ScanResult] = {}
        self._unhook: Callable[[], object] = lambda: None
        if not is_known(target_layer, model):
            self.load_model()

    @property
    def model(self) -> VisionModel:
        """The network; opened here if nothing has opened it yet, see :meth:`load_model`."""
        return self.load_model()

    @property
    def activation(self) -> Tensor | None:
        """What ``activations`` holds for the layer; None if that is nothing yet."""
        return self.activations.get(self.target_layer)

    def load_model(self) -> VisionModel:
        """Open the network and return it; every other method does so when it has to.

        Raises ``ModelError``, ``WeightsUnavailable`` or ``UnknownLayer`` with the way out.
        """
        if self._model is None:
            model, weights = self._source
            opened = load_model(model, weights=weights, device=self.device)
            opened.layer(self.target_layer)
            self._model = opened
            self.device = opened.device
        return self._model

    def set_selected_neuron(self, neuron: int) -> None:
        """Choose the neuron that the other methods speak of unless told otherwise.

        Raises ``NeuronOutOfRange`` with the valid range.
        """
        self.selected_neuron = self._neuron(neuron)

    def get_layer_info(self) -> dict[str, Any]:
        """Return what is known of the layer.

        ``name`` (also under ``layer``), ``module`` (the ``nn.Module``), ``num_neurons``,
        ``map_size`` ``(h, w)``, the ``model``'s identity and its ``device``.
        """
        model = self.load_model()
        info = model.layer(self.target_layer)
        return {
            "name": info.name,
            "layer": info.name,
            "module": model.module.get_submodule(model.place(info.name)[0]),
            "num_neurons": info.channels,
            "map_size": (info.height, info.width),
            "model": model.identity,
            "device": str(model.device),
        }

    def activation_maximization(
        self,
        neuron: int | None = None,
        steps: int = STEPS,
        lr: float = 0.05,
        size: int | None = None,
        progress: bool = True,
        *,
        optim_steps: int | None = None,
    ) -> NDArray[np.float32]:
        """Return the image ``(H, W, 3)`` in 0..1 that the neuron responds to most.

        ``size`` is its side in pixels: default 224, or the nearest that the network takes.
        ``optim_steps`` is another name of ``steps``.
        """
        if optim_steps is not None:
            if steps not in (STEPS, optim_steps):
                raise WrongType(
                    f"steps={steps!r} and optim_steps={optim_steps!r} are two names of one "
                    "setting; give steps alone"
                )
            steps = optim_steps
        model, chosen = self.load_model(), self._neuron(neuron)
        how: RenderOptions = {"steps": steps, "size": size, "lr": lr, "seed": self.seed}
        work = render_steps(self._store, model, self.target_layer, chosen, **how)
        title = f"Rendering {self.target_layer}"
        image: NDArray[np.float32] = drain(
            work, progress=progress, title=title, unit="step"
        ).images[0]
        return image

    def setup_activation_hook(self) -> RemovableHandle:
        """Keep the layer's activation of every forward pass in ``activations[layer]``.

        The forward passes are those of ``model.module``; nothing else here needs them. ``layer`` is
        the name as given, or the network's own. A second call replaces the first hook;
        ``handle.remove()``, leaving ``with analyzer.setup_activation_hook():``, or the end of the
        analyzer takes it off.
        """
        self._unhook()
        model = self.load_model()
        layer = model.module.get_submodule(model.place(self.target_layer)[0])
        handle = keep_activations(layer, self._layer_names(), self.activations)
        self._unhook = weakref.finalize(self, handle.remove)
        return handle

    def _layer_names(self) -> set[str]:
        """The layer's name as it was given, and the network's own."""
        return {self.target_layer, self.load_model().layer(self.target_layer).name}

    def get_neuron_activation_map(
        self, image: ImageLike, neuron: int | None = None
    ) -> NDArray[np.float32]:
        """Return the neuron's activation ``(h, w)`` on an image, not normalised.

        The image, a PIL image, or a tensor or array ``(3, H, W)``, ``(1, 3, H, W)`` or
        ``(H, W, 3)`` in 0..1 or uint8, is resized and cropped as in a scan.
        """
        picture = to_rgb(as_image(as_picture(image)))
        model = self.load_model()
        if picture.size != (model.input_size,) * 2:  # a photo out of a scan is square already
            picture = square(picture, model.input_size)
        pixels = torch.from_numpy(np.array(picture)).to(model.device)
        with torch.inference_mode(), model.reading(self.target_layer) as read:
            activation = read(pixels.permute(2, 0, 1)[None].float() / 255)
        # Not left to the hook: what reads a network need not run the module that the hook is on.
        self.activations.update(dict.fromkeys(self._layer_names(), activation))
        found: NDArray[np.float32] = activation[0, self._neuron(neuron)].float().cpu().numpy()
        return found

    def get_neuron_activation(self, image: ImageLike, neuron: int | None = None) -> float:
        """Return the spatial mean of the neuron's activation on an image."""
        return float(self.get_neuron_activation_map(image, neuron).mean())

    def scan(
        self,
        num_samples: int | None = 1000,
        top_k: int = 10,
        progress: bool = True,
        *,
        split: str | None = None,
        dataset_root: Any = None,
    ) -> ScanResult:
        """Return the scan that all neurons share; made at the first call, and kept.

        One that was interrupted goes on where it was. The sample is the same for every neuron.
        ``split`` and ``dataset_root`` name other photos than the analyzer's own. Raises
        ``DatasetError`` with the way out.
        """
        top_k = check_int("top_k", top_k, 1)
        if num_samples is not None:
            num_samples = check_int("num_samples", num_samples, 1)
        dataset = self._dataset(split, dataset_root)
        key = (dataset.fingerprint, num_samples, self.seed, self.target_layer)
        known = self._scans.get(key)
        if known is None or known.settings["top_k"] < top_k:
            steps = scan_steps(
                self._store,
                self.load_model(),
                self.target_layer,
                dataset,
                num_samples=num_samples,
                top_k=top_k,
                seed=self.seed,
            )
            known = drain(steps, progress=progress, title="Scanning", unit=" photos")
            self._scans[key] = known
        return known

    def _dataset(self, split: str | None = None, root: Any = None) -> ImageDataset:
        split = self.split if split is None else split
        root = self.dataset_root if root is None else root
        if isinstance(split, int):  # the third argument of find_highly_activating_images
            raise WrongType(
                f"split must be a name such as 'train' or 'val', got {split!r}; "
                f"a neuron is given by its name: neuron={split!r}"
            )
        key = (str(root) if isinstance(root, (str, os.PathLike)) else id(root), split)
        known = self._datasets.get(key)
        if known is None or isinstance(root, (str, os.PathLike)):  # a folder may have changed
            opened = open_dataset(root, split=split)
            if known is None or opened.fingerprint != known[0].fingerprint:
                # Kept with its root, so that no other object can get the root's id.
                self._datasets[key] = known = (opened, root)
        return known[0]

    def find_highly_activating_images(
        self,
        num_samples: int | None = 1000,
        top_k: int = 10,
        split: str | None = None,
        dataset_root: Any = None,
        neuron: int | None = None,
        progress: bool = True,
    ) -> list[TopImage]:
        """Return (photo, spatial mean, activation map) of the best photos, best first.

        ``split`` and ``dataset_root`` are the analyzer's own unless told otherwise.
        """
        self._dataset(split, dataset_root)  # wrong photos are told before a network is opened
        chosen = self._neuron(neuron)
        found = self.scan(num_samples, top_k, progress, split=split, dataset_root=dataset_root)
        return [(e.image(), e.score, e.activation_map()) for e in found.top(chosen, top_k)]

    def analyze_patterns(
        self,
        optimized_image: ImageLike,
        top_images: Sequence[TopImage] = (),
        neuron: int | None = None,
    ) -> Analysis:
        """Return colours, contrast and pattern labels together with the images.

        Images are of any form that :meth:`get_neuron_activation` takes.
        """
        return analyse(self.target_layer, self._neuron(neuron), optimized_image, top_images)

    def visualize_results(
        self,
        analysis: Analysis | None = None,
        save_dir: str | Path = "results",
        show: bool = True,
        *,
        results: Analysis | None = None,
    ) -> Path:
        """Save the figure at 300 dpi and return its path; in a notebook it is shown as well.

        The file is ``<save_dir>/neuron_<n>_analysis_with_activations.png``. Without an analysis the
        last one is drawn again; ``results`` is another name of it. Raises ``StoreError`` for a
        folder that cannot be written to.
        """
        found = analysis if analysis is not None else results
        found = found if found is not None else self.last_analysis
        if found is None:
            raise WrongValue("there is no analysis to draw yet; run_complete_analysis() makes one")
        check_analysis(found)
        folder = writable_folder(save_dir, "save_dir=")
        neuron = found["neuron_id"]
        figure = figure_of(
            found,
            self.model.name,
            self.get_neuron_activation(found["optimization_result"], neuron),
            scan_behind(found, self._scans.values()),
        )
        path = save_figure(figure, folder / f"neuron_{neuron}_analysis_with_activations.png")
        if show:
            show_figure(figure)
        return path

    def run_complete_analysis(
        self,
        neuron: int | None = 0,
        num_samples: int | None = 1000,
        top_k: int = 10,
        optim_steps: int = STEPS,
        save_dir: str | Path = "results",
        lr: float = 0.05,
        progress: bool = True,
    ) -> Analysis:
        """Render, find photos, analyse, and save the figure of one neuron.

        The neuron is the selected one from then on; None takes the one selected before. Wrong
        arguments, photos that are missing and a folder that cannot be written to are told before
        the work. Should the figure fail nevertheless, ``last_analysis`` holds what was found.
        """
        self._dataset()
        if neuron is not None:
            self.set_selected_neuron(neuron)
        RENDER["steps"].check(optim_steps)
        RENDER["lr"].check(lr)
        writable_folder(save_dir, "save_dir=")
        # Photos first: a wrong folder should not cost a rendering.
        photos = self.find_highly_activating_images(num_samples, top_k, progress=progress)
        image = self.activation_maximization(steps=optim_steps, lr=lr, progress=progress)
        self.last_analysis = results = self.analyze_patterns(image, photos)
        try:
            self.visualize_results(results, save_dir)
        except (OSError, StoreError) as error:
            raise StoreError(
                f"the figure of neuron {results['neuron_id']} could not be saved in "
                f"{str(save_dir)!r}: {error}. Nothing else is lost: last_analysis holds what was "
                "found, and visualize_results(save_dir=...) draws it again"
            ) from error
        return results

    def _neuron(self, neuron: int | None) -> int:
        wanted = self.selected_neuron if neuron is None else neuron
        info = self.load_model().layer(self.target_layer)
        return check_neuron(wanted, info.channels, info.name)
