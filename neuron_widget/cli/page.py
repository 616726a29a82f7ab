"""``neuron-widget export``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from neuron_widget.cli.jobs import Opened
from neuron_widget.cli.output import Bars, CtrlC, show
from neuron_widget.cli.store import as_size
from neuron_widget.durable import size_text
from neuron_widget.errors import StoreError

__all__ = ["export_page"]

_TASKS = {
    "reading": ("Reading", "photos"),
    "images": ("Images of", "images"),
    "maps": ("Maps of", "neurons"),
    "photos": ("Photos of", "photos"),
}


def export_page(
    opened: Opened,
    neurons: str,
    data: str | None,
    out: Path,
    images: Mapping[str, Any],
    photos: Mapping[str, Any],
    *,
    no_photos: bool,
    max_size: str,
    title: str,
    as_json: bool,
) -> None:
    """What the store has of a layer as one HTML file."""
    from neuron_widget.page import plan_page, write_page
    from neuron_widget.page.contents import from_store
    from neuron_widget.page.export import Export, check_path

    store = opened.store
    if store is None:
        raise StoreError("NEURON_WIDGET_STORE switches the store off; name a folder with --store")
    out, limit = check_path(out), as_size(max_size, "--max-size")
    chosen = None if neurons.strip().lower() == "all" else opened.neurons(neurons)
    contents = from_store(
        store,
        opened.model,
        opened.layer,
        data,
        chosen,
        images=opened.sized(images),
        photos=photos,
    )
    plan = plan_page(contents, photos=not no_photos, limit=limit)
    if not as_json:
        print(f"{out}: {plan}", file=sys.stderr)
    with Bars(as_json) as bars, CtrlC() as ctrl_c:

        def show_step(step: Export) -> None:
            name, unit = _TASKS[step.task]
            bars.update(f"{name} {opened.layer}", step.done, step.total, unit)

        ctrl_c.drain(write_page(contents, plan, out, title), show_step, f"{out} is as it was")
    size = out.stat().st_size
    found = {
        "file": str(out),
        "bytes": size,
        "estimate": plan.bytes,
        "model": opened.model.identity,
        "layer": opened.layer,
        **{name: value for name, value in asdict(plan).items() if name != "bytes"},
    }
    hint = [] if data else ["no photos in it: --data names the data set that was scanned"]
    show(found, as_json, [f"{out}: {size_text(size)}", *hint])
