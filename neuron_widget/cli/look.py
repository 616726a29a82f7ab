"""``neuron-widget look``."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from neuron_widget.cli.jobs import Opened
from neuron_widget.cli.output import Bars, CtrlC, show
from neuron_widget.durable import writable_file, write_atomically
from neuron_widget.errors import NeuronOutOfRange, StoreError

if TYPE_CHECKING:
    from neuron_widget.looking import Changed, Firing, Look
    from neuron_widget.scanning import ScanResult

__all__ = ["look_at_photo"]


def look_at_photo(
    opened: Opened,
    photo: Path,
    data: str | None,
    out: Path | None,
    *,
    count: int,
    at: str | None,
    without: str | None,
    to: str,
    scanning: dict[str, Any],
    as_json: bool,
) -> None:
    """Which neurons fire on a photo, as a table and a sheet."""
    from neuron_widget.analysis.look_sheet import look_sheet
    from neuron_widget.looking import look
    from neuron_widget.photos.given import open_any

    if out is not None and out.suffix.lower() != ".png":
        raise StoreError(f"--out '{out}': expected a name ending in .png")
    image = open_any(photo)  # before anything that takes time
    begin = time.monotonic()
    scan = _scan(opened, data, scanning, as_json) if data is not None else None
    seen = look(opened.model, opened.layer, image, scan=scan, name=photo.name)
    firing = seen.at(*_position(at), n=count) if at is not None else seen.strongest(count)
    changed = seen.without(opened.neurons(without), to=to) if without is not None else None
    out = out or Path("results") / f"{photo.stem}_{opened.layer.replace('/', '-')}.png"
    out = writable_file(out, "--out")
    sheet = io.BytesIO()
    look_sheet(seen, firing, changed).save(sheet, "PNG")
    write_atomically(out, sheet.getvalue())
    if not as_json:
        _print_tables(seen, firing, changed, at)
    found = {
        "model": opened.model.identity,
        "layer": opened.layer,
        "photo": str(photo),
        "measure": seen.measure,
        "dataset": scan.dataset if scan is not None else None,
        "neurons": [_firing(one) for one in firing],
        "without": _changed(changed) if changed is not None else None,
        "seconds": round(time.monotonic() - begin, 3),
        "file": str(out),
    }
    show(found, as_json, [f"written to {out}"])


def _scan(opened: Opened, data: str, how: dict[str, Any], as_json: bool) -> ScanResult:
    from neuron_widget.scanning import open_dataset
    from neuron_widget.store.reuse import scan_steps

    photos = open_dataset(data, split=how["split"])
    kept = "a checkpoint is kept, the same command goes on" if opened.store else "nothing is kept"
    with Bars(as_json) as bars, CtrlC() as ctrl_c:

        def show_step(step: Any) -> None:
            bars.update(f"Scanning {opened.layer}", step.done, step.total, "photos")

        steps = scan_steps(
            opened.store, opened.model, opened.layer, photos, on_wait=bars.say, **how
        )
        result: ScanResult = ctrl_c.drain(steps, show_step, kept)
        return result


def _position(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"\s*(\d+)\s*,\s*(\d+)\s*", text)
    if not found:
        raise NeuronOutOfRange(f"--at {text!r}: expected ROW,COLUMN of the map, such as 7,7")
    return int(found[1]), int(found[2])


def _firing(one: Firing) -> dict[str, Any]:
    return {
        "neuron": one.neuron,
        **({} if one.name.isdecimal() else {"name": one.name}),
        "score": one.score,
        "percentile": one.percentile,
        "activation": one.activation,
        "position": list(one.position),
        "usual": one.usual,
    }


def _changed(changed: Changed) -> dict[str, Any]:
    return {
        "neurons": list(changed.neurons),
        "how": changed.how,
        "classes": [vars(one) for one in changed.best()],
    }


def _print_tables(
    seen: Look, firing: list[Firing], changed: Changed | None, at: str | None
) -> None:
    console = Console(highlight=False)
    where = f"at row and column {at}" if at is not None else "on the whole of it"
    console.print(Text(f"{seen.name}: who fires in {seen.layer}, {where}"))
    console.print(Text(seen.measure, "dim"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    peak = "activation" if at is not None else "peak"
    for title in ("neuron", "percentile", "score", peak, "row, column", "times usual"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in firing:
        rank = "-" if one.percentile is None else f"{one.percentile:.1f}"
        ratio = "-" if one.ratio is None else f"{one.ratio:.2f}"
        place = "{}, {}".format(*one.position)
        table.add_row(
            Text(one.name[:40]), rank, f"{one.score:.4g}", f"{one.activation:.4g}", place, ratio
        )
    console.print(table)
    if changed is None:
        return
    neurons = ", ".join(map(str, changed.neurons))
    console.print(Text(f"{seen.layer} neuron {neurons} set to {changed.how}"))
    classes = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("class", "before", "after", "change"):
        classes.add_column(title, justify="left" if title == "class" else "right")
    for c in changed.best():
        # Text: the name of a class is no markup.
        classes.add_row(Text(c.name), f"{c.before:.1%}", f"{c.after:.1%}", f"{c.change:+.1%}")
    console.print(classes)
