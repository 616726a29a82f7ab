"""A saved notebook opens where nothing runs: as nbconvert's page, in JupyterLab, as marimo's."""

from __future__ import annotations

import json
import mimetypes
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts.host import widget_cell
from hosts.notebooks import JupyterLab, marimo_file, notebook_file
from hosts.saved import (
    STATE,
    SavedMarimo,
    SavedPage,
    explore,
    html_page,
    run_notebook,
    size_of_state,
)
from hosts.script import finished, photos
from hosts.servers import end_sessions, serve
from hosts.webviews import MODULES
from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 1100}, color_scheme="light")
    yield context.new_page()
    context.close()


def test_as_a_page_of_nbconvert(folder: Path, tmp_path: Path, page: Page) -> None:
    # Twenty neurons of one layer, with images as large as usual.
    cell = widget_cell(folder, previews=False).replace("size=64", "size=224").replace("24", "6", 1)
    more = "for n in [7, *range(20, 39)]:\n    w.neuron = n\n    w.render(wait=True)\nw.wait()"
    notebook = run_notebook(notebook_file(cell, more))
    size = size_of_state(notebook)
    print(f"\n20 neurons in {size / 1e6:.2f} MB")
    assert size < 6_000_000
    with serve({"": tmp_path, **MODULES}) as address:
        html_page(notebook, tmp_path / "saved.html", address)
        host = SavedPage(page)
        began = time.monotonic()
        page.goto(f"{address}/saved.html")
        page.wait_for_function(
            "[...document.querySelectorAll('.nw-photo img')].filter(i => i.naturalWidth).length"
            " === 18",
            timeout=120_000,
        )
        print(f"complete after {time.monotonic() - began:.2f} s")
        explore(host, 38, 37)


def pictures(text: str) -> set[int]:
    """The neurons whose image is in a notebook file."""
    state = json.loads(text)["metadata"].get("widgets", {}).get(STATE, {}).get("state", {})
    parts = {name: part for model in state.values() for name, part in model["state"].items()}
    return {
        int(name.removeprefix("_saved_"))
        for name, part in parts.items()
        if name.startswith("_saved_") and part and part.get("neuron", {}).get("image")
    }


def test_in_jupyterlab_with_nothing_run(lab: Any, folder: Path, page: Page) -> None:
    host = JupyterLab(page, lab, widget_cell(folder, previews=False))
    host.show()
    finished(host.root(), 7)
    photos(host)
    host.root().get_by_role("button", name="Next neuron").click()
    finished(host.root(), 8)
    photos(host)
    # What is there is packed once the person rests; then the state is saved by JupyterLab.
    file = lab.notebooks / "host.ipynb"
    save = "@jupyter-widgets/jupyterlab-manager:saveWidgetState"
    page.evaluate(f"window.jupyterapp.commands.execute('{save}')")
    end = time.monotonic() + 120
    while not {7, 8} <= pictures(file.read_text()):
        assert time.monotonic() < end, "the widget's state is not in the file"
        host.heard(0.5)
        page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    # The kernel ends, the page is opened anew, and no cell is run.
    page.goto("about:blank")
    end_sessions(lab.url, "host.ipynb")
    host._open(f"{host.address}?reset")
    explore(host, 8, 7)
    host.close()


def test_as_a_static_page_of_marimo(folder: Path, tmp_path: Path, page: Page) -> None:
    marimo = pytest.importorskip("marimo", reason="marimo is not installed")
    cell = widget_cell(folder, previews=False).rsplit("\n", 1)[0]
    more = "for n in (8, 7):\n    w.neuron = n\n    w.render(wait=True)\nw.wait()\nw"
    (tmp_path / "notebook.py").write_text(marimo_file(f"{cell}\n{more}"))
    command = ["-m", "marimo", "export", "html", "notebook.py", "-o", "page.html"]
    subprocess.run([sys.executable, *command], check=True, cwd=tmp_path, capture_output=True)
    # The page has marimo's own scripts from a CDN: here they come from the package.
    scripts = Path(marimo.__file__).parent / "_static"

    def from_package(route: Route) -> None:
        file = scripts / route.request.url.split("/dist/")[-1].split("?")[0]
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        headers = {"access-control-allow-origin": "*", "content-type": kind}
        route.fulfill(path=file, headers=headers) if file.is_file() else route.abort()

    page.route("**/cdn.jsdelivr.net/**", from_package)
    host = SavedMarimo(page)
    with serve({"": tmp_path}) as address:
        page.goto(f"{address}/page.html")
        explore(host, 7, 8)
