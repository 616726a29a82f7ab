"""The script in programs that show a widget by itself, and on a hub: ``make test-hosts``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hosts.host import widget_cell
from hosts.playing import opened, play_and_compare
from hosts.programs import Hub, Panel, Shiny, Solara, Voila
from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.hosts]

HOSTS = {host.title: host for host in (Voila, Solara, Shiny, Panel, Hub)}


@pytest.mark.parametrize("title", HOSTS)
def test_the_script_in(title: str, browser: Browser, folder: Path, tmp_path: Path) -> None:
    def made(page: Page) -> Any:
        return closing(HOSTS[title](page, tmp_path, widget_cell(folder)))

    with opened(browser, made) as host:
        play_and_compare(host)
