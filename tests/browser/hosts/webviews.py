"""Hosts that show outputs in frames of another origin: Colab, by its contract; VS Code's manager.

The kernel is a real one behind the tests' Jupyter server. In between is a page of ours that does
what the host's own page does with outputs and messages.
"""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import anywidget
from hosts.host import Host
from hosts.servers import serve
from playwright.sync_api import Locator, Page

__all__ = ["MODULES", "Colab", "VSCode", "origins"]

HERE = Path(__file__).parent
JS = HERE.parents[2] / "js"

# Scripts of hosts, as their packages have them.
MODULES: Mapping[str, Path] = {
    "modules": HERE / "node_modules",
    "anywidget": Path(anywidget.__file__).parent / "nbextension",
}

# Colab passes on what a handler or a cell sends, and nothing of other threads.
MARK_BACKGROUND = """
import threading
from ipykernel.comm.comm import BaseComm
_publish = BaseComm.publish_msg
def _marked(self, msg_type, data=None, metadata=None, buffers=None, **keys):
    background = threading.current_thread() is not threading.main_thread()
    _publish(self, msg_type, data, {**(metadata or {}), "background": background}, buffers, **keys)
BaseComm.publish_msg = _marked
"""


@contextmanager
def origins(built: Path) -> Iterator[tuple[str, str]]:
    """Two origins with the pages: one for the notebook, one for its outputs."""
    subprocess.run(
        [
            JS / "node_modules/.bin/esbuild",
            HERE / "pages/vscode-webview.js",
            "--bundle",
            "--format=iife",
            "--log-level=error",
            f"--outfile={built / 'vscode-webview.js'}",
        ],
        check=True,
        env={"NODE_PATH": str(HERE / "node_modules"), "PATH": "/usr/bin:/bin:/usr/local/bin"},
    )
    folders = {"pages": HERE / "pages", "built": built, **MODULES}
    with ExitStack() as stack:
        yield stack.enter_context(serve(folders)), stack.enter_context(serve(folders))


class _Framed(Host):
    """A page of ours over a kernel of the tests' server."""

    file: str
    setup = ""

    def __init__(self, page: Page, server: Any, places: tuple[str, str], cell: str, **more: str):
        super().__init__(page, self.made_of())
        self.cell = cell
        request = urllib.request.Request(f"{server.url}/api/kernels", data=b"{}", method="POST")
        with urllib.request.urlopen(request) as answer:
            kernel = json.load(answer)["id"]
        self._kernel = f"{server.url}/api/kernels/{kernel}"
        socket = self._kernel.replace("http", "ws", 1)
        rest = "".join(f"&{name}={value}" for name, value in more.items())
        home, frames = places
        self.address = f"{home}/pages/{self.file}?kernel={socket}&frames={frames}{rest}"

    def made_of(self) -> str:
        """The version of what is the host's own in it."""
        return "-"

    def run(self, code: str) -> None:
        """Run a cell; not waited for."""
        self.page.evaluate("code => { window.run(code) }", code)

    def show(self) -> None:
        self.page.goto(self.address)
        if self.setup:
            self.page.evaluate("code => window.run(code)", self.setup)
        self.run(self.cell)

    def show_again(self) -> None:
        self.run("w")

    def darken(self) -> None:
        self.page.evaluate("window.theme('dark')")

    def close(self) -> None:
        """End the kernel."""
        urllib.request.urlopen(urllib.request.Request(self._kernel, method="DELETE")).close()


class Colab(_Framed):
    """A frame an output, byte arrays, several readers, nothing from background threads."""

    title = "Colab (its contract)"
    file = "colab.html"
    setup = MARK_BACKGROUND

    def root(self, view: int = 0) -> Locator:
        return self.page.locator("iframe").nth(view).content_frame.locator(".neuron-widget")

    def reload(self) -> None:
        self.page.reload()
        self.page.evaluate("window.restored")


class VSCode(_Framed):
    """The manager that VS Code ships, in a page that is like its webview."""

    title = "VS Code (its manager)"
    file = "vscode.html"
    without: ClassVar = {
        "reload": "a webview is not loaded again; a notebook opened again has new outputs"
    }
    # What its script says of itself when it is loaded.
    noise: ClassVar = (r"ipywidgets8",)

    def made_of(self) -> str:
        package = HERE / "node_modules/@vscode/jupyter-ipywidgets8/package.json"
        return str(json.loads(package.read_text())["version"])

    def root(self, view: int = 0) -> Locator:
        frame = self.page.locator("iframe").content_frame
        return frame.locator(".neuron-widget").nth(view)
