"""CPU seconds of a browser's processes, as Linux counts them."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

__all__ = ["Meter", "browser_seconds"]

_TICK = os.sysconf("SC_CLK_TCK")


def _descendants(root: int) -> list[int]:
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                # After the name, which may hold anything: state, parent.
                parents[int(folder.name)] = int(
                    (folder / "stat").read_text().rpartition(")")[2].split()[1]
                )
            except OSError:
                continue  # ended meanwhile
    found, new = [], [root]
    while new:
        new = [pid for pid, parent in parents.items() if parent in new]
        found += new
    return found


def _kind(pid: int) -> str:
    """What Chromium calls a process: ``browser``, ``renderer``, ``gpu-process``; "" for others."""
    line = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    if "chrom" not in line.split(" ")[0]:
        return ""
    for part in line.split(" "):
        if part.startswith("--type="):
            return part.removeprefix("--type=")
    return "browser"


def browser_seconds(root: int | None = None, *, threads: bool = False) -> Counter[str]:
    """CPU seconds that Chromium's processes below ``root`` (this process) had so far, by kind.

    ``threads``: by kind and name of the thread, to see what costs.
    """
    seconds: Counter[str] = Counter()
    for pid in _descendants(os.getpid() if root is None else root):
        try:
            kind = _kind(pid)
            if not kind:
                continue
            for task in Path(f"/proc/{pid}/task").iterdir() if threads else [Path(f"/proc/{pid}")]:
                text = (task / "stat").read_text()
                fields = text.rpartition(")")[2].split()
                name = f"{kind} {text.partition('(')[2].rpartition(')')[0]}" if threads else kind
                seconds[name] += (int(fields[11]) + int(fields[12])) / _TICK
        except OSError:
            continue
    return seconds


class Meter:
    """Measures from its making on."""

    def __init__(self, *, threads: bool = False):
        self._threads = threads
        self._before = browser_seconds(threads=threads)
        self._since = time.monotonic()

    def cores(self) -> dict[str, float]:
        """Share of a core by kind, and ``all``."""
        passed = time.monotonic() - self._since
        now = browser_seconds(threads=self._threads)
        found = {name: (now[name] - self._before[name]) / passed for name in now}
        return {**found, "all": sum(found.values())}
