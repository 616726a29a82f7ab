"""How long after a click something moves: facets, least, between, from a photo.

    NEURON_WIDGET_TEST_DATA=... python benchmarks/clicks.py [--rounds 5] [--results FILE]

In a real JupyterLab and Chromium, with the trained InceptionV1 and real photos, by the page's own
clock: from the click until the first picture that forms is on the screen. Another neuron each
round, the same four clicks. It needs what ``make browser`` installs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from playwright.sync_api import Page, sync_playwright
from report import Goal, machine, results, show_goals, test_data, test_weights

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from conftest import CHROMIUM, FLAGS, Lab, Notebook

NEURONS = (97, 257, 427, 486, 501, 68, 19, 300, 350)
DONE_MS = 60_000

# Clicks the button of a text, and counts until `there` finds a picture that was not there before.
CLICK = """([button, there]) => new Promise((done) => {
  const sources = () => [...document.querySelectorAll(there)]
    .filter((e) => e.tagName === "CANVAS" || (e.complete && e.naturalWidth > 0))
    .map((e) => e.src ?? "drawn");
  const before = new Set(sources());
  const clicked = performance.now();
  [...document.querySelectorAll("button")].find((b) => b.textContent === button).click();
  const look = () => {
    if (sources().some((one) => !before.has(one))) done(performance.now() - clicked);
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})"""


def cell(weights: str, photos: str) -> str:
    """Small images, so that a round is short; the time to the first frame is the same."""
    return f"""
    from neuron_widget import NeuronWidget
    w = NeuronWidget("mixed4a", model="inceptionv1", weights={weights!r}, dataset={photos!r},
                     neuron={NEURONS[-1]}, steps=32, previews=False)
    w
    """


def finished(page: Page) -> None:
    """Wait until the image and what goes with it are whole."""
    page.get_by_text("the best photo").wait_for(timeout=DONE_MS)
    page.wait_for_timeout(1500)


def settings(page: Page, objective: str, facets: int) -> None:
    """Type settings, without applying them."""
    button = page.get_by_role("button", name="Settings", exact=True)
    if button.get_attribute("aria-expanded") != "true":
        button.click()
    page.get_by_label("Objective").select_option(objective)
    page.get_by_role("spinbutton", name="Facets").fill(str(facets))
    page.wait_for_timeout(300)


def one_round(page: Page, neuron: int, found: dict[str, list[float]]) -> None:
    """The four clicks; the neuron before is pinned already."""

    def click(what: str, button: str, there: str) -> None:
        found.setdefault(what, []).append(page.evaluate(CLICK, [button, there]))

    page.get_by_label("Neuron number").fill(str(neuron))
    page.get_by_label("Neuron number").press("Enter")
    page.get_by_role("img", name=f"neuron {neuron}").first.wait_for(timeout=DONE_MS)
    finished(page)
    page.get_by_role("button", name="Pin", exact=True).click()
    page.get_by_label("to", exact=True).wait_for(timeout=DONE_MS)
    click("between", "Render the way", ".nw-way img")
    page.locator(".nw-way-side p", has_text="%").wait_for(timeout=DONE_MS)
    page.locator(".nw-pin").first.get_by_role("button", name="Unpin").click()

    page.locator("button.nw-photo").nth(2).click()
    page.wait_for_timeout(1500)  # the photo itself comes after its small copy
    click("from a photo", "From this photo", ".nw-large-box img")
    page.get_by_role("slider", name="From the photo to the picture").wait_for(timeout=DONE_MS)
    page.keyboard.press("Escape")

    settings(page, "channel", 4)
    click("facets", "Apply", ".nw-facet-list img")
    page.locator(".nw-facet-list p", has_text="%").first.wait_for(timeout=DONE_MS)
    settings(page, "least", 1)
    click("least", "Apply", ".nw-picture canvas")
    finished(page)
    settings(page, "channel", 1)
    page.get_by_role("button", name="Apply").click()
    finished(page)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="1 to 8")
    parser.add_argument("--results", help="a Markdown file that takes a section of results")
    args = parser.parse_args()
    if CHROMIUM is None:
        sys.exit("No Chromium here: `make browser` installs Debian's.")
    weights, photos = test_weights(), test_data("photos", "val")
    if weights is None or photos is None:
        print("No trained InceptionV1 or no photos: NEURON_WIDGET_TEST_DATA names no folder.")
        return
    # Nothing that was rendered before may answer.
    os.environ["NEURON_WIDGET_STORE"] = "off"
    found: dict[str, list[float]] = {}
    with results(args.results, "From a click to the first frame"), sync_playwright() as playwright:
        print(machine(torch.device("cpu")))
        with tempfile.TemporaryDirectory() as home:
            lab = Lab(Path(home))
            try:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                page = browser.new_page(viewport={"width": 1400, "height": 1500})
                notebook = Notebook(lab, page, [cell(str(weights), str(photos))], "clicks.ipynb")
                notebook.wait_for_kernel()
                notebook.command("notebook:run-all-cells")
                page.locator(".neuron-widget").wait_for(timeout=DONE_MS)
                finished(page)
                page.get_by_role("button", name="Pin", exact=True).click()
                for neuron in NEURONS[: args.rounds]:
                    one_round(page, neuron, found)
                browser.close()
            finally:
                lab.close()
        if notebook.problems:
            sys.exit("\n".join(notebook.problems))
        print(f"\n{'ms after the click':<20}{'median':>8}   each")
        for what, taken in found.items():
            each = " ".join(f"{ms:.0f}" for ms in taken)
            print(f"{what:<20}{statistics.median(taken):8.0f}   {each}")
        worst = max(statistics.median(taken) for taken in found.values()) / 1e3
        show_goals([Goal("click to first frame, the slowest, seconds", worst, 0.6, 0.3, ".2f")])


if __name__ == "__main__":
    main()
