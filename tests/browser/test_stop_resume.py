"""Everything stopped in the first second, then resumed by what is on screen."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

CELL = """
from neuron_widget import NeuronWidget
w = NeuronWidget("blocks.2", model="efficientnet_lite0", neuron=7, steps=40, size=96, store=False)
w
"""
SLOW = 120_000


def button(page: Page, name: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


# Presses each button in the frame in which it comes: a moment later a task may be done.
PRESS = """([names, limit]) => new Promise((done, failed) => {
  const left = new Set(names);
  const begun = performance.now();
  const look = () => {
    for (const button of document.querySelectorAll(".neuron-widget button")) {
      const name = button.getAttribute("aria-label") ?? button.textContent;
      if (button.getAttribute("aria-disabled") !== "true" && left.delete(name)) button.click();
    }
    if (left.size === 0) done();
    else if (performance.now() - begun > limit) failed(new Error([...left].join(", ")));
    else requestAnimationFrame(look);
  };
  look();
})"""


def test_what_is_stopped_in_the_first_second_is_resumed_on_screen(
    open_notebook: Any,
) -> None:
    notebook = open_notebook(CELL)
    page = notebook.page
    notebook.run()
    page.evaluate(PRESS, [["Stop", "Stop scanning", "Stop previews"], SLOW])
    # Nothing waits for what does not come, and all three have a way on where one looks.
    resume = button(page, re.compile("^Resume ?to 40$"))
    photos = button(page, re.compile("^Resume (the scan|scanning)$")).first
    previews = button(page, "Resume previews")
    for way_on in (resume, photos, previews):
        expect(way_on).to_be_visible(timeout=SLOW)
    expect(page.get_by_text(re.compile("[Ww]ait"))).to_have_count(0)
    resume.click()
    expect(page.locator(".nw-settings")).to_contain_text("40 steps", timeout=SLOW)
    photos.click()
    for group in ("Most activating", "Least activating"):
        shown = page.get_by_role("group", name=group).get_by_role("button")
        expect(shown).to_have_count(9, timeout=SLOW)
    expect(page.get_by_role("progressbar", name="Scanning")).to_have_count(0, timeout=SLOW)
    previews.click()
    tiles = page.get_by_role("listbox", name="Neurons").get_by_role("option").locator("img")
    expect(tiles).to_have_count(24, timeout=SLOW)
    expect(resume).to_have_count(0)
