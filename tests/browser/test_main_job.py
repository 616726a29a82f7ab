"""The main job in a real JupyterLab: real network, real photos, driven by keyboard and mouse."""

from __future__ import annotations

import json
import re
import time
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

# Enough steps that a person can stop in the middle on any machine.
MANY = 2048

# Live frames are drawn on a canvas, images are files.
PICTURE = "e => e instanceof HTMLCanvasElement ? e.toDataURL() : e.src"


@pytest.fixture
def cell(inception_weights: Path, photos: Path) -> str:
    return f"""
    from neuron_widget import NeuronWidget
    w = NeuronWidget("mixed4a", weights={str(inception_weights)!r},
                     dataset={str(photos / "val")!r}, steps=48)
    w
    """


# From the press to the words, in seconds: who asks again and again from outside sees them late.
TIME_STOP = """() => {
  let pressed = 0;
  addEventListener("pointerdown", () => { pressed = performance.now(); }, true);
  window.stopping = new Promise((done) => {
    const look = () => {
      const { textContent } = document.querySelector(".neuron-widget");
      if (pressed && /[Ss]topped (at|after)/.test(textContent))
        done((performance.now() - pressed) / 1000);
      else requestAnimationFrame(look);
    };
    look();
  });
}"""


def slider(page: Page, name: str = "Neuron"):  # type: ignore[no-untyped-def]  # a Locator
    return page.get_by_role("slider", name=name, exact=True)


@pytest.mark.data
def test_explore_real_neurons(open_notebook, cell: str) -> None:  # type: ignore[no-untyped-def]
    notebook = open_notebook(cell)
    page = notebook.page
    notebook.run()

    # The view is up; then the network, the image, the photos, the gallery.
    expect(page.get_by_role("combobox", name="Layer")).to_have_value("mixed4a", timeout=60_000)
    options = page.get_by_role("listbox", name="Neurons").get_by_role("option")
    expect(options.first).to_have_accessible_name(re.compile(r"^mixed4a neuron \d+"))
    expect(page.get_by_role("img", name="mixed4a neuron 0", exact=True)).to_be_visible(
        timeout=90_000
    )
    for group in ("Most activating", "Least activating"):
        photos = page.get_by_role("group", name=group).get_by_role("button")
        expect(photos).to_have_count(9, timeout=90_000)

    # The neuron slider by keyboard, to 68.
    slider(page).focus()
    page.keyboard.press("Home")
    for _ in range(68):
        page.keyboard.press("ArrowRight")
    expect(slider(page)).to_have_value("68")
    image = page.get_by_role("img", name="mixed4a neuron 68", exact=True)
    expect(image).to_be_visible(timeout=60_000)

    # Live frames while it renders: the picture changes, more than once. So many that the slowest
    # tells how busy the machine is.
    steps = page.get_by_role("spinbutton", name="Steps number")
    steps.fill(str(MANY))
    steps.press("Enter")
    page.get_by_role("button", name="Render", exact=True).click()
    seen: dict[str, float] = {}
    end = time.monotonic() + 60
    while len(seen) < 16 and time.monotonic() < end:
        seen.setdefault(image.first.evaluate(PICTURE), time.monotonic())
        time.sleep(0.05)
    assert len(seen) >= 4, "the image must move while it is rendered"
    gap = max(b - a for a, b in pairwise(seen.values()))

    # Stop ends it within a few frames, as they just came on this machine, and keeps what is there.
    rendering = page.get_by_role("progressbar", name="Rendering")
    expect(rendering).to_be_visible()
    page.evaluate(TIME_STOP)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text(re.compile(r"[Ss]topped (at|after)"))).to_be_visible(timeout=30_000)
    took = page.evaluate("window.stopping")
    assert took < 5 * gap, f"Stop took {took:.2f} s, the slowest frame {gap:.2f} s"
    expect(image).to_be_visible()

    # A reload brings everything back.
    for group in ("Most activating", "Least activating"):
        photos = page.get_by_role("group", name=group).get_by_role("button")
        expect(photos).to_have_count(9, timeout=60_000)
    notebook.reload()
    expect(page.get_by_role("img", name="mixed4a neuron 68", exact=True)).to_be_visible(
        timeout=60_000
    )
    expect(slider(page)).to_have_value("68")
    for group in ("Most activating", "Least activating"):
        photos = page.get_by_role("group", name=group).get_by_role("button")
        expect(photos).to_have_count(9, timeout=60_000)


def test_missing_weights_then_the_embedded_network_in_two_views(open_notebook) -> None:  # type: ignore[no-untyped-def]
    notebook = open_notebook(
        """
        import os
        os.environ["NEURON_WIDGET_WEIGHTS"] = "/no/such/weights.pth"
        from neuron_widget import NeuronWidget
        w = NeuronWidget("mixed4a", neuron=500, steps=16, size=64, auto=False)
        w
        """,
        "w",
    )
    page = notebook.page
    notebook.run()

    # Nothing becomes another network in silence.
    alert = page.get_by_role("alert").first
    expect(alert).to_contain_text("/no/such/weights.pth", timeout=60_000)
    alert.get_by_role("button", name="Open the embedded network").click()
    expect(page.get_by_text("EfficientNet-Lite0").first).to_be_visible(timeout=60_000)
    expect(page.get_by_role("alert").filter(has_text="/no/such/weights.pth")).to_have_count(0)

    # Two views of one widget stay in step.
    sliders = slider(page)
    expect(sliders).to_have_count(2)
    sliders.first.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(sliders.nth(0)).to_have_value("3")
    expect(sliders.nth(1)).to_have_value("3")
    page.get_by_role("button", name="Render", exact=True).nth(1).click()
    expect(page.get_by_role("img", name="blocks.4 neuron 3", exact=True)).to_have_count(
        2, timeout=60_000
    )


def test_the_quickstart_needs_nothing(open_notebook) -> None:  # type: ignore[no-untyped-def]
    """Its cell, with an empty home: some real network renders and scans, and says why."""
    path = Path(__file__).parents[2] / "notebooks" / "quickstart.ipynb"
    cells = json.loads(path.read_text())["cells"]
    (code,) = [cell for cell in cells if cell["cell_type"] == "code"]
    notebook = open_notebook("".join(code["source"]).replace("()", "(steps=16, size=96)"))
    page = notebook.page
    notebook.run()
    title = page.get_by_text(re.compile("^(EfficientNet-Lite0|InceptionV1)$"))
    expect(title).to_be_visible(timeout=60_000)
    expect(page.get_by_text(re.compile("weights are (not )?at hand"))).to_be_visible()
    picture = page.get_by_role("img", name=re.compile(r"^(blocks\.4|mixed4a) neuron 0$"))
    expect(picture).to_be_visible(timeout=60_000)
    most = page.get_by_role("group", name="Most activating").get_by_role("button")
    expect(most).to_have_count(9, timeout=120_000)
