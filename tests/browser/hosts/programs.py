"""Hosts without a notebook around the widget (Voila, Solara, Shiny, Panel), and the hub."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import ClassVar

import anywidget
from hosts.host import Host
from hosts.notebooks import JupyterLab, notebook_file
from hosts.servers import free_port, until_it_answers
from playwright.sync_api import Page

__all__ = ["Hub", "Panel", "Shiny", "Solara", "Voila"]

HERE = Path(__file__).parent


class Program(Host):
    """A server that is started for the test, with a home of its own."""

    file: ClassVar[str]
    package: ClassVar[str]
    # What it serves without running the file: who asks for the page starts a widget of their own.
    alive: ClassVar[str] = "/"

    def __init__(self, page: Page, home: Path, cell: str):
        super().__init__(page, importlib.metadata.version(self.package))
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        (home / self.file).write_text(self.text(cell))
        self._log = (home / "server.log").open("w")
        self._server = subprocess.Popen(
            [sys.executable, *self.command()],
            cwd=home,
            env={**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        until_it_answers(self.address + self.alive, self._server, home / "server.log")

    def text(self, cell: str) -> str:
        """The file that the server shows."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """How Python starts the server."""
        raise NotImplementedError

    def show(self) -> None:
        self.page.goto(self.address, timeout=180_000)

    def close(self) -> None:
        """End the server."""
        self._server.terminate()
        self._server.wait(60)
        self._log.close()


class Voila(Program):
    """A notebook as an application."""

    title = "Voila"
    file, package = "app.ipynb", "voila"
    alive = "/voila/static/voila.js"
    strict = False
    asks: ClassVar = (r"fontawesome",)

    def text(self, cell: str) -> str:
        return notebook_file(cell, "w")

    def command(self) -> list[str]:
        quiet = ["--no-browser", "--Voila.ip=127.0.0.1"]
        return ["-m", "voila", self.file, f"--port={self.port}", *quiet]

    def darken(self) -> None:
        self.page.goto(f"{self.address}/?theme=dark")
        self.root().wait_for(timeout=180_000)


def _body(cell: str, by: int) -> str:
    return textwrap.indent(cell.rsplit("\n", 1)[0], " " * by)


class Solara(Program):
    """A Solara application."""

    title = "Solara"
    file, package = "app.py", "solara"
    strict = False

    def text(self, cell: str) -> str:
        return (
            "import solara\n\n\ndef make():\n"
            f"{_body(cell, 4)}\n    return w\n\n\n"
            "@solara.component\ndef Page():\n"
            "    w = solara.use_memo(make, [])\n"
            "    solara.display(w)\n    solara.display(w)\n"
        )

    def command(self) -> list[str]:
        host = ["--host", "127.0.0.1", "--port", str(self.port), "--no-open", "--production"]
        return ["-m", "solara", "run", self.file, *host]


class Shiny(Program):
    """A Shiny application with shinywidgets."""

    title = "Shiny"
    file, package = "app.py", "shinywidgets"
    strict = False
    without: ClassVar = {"two views": "an output holds a widget of its own"}

    def text(self, cell: str) -> str:
        return (
            "from shiny import App, ui\nfrom shinywidgets import output_widget, render_widget\n\n"
            'app_ui = ui.page_fluid(output_widget("shown", fillable=False))\n\n\n'
            "def server(input, output, session):\n"
            "    @render_widget\n    def shown():\n"
            f"{_body(cell, 8)}\n        return w\n\n\napp = App(app_ui, server)\n"
        )

    def command(self) -> list[str]:
        return ["-m", "shiny", "run", "--host", "127.0.0.1", "--port", str(self.port), self.file]


class Panel(Program):
    """A Panel application with ipywidgets-bokeh."""

    title = "Panel"
    file, package = "app.py", "panel"
    alive = "/liveness"
    strict = False
    # It has modules of widgets from a CDN, and the icons of its own; here they lie on the disk.
    asks: ClassVar = (r"font-awesome", r"/anywidget@")

    def text(self, cell: str) -> str:
        return (
            'import panel as pn\n\npn.extension("ipywidgets")\n'
            f"{cell.rsplit(chr(10), 1)[0]}\n"
            "pn.Column(*(pn.panel(w, sizing_mode='stretch_width') for _ in '12'),"
            " sizing_mode='stretch_width').servable()\n"
        )

    def command(self) -> list[str]:
        return [
            "-m",
            "panel",
            "serve",
            self.file,
            "--liveness",
            "--address",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]

    def show(self) -> None:
        module = Path(anywidget.__file__).parent / "nbextension/index.js"
        self.page.route(
            re.compile(r"//(cdn\.jsdelivr\.net/npm|unpkg\.com)/anywidget@"),
            lambda route: route.fulfill(path=module, content_type="text/javascript"),
        )
        self.page.goto(f"{self.address}/app", timeout=180_000)


HUB = """
c.JupyterHub.bind_url = "http://0.0.0.0:{port}/lab-course/"
c.JupyterHub.hub_port = {hub}
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{home}/{{username}}"
c.ConfigurableHTTPProxy.command = ["node", {proxy!r}]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.ConfigurableHTTPProxy.auth_token = "of-the-test"
c.Spawner.args = ["--allow-root", "--LabApp.expose_app_in_browser=True"]
c.Spawner.default_url = "/lab"
c.Spawner.start_timeout = 180
c.Spawner.http_timeout = 180
"""


class _Server:
    """Where a user's notebooks are, for :class:`JupyterLab`."""

    def __init__(self, url: str, notebooks: Path):
        self.url, self.notebooks = url, notebooks
        notebooks.mkdir(parents=True, exist_ok=True)


class Hub(JupyterLab):
    """JupyterLab behind JupyterHub and its proxy, with a prefix, over plain http, for two users."""

    title = "JupyterHub"

    def __init__(self, page: Page, home: Path, cell: str):
        self.home = home
        port, hub, api = free_port(), free_port(), free_port()
        proxy = str(HERE / "node_modules/configurable-http-proxy/bin/configurable-http-proxy")
        (home / "jupyterhub_config.py").write_text(
            HUB.format(home=home, port=port, hub=hub, api=api, proxy=proxy)
        )
        self._log = (home / "hub.log").open("w")
        self._hub = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"],
            cwd=home,
            env={
                **os.environ,
                "HOME": str(home),
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            },
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        # A name that is not this machine's own: the browser takes plain http for unsafe then.
        self.base = f"http://hub.test:{port}/lab-course"
        until_it_answers(
            f"http://127.0.0.1:{port}/lab-course/hub/login", self._hub, home / "hub.log"
        )
        super().__init__(page, _Server(f"{self.base}/user/one", home / "one"), cell)
        self.version = importlib.metadata.version("jupyterhub")

    def log_in(self, page: Page, user: str) -> None:
        """As a person does."""
        page.goto(f"{self.base}/hub/login")
        page.locator("#username_input").fill(user)
        page.locator("#password_input").fill("secret")
        page.locator("#login_submit").click()
        page.wait_for_url("**/user/**/lab**", timeout=180_000)

    def prepare(self) -> None:
        self.log_in(self.page, "one")

    def join(self, page: Page, cell: str) -> JupyterLab:
        """Another user, logged in, with a notebook of their own."""
        self.log_in(page, "two")
        return JupyterLab(page, _Server(f"{self.base}/user/two", self.home / "two"), cell)

    def close(self) -> None:
        """End the hub, which ends the users' servers."""
        self._hub.terminate()
        self._hub.wait(60)
        self._log.close()
