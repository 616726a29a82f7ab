"""What a page shows of one layer, whichever way it comes."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from neuron_widget.errors import StoreError, WrongType, WrongValue

if TYPE_CHECKING:
    from neuron_widget.analysis.predicting import Predictability
    from neuron_widget.networks.model import LayerInfo, VisionModel
    from neuron_widget.rendering import RenderResult
    from neuron_widget.scanning import ScanResult
    from neuron_widget.store import Store

__all__ = ["Contents", "from_results", "from_store"]


@dataclass
class Contents:
    """One layer: images, tiles and a scan.

    Attributes
    ----------
    model, layer
        The network and the layer.
    neurons
        Neurons in the page, in order.
    drawn
        Those of them that have an image; ``load`` returns one, with a single neuron.
    tiles
        64 px JPEGs by neuron, and whether each shows a finished image. What is drawn needs none.
    scan
        The scan of a data set, or None.
    neuron, steps
        What is selected first.
    predicted
        How far pictures predict the neurons, or None.
    """

    model: VisionModel
    layer: LayerInfo
    neurons: Sequence[int]
    drawn: Sequence[int]
    load: Callable[[int], RenderResult]
    tiles: Mapping[int, tuple[bytes, bool]] = field(default_factory=dict)
    scan: ScanResult | None = None
    neuron: int = 0
    steps: int = 512
    predicted: Predictability | None = None

    def __post_init__(self) -> None:
        self.neurons = sorted(set(self.neurons))
        there = set(self.neurons)
        self.drawn = [n for n in self.neurons if n in set(self.drawn)]
        self.tiles = {n: tile for n, tile in self.tiles.items() if n in there}
        if not self.drawn and not self.tiles and self.scan is None:
            raise StoreError(
                f"there is nothing to show of {self.layer.name} yet: no image, no preview, no scan"
            )
        if self.neuron not in there:
            self.neuron = next(iter([*self.drawn, *self.neurons]))

    @property
    def whole(self) -> bool:
        """Whether every neuron of the layer is in the page."""
        return len(self.neurons) == self.layer.channels

    def photos(self) -> list[int]:
        """Numbers of the photos that any neuron in the page names, each once."""
        if self.scan is None:
            return []
        tables, wanted = self.scan.tables, list(self.neurons)
        sides = [table.index[wanted] for table in (tables.top, tables.bottom)]
        return [int(i) for i in np.unique(np.concatenate(sides, axis=1))]

    def shots(self) -> int:
        """How many times the page names a photo."""
        if self.scan is None:
            return 0
        tables = self.scan.tables
        return len(self.neurons) * int(tables.top.index.shape[1] + tables.bottom.index.shape[1])


def from_results(
    model: VisionModel,
    layer: str,
    images: RenderResult | Iterable[RenderResult] | None,
    scan: ScanResult | None,
    neurons: Sequence[int] | None = None,
    predicted: Predictability | None = None,
) -> Contents:
    """Return what ``render``, ``scan`` and ``predictability`` gave, for a page.

    Raises
    ------
    ValueError
        Results of another layer or network, or of neurons that have two images.
    """
    from neuron_widget.rendering import RenderResult
    from neuron_widget.rendering.manifest import take
    from neuron_widget.scanning import ScanResult

    info = model.layer(layer)
    results: list[Any] = [images]
    if not isinstance(images, RenderResult):
        results = list(images or ()) if isinstance(images, Iterable | None) else [images]
    for one in results:
        if not isinstance(one, RenderResult):
            raise WrongType(f"images must be what render() returned, got {one!r:.80}")
    where: dict[int, tuple[RenderResult, int]] = {}
    for result in results:
        if result.layer != info.name:
            raise WrongValue(f"an image is of layer {result.layer!r}; expected {info.name!r}")
        for i, neuron in enumerate(result.neurons):
            if neuron in where:
                raise WrongValue(f"neuron {neuron} has two images; expected one of each neuron")
            where[neuron] = (result, i)
    if scan is not None and not isinstance(scan, ScanResult):
        raise WrongType(f"scan must be what scan() returned, got {scan!r:.80}")
    if scan is not None:
        _check_scan(scan, model, info.name)
    if predicted is not None:
        _check_scan(predicted, model, info.name)
    if neurons is None:
        neurons = range(info.channels) if scan is not None else list(where)
        neurons = model.check_neurons(info.name, neurons) if len(neurons) else ()
    else:
        neurons = model.check_neurons(info.name, neurons)
    return Contents(
        model,
        info,
        neurons,
        list(where),
        lambda neuron: take(*where[neuron]),
        scan=scan,
        steps=results[0].steps if results else 512,
        predicted=predicted,
    )


def _check_scan(scan: ScanResult | Predictability, model: VisionModel, layer: str) -> None:
    if scan.layer != layer:
        raise WrongValue(f"the scan is of layer {scan.layer!r}; expected {layer!r}")
    if scan.model_identity != model.identity:
        raise WrongValue(f"the scan is of {scan.model_identity}; expected {model.identity}")


def from_store(
    store: Store,
    model: VisionModel,
    layer: str,
    dataset: Any = None,
    neurons: Sequence[int] | None = None,
    *,
    images: Mapping[str, Any],
    photos: Mapping[str, Any],
) -> Contents:
    """Return what a store has of a layer.

    ``images`` are settings of :func:`neuron_widget.render`, ``photos`` of
    :meth:`.Store.find_scan` (with ``split``). Nothing is rendered or scanned.

    Raises
    ------
    StoreError
        If the store has no such image, or no scan of the data set; says how to make them.
    """
    from neuron_widget.scanning import open_dataset

    info = model.layer(layer)
    name, scan = info.name, None
    if dataset is not None:
        how = dict(photos)
        opened = open_dataset(dataset, split=how.pop("split", "train"))
        scan = store.find_scan(model, name, opened, **how)
        if scan is None:
            raise StoreError(
                f"{store.own.root} has no scan of {name} over {opened.name} with these settings; "
                f"make it with: neuron-widget prerender {name} --data {shlex.quote(str(dataset))} "
                "and the other options of this command"
            )
    looked = range(info.channels) if neurons is None else model.check_neurons(name, neurons)
    drawn = [n for n in looked if store.has_render(model, name, n, **images)]
    found = store.find_gallery(model, name, **images)
    if not drawn and (neurons is not None or not found):
        raise StoreError(_no_images(store, model, name, images))
    there = {*drawn, *(found.keys() & set(looked))}
    chosen = looked if neurons is not None or scan is not None else sorted(there)

    def load(neuron: int) -> RenderResult:
        result = store.find_render(model, name, neuron, **images)
        if result is None:
            raise StoreError(f"the image of {name} neuron {neuron} has just left the store")
        return result

    tiles = {n: (tile, True) for n, tile in found.items()}
    return Contents(
        model, info, list(chosen), drawn, load, tiles, scan, steps=int(images.get("steps", 512))
    )


def _no_images(store: Store, model: VisionModel, layer: str, images: Mapping[str, Any]) -> str:
    """Why there is nothing, with what there is under other settings."""
    from neuron_widget.durable import MALFORMED

    there: dict[tuple[Any, ...], int] = {}
    for facts in store.facts("images"):
        try:
            made = facts["settings"]
            if (facts["layer"], made["model"]) == (layer, model.identity):
                key = (facts["steps"], made["size"], made["seed"], made["lr"])
                there[key] = there.get(key, 0) + 1
        except MALFORMED:
            continue
    wanted = " ".join(f"--{key} {images[key]}" for key in ("steps", "size") if key in images)
    text = f"{store.own.root} has no image of {layer} with {wanted}"
    if there:
        (steps, size, seed, lr), count = max(there.items(), key=lambda item: item[1])
        same = {"steps": steps, "size": size, "seed": seed, "lr": lr}
        if all(same[name] == value for name, value in images.items() if name in same):
            return (
                f"{text} for these neurons and settings; the {count} that are there are of other "
                "neurons, made with other settings, or by another version of the package. Make "
                f"them with neuron-widget prerender {layer} and the options of this command"
            )
        return f"{text}; it has {count} with --steps {steps} --size {size} --seed {seed} --lr {lr}"
    return f"{text}; make them with: neuron-widget prerender {layer}"
