"""A photo of one's own, in a real JupyterLab: dropped, looked into, pointed at, put away."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

WAIT = 60_000

DROP = """([name, data, type]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  const how = { bubbles: true, cancelable: true, dataTransfer: transfer };
  const onto = document.querySelector(".neuron-widget .nw-heading");
  return ["dragenter", "dragover", "drop"].map(
    (kind) => !onto.dispatchEvent(new DragEvent(kind, how)));
}"""

PASTE = """([name, data, type]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const clipboardData = new DataTransfer();
  clipboardData.items.add(new File([bytes], name, { type }));
  const how = { bubbles: true, cancelable: true, clipboardData };
  document.activeElement.dispatchEvent(new ClipboardEvent("paste", how));
}"""


PIXELS = "c => c ? [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data] : []"
OTHER_PIXELS = f"""before => {{
  const now = ({PIXELS})(document.querySelector(".nw-point canvas"));
  return now.length > 0 && now.some((value, i) => value !== before[i]);
}}"""


def photo(seed: int = 0, size: tuple[int, int] = (1600, 1200)) -> bytes:
    """A JPEG, as a camera gives it."""
    small = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def sent(name: str, data: bytes, kind: str = "image/jpeg") -> list[str]:
    return [name, base64.b64encode(data).decode(), kind]


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def yours(page: Page) -> Locator:
    return page.get_by_role("region", name="Your photo")


def first_tile(page: Page) -> str:
    return str(page.locator(".nw-tiles [role=option]").first.get_attribute("data-neuron"))


def pixels(page: Page) -> list[int]:
    """The map on the photo, once it is drawn."""
    page.wait_for_function(
        f"() => ({PIXELS})(document.querySelector('.nw-point canvas')).some(Boolean)"
    )
    found: list[int] = page.locator(".nw-point canvas").evaluate(PIXELS)
    return found


@pytest.fixture
def cell(folder: Path) -> str:
    return f"""
    from neuron_widget import NeuronWidget
    w = NeuronWidget("blocks.3", dataset={str(folder)!r}, neuron=7, size=64, steps=16,
                     previews=False)
    w
    """


@pytest.fixture
def scanned(open_notebook: Any, cell: str) -> Any:
    """A notebook whose widget knows its photos."""
    notebook = open_notebook(cell)
    notebook.run()
    expect(button(notebook.page, "Your photo")).to_be_visible(timeout=WAIT)
    page: Page = notebook.page
    expect(page.locator(".nw-strip img").first).to_be_attached(timeout=WAIT)
    # When a scan ends, a photo that was brought is looked at again, beside all of the others.
    expect(button(page, "Stop scanning")).to_have_count(0, timeout=WAIT)
    expect(page.locator(".nw-photos-head")).not_to_contain_text("so far", timeout=WAIT)
    return notebook


def test_a_photo_is_dropped_and_asked(
    scanned: Any, run_axe: Callable[[Page], list[tuple[str, str, str]]]
) -> None:
    page: Page = scanned.page
    sort = page.get_by_label("Sort")
    expect(sort).to_have_value("index")

    # Onto any place of the widget; neither the notebook nor the browser takes the file.
    assert page.evaluate(DROP, sent("my <b>cat.jpg", photo())) == [False, True, True]
    panel = yours(page)
    expect(panel.get_by_role("heading", name="my <b>cat.jpg")).to_be_visible(timeout=WAIT)
    expect(sort).to_have_value("photo")
    row = panel.locator(".nw-firing").get_by_role("button")
    expect(row).to_have_count(12, timeout=WAIT)
    strongest = row.first.locator(".nw-photo-score").inner_text().removeprefix("neuron").strip()
    assert first_tile(page) == strongest
    assert page.locator(".nw-tiles").evaluate("t => t.scrollTop") == 0
    expect(panel.get_by_text(re.compile(r"Map of neuron 7, percentile [\d.]+"))).to_be_visible()
    expect(panel.locator(".nw-point canvas")).to_be_visible(timeout=WAIT)
    expect(panel.get_by_text("Compared by percentiles among 24 photos")).to_be_visible()
    classes = panel.get_by_role("table").get_by_role("rowheader")
    expect(classes).to_have_count(5, timeout=WAIT)
    assert run_axe(page) == []

    # Hovering a tile, of the row or of the gallery, shows its map.
    before = pixels(page)
    row.nth(1).hover()
    other = row.nth(1).locator(".nw-photo-score").inner_text().removeprefix("neuron").strip()
    expect(panel.get_by_text(f"Map of neuron {other},")).to_be_visible()
    # Drawn in the frame after its words.
    page.wait_for_function(OTHER_PIXELS, arg=before)
    page.locator(".nw-tiles [role=option]").nth(20).hover()
    twentieth = page.locator(".nw-tiles [role=option]").nth(20).get_attribute("data-neuron")
    expect(panel.get_by_text(f"Map of neuron {twentieth},")).to_be_visible()

    # A click on the photo asks that place.
    place = panel.get_by_role("application")
    place.click(position={"x": 12, "y": 80})
    pointed = panel.get_by_text(re.compile(r"^Firing at row \d+, column \d+$"))
    expect(pointed).to_be_visible(timeout=WAIT)
    row.first.click()
    chosen = row.first.locator(".nw-photo-score").inner_text().removeprefix("neuron").strip()
    expect(page.get_by_role("spinbutton", name="Neuron number")).to_have_value(chosen)
    button(page, "Whole photo").click()
    expect(panel.get_by_text("Most unusual on this photo")).to_be_visible()

    # Silenced: the classes before and after.
    panel.get_by_label(f"Neuron {chosen}").select_option("off: zero")
    change = panel.get_by_role("table").locator("tbody tr").first.get_by_role("cell").nth(2)
    points = re.compile("^[+\N{MINUS SIGN}]\\d+\\.\\d$")
    expect(change).to_have_text(points, timeout=WAIT)
    page.get_by_role("slider", name="Neuron", exact=True).press("ArrowRight")
    expect(change).to_have_text(points, timeout=WAIT)

    # A reload shows it again; put away, all is as before.
    scanned.reload()
    expect(yours(page).get_by_role("heading", level=3)).to_have_text("my <b>cat.jpg", timeout=WAIT)
    button(page, "Put it away").click()
    expect(yours(page).get_by_text("Drop a photo anywhere")).to_be_visible(timeout=WAIT)
    expect(sort).to_have_value("index")
    button(page, "Of the data set").click()
    expect(yours(page)).to_have_count(0)


def test_by_keyboard_alone(scanned: Any, tmp_path: Path) -> None:
    page: Page = scanned.page
    # Caught from here on: a browser that is told so just before the key may be late.
    choosers: list[Any] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    button(page, "Your photo").focus()
    page.keyboard.press("Enter")
    # What is in the tab comes on demand.
    expect(yours(page).get_by_text("Drop a photo anywhere")).to_be_visible(timeout=WAIT)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "file"
    (tmp_path / "dog.jpg").write_bytes(photo(3))
    page.keyboard.press("Enter")
    while not choosers:
        page.wait_for_timeout(50)  # the test's own limit ends it
    choosers[0].set_files(tmp_path / "dog.jpg")
    panel = yours(page)
    place = panel.get_by_role("application", name=re.compile("^dog.jpg: arrow keys"))
    expect(place).to_be_visible(timeout=WAIT)
    place.focus()
    cells = page.locator(".jp-Cell").count()
    page.keyboard.press("ArrowUp")
    status = panel.get_by_text(re.compile(r"^Firing at row \d+, column \d+$"))
    expect(status).to_be_visible(timeout=WAIT)
    for key in ("ArrowLeft", "ArrowLeft", "ArrowDown"):
        before = status.inner_text()
        page.keyboard.press(key)
        expect(status).not_to_have_text(before, timeout=WAIT)
    assert page.locator(".jp-Cell").count() == cells
    for name in ("From this photo", "Put it away"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == name
    for _ in range(2):
        page.keyboard.press("Tab")
    neuron = page.evaluate("document.activeElement.textContent")
    assert re.match(r"neuron \d+", neuron)
    page.keyboard.press("Enter")
    box = page.get_by_role("spinbutton", name="Neuron number").element_handle()
    chosen = "([box, text]) => text.startsWith(`neuron ${box.value}`)"
    page.wait_for_function(chosen, arg=[box, neuron])
    place.focus()
    page.keyboard.press("Escape")
    expect(panel.get_by_text("Most unusual on this photo")).to_be_visible()


def test_pasted_refused_and_from_the_data_set(scanned: Any) -> None:
    page: Page = scanned.page
    button(page, "Render").focus()
    page.evaluate(PASTE, sent("evil.jpg", b"<svg onload=alert(1)>", "image/jpeg"))
    alert = yours(page).get_by_role("alert")
    expect(alert).to_contain_text("'evil.jpg' is in none of the photo formats", timeout=WAIT)
    page.evaluate(PASTE, sent("good.png", photo(5)))
    expect(yours(page).get_by_role("heading", level=3)).to_have_text("good.png", timeout=WAIT)
    expect(alert).to_have_count(0)
    button(page, "Of the data set").click()
    page.get_by_role("group", name="Most activating").get_by_role("button").first.click()
    button(page, "Look at this one").click()
    expect(yours(page).get_by_role("heading", level=3)).to_have_text(
        re.compile(r"^\d+\.png$"), timeout=WAIT
    )
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_large_file_comes_in_pieces_and_one_that_is_too_large_not_at_all(scanned: Any) -> None:
    page: Page = scanned.page
    # A JPEG with something after its end, 22 MB in all: larger than a notebook server lets through.
    grown = DROP.replace("[bytes]", "[bytes, new Uint8Array(size)]").replace("type]", "type, size]")
    page.evaluate(grown, [*sent("large.jpg", photo(6)), 22_000_000])
    expect(yours(page).get_by_role("heading", level=3)).to_have_text("large.jpg", timeout=WAIT)
    page.evaluate(grown, [*sent("huge.jpg", photo(6)), 50_000_000])
    expect(yours(page).get_by_role("alert")).to_contain_text("larger than 50 MB", timeout=WAIT)
    expect(yours(page).get_by_role("heading", level=3)).to_have_text("large.jpg")


def test_little_room(open_notebook: Any, cell: str) -> None:
    notebook = open_notebook(cell)
    page: Page = notebook.page
    notebook.run()
    expect(button(page, "Your photo")).to_be_visible(timeout=WAIT)
    page.evaluate("document.querySelector('.neuron-widget').parentElement.style.width = '320px'")
    page.evaluate(DROP, sent("a" * 60 + ".jpg", photo(7)))
    expect(yours(page).get_by_role("table").get_by_role("rowheader")).to_have_count(5, timeout=WAIT)
    yours(page).get_by_label("Neuron 7").select_option("five times as strong")
    expect(yours(page).get_by_role("columnheader")).to_have_count(4)
    root = page.locator(".neuron-widget")
    assert root.evaluate("e => e.offsetWidth") == 320
    assert root.evaluate("e => e.scrollWidth - e.clientWidth") <= 0
    for part in (".nw-yours", ".nw-answers table", ".nw-firing"):
        assert page.locator(part).evaluate("e => e.scrollWidth - e.clientWidth") <= 0, part
