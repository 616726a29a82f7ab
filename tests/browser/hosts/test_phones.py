"""Phones and tablets: a finger instead of a mouse, 360 px and more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

pytestmark = pytest.mark.browser

# Width, height, pixels a pixel, as these devices report them.
DEVICES = {
    "small phone": (360, 740, 3.0),
    "phone": (412, 915, 2.625),
    "phone on its side": (740, 360, 3.0),
    "tablet": (768, 1024, 2.0),
}
TOUCHED = 24  # px: what a finger needs, by WCAG 2.2


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest, browser: Browser) -> Iterator[BrowserContext]:
    width, height, scale = DEVICES[request.param]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
        is_mobile=True,
        has_touch=True,
    )
    yield context
    context.close()


def swipe(page: Page, over: Locator, by: float, down: float = 0) -> None:
    """A finger goes over the middle of an element, so many pixels to the right and down."""
    box = over.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2 - by / 2, box["y"] + min(box["height"], 300) / 2
    touches: Any = page.context.new_cdp_session(page)
    send = "Input.dispatchTouchEvent"
    touches.send(send, {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for part in (0.2, 0.4, 0.6, 0.8, 1):
        point = {"x": x + by * part, "y": y + down * part}
        touches.send(send, {"type": "touchMove", "touchPoints": [point]})
    touches.send(send, {"type": "touchEnd", "touchPoints": []})


def test_by_finger(device: BrowserContext, harness: str) -> None:
    page = device.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(harness)
    root = page.locator(".neuron-widget").first
    tiles = root.get_by_role("listbox", name="Neurons").get_by_role("option")
    expect(tiles.first).to_be_visible(timeout=60_000)
    photos = root.get_by_role("group", name="Most activating").get_by_role("button")
    expect(photos.first).to_be_visible(timeout=60_000)
    # Nothing is wider than the screen.
    assert (
        page.evaluate("document.documentElement.scrollWidth")
        <= device.pages[0].viewport_size["width"]
    )

    # The slider: where the finger comes down, and where it goes.
    slider = root.get_by_role("slider", name="Neuron", exact=True)
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    before = slider.input_value()
    page.touchscreen.tap(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    expect(slider).not_to_have_value(before)
    middle = int(slider.input_value())
    last = int(slider.get_attribute("max") or 0)
    assert abs(middle - last / 2) < last / 10
    swipe(page, slider, box["width"] / 4)
    expect(slider).not_to_have_value(str(middle))

    # A tile of the gallery; the gallery scrolls under the finger.
    tiles.nth(4).scroll_into_view_if_needed()
    tiles.nth(4).tap()
    expect(slider).to_have_value("4")

    # A photo large: a finger to the left brings the next one, to the right the one before.
    expect(photos.first).to_be_visible(timeout=60_000)
    photos.first.scroll_into_view_if_needed()
    photos.first.tap()
    dialog = root.get_by_role("dialog")
    picture = dialog.locator(".nw-large-box")
    expect(picture).to_be_visible()
    picture.scroll_into_view_if_needed()
    swipe(page, picture, -120)
    expect(dialog.get_by_text(re.compile(r"Most activating · 2"))).to_be_visible()
    swipe(page, picture, 120)
    expect(dialog.get_by_text(re.compile(r"Most activating · 1"))).to_be_visible()
    # Up or down is the page's.
    swipe(page, picture, 10, -100)
    expect(dialog.get_by_text(re.compile(r"Most activating · 1"))).to_be_visible()
    # A finger that comes down while the page still glides only stops it.
    page.wait_for_function(
        """() => new Promise((still) => {
          const before = scrollY;
          setTimeout(() => still(scrollY === before), 300);
        })"""
    )
    dialog.get_by_role("button", name="Close").tap()
    expect(dialog).to_have_count(0)

    # What is touched is large enough to be hit.
    small = page.evaluate(
        """least => [...document.querySelectorAll(".neuron-widget button, .neuron-widget select")]
          .filter(e => e.offsetParent)
          .map(e => [e.getAttribute("aria-label") || e.textContent, e.getBoundingClientRect()])
          .filter(([, box]) => box.width < least || box.height < least)
          .map(([name, box]) => `${name}: ${box.width} x ${box.height}`)""",
        TOUCHED,
    )
    assert not small, small
    assert not problems
