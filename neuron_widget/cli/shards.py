"""``neuron-widget scan --shard`` and ``merge``: a scan in parts."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_widget.cli.output import Bars, CtrlC, show
from neuron_widget.cli.scans import scan_facts, scan_lines, write_scan
from neuron_widget.durable import writable_file, writable_folder
from neuron_widget.errors import StoreError, WrongValue

if TYPE_CHECKING:
    from neuron_widget.cli.jobs import Opened
    from neuron_widget.scanning import ScanProgress, ScanResult

__all__ = ["as_shard", "merge_parts", "scan_shard"]


def as_shard(text: str | None) -> tuple[int, int] | None:
    """``"3/16"`` as a shard; ValueError for anything else."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text)
    if found is None or int(found[1]) >= int(found[2]):
        raise WrongValue(
            f"--shard {text!r} is no shard; expected I/N with I from 0 to N - 1, such as 0/16 for "
            "the first of 16 and 15/16 for the last"
        )
    return int(found[1]), int(found[2])


def scan_shard(
    opened: Opened,
    data: str,
    out: Path | None,
    shard: tuple[int, int],
    how: Mapping[str, Any],
    as_json: bool,
) -> None:
    """One part of a scan, into a folder and the store."""
    from neuron_widget.scanning import open_dataset
    from neuron_widget.store.reuse import scan_steps

    if out is None and opened.store is None:
        raise StoreError("--shard needs a place for the part: a folder with --out, or a store")
    if out is not None:
        if out.suffix.lower() in (".safetensors", ".csv") and not out.is_dir():
            raise StoreError(f"--out '{out}' looks like a file; expected a folder for the parts")
        writable_folder(out, "--out")
    begin = time.monotonic()
    photos = open_dataset(data, split=how["split"])
    kept = "a checkpoint is kept, the same command goes on" if opened.store else "nothing is kept"
    with Bars(as_json) as bars, CtrlC() as ctrl_c:

        def show_step(step: ScanProgress) -> None:
            title = f"Scanning {opened.layer}, part {shard[0]} of {shard[1]}"
            bars.update(title, step.done, step.total, "photos")

        steps = scan_steps(
            opened.store, opened.model, opened.layer, photos, shard=shard, on_wait=bars.say, **how
        )
        result: ScanResult = ctrl_c.drain(steps, show_step, kept)
    if opened.store is not None and opened.store.failure is not None and out is None:
        raise opened.store.failure
    file = str(result.save(out)) if out is not None else None
    facts = {
        "shard": list(shard),
        **scan_facts(result),
        "file": file,
        "seconds": round(time.monotonic() - begin, 3),
    }
    line = f"part {shard[0]} of {shard[1]} (counted from 0): {scan_lines(result)[0]}"
    where = file if file is not None else f"the store {opened.store.own.root}"  # type: ignore[union-attr]
    show(facts, as_json, [line, f"written to {where}"])


def merge_parts(out: Path, parts: Sequence[Path], as_json: bool) -> None:
    """All parts of a scan as one."""
    from neuron_widget.scanning import ScanResult

    if out.suffix.lower() not in (".safetensors", ".csv"):
        raise StoreError(f"'{out}': expected a name ending in .safetensors or .csv")
    out = writable_file(out, "OUT")
    result = ScanResult.merge(list(parts))
    if out.suffix.lower() == ".csv" and result.settings["precision"] == "fast":
        raise StoreError(
            "these parts are of a scan with precision fast, whose photos are ranked by looking at "
            "them again; merge into a name ending in .safetensors, or scan with --precision exact"
        )
    write_scan(result, out, None)
    show(
        {**scan_facts(result), "file": str(out)},
        as_json,
        [*scan_lines(result), f"written to {out}"],
    )
