"""A real JupyterLab, a real kernel, a real Chromium."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[2]
CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # A name that is not this machine's own, for plain http as a browser sees it from elsewhere.
    "--host-resolver-rules=MAP hub.test 127.0.0.1",
]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four pictures of noise in two classes."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for i in range(24):
        name = root / ("smooth" if i % 2 else "rough") / f"{i}.png"
        name.parent.mkdir(exist_ok=True)
        side = 8 if i % 2 else 128
        noise = random.integers(0, 255, (side, side, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((128, 128)).save(name)
    return root


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """A static server that keeps its log to itself."""

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serve_harness() -> Iterator[str]:
    """The address of ``js/test/harness.html``, while the block runs."""
    handler = functools.partial(_Quiet, directory=str(ROOT))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/js/test/harness.html"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def harness() -> Iterator[str]:
    """The address of the page with its scripted kernel."""
    with serve_harness() as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        assert not os.environ.get("CI"), "CI must have a Chromium: `make browser` installs it"
        pytest.skip("no Chromium on this machine (make browser installs Debian's)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Lab:
    """A JupyterLab server with an empty home; or another application: Notebook 7."""

    def __init__(
        self,
        home: Path,
        settings: dict[str, dict[str, object]] | None = None,
        *,
        module: str = "jupyterlab",
        app: str = "LabApp",
    ):
        self.notebooks = home / "notebooks"
        self.notebooks.mkdir(parents=True)
        overrides = {
            "@jupyterlab/apputils-extension:notification": {
                "fetchNews": "false",
                "checkForUpdates": False,
            },
            **(settings or {}),
        }
        for plugin, values in overrides.items():
            package, name = plugin.split(":")
            file = home / "settings" / package / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            **os.environ,
            "HOME": str(home),
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
            "IPYTHONDIR": str(home / "ipython"),
            "XDG_CACHE_HOME": str(home / "cache"),
        }
        self.log = (home / "server.log").open("w")
        self.server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                module,
                "--no-browser",
                "--allow-root",
                "--ip=127.0.0.1",
                f"--port={port}",
                "--ServerApp.port_retries=0",
                "--IdentityProvider.token=",
                "--ServerApp.disable_check_xsrf=True",
                # Pages of the tests that play a host have origins of their own.
                r"--ServerApp.allow_origin_pat=http://127\.0\.0\.1:\d+",
                f"--{app}.expose_app_in_browser=True",
                f"--{app}.check_for_updates_class="
                "jupyterlab.handlers.announcements.NeverCheckForUpdate",
                f"--ServerApp.root_dir={self.notebooks}",
            ],
            env=environment,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        end = time.monotonic() + 90
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/api", timeout=2):
                    return
            except OSError:
                assert self.server.poll() is None, (home / "server.log").read_text()
                assert time.monotonic() < end, (home / "server.log").read_text()
                time.sleep(0.2)

    def close(self) -> None:
        self.server.terminate()
        self.server.wait(60)  # it ends its kernels first
        self.log.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.close()


@pytest.fixture(scope="session")
def start_lab() -> type[Lab]:
    """Start another server than the one that the tests share."""
    return Lab


class Notebook:
    """A notebook open in a page, with what went wrong in it."""

    def __init__(self, lab: Lab, page: Page, cells: list[str], name: str):
        self.lab, self.page = lab, page
        self.problems: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        page.on("request", self._on_request)
        (lab.notebooks / name).write_text(json.dumps(_notebook(cells)))
        self.address = f"{lab.url}/lab/tree/{name}"
        self.open(reset=True)

    def _on_console(self, message: object) -> None:
        text = message.text  # type: ignore[attr-defined]  # playwright's ConsoleMessage
        if message.type == "error":  # type: ignore[attr-defined]
            self.problems.append(f"console: {text}")

    def _on_request(self, request: object) -> None:
        url = urlsplit(request.url)  # type: ignore[attr-defined]  # playwright's Request
        if url.scheme in ("http", "https", "ws", "wss") and url.hostname != "127.0.0.1":
            self.problems.append(f"request to another host: {url.geturl()}")

    def open(self, *, reset: bool = False) -> None:
        self.page.goto(self.address + ("?reset" if reset else ""))
        self.page.wait_for_function(
            "window.jupyterapp && window.jupyterapp.started", timeout=90_000
        )
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)

    def run(self) -> None:
        """Run all cells and wait for the widget."""
        self.wait_for_kernel()
        self.command("notebook:run-all-cells")
        self.page.wait_for_selector(".neuron-widget", timeout=180_000)

    def wait_for_kernel(self) -> None:
        """A cell that runs before its kernel is there opens a dialog."""
        self.page.wait_for_function(
            "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status"
            " === 'idle'",
            timeout=60_000,
        )

    def reload(self) -> None:
        """Save the notebook and load the page again, as a person who presses F5 would."""
        self.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        self.open()

    def command(self, name: str) -> None:
        """A command of JupyterLab; not waited for."""
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name) }", name)


def _notebook(cells: list[str]) -> dict[str, object]:
    return {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell{i}",
                "metadata": {},
                "source": textwrap.dedent(cell).strip(),
                "outputs": [],
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


AXE = ROOT / "js/node_modules/axe-core/axe.min.js"


@pytest.fixture(scope="session")
def run_axe() -> Callable[[Page], list[tuple[str, str, str]]]:
    """What axe-core finds wrong in the widget as it is now: (impact, rule, element)."""

    def run(page: Page) -> list[tuple[str, str, str]]:
        if not page.evaluate("'axe' in window"):
            page.add_script_tag(path=str(AXE))
        report = page.evaluate("axe.run('.neuron-widget')")
        print(f"\naxe: {len(report['passes'])} rules passed, {len(report['violations'])} violated")
        found = [(v["impact"], v["id"], v["nodes"]) for v in report["violations"]]
        return [(impact, rule, nodes[0]["html"][:200]) for impact, rule, nodes in found]

    return run


OpenNotebook = Callable[..., Notebook]
_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


def _tell(notebook: Notebook) -> None:
    """Print what a person would read in the widget: a test that failed may fail nowhere else."""
    try:
        for widget in notebook.page.locator(".neuron-widget").all():
            print(f"\nThe widget says:\n{widget.inner_text(timeout=5_000)}")
    except Exception as error:  # noqa: BLE001  # the page may be gone: the test's own failure counts
        print(f"\nThe widget cannot be read: {error}")
    print("\n".join(notebook.problems))


@pytest.fixture
def open_notebook(browser: Browser, request: pytest.FixtureRequest) -> Iterator[OpenNotebook]:
    """Open a notebook of the given cells; at the end nothing must have gone wrong in it.

    ``server``: another one than the JupyterLab that the tests share.
    """
    opened: list[Notebook] = []
    contexts = []

    def open_it(
        *cells: str,
        width: int = 1400,
        height: int = 1100,
        server: Lab | None = None,
        **how: object,
    ) -> Notebook:
        lab = server or request.getfixturevalue("lab")
        context = browser.new_context(viewport={"width": width, "height": height}, **how)
        contexts.append(context)
        name = f"{request.node.name}-{len(opened)}.ipynb".replace("[", "-").replace("]", "")
        notebook = Notebook(lab, context.new_page(), list(cells), name)
        opened.append(notebook)
        return notebook

    yield open_it
    if request.node.stash.get(_FAILED, False):
        for notebook in opened:
            _tell(notebook)
    for context in contexts:
        context.close()
    for url in {notebook.lab.url for notebook in opened}:
        with urllib.request.urlopen(f"{url}/api/kernels") as answer:
            kernels = json.load(answer)
        for kernel in kernels:
            urllib.request.urlopen(
                urllib.request.Request(f"{url}/api/kernels/{kernel['id']}", method="DELETE")
            ).close()
    problems = [p for notebook in opened for p in notebook.problems]
    assert not problems, "\n".join(problems)
