"""The same script in every host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hosts.host import widget_cell
from hosts.notebooks import JupyterLab, Marimo, Notebook7
from hosts.playing import opened, play_and_compare
from hosts.webviews import Colab, VSCode, origins
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

Request = pytest.FixtureRequest
Open = Callable[[Page, Request, Path, str], Any]


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with origins(tmp_path_factory.mktemp("built")) as both:
        yield both


@pytest.fixture(scope="module")
def notebook7(tmp_path_factory: pytest.TempPathFactory, start_lab: Any) -> Iterator[Any]:
    server = start_lab(
        tmp_path_factory.mktemp("notebook7"), module="notebook", app="JupyterNotebookApp"
    )
    yield server
    server.close()


def in_lab(page: Page, request: Request, home: Path, cell: str) -> Any:
    return closing(JupyterLab(page, request.getfixturevalue("lab"), cell))


def in_notebook7(page: Page, request: Request, home: Path, cell: str) -> Any:
    pytest.importorskip("notebook", reason="Notebook 7 is not installed")
    return closing(Notebook7(page, request.getfixturevalue("notebook7"), cell))


def in_marimo(page: Page, request: Request, home: Path, cell: str) -> Any:
    pytest.importorskip("marimo", reason="marimo is not installed")
    return closing(Marimo(page, home, cell))


def in_colab(page: Page, request: Request, home: Path, cell: str) -> Any:
    values = [request.getfixturevalue(name) for name in ("lab", "places")]
    return closing(Colab(page, *values, cell))


def in_vscode(page: Page, request: Request, home: Path, cell: str) -> Any:
    values = [request.getfixturevalue(name) for name in ("lab", "places")]
    return closing(VSCode(page, *values, cell))


HOSTS: dict[str, Open] = {
    "jupyterlab": in_lab,
    "notebook7": in_notebook7,
    "marimo": in_marimo,
    "colab": in_colab,
    "vscode": in_vscode,
}


# Notebook 7 is JupyterLab in another frame: a shorter test of it is among those of every day.
LESS_OFTEN = {"notebook7"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.hosts] if name in LESS_OFTEN else []) for name in HOSTS],
)
def test_the_script_in(
    name: str, browser: Browser, folder: Path, tmp_path: Path, request: Request
) -> None:
    cell = widget_cell(folder)
    with opened(browser, lambda page: HOSTS[name](page, request, tmp_path, cell)) as host:
        play_and_compare(host)


def test_vscode_with_its_policy_says_that_it_loads_no_such_widget(
    lab: Any, places: tuple[str, str], browser: Browser, folder: Path
) -> None:
    # Off unless a person turns it on. It admits no module from a blob, as every anywidget is.
    page = browser.new_page()
    with closing(VSCode(page, lab, places, widget_cell(folder, auto=False), policy="1")) as host:
        host.show()
        frame = page.locator("iframe").content_frame
        expect(frame.locator(".output")).to_contain_text("javascript error", timeout=120_000)
        assert any("Content Security Policy" in error for error in host.errors)
    page.close()
