"""``neuron-widget render``, ``scan``, ``prerender`` and ``analyze``."""

from __future__ import annotations

import csv
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
    from neuron_widget.analysis.predicting import Predictability
    from neuron_widget.networks.model import LayerInfo, VisionModel
    from neuron_widget.rendering import RenderStep
    from neuron_widget.scanning import ScanProgress, ScanResult
    from neuron_widget.store.fill import Fill

__all__ = ["Opened", "analyze_neuron", "fill_store", "layer_of", "render_images", "scan_photos"]


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
        self._asked = (model_with(layer) if model is None else model, weights, device)
        self._layer = layer
        self._dictionaries = dictionaries or ()
        self.store: Store | None = None if no_store else open_store(stores or None)

    @cached_property
    def model(self) -> VisionModel:
        """The network, opened when it is first asked for."""
        return add_dictionaries(open_model(*self._asked), self._dictionaries, self._layer)

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


def scan_photos(
    opened: Opened,
    data: str,
    out: Path | None,
    how: Mapping[str, Any],
    as_json: bool,
    *,
    predict: bool = False,
    observer: str | None = None,
) -> None:
    """One pass over the photos, from its checkpoint where there is one.

    ``predict``: ask a machine, too, how far photos predict each neuron.
    """
    from neuron_widget.analysis.predicting import Watching, predictability_steps
    from neuron_widget.scanning import open_dataset
    from neuron_widget.store.reuse import scan_steps

    if out is not None and out.suffix.lower() not in (".safetensors", ".csv"):
        raise StoreError(f"--out '{out}': expected a name ending in .safetensors or .csv")
    begin = time.monotonic()
    photos = open_dataset(data, split=how["split"])
    if out is not None:
        writable_folder(out.parent, "--out")
    kept = "a checkpoint is kept, the same command goes on" if opened.store else "nothing is kept"
    with Bars(as_json) as bars, CtrlC() as ctrl_c:

        def show_step(step: ScanProgress) -> None:
            bars.update(f"Scanning {opened.layer}", step.done, step.total, "photos")

        steps = scan_steps(
            opened.store, opened.model, opened.layer, photos, on_wait=bars.say, **how
        )
        result: ScanResult = ctrl_c.drain(steps, show_step, kept)
        found: Predictability | None = None
        if predict:
            ctrl_c.check(kept)

            def show_look(now: Watching) -> None:
                bars.update(f"Measuring {opened.layer}", now.done, now.total, "photos")

            looking = predictability_steps(
                result,
                observer=observer,
                store=opened.store if opened.store is not None else False,
            )
            found = ctrl_c.drain(looking, show_look, kept)
    if out is not None:
        _write_scan(result, out, found)
    facts = {**_scan_facts(result), "seconds": round(time.monotonic() - begin, 3)}
    lines = _scan_lines(result)
    if found is not None:
        facts["predictability"] = _predicted_facts(found)
        lines += [
            f"{found.observer}: {found.reason or found.summary()}",
            *filter(None, [found.note]),
        ]
    written = [f"written to {out}"] if out is not None else []
    show({**facts, "file": _name(out)}, as_json, [*lines, *written])


def _predicted_facts(found: Predictability) -> dict[str, Any]:
    """What ``--json`` tells; JSON knows no NaN."""
    rows = [
        {name: None if value != value else value for name, value in row.items()}
        for row in found.rows()
    ]
    told = {name: getattr(found, name) for name in ("observer", "note", "reason", "references")}
    return {**told, "questions": found.questions, "neurons": rows}


def _name(path: Path | None) -> str | None:
    return str(path) if path is not None else None


def _write_scan(result: ScanResult, out: Path, found: Predictability | None) -> None:
    if out.suffix.lower() == ".safetensors":
        result.save(out)
        return
    import io

    from neuron_widget.durable import write_atomically
    from neuron_widget.scanning.tables import photo_rows

    rows = photo_rows(result.examples())
    if found is not None:
        told = found.rows()
        names = ("photos", "photos_error", "photo", "photo_error", "pairs", "reason")
        for row in rows:
            row |= {f"predicted_{name}": told[row["neuron"]][name] for name in names}
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(out, text.getvalue().encode("utf-8", "surrogateescape"))


def _scan_facts(result: ScanResult) -> dict[str, Any]:
    return {
        "model": result.model_identity,
        "layer": result.layer,
        "dataset": result.dataset,
        "fingerprint": result.fingerprint,
        "scanned": result.scanned,
        "skipped": [{"path": path, "reason": reason} for path, reason in result.skipped],
        "neurons": len(result.mean),
        "dead": list(result.dead),
        "settings": result.settings,
    }


def _scan_lines(result: ScanResult) -> list[str]:
    lines = [f"{result.scanned:,} photos of {result.dataset}, {len(result.skipped)} skipped"]
    best = int(result.best.argmax()) if len(result.best) else 0
    dead = "" if result.signed else f" {len(result.dead)} never active;"
    name = result._model.layer(result.layer).called(best)
    lines.append(
        f"{len(result.mean)} neurons of {result.layer},{dead} the strongest is {name} "
        f"({result.best[best]:.4g})"
    )
    return lines


def fill_store(
    opened: Opened,
    neurons: str,
    data: str | None,
    batch_size: int | None,
    images: Mapping[str, Any],
    photos: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Everything that a widget on this layer shows, into the store."""
    from neuron_widget.scanning import open_dataset
    from neuron_widget.store.fill import fill_images, fill_photos

    store = opened.store
    if store is None:
        raise StoreError("NEURON_WIDGET_STORE switches the store off; name a folder with --store")
    chosen = opened.neurons(neurons)
    # Before hours of rendering: a wrong folder should be known at once.
    dataset = open_dataset(data, split=photos["split"]) if data is not None else None
    begin, found = time.monotonic(), {"model": opened.model.identity, "layer": opened.layer}
    result: ScanResult | None = None
    with Bars(as_json) as bars, CtrlC() as ctrl_c:
        names = {"images": "Rendering", "scan": "Scanning", "maps": "Mapping"}

        def show_step(now: Fill) -> None:
            unit = "images" if now.task == "images" else "photos"
            bars.update(f"{names[now.task]} {opened.layer}", now.done + now.part, now.total, unit)
            if now.waiting:
                bars.say(now.waiting)

        kept = f"what is finished is in {store.own.root}, the same command goes on"
        work = fill_images(
            store, opened.model, opened.layer, chosen, batch_size=batch_size, **images
        )
        made: int = ctrl_c.drain(work, show_step, kept)
        if dataset is not None:
            ctrl_c.check(kept)
            scanning = fill_photos(store, opened.model, opened.layer, dataset, **photos)
            result = ctrl_c.drain(scanning, show_step, kept)
    facts = {
        **found,
        "store": str(store.own.root),
        "images": len(chosen),
        "rendered_now": made,
        "scan": _scan_facts(result) if result is not None else None,
        "seconds": round(time.monotonic() - begin, 3),
    }
    lines = [f"{len(chosen)} images of {opened.layer} in {store.own.root}, {made} rendered now"]
    show(facts, as_json, [*lines, *(_scan_lines(result) if result is not None else [])])


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
