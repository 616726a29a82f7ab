"""The script in one host: a page for it, and what came of it beside the documentation's table."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hosts.host import Host
from hosts.script import play
from hosts.table import read_row, write_row
from playwright.sync_api import Browser, Page

__all__ = ["opened", "play_and_compare"]


@contextmanager
def opened(browser: Browser, made: Callable[[Page], Any]) -> Iterator[Host]:
    """A host in a page of its own; ``made`` returns what closes it at the end."""
    with ExitStack() as stack:
        context = browser.new_context(
            viewport={"width": 1400, "height": 1100}, color_scheme="light"
        )
        stack.callback(context.close)
        host = made(context.new_page())
        yield stack.enter_context(host)


def play_and_compare(host: Host) -> None:
    """Try all steps; the table must say what came of them."""
    print(f"\n{host.title}")
    shots = os.environ.get("NEURON_WIDGET_SHOTS")
    try:
        came = play(host)
    finally:
        if shots:
            host.heard(15)  # what was under way is done: a picture of it says more
            host.page.screenshot(path=Path(shots) / f"{type(host).__name__}.png", full_page=True)
    print(f"  first picture after {host.first_picture:.1f} s")
    if os.environ.get("NEURON_WIDGET_HOSTS_TABLE"):
        write_row(host.title, host.version, came)
    assert read_row(host.title) == came, "docs/explanation/hosts.md: make hosts-table"
