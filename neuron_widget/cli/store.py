"""``neuron-widget store``: what is kept on disk."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from neuron_widget.cli.output import show, table
from neuron_widget.durable import size_text
from neuron_widget.errors import StoreError, WrongValue
from neuron_widget.store import Store, open_store

__all__ = ["as_size", "describe_store", "prune_store", "show_store", "verify_store"]

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


def opened(stores: Sequence[Path] | None) -> Store:
    """The store that the options name; StoreError if it is switched off."""
    found = open_store(stores or None)
    if found is None:
        raise StoreError("NEURON_WIDGET_STORE switches the store off; name a folder with --store")
    return found


def as_size(text: str, option: str = "--limit") -> int:
    """``"500MB"`` or ``"2 GB"`` in bytes; ValueError for anything else."""
    found = re.fullmatch(r"\s*([\d.]+)\s*([kmgt]?i?b?)\s*", text.lower())
    unit = found[2] if found else ""
    unit = unit if unit in ("", "b") or unit.endswith("b") else unit + "b"
    if found is None or unit not in _UNITS or found[1].count(".") > 1 or found[1] == ".":
        raise WrongValue(f"{option} {text!r} is no size; expected something like 500MB or 2GB")
    return int(float(found[1]) * _UNITS[unit])


def describe_store(store: Store) -> list[dict[str, Any]]:
    """Each folder with its rooms: files and bytes."""
    folders = {id(f): f for f in store.folders}
    rooms: dict[int, dict[str, dict[str, int]]] = {key: {} for key in folders}
    for folder, entry in store.entries():
        room = rooms[id(folder)].setdefault(entry.room, {"files": 0, "bytes": 0})
        room["files"] += 1
        room["bytes"] += entry.size
    return [
        {
            "folder": str(folder.root),
            "exists": folder.root.is_dir(),
            "read_only": not folder.writable,
            "limit": store.limit if folder.writable else None,
            "rooms": rooms[key],
            "files": sum(room["files"] for room in rooms[key].values()),
            "bytes": sum(room["bytes"] for room in rooms[key].values()),
        }
        for key, folder in folders.items()
    ]


def show_store(stores: Sequence[Path] | None, as_json: bool) -> None:
    """``store info``."""
    folders = describe_store(opened(stores))
    lines: list[str] = []
    for folder in folders:
        kind = " (read only)" if folder["read_only"] else ""
        there = "" if folder["exists"] else " (not there yet)"
        lines += [f"{folder['folder']}{kind}{there}"]
        rows = [(n, r["files"], size_text(r["bytes"])) for n, r in sorted(folder["rooms"].items())]
        lines += [f"  {line}" for line in table(["", "files", "size"], rows)] if rows else []
        limit = f" of at most {size_text(folder['limit'])}" if folder["limit"] else ""
        lines += [f"  {folder['files']} files, {size_text(folder['bytes'])}{limit}"]
    show({"folders": folders}, as_json, lines)


def verify_store(stores: Sequence[Path] | None, as_json: bool) -> None:
    """``store verify``."""
    found = opened(stores).verify()
    report = [
        {
            "folder": str(folder.root),
            "whole": verified.whole,
            "damaged": [{"path": path, "reason": reason} for path, reason in verified.damaged],
        }
        for folder, verified in found.items()
    ]
    lines = []
    for folder, verified in found.items():
        lines.append(f"{folder.root}: {verified.whole} files whole, {len(verified.damaged)} not")
        lines += [f"  {path}: {reason}" for path, reason in verified.damaged]
    show({"folders": report}, as_json, lines)
    if any(verified.damaged for verified in found.values()):
        raise typer.Exit(5)


def prune_store(limit: str, stores: Sequence[Path] | None, as_json: bool) -> None:
    """``store prune``."""
    store = opened(stores)
    done = store.prune(as_size(limit))
    line = (
        f"{store.own.root}: removed {done.removed} files ({size_text(done.removed_bytes)}), "
        f"left {done.left} ({size_text(done.left_bytes)})"
    )
    show({"folder": str(store.own.root), **vars(done)}, as_json, [line])
