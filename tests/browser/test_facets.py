"""Facets under the picture, and what lies between two pinned neurons."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

CELL = """
from neuron_widget import NeuronWidget
w = NeuronWidget("blocks.2", model="efficientnet_lite0", neuron=7, steps=16, size=96, store=False,
                 previews=False)
w
"""
SLOW = 120_000


def test_facets_and_the_way_between_two_pins(open_notebook: Any, run_axe: Any) -> None:
    notebook = open_notebook(CELL)
    page = notebook.page
    notebook.run()
    expect(page.locator(".nw-settings")).to_contain_text("16 steps", timeout=SLOW)
    # By keyboard alone.
    page.get_by_role("button", name="Settings", exact=True).press("Enter")
    number = page.get_by_role("spinbutton", name="Facets")
    number.fill("3")
    number.press("Enter")
    facets = page.get_by_role("region", name="Facets")
    images = facets.get_by_role("img")
    expect(images).to_have_count(3, timeout=SLOW)
    expect(facets.get_by_text("%")).to_have_count(3, timeout=SLOW)
    expect(images.first).to_have_attribute("alt", "Facet 1 of neuron 7")
    assert not run_axe(page)
    page.get_by_role("button", name="Pin", exact=True).click()
    page.get_by_role("button", name="Next neuron").click()
    expect(page.get_by_role("img", name="Facet 3 of neuron 8")).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Pin", exact=True).click()
    way = page.get_by_role("button", name="Render the way")
    expect(way).to_be_enabled(timeout=SLOW)
    way.press("Enter")
    slider = page.get_by_role("slider", name="Image 1 of 6")
    expect(slider).to_be_visible(timeout=SLOW)
    shares = page.locator(".nw-way-side [role=status]")
    expect(shares).to_contain_text("% of blocks.2 neuron 8", timeout=SLOW)
    before = shares.inner_text()
    slider.press("End")
    last = page.get_by_role("img", name="Step 6 on the way from blocks.2 neuron 7 to blocks.2")
    expect(last).to_be_visible()
    assert shares.inner_text() != before
    assert not run_axe(page)
    assert not notebook.problems
