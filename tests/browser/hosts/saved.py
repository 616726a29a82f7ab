"""Notebooks that were saved, and opened again where nothing runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import nbformat
from hosts.host import Host
from hosts.script import START, WORK, photos
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from playwright.sync_api import expect

__all__ = [
    "STATE",
    "SavedMarimo",
    "SavedPage",
    "explore",
    "html_page",
    "run_notebook",
    "size_of_state",
]

STATE = "application/vnd.jupyter.widget-state+json"


def run_notebook(text: str, timeout: int = 600) -> Any:
    """The notebook, run from above to below as ``nbconvert --execute`` does."""
    notebook = nbformat.reads(text, as_version=4)
    NotebookClient(notebook, timeout=timeout, kernel_name="python3").execute()
    return notebook


def size_of_state(notebook: Any) -> int:
    """Bytes of the widgets' state in the file."""
    return len(json.dumps(notebook["metadata"]["widgets"][STATE]))


def html_page(notebook: Any, path: Path, modules: str) -> None:
    """nbconvert's page of a notebook; its scripts come from ``modules``, an address of ours."""
    exporter = HTMLExporter(
        require_js_url=f"{modules}/modules/requirejs/require.js",
        jupyter_widgets_base_url=f"{modules}/modules/",
        widget_renderer_url=f"{modules}/modules/@jupyter-widgets/html-manager/dist/embed-amd.js",
        mathjax_url="",
        jquery_url="",
        mermaid_js_url="",
    )
    text, _ = exporter.from_notebook_node(notebook)
    # Where a widget's module is looked for first: beside the page.
    path.write_text(text)


class SavedPage(Host):
    """A page with a saved widget in it."""

    title = "saved"

    def show(self) -> None:
        """There is nothing to run."""


class SavedMarimo(SavedPage):
    """The same in marimo's page."""

    strict = False
    asks: ClassVar = (r"//cdn\.jsdelivr\.net/npm/@marimo-team/",)


def explore(host: Host, chosen: int, other: int) -> None:
    """What is there without a kernel: pictures, photos, the slider; and nothing that needs one."""
    root = host.root()
    expect(root).to_be_visible(timeout=START)
    picture = root.get_by_role("img", name=f"blocks.3 neuron {chosen}", exact=True)
    expect(picture).to_be_visible(timeout=WORK)
    photos(host)
    for name in ("Render", "Stop", "Settings"):
        expect(root.get_by_role("button", name=name, exact=True)).not_to_be_visible()
    expect(root.get_by_text("A saved notebook")).to_be_visible()
    # Another neuron that was rendered, by keyboard; its photo large.
    slider = root.get_by_role("slider", name="Neuron", exact=True)
    slider.focus()
    for _ in range(abs(other - chosen)):
        host.page.keyboard.press("ArrowRight" if other > chosen else "ArrowLeft")
    picture = root.get_by_role("img", name=f"blocks.3 neuron {other}", exact=True)
    expect(picture).to_be_visible(timeout=WORK)
    photos(host)
    tile = root.get_by_role("group", name="Most activating").get_by_role("button").first
    tile.click()
    dialog = root.get_by_role("dialog")
    expect(dialog.get_by_role("img", name="What the peak can see")).to_be_visible(timeout=WORK)
    host.page.keyboard.press("Escape")
    # The focus goes back to the photo a moment later; until then it is not the slider's to keep.
    expect(dialog).to_have_count(0)
    expect(tile).to_be_focused()
    # One that was not: said.
    slider.focus()
    host.page.keyboard.press("End")
    expect(root.get_by_role("alert")).to_contain_text(re.compile("is not in this page"))
    assert not host.elsewhere, host.elsewhere
    assert not host.errors, host.errors
