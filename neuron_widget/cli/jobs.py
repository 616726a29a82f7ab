"""``neuron-widget render`` and ``analyze``; the network and the store of a command."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_widget.cli.output import (
    Bars,
    CtrlC,
    Stopped,
    add_dictionaries,
    model_with,
    neuron_list,
    open_model,
    show,
)
from neuron_widget.durable import writable_folder
from neuron_widget.errors import ModelError, StoreError, TargetError, UnknownLayer
from neuron_widget.store import Store, open_store
from neuron_widget.targets import Target, as_targets, works
from neuron_widget.targets.grammar import looks_composed

if TYPE_CHECKING:
    from neuron_widget.networks.model import LayerInfo, VisionModel
    from neuron_widget.rendering import RenderStep

__all__ = [
    "Opened",
    "analyze_neuron",
    "layer_of",
    "render_images",
]


class Opened:
    """The network and the store that a command's options name."""

    def __init__(
        self,
        layer: str,
        model: str | None,
        weights: str | None,
        device: str | None,
        dictionaries: Sequence[Path] | None,
        stores: Sequence[Path] | None,
        no_store: bool,
    ):
        self.asked = (model_with(layer) if model is None else model, weights, device)
        self._layer = layer
        self._dictionaries = dictionaries or ()
        self.store: Store | None = None if no_store else open_store(stores or None)

    @cached_property
    def model(self) -> VisionModel:
        """The network, opened when it is first asked for."""
        return add_dictionaries(open_model(*self.asked), self._dictionaries, self._layer)

    @cached_property
    def _info(self) -> LayerInfo:
        usual = self.model.default_layer  # a network that cannot be run says so here
        try:
            return self.model.layer(self._layer)
        except ModelError as error:  # the network is open: it is the argument that is wrong
            raise UnknownLayer(f"{error}, such as {usual}") from error

    def sized(self, images: Mapping[str, Any], targets: Sequence[Target] = ()) -> dict[str, Any]:
        """Settings of pictures, of these targets or the layer, with the size they will have."""
        from neuron_widget.rendering.settings import default_size

        layers = [layer for target in targets for layer in target.layers] or [self.layer]
        return {**images, "size": images.get("size") or default_size(self.model, *layers)}

    @property
    def layer(self) -> str:
        """The layer's own name."""
        return self._info.name

    def targets(self, texts: Sequence[str], neurons: str | None) -> tuple[Target, ...]:
        """What to render: targets, or a layer with the neurons that an option names."""
        if neurons is not None:
            if len(texts) != 1 or ":" in texts[0]:
                raise TargetError(
                    f"--neurons goes with one layer's name, got {' '.join(texts)}; expected "
                    f"{layer_of(texts[0])} --neurons {neurons}, or targets without --neurons"
                )
            return as_targets(self.layer, self.neurons(neurons))
        found = [target for text in texts for target in as_targets(text)]
        _ = self.layer  # an unknown one is told with the names that are near
        return tuple(dict.fromkeys(target.check(self.model) for target in found))

    def neurons(self, text: str) -> list[int]:
        """The neurons that an option names."""
        return neuron_list(text, self._info.channels, self.layer)


def layer_of(text: str) -> str:
    """The layer that the text of a target, or of a layer, names; of an expression the first."""
    if looks_composed(text):
        return as_targets(text)[0].layer
    return text.rpartition(":")[0] or text


def _groups(targets: Sequence[Target], size: int) -> list[Sequence[Target]]:
    """So many targets at a time; images that form together are not parted."""
    found: list[list[Target]] = []
    for work in works(targets):
        if not found or len(found[-1]) + len(work) > size:
            found.append([])
        found[-1] += [targets[i] for i in work]
    return [tuple(group) for group in found]


def render_images(
    opened: Opened,
    chosen: Sequence[Target],
    out: Path,
    batch_size: int | None,
    how: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Images into a folder, group by group; an interrupt keeps what is there."""
    from neuron_widget.rendering.memory import default_batch_size
    from neuron_widget.store.reuse import render_steps

    out, how = _folder(out), opened.sized(how, chosen)
    size = batch_size or default_batch_size(opened.model, opened.layer, how["size"])
    files: list[dict[str, Any]] = []
    last: list[RenderStep] = []
    going_on = "; the same command goes on" if opened.store else ""
    begin = time.monotonic()
    with Bars(as_json) as bars, CtrlC() as ctrl_c:
        title = f"Rendering {opened.layer}"
        bars.update(title, 0, len(chosen), "images")
        for group in _groups(chosen, size):
            kept = f"{len(files)} of {len(chosen)} images are in {out}"
            ctrl_c.check(kept + going_on)
            steps = render_steps(
                opened.store, opened.model, group, batch_size=size, on_wait=bars.say, **how
            )

            def show_step(step: RenderStep, done: int = len(files), here: int = len(group)) -> None:
                last[:] = [step]
                bars.update(title, done + here * step.done / step.total, len(chosen), "images")

            try:
                result = ctrl_c.drain(steps, show_step, kept)
            except Stopped as stop:
                if not last:  # it only waited for another process
                    raise
                unfinished = last[0].result()
                unfinished.save(out)
                raise Stopped(
                    f"{stop.kept}, and {len(unfinished)} unfinished ({unfinished.steps} of "
                    f"{how['steps']} steps){going_on}"
                ) from None
            for i, path in enumerate(result.save(out)):
                activation = float(result.activation[i])
                facts = {"target": str(group[i]), "neuron": group[i].neuron}
                files.append({**facts, "file": str(path), "activation": activation})
                if result.notes[i]:
                    files[-1]["note"] = result.notes[i]
            bars.update(title, len(files), len(chosen), "images")
    found = {
        "model": opened.model.identity,
        "layer": opened.layer,
        **how,
        "images": files,
        "seconds": round(time.monotonic() - begin, 3),
    }
    lines = [f"{f['file']}  activation {f['activation']:.4g}" for f in files]
    notes = dict.fromkeys(f["note"] for f in files if "note" in f)
    for note in notes:
        those = ", ".join(f["target"] for f in files if f.get("note") == note)
        lines.append(f"{those}: {note}")
    show(found, as_json, lines)


def _folder(out: Path) -> Path:
    """A folder that can be written to."""
    if re.fullmatch(r"\.(webp|png|jpe?g|gif)", out.suffix.lower()) and not out.is_dir():
        raise StoreError(f"--out '{out}' looks like a file; expected a folder for the images")
    return writable_folder(out, "--out")


def analyze_neuron(
    opened: Opened,
    neuron: int,
    data: str,
    split: str,
    seed: int,
    how: Mapping[str, Any],
    as_json: bool,
) -> None:
    """The whole analysis of one neuron, with its figure."""
    from neuron_widget.analysis.analyzer import Analyzer
    from neuron_widget.scanning import open_dataset

    analyzer = Analyzer(
        opened.layer,
        model=opened.model,
        dataset_root=open_dataset(data, split=split),
        split=split,
        seed=seed,
        store=opened.store if opened.store is not None else False,
    )
    analyzer.set_selected_neuron(neuron)
    writable_folder(how["save_dir"], "--out")
    results = analyzer.run_complete_analysis(neuron, **how, progress=not as_json)
    figure = Path(how["save_dir"]) / f"neuron_{neuron}_analysis_with_activations.png"
    colours = results["color_analysis"]["optimized_image"]
    contrast = results["texture_analysis"]["optimized_image"]
    best = [float(score) for _, score, _ in results["top_activating_images"]]
    patterns = results["patterns_detected"]
    mean_rgb = [float(v) for v in colours["mean_rgb"]]
    found = {
        "model": opened.model.identity,
        "layer": opened.layer,
        "neuron": neuron,
        "patterns": patterns,
        "mean_rgb": mean_rgb,
        "std_rgb": [float(v) for v in colours["std_rgb"]],
        "contrast": float(contrast),
        "best_photos": best,
        "figure": str(figure),
    }
    mean = " ".join(f"{value:.0f}" for value in mean_rgb)
    lines = [
        f"{opened.layer} neuron {neuron} of {opened.model.title}",
        f"patterns: {', '.join(patterns) or 'none'}",
        f"mean RGB: {mean}   contrast: {contrast:.0f}",
        f"best photos: {', '.join(f'{score:.4g}' for score in best)}",
        f"figure: {figure}",
    ]
    show(found, as_json, lines)
