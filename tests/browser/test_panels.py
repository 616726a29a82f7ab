"""What comes on demand: asked for once the page is drawn, said calmly while it is on its way."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.browser

KEPT = "Object.keys(globalThis.neuronWidgetPanels ?? {}).length"
ASKED = "model.sent.filter((m) => m.kind === 'panels').length"


def test_a_page_asks_by_itself_once_for_all_its_views(browser: Browser, harness: str) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{harness}?views=2")
    page.wait_for_function(f"{KEPT} === 1")
    assert page.evaluate(ASKED) == 1
    # It is there: a click shows it in the same turn.
    shown = page.evaluate(
        """() => {
            const [button] = [...document.querySelectorAll("button")].filter(
                (b) => b.textContent === "Settings");
            button.click();
            return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() =>
                done(document.querySelectorAll("form[aria-label=Settings]").length))));
        }"""
    )
    assert shown == 1
    assert not problems
    page.close()


def test_what_does_not_come_says_so_and_leaves_the_page_usable(
    browser: Browser, harness: str
) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.goto(f"{harness}?panels=0")
    photo = page.get_by_role("group", name="Most activating").get_by_role("button").first
    photo.click()
    note = page.get_by_text("The large view is on its way from the kernel.")
    expect(note).to_be_visible()
    # Nothing is taken from the person meanwhile.
    page.get_by_role("button", name="Next neuron").click()
    expect(page.get_by_role("spinbutton", name="Neuron number")).to_have_value("69")
    page.get_by_role("button", name="Settings").click()
    expect(page.get_by_text("The settings panel is on its way from the kernel.")).to_be_visible()
    # A kernel of another version: another panels.js.
    page.evaluate(
        """() => model.tell({ kind: "panels" }, [new TextEncoder().encode(
            "(globalThis.neuronWidgetPanels ??= {}).other = () => ({})")])"""
    )
    alert = page.get_by_role("alert").filter(has_text="The settings panel did not come")
    expect(alert).to_contain_text("another version of neuron-widget")
    page.evaluate("() => { model.options.panels = 1; }")
    alert.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("form", name="Settings")).to_be_visible()
    # The photo that was asked for opens now.
    expect(page.get_by_role("dialog")).to_be_visible()
    page.close()
