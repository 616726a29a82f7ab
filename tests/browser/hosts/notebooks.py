"""Hosts that are programs with notebooks: JupyterLab, Notebook 7, marimo."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from hosts.host import Host
from hosts.servers import end_sessions, free_port, until_it_answers
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as NotSeen

__all__ = ["JupyterLab", "Marimo", "Notebook7", "marimo_file", "notebook_file"]

DARK = "window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})"


def notebook_file(*cells: str) -> str:
    """A notebook with these cells."""
    return json.dumps(
        {
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"cell{i}",
                    "metadata": {},
                    "outputs": [],
                    "source": cell,
                    "execution_count": None,
                }
                for i, cell in enumerate(cells)
            ],
            "metadata": {
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
            },
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    )


def marimo_file(cell: str) -> str:
    """A marimo notebook with a cell that makes ``w``."""
    body = textwrap.indent(cell, "    ")
    head = "import marimo\n\napp = marimo.App()\n\n\n"
    return f"{head}@app.cell\ndef _():\n{body}\n    return (w,)\n"


class JupyterLab(Host):
    """A notebook in JupyterLab, by its commands."""

    title = "JupyterLab"

    def __init__(self, page: Page, server: Any, cell: str):
        super().__init__(page, importlib.metadata.version("jupyterlab"))
        (server.notebooks / "host.ipynb").write_text(notebook_file(cell, "w"))
        self.url = server.url
        self.address = f"{server.url}/lab/tree/host.ipynb"

    def _open(self, address: str) -> None:
        self.page.goto(address)
        self.page.wait_for_function("window.jupyterapp?.started", timeout=120_000)
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)

    def _run(self, cell: int) -> None:
        self.page.evaluate(
            """cell => {
              window.jupyterapp.shell.currentWidget.content.activeCellIndex = cell;
              window.jupyterapp.commands.execute('notebook:run-cell');
            }""",
            cell,
        )

    def show(self) -> None:
        self._open(f"{self.address}?reset")
        # A cell that runs before its kernel is there opens a dialog.
        self.page.wait_for_function(
            "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status"
            " === 'idle'",
            timeout=120_000,
        )
        self._run(0)

    def show_again(self) -> None:
        self._run(1)

    def reload(self) -> None:
        self.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        self._open(self.address)

    def darken(self) -> None:
        self.page.evaluate(DARK)

    def close(self) -> None:
        """End the kernel."""
        end_sessions(self.url, "host.ipynb")


class Notebook7(Host):
    """A notebook in Jupyter Notebook 7, by mouse and keys."""

    title = "Notebook 7"
    strict = False

    def __init__(self, page: Page, server: Any, cell: str):
        super().__init__(page, importlib.metadata.version("notebook"))
        (server.notebooks / "host.ipynb").write_text(notebook_file(cell, "w"))
        self.url = server.url
        self.address = f"{server.url}/notebooks/host.ipynb"

    def _run(self, cell: int) -> None:
        # The kernel is said to be idle before it is there, and a cell that runs then is forgotten.
        for _ in range(8):
            self.page.locator(".jp-Notebook .cm-content").nth(cell).click()
            self.page.keyboard.press("Control+Enter")
            try:
                self.root(cell).wait_for(timeout=15_000)
                return
            except NotSeen:
                # One that is under way is waited for: run again, it would put another widget here.
                busy = ".jp-Notebook-ExecutionIndicator[data-status=busy]"
                if self.page.locator(busy).count():
                    self.root(cell).wait_for(timeout=120_000)
                    return

    def show(self) -> None:
        self.page.goto(self.address)
        self.page.wait_for_selector(
            ".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=120_000
        )
        self._run(0)

    def show_again(self) -> None:
        self._run(1)

    def reload(self) -> None:
        self.page.locator(".jp-Notebook .cm-content").first.click()
        self.page.keyboard.press("Control+s")
        self.page.wait_for_selector(".jp-NotebookCheckpoint, .jp-Notebook", timeout=60_000)
        self.page.reload()

    def darken(self) -> None:
        self.page.locator(".lm-MenuBar-item", has_text="Settings").click()
        items = self.page.locator(".lm-Menu-item")
        items.filter(has_text=re.compile(r"^Theme$")).hover()
        items.filter(has_text="JupyterLab Dark").first.click()

    def close(self) -> None:
        """End the kernel."""
        end_sessions(self.url, "host.ipynb")


class Marimo(Host):
    """A marimo notebook run as an application; both outputs are there from the start."""

    title = "marimo"
    strict = False

    def __init__(self, page: Page, home: Path, cell: str):
        super().__init__(page, importlib.metadata.version("marimo"))
        notebook = home / "notebook.py"
        notebook.write_text(marimo_file(cell) + "\n\n@app.cell\ndef _(w):\n    w\n    return\n")
        settings = home / "config/marimo/marimo.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text('[display]\ntheme = "system"\n')
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self._log = (home / "marimo.log").open("w")
        command = [sys.executable, "-m", "marimo", "-q", "run", str(notebook), "--headless"]
        self._server = subprocess.Popen(
            [*command, "--no-token", "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        until_it_answers(f"{self.address}/health", self._server, home / "marimo.log")

    def show(self) -> None:
        self.page.goto(self.address)

    def close(self) -> None:
        """End the server."""
        self._server.terminate()
        self._server.wait(30)
        self._log.close()
