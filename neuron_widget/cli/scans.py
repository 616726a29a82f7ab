"""``neuron-widget scan`` and ``prerender``."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_widget.cli.output import Bars, CtrlC, show
from neuron_widget.durable import writable_file, writable_folder
from neuron_widget.errors import StoreError

if TYPE_CHECKING:
    from neuron_widget.analysis.predicting import Predictability
    from neuron_widget.cli.jobs import Opened
    from neuron_widget.cluster import Where
    from neuron_widget.scanning import ScanProgress, ScanResult
    from neuron_widget.store.fill import Fill

__all__ = ["fill_store", "scan_facts", "scan_lines", "scan_photos", "write_scan"]


def scan_photos(
    opened: Opened,
    data: str,
    out: Path | None,
    how: Mapping[str, Any],
    as_json: bool,
    *,
    predict: bool = False,
    observer: str | None = None,
    where: Where | None = None,
    verbose: bool = False,
) -> None:
    """One pass over the photos, from its checkpoint where there is one.

    ``predict``: ask a machine, too, how far photos predict each neuron. ``where``: on a cluster,
    with a bar for each of its workers if ``verbose``.
    """
    from neuron_widget.analysis.predicting import Watching, predictability_steps
    from neuron_widget.cli.clusters import Watch
    from neuron_widget.cluster import scan_steps as cluster_scan_steps
    from neuron_widget.scanning import open_dataset
    from neuron_widget.store.reuse import scan_steps

    if out is not None and out.suffix.lower() not in (".safetensors", ".csv"):
        raise StoreError(f"--out '{out}': expected a name ending in .safetensors or .csv")
    begin = time.monotonic()
    photos = open_dataset(data, split=how["split"]) if where is None else None
    if out is not None:
        out = writable_file(out, "--out")
    kept = "a checkpoint is kept, the same command goes on" if opened.store else "nothing is kept"
    with Bars(as_json) as bars, CtrlC() as ctrl_c:

        def show_step(step: ScanProgress) -> None:
            bars.update(f"Scanning {opened.layer}", step.done, step.total, "photos")

        if where is None:
            steps: Any = scan_steps(
                opened.store, opened.model, opened.layer, photos, on_wait=bars.say, **how
            )
        else:
            assert opened.store is not None
            steps = cluster_scan_steps(opened.store, opened.model, opened.layer, data, where, **how)
        each: Any = show_step if where is None else Watch(bars, opened.layer, verbose)
        result: ScanResult = ctrl_c.drain(steps, each, kept)
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
        write_scan(result, out, found)
    facts = {**scan_facts(result), "seconds": round(time.monotonic() - begin, 3)}
    lines = scan_lines(result)
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


def write_scan(result: ScanResult, out: Path, found: Predictability | None) -> None:
    """A scan into a file, as its ending says."""
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


def scan_facts(result: ScanResult) -> dict[str, Any]:
    """A scan as ``--json`` tells it."""
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


def scan_lines(result: ScanResult) -> list[str]:
    """A scan in two lines for people."""
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
    shard: tuple[int, int] | None = None,
    where: Where | None = None,
    verbose: bool = False,
) -> None:
    """Everything that a widget on this layer shows, into the store; or one shard of it.

    ``where``: on a cluster, with a bar for each of its workers if ``verbose``.
    """
    from neuron_widget.cli.clusters import Watch
    from neuron_widget.cluster import fill_steps
    from neuron_widget.scanning import open_dataset
    from neuron_widget.store.fill import fill_images, fill_photos

    store = opened.store
    if store is None:
        raise StoreError("NEURON_WIDGET_STORE switches the store off; name a folder with --store")
    chosen = opened.neurons(neurons)
    # Before hours of rendering: a wrong folder should be known at once.
    writable_folder(store.own.root, "--store")
    here = data is not None and where is None
    dataset = open_dataset(data, split=photos["split"]) if here else None
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
        if where is not None:
            each = Watch(bars, opened.layer, verbose)
            steps = fill_steps(
                store,
                opened.model,
                opened.layer,
                chosen,
                data,
                where,
                batch_size=batch_size,
                images=images,
                photos=photos,
            )
            made, result = ctrl_c.drain(steps, each, kept)
        else:
            work = fill_images(
                store,
                opened.model,
                opened.layer,
                chosen,
                batch_size=batch_size,
                shard=shard,
                **images,
            )
            made = ctrl_c.drain(work, show_step, kept)
        if dataset is not None:
            ctrl_c.check(kept)
            scanning = fill_photos(
                store, opened.model, opened.layer, dataset, shard=shard, **photos
            )
            result = ctrl_c.drain(scanning, show_step, kept)
    facts = {
        **found,
        "store": str(store.own.root),
        "images": len(chosen),
        "rendered_now": made,
        "scan": scan_facts(result) if result is not None else None,
        "seconds": round(time.monotonic() - begin, 3),
    }
    lines = [f"{len(chosen)} images of {opened.layer} in {store.own.root}, {made} rendered now"]
    show(facts, as_json, [*lines, *(scan_lines(result) if result is not None else [])])
