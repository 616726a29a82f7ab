"""The first minute of a newcomer: a cold kernel, an empty home, ``NeuronWidget()``.

    python benchmarks/widget.py --first-minute [--cell CODE] [--shots FOLDER]

Prints when the view, the network, every tile of the gallery, the finished image and the nine photos
at either end are on screen, counted from the start of the cell; when torch is there behind it; and
the longest time that the page stood still. Screenshots are taken after 1, 3, 10 and 30 seconds.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from conftest import CHROMIUM, FLAGS, Lab, Notebook

CELL = "from neuron_widget import NeuronWidget\nNeuronWidget()"
SHOTS_S = (1, 3, 10, 30)
LONGEST_S = 180

# Notes when each thing is first seen, frame by frame, until all of it is there.
WATCH = """() => {
  const begun = performance.now();
  const seen = {}, all = (find) => [...document.querySelectorAll(`.neuron-widget ${find}`)];
  const drawn = (img) => img.complete && img.naturalWidth > 0;
  const photos = (name) => all(`[aria-label="${name}"] img`).filter(drawn).length;
  let before = begun, longest = 0;
  const look = () => {
    const now = performance.now();
    longest = Math.max(longest, now - before);
    before = now;
    const note = (what, there) => { if (there) seen[what] ??= now - begun; };
    const tiles = all("[role=option]"), image = all("img.nw-image")[0];
    note("view", all("").length || document.querySelector(".neuron-widget"));
    note("network", all("select").length);
    note("first tile", tiles.some((tile) => [...tile.querySelectorAll("img")].some(drawn)));
    note("16 tiles", tiles.filter((t) => [...t.querySelectorAll("img")].some(drawn)).length >= 16);
    note("complete gallery", tiles.length > 0 &&
      tiles.every((tile) => [...tile.querySelectorAll("img")].some(drawn)));
    note("finished image", image && drawn(image) && !image.closest(".nw-soft") &&
      !document.querySelector(".nw-badge"));
    note("nine photos", photos("Most activating") >= 9 && photos("Least activating") >= 9);
    const runs = all(':not(.nw-not-yet) > [title="Where the network runs"]');
    note("network open (torch)", runs.length);
    window.firstMinute = { seen, longest };
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
  window.jupyterapp.commands.execute("notebook:run-all-cells");
}"""

WANTED = (
    *("view", "network", "first tile", "16 tiles", "complete gallery", "finished image"),
    *("nine photos", "network open (torch)"),
)


def first_minute(cell: str = CELL, shots: Path | None = None) -> dict[str, float]:
    """Seconds from the start of the cell until each thing is on screen."""
    os.environ.pop("NEURON_WIDGET_STORE", None)
    os.environ.pop("NEURON_WIDGET_WEIGHTS", None)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        lab = Lab(Path(home))
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1400, "height": 1100})
            notebook = Notebook(lab, page, [cell], "first.ipynb")
            notebook.wait_for_kernel()
            page.wait_for_timeout(3000)  # JupyterLab itself has come to rest
            found = _watch(page, shots)
            browser.close()
        finally:
            lab.close()
    if notebook.problems:
        sys.exit("\n".join(notebook.problems))
    return found


def _watch(page: Page, shots: Path | None) -> dict[str, float]:
    begun = time.monotonic()
    page.evaluate(WATCH)
    left = list(SHOTS_S)
    while True:
        now = time.monotonic() - begun
        if left and now >= left[0]:
            if shots is not None:
                shots.mkdir(parents=True, exist_ok=True)
                page.screenshot(path=str(shots / f"{left[0]:02d}s.png"))
            left.pop(0)
        state = page.evaluate("window.firstMinute ?? {seen: {}, longest: 0}")
        whole = set(WANTED) <= state["seen"].keys()
        if (whole and not left) or now > LONGEST_S:
            break
        page.wait_for_timeout(50)
    found = {what: ms / 1e3 for what, ms in state["seen"].items()}
    return {**found, "page stood still, at most": state["longest"] / 1e3}


def show(found: dict[str, float]) -> None:
    """Print the timeline."""
    for what in (*WANTED, "page stood still, at most"):
        print(f"{what:<28}{f'{found[what]:.2f} s' if what in found else 'never':>10}")
