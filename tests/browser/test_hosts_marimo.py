"""The widget in a marimo notebook, which hosts anywidget modules without Jupyter."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.browser


@pytest.fixture
def marimo(tmp_path: Path, folder: Path) -> Iterator[str]:
    pytest.importorskip("marimo", reason="marimo is not installed")
    notebook = tmp_path / "notebook.py"
    notebook.write_text(
        textwrap.dedent(
            f"""
            import marimo

            app = marimo.App()


            @app.cell
            def _():
                from neuron_widget import NeuronWidget

                w = NeuronWidget(
                    "blocks.3", dataset={str(folder)!r}, neuron=7, size=64, steps=24, previews=False
                )
                w
                return
            """
        ).lstrip()
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path / "marimo.log").open("w")
    command = [sys.executable, "-m", "marimo", "-q", "run", str(notebook), "--headless"]
    server = subprocess.Popen(
        [*command, "--no-token", "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                break
        except OSError:
            assert server.poll() is None, (tmp_path / "marimo.log").read_text()
            assert time.monotonic() < end, (tmp_path / "marimo.log").read_text()
            time.sleep(0.2)
    yield address
    server.terminate()
    server.wait(20)
    log.close()


def test_marimo(marimo: str, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    problems: list[str] = []
    page.on("pageerror", lambda e: "widget" in (e.stack or "") and problems.append(str(e)))
    page.goto(marimo)
    # marimo draws it in a shadow root, which Playwright's locators look into.
    expect(page.locator(".neuron-widget")).to_be_visible(timeout=90_000)
    expect(page.get_by_role("combobox", name="Layer")).to_have_value("blocks.3", timeout=60_000)
    expect(page.locator(".nw-settings")).to_contain_text("24 steps", timeout=60_000)
    for group in ("Most activating", "Least activating"):
        tiles = page.get_by_role("group", name=group).get_by_role("button")
        expect(tiles).to_have_count(9, timeout=60_000)
    slider = page.get_by_role("slider", name="Neuron", exact=True)
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("img", name="blocks.3 neuron 8", exact=True)).to_be_visible(
        timeout=60_000
    )
    expect(page.locator(".nw-settings")).to_contain_text("24 steps", timeout=60_000)
    assert not problems
    page.close()
