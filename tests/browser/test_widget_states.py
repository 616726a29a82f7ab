"""Mouse, a job in mid-flight, little room, no memory, a saved notebook: in a real JupyterLab."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = pytest.mark.browser


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def image(page: Page, neuron: int, layer: str = "blocks.3") -> Locator:
    return page.get_by_role("img", name=f"{layer} neuron {neuron}", exact=True)


def finished(page: Page, neuron: int, steps: int = 24, layer: str = "blocks.3") -> None:
    expect(image(page, neuron, layer)).to_be_visible(timeout=60_000)
    expect(page.locator(".nw-settings")).to_contain_text(f"{steps} steps", timeout=60_000)


def scan_ended(page: Page) -> None:
    """Nothing moves by itself any more: no row of the scan, no photo that changes its place."""
    strips = page.get_by_role("group", name="Most activating").get_by_role("button")
    expect(strips).to_have_count(9, timeout=60_000)
    expect(button(page, "Stop scanning")).to_have_count(0, timeout=60_000)
    expect(page.locator(".nw-photos-head")).not_to_contain_text("so far", timeout=60_000)


def set_steps(page: Page, steps: int) -> None:
    box = page.get_by_role("spinbutton", name="Steps number")
    box.fill(str(steps))
    box.press("Enter")


def slider(page: Page) -> Locator:
    return page.get_by_role("slider", name="Neuron", exact=True)


@pytest.fixture
def cell(folder: Path) -> str:
    return f"""
    from neuron_widget import NeuronWidget
    w = NeuronWidget("blocks.3", dataset={str(folder)!r}, neuron=7, size=64, steps=24,
                     previews=False)
    w
    """


# For 3 seconds, and where a step takes long until there are as many as are wanted.
FRAMES_A_SECOND = """async (canvas) => {
  let drawn = 0;
  const context = canvas.getContext("2d");
  context.drawImage = function (...how) {
    drawn += 1;
    return CanvasRenderingContext2D.prototype.drawImage.apply(this, how);
  };
  const begun = performance.now();
  const seconds = () => (performance.now() - begun) / 1000;
  while (seconds() < 3 || (drawn <= 3 && seconds() < 60))
    await new Promise((done) => setTimeout(done, 50));
  delete context.drawImage;
  return [drawn, drawn / seconds()];
}"""


def test_a_drag_a_newer_neuron_and_a_reload_in_mid_job(open_notebook: Any, cell: str) -> None:
    notebook = open_notebook(cell)
    page: Page = notebook.page
    notebook.run()
    finished(page, 7)
    scan_ended(page)

    # The slider by mouse: the number follows the hand, the work waits for its release.
    place = slider(page).bounding_box()
    assert place is not None
    y = place["y"] + place["height"] / 2
    page.mouse.move(place["x"] + place["width"] * 7.5 / 80, y)
    page.mouse.down()
    seen = set()
    for i in range(1, 16):
        page.mouse.move(place["x"] + place["width"] * (0.1 + i * 0.04), y)
        seen.add(page.get_by_role("spinbutton", name="Neuron number").input_value())
    expect(page.get_by_role("progressbar", name="Rendering")).to_have_count(0)
    page.mouse.up()
    assert len(seen) > 5
    dragged = int(slider(page).input_value())
    assert 50 <= dragged <= 64
    finished(page, dragged)

    # A newer neuron goes before the one that is being rendered, and what that one had is kept.
    set_steps(page, 2048)
    button(page, "Render").click()
    expect(page.get_by_text("forming", exact=True)).to_be_visible(timeout=30_000)
    drawn, rate = image(page, dragged).evaluate(FRAMES_A_SECOND)
    print(f"\nlive frames: {rate:.1f} a second")
    assert drawn > 3
    assert rate <= 31 / 3
    step = page.locator(".nw-progress-render .nw-progress-text")
    had = int(re.search(r"\d+", step.inner_text())[0])
    page.get_by_role("option", name=re.compile("^blocks.3 neuron 70,")).click()
    expect(slider(page)).to_have_value("70")
    expect(image(page, 70)).to_be_visible(timeout=60_000)
    expect(page.get_by_text("forming", exact=True)).to_be_visible(timeout=60_000)

    # Reload in mid-job: it goes on, and the page shows it again.
    notebook.reload()
    expect(slider(page)).to_have_value("70", timeout=60_000)
    expect(page.get_by_text("forming", exact=True)).to_be_visible(timeout=20_000)
    before = step.inner_text()
    expect(step).not_to_have_text(before, timeout=60_000)
    button(page, "Stop").click()
    expect(page.get_by_text(re.compile(r"^stopped at step \d+ of 2048"))).to_be_visible(
        timeout=60_000
    )
    page.get_by_role("option", name=re.compile(f"^blocks.3 neuron {dragged},")).click()
    # The badge of before is not taken for this one's, which goes on from where it was.
    expect(slider(page)).to_have_value(str(dragged))
    expect(page.get_by_text("forming", exact=True)).to_be_visible(timeout=60_000)
    button(page, "Stop").click()
    stopped = page.get_by_text(re.compile(r"^stopped at step \d+ of 2048"))
    expect(stopped).to_be_visible(timeout=60_000)
    assert int(re.search(r"\d+", stopped.inner_text())[0]) >= had > 24
    expect(page.get_by_text("Stop requested", exact=True)).to_have_count(0)


def focused(page: Page) -> str:
    """The name of what has the focus, if a person can see that it has."""
    name: str = page.evaluate(
        """() => {
          const e = document.activeElement;
          const style = getComputedStyle(e);
          const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
          const label = e.getAttribute("aria-label") ?? e.labels?.[0]?.innerText ?? e.innerText;
          return (ring ? "" : "NO RING: ") + label.trim().split("\\n")[0];
        }"""
    )
    return name


def test_by_keyboard_alone(open_notebook: Any, cell: str) -> None:
    notebook = open_notebook(cell)
    page: Page = notebook.page
    notebook.run()
    finished(page, 7)
    strips = page.get_by_role("group", name="Most activating").get_by_role("button")
    # Else the focus may be on "Stop scanning" when that goes.
    scan_ended(page)
    page.get_by_role("combobox", name="Layer").focus()
    order = []
    for _ in range(16):
        order.append(focused(page))
        page.keyboard.press("Tab")
    print("\ntab order:", " | ".join(order))
    wanted = ["Layer", "Settings", "Save and share", "Neuron", "Neuron number", "Next neuron"]
    wanted += ["Random neuron", "Steps", "Render", "Stop", "Pin"]
    assert [name for name in order if name in wanted] == wanted
    assert not [name for name in order if name.startswith("NO RING")]

    # Enter and space press buttons; in JupyterLab they would edit the cell, or scroll the notebook.
    button(page, "Next neuron").focus()
    page.keyboard.press("Enter")
    finished(page, 8)
    page.keyboard.press("Space")
    finished(page, 9)
    button(page, "Pin").focus()
    page.keyboard.press("Enter")
    pins = page.get_by_role("region", name="Pinned neurons")
    expect(pins.get_by_role("listitem")).to_have_count(1)
    # A number, typed: Enter takes it, and the box keeps the focus.
    number = page.get_by_role("spinbutton", name="Neuron number")
    number.fill("9999")
    number.press("Enter")
    expect(slider(page)).to_have_value("79")
    expect(number).to_have_value("79")
    number.fill("9")
    number.press("Enter")
    expect(slider(page)).to_have_value("9")
    expect(number).to_be_focused()
    finished(page, 9)
    # The gallery is one stop; arrow keys move in it and choose.
    page.get_by_role("option", name=re.compile("^blocks.3 neuron 9,")).focus()
    page.keyboard.press("ArrowRight")
    expect(slider(page)).to_have_value("10")
    assert focused(page).startswith("blocks.3 neuron 10")
    finished(page, 10)
    # A photo: in, along, round with Tab, and out again to where one was.
    expect(strips).to_have_count(9, timeout=60_000)
    strips.nth(2).focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_have_accessible_name("Most activating 3")
    page.keyboard.press("ArrowLeft")
    expect(dialog).to_have_accessible_name("Most activating 2")
    for _ in range(8):
        page.keyboard.press("Tab")
        assert dialog.evaluate("e => e.contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(strips.nth(2)).to_be_focused()
    expect(page.locator(".jp-Notebook .jp-Cell")).to_have_count(1)


def outside(page: Page) -> list[str]:
    """What of the widget reaches beyond it to the side, or can be scrolled to there."""
    found: list[str] = page.evaluate(
        """() => {
          const root = document.querySelector(".neuron-widget");
          const edge = root.getBoundingClientRect();
          const away = [...root.querySelectorAll("*")].filter((e) => {
            const box = e.getBoundingClientRect();
            if (!box.width || e.closest(".nw-unseen, pre, .nw-tiles")) return false;
            return box.right > edge.right + 1 || box.left < edge.left - 1;
          });
          return away.map((e) => e.outerHTML.slice(0, 120));
        }"""
    )
    return found


def test_little_room_320_px_and_zoom(open_notebook: Any, cell: str) -> None:
    # 1400 px at 200 % are 700 px of the style sheet's on twice as many dots.
    notebook = open_notebook(cell, width=700, height=550, device_scale_factor=2)
    page: Page = notebook.page
    page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
    notebook.run()
    finished(page, 7)
    strips = page.get_by_role("group", name="Most activating").get_by_role("button")
    scan_ended(page)
    assert not outside(page)

    for width in (320, 480):
        page.evaluate(
            "w => document.querySelector('.neuron-widget').parentElement.style.width = `${w}px`",
            width,
        )
        page.wait_for_timeout(300)
        assert page.locator(".neuron-widget").evaluate("e => e.offsetWidth") == width
        assert not outside(page)
        # All of it is used, not only seen: the menu, the settings, a photo, the next neuron.
        button(page, "Save and share").click()
        expect(page.get_by_role("textbox", name="This view as a line of Python")).to_be_visible()
        assert not outside(page)
        page.keyboard.press("Escape")
        button(page, "Settings").click()
        expect(page.get_by_label("Seed")).to_be_visible()
        assert not outside(page)
        button(page, "Settings").click()
        strips.first.click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("img", name="What the peak can see")).to_be_visible(
            timeout=60_000
        )
        assert not outside(page)
        expect(dialog.get_by_role("button", name="Close")).to_be_in_viewport(ratio=1)
        expect(dialog.get_by_role("img").first).to_be_in_viewport(ratio=1)
        dialog.get_by_role("button", name="Close").click()
        expect(strips.first).to_be_focused()
    # Stacked: the controls above the image, the image above the photos, the gallery last.
    tops = [
        page.locator(name).evaluate("e => e.getBoundingClientRect().top")
        for name in (".nw-controls", ".nw-picture", ".nw-photos", ".nw-gallery")
    ]
    assert tops == sorted(tops)
    button(page, "Next neuron").click()
    finished(page, 8)


HUNGRY = """
import torch
from torch import nn
from neuron_widget import NeuronWidget, load_model

class Hungry(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU())
        self.late = nn.Sequential(nn.Conv2d(8, 12, 3), nn.ReLU())

    def forward(self, x):
        x = self.stem(x)
        if torch.is_grad_enabled() and x.shape[-1] > 40:
            torch.empty(1 << 50)  # more than any machine has: torch's allocator says so
        return self.late(x)

half = (0.5, 0.5, 0.5)
model = load_model(Hungry(), preprocess=(half, half), input_size=64)
w = NeuronWidget("late", model=model, dataset=FOLDER, neuron=3, size=128, steps=24, previews=False)
w
"""


def test_out_of_memory_is_told_with_the_way_out(open_notebook: Any, folder: Path) -> None:
    notebook = open_notebook(HUNGRY.replace("FOLDER", repr(str(folder))))
    page: Page = notebook.page
    notebook.run()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("out of memory on cpu", timeout=60_000)
    expect(alert).to_contain_text("size=64")
    expect(page.get_by_text("Not rendered yet")).to_be_visible()
    # The rest of the page works: photos, and the setting that helps.
    strips = page.get_by_role("group", name="Most activating").get_by_role("button")
    expect(strips).to_have_count(9, timeout=60_000)
    button(page, "Settings").click()
    page.get_by_label("Size").fill("64")
    button(page, "Apply").click()
    finished(page, 3, layer="late")
    expect(alert).to_have_count(0)


def test_a_saved_notebook_is_not_blank(open_notebook: Any, cell: str, browser: Browser) -> None:
    done = cell.rstrip().removesuffix("w").rstrip() + "\n    w.wait(150)\n    w"
    notebook = open_notebook(done, "w.snapshot(); None")
    page: Page = notebook.page
    notebook.run()
    picture = page.locator(".jp-OutputArea-output img[src^='data:image/png']")
    expect(picture).to_be_visible(timeout=90_000)
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_timeout(1_000)
    path = notebook.lab.notebooks / notebook.address.rsplit("/", 1)[1]
    shown, sheet = (cell["outputs"][0]["data"] for cell in json.loads(path.read_text())["cells"])
    assert {"image/png", "text/html"} <= set(shown)
    assert "Run <code>NeuronWidget(&quot;blocks.3&quot;" in "".join(shown["text/html"])
    assert "image/png" in sheet

    # Opened again in JupyterLab with nothing run: the picture is there. Where JupyterLab was told
    # to save the state of widgets, the widget is as it was; else its own place says "model not
    # found" until its cell is run: those are ipywidgets' words, and its console error.
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.wait_for_timeout(500)
    notebook.open(reset=True)
    expect(picture).to_be_visible(timeout=30_000)
    kept = "widgets" in json.loads(path.read_text())["metadata"]
    there = "A saved notebook" if kept else "model not found"
    expect(page.get_by_text(there)).to_be_visible(timeout=30_000)
    notebook.problems[:] = [p for p in notebook.problems if "widget model not found" not in p]

    # As GitHub and nbviewer do: the saved file as a page, nothing run, nothing fetched.
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--to", "html", str(path)],
        check=True,
        capture_output=True,
        timeout=90,
    )
    reader = browser.new_page(java_script_enabled=False)
    reader.goto(path.with_suffix(".html").as_uri())
    pictures = reader.locator("img")
    expect(pictures.last).to_be_visible()
    assert pictures.last.evaluate("e => e.naturalWidth") > 500
    reader.close()
