"""The table of hosts in the documentation, as the tests made it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from pathlib import Path

from hosts.script import STEPS

__all__ = ["PAGE", "read_row", "write_row"]

PAGE = Path(__file__).parents[3] / "docs/explanation/hosts.md"
BEGIN, END = "<!-- made by tests/browser/hosts: do not edit -->", "<!-- until here -->"
HEAD = ["host", "version", "tried on", *STEPS]


def _parts() -> tuple[str, list[list[str]], str]:
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    table, _, after = rest.partition(END)
    lines = [line for line in table.splitlines() if line.startswith("|")][2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return before, rows, after


def read_row(title: str) -> dict[str, str]:
    """What the table says of a host: step by step; empty where it does not name it."""
    for row in _parts()[1]:
        if row[0] == title:
            return dict(zip(STEPS, row[3:], strict=True))
    return {}


def write_row(title: str, version: str, came: Mapping[str, str]) -> None:
    """Put what came of the steps into the table, under today's date."""
    before, rows, after = _parts()
    today = datetime.date.today().isoformat()
    new = [title, version, today, *(came[step] for step in STEPS)]
    there = [i for i, row in enumerate(rows) if row[0] == title]
    if there:
        rows[there[0]] = new
    else:
        rows.append(new)
    lines = ["| " + " | ".join(cells) + " |" for cells in [HEAD, ["---"] * len(HEAD), *rows]]
    table = "\n".join(lines)
    PAGE.write_text(re.sub(r"\s+$", "\n", f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"), "utf-8")
