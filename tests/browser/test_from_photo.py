"""What a photo would need to fire a neuron more; and an expression, with a MACO image of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

SLOW = 120_000


def test_a_picture_forms_in_a_photos_place_and_leads_back(
    open_notebook: Any, run_axe: Any, folder: Path
) -> None:
    notebook = open_notebook(f"""
    from neuron_widget import NeuronWidget
    w = NeuronWidget("blocks.3:7 - 0.5*blocks.2:1", dataset={str(folder)!r}, size=64, steps=16,
                     param="maco", store=False, previews=False)
    w
    """)
    page = notebook.page
    notebook.run()
    expect(page.locator(".nw-settings")).to_contain_text("16 steps", timeout=SLOW)
    text = "blocks.3:7 - 0.5*blocks.2:1"
    expect(page.locator(".nw-neuron-title")).to_have_text(f"expression {text}")
    expect(page.get_by_text("Gallery and photos are of blocks.3 neuron 7.")).to_be_visible()
    # MACO images fade out, at once, where the person wants it.
    image = page.get_by_role("img", name=f"expression {text}")
    plain = image.evaluate("i => getComputedStyle(i).maskImage")
    assert plain == "none"
    page.get_by_role("button", name="Settings", exact=True).click()
    page.get_by_role("checkbox", name="Transparency").check()
    expect(page.locator(".nw-faded")).to_be_visible()
    assert image.evaluate("i => getComputedStyle(i).maskImage").startswith('url("')
    assert not run_axe(page)
    page.get_by_role("checkbox", name="Transparency").uncheck()
    expect(page.locator(".nw-faded")).to_have_count(0)
    page.get_by_role("button", name="Settings", exact=True).click()
    page.get_by_role("button", name="Neuron 7 alone").click()
    expect(page.locator(".nw-neuron-title")).to_have_text("blocks.3 neuron 7")

    page.locator("button.nw-photo").first.click(timeout=SLOW)
    dialog = page.get_by_role("dialog")
    large = dialog.locator(".nw-large-box img")
    expect(dialog.get_by_role("img", name="What the peak can see")).to_be_visible(timeout=SLOW)
    photo = large.get_attribute("src")  # no more the small one
    expect(dialog.locator(".nw-marks")).to_have_count(1)
    dialog.get_by_role("button", name="From this photo").press("Enter")
    slider = dialog.get_by_role("slider", name="From the photo to the picture")
    expect(slider).to_be_visible(timeout=SLOW)
    expect(dialog.locator(".nw-marks")).to_have_count(0)
    status = dialog.locator(".nw-accentuation [role=status]")
    expect(status).to_have_text(re.compile(r"^After 64 of 64 steps: activation [\d.]+"))
    expect(dialog.locator("code")).to_have_text(re.compile(r"blocks\.3:7 - [\d.]+\*distance\("))
    assert large.get_attribute("src") != photo
    assert not run_axe(page)
    # The slider takes the arrow keys; at its beginning the photo itself is there, with its map.
    slider.press("ArrowLeft")
    expect(status).to_contain_text("After 32 of 64 steps")
    slider.press("Home")
    expect(status).to_contain_text("The photo: activation")
    assert large.get_attribute("src") == photo
    expect(dialog.locator(".nw-marks")).to_have_count(1)
    # Another photo has none.
    page.keyboard.press("Escape")
    page.locator("button.nw-photo").nth(1).click()
    expect(dialog.get_by_role("button", name="From this photo")).to_be_visible()
    expect(slider).to_have_count(0)
    assert not notebook.problems
