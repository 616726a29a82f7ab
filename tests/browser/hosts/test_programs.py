"""The script in programs that show a widget by itself, and on a hub: ``make test-hosts``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hosts.host import widget_cell
from hosts.playing import opened, play_and_compare
from hosts.programs import Hub, Panel, Shiny, Solara, Voila
from hosts.script import finished, slider
from playwright.sync_api import Browser, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.hosts]

HOSTS = {host.title: host for host in (Voila, Solara, Shiny, Panel, Hub)}


@pytest.mark.parametrize("title", HOSTS)
def test_the_script_in(title: str, browser: Browser, folder: Path, tmp_path: Path) -> None:
    def made(page: Page) -> Any:
        return closing(HOSTS[title](page, tmp_path, widget_cell(folder)))

    with opened(browser, made) as host:
        play_and_compare(host)


def test_two_users_of_a_hub_have_widgets_of_their_own(
    browser: Browser, folder: Path, tmp_path: Path
) -> None:
    cell = widget_cell(folder, previews=False)
    with opened(browser, lambda page: closing(Hub(page, tmp_path, cell))) as one:
        one.prepare()
        one.show()
        finished(one.root(), 7)
        context = browser.new_context(viewport={"width": 1400, "height": 1100})
        two = one.join(context.new_page(), cell)
        two.show()
        finished(two.root(), 7)
        two.root().get_by_role("button", name="Next neuron").click()
        finished(two.root(), 8)
        expect(slider(one.root())).to_have_value("7")
        assert not one.errors + two.errors + one.elsewhere + two.elsewhere
        context.close()
