"""The widget in Jupyter Notebook 7, and in JupyterLab with its dark theme and without subshells."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from playwright.sync_api import TimeoutError as NotSeen

pytestmark = pytest.mark.browser

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def notebook7(tmp_path_factory: pytest.TempPathFactory, start_lab: Any) -> Iterator[Any]:
    pytest.importorskip("notebook", reason="Notebook 7 is not installed")
    server = start_lab(
        tmp_path_factory.mktemp("notebook7"), module="notebook", app="JupyterNotebookApp"
    )
    yield server
    server.close()


@pytest.fixture(scope="module")
def dark_lab(tmp_path_factory: pytest.TempPathFactory, start_lab: Any) -> Iterator[Any]:
    server = start_lab(
        tmp_path_factory.mktemp("dark"),
        {
            "@jupyterlab/apputils-extension:themes": {"theme": "JupyterLab Dark"},
            "@jupyterlab/apputils-extension:kernels-settings": {"commsOverSubshells": "disabled"},
        },
    )
    yield server
    server.close()


@pytest.fixture
def cell(folder: Path) -> str:
    return f"""
    from neuron_widget import NeuronWidget
    w = NeuronWidget("blocks.3", dataset={str(folder)!r}, neuron=7, size=64, steps=24)
    w
    """


def use_it(page: Page) -> None:
    """The main job, short: image, photos, another neuron by keyboard, stop."""
    image = page.get_by_role("img", name="blocks.3 neuron 7", exact=True)
    expect(image).to_be_visible(timeout=90_000)
    for group in ("Most activating", "Least activating"):
        tiles = page.get_by_role("group", name=group).get_by_role("button")
        expect(tiles).to_have_count(9, timeout=90_000)
    slider = page.get_by_role("slider", name="Neuron", exact=True)
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("8")
    expect(page.get_by_role("img", name="blocks.3 neuron 8", exact=True)).to_be_visible(
        timeout=60_000
    )
    expect(page.locator(".nw-settings")).to_contain_text("24 steps", timeout=60_000)
    # D D deletes a cell in command mode: the widget keeps its keys.
    page.keyboard.press("d")
    page.keyboard.press("d")
    expect(slider).to_be_visible()
    steps = page.get_by_role("spinbutton", name="Steps number")
    steps.fill("2048")
    steps.press("Enter")
    page.get_by_role("button", name="Render", exact=True).click()
    expect(page.get_by_text("forming", exact=True)).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("stopped at step")).to_be_visible(timeout=60_000)


def test_notebook_7(notebook7: Any, browser: Browser, cell: str) -> None:
    cells = [{"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "source": ""}]
    cells[0] |= {"source": textwrap.dedent(cell).strip(), "execution_count": None}
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (notebook7.notebooks / "a.ipynb").write_text(
        json.dumps(
            {
                "cells": cells,
                "metadata": {"kernelspec": kernelspec},
                "nbformat": 4,
                "nbformat_minor": 5,
            }
        )
    )
    page = browser.new_page(viewport={"width": 1300, "height": 1100})
    problems: list[str] = []
    # The widget's module is loaded from a blob: errors from elsewhere are the host's own.
    page.on("pageerror", lambda e: "blob:" in (e.stack or "") and problems.append(str(e)))
    page.goto(f"{notebook7.url}/notebooks/a.ipynb")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=90_000)
    # The kernel is said to be idle before it is there, and a cell that runs then is forgotten.
    widget = page.locator(".neuron-widget")
    for _ in range(6):
        page.locator(".jp-Notebook .cm-content").first.click()
        page.keyboard.press("Control+Enter")
        try:
            widget.wait_for(timeout=15_000)
            break
        except NotSeen:
            # One that is under way is waited for: run again, it would put another widget here.
            if page.locator(".jp-Notebook-ExecutionIndicator[data-status=busy]").count():
                widget.wait_for(timeout=120_000)
                break
    expect(page.locator(".neuron-widget")).to_have_attribute("data-theme", "light")
    use_it(page)
    page.close()
    assert not problems


def test_jupyterlab_dark_and_without_subshells(
    dark_lab: Any, open_notebook: Open, cell: str, run_axe: Any
) -> None:
    notebook = open_notebook(cell, server=dark_lab)
    notebook.page.wait_for_selector(
        "body[data-jp-theme-light=false]", state="attached", timeout=60_000
    )
    notebook.run()
    root = notebook.page.locator(".neuron-widget")
    expect(root).to_have_attribute("data-theme", "dark")
    assert root.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(21, 25, 28)"
    page = notebook.page
    use_it(page)
    # Its colours too have enough contrast: panels, a question, an error, then a photo large.
    page.get_by_role("button", name="Pin", exact=True).click()
    page.get_by_role("button", name="Settings", exact=True).click()
    page.locator(".nw-header").get_by_role("button", name="24 photos").click()
    path = page.get_by_label("Data set folder or name")
    for wrong, says in (("imagenette", "0.3 GB"), ("/no/such/folder", "/no/such/folder")):
        path.fill(wrong)
        path.press("Enter")
        expect(page.locator(".nw-error")).to_contain_text(says, timeout=20_000)
        assert not run_axe(page)
    page.get_by_role("button", name="Dismiss").click()
    page.get_by_role("group", name="Least activating").get_by_role("button").first.click()
    expect(page.get_by_role("img", name="What the peak can see")).to_be_visible(timeout=20_000)
    assert not run_axe(page)
