"""What it costs that an image forms while photos are scanned and a page shows both.

    python benchmarks/side_by_side.py [--rounds 3] [--results FILE]

In a real JupyterLab: `NeuronWidget("blocks.3", previews=False)` on a network that is open, from the
cell to the end of both; then, in the same kernel, the same image and the same scan one after the
other, without a widget. By turns, each round with another neuron; nothing is kept on disk.

It needs what ``make browser`` installs.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from playwright.sync_api import sync_playwright
from report import Goal, machine, results, show_goals

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from conftest import CHROMIUM, FLAGS, Lab, Notebook

OPEN = """
    import time
    from neuron_widget import NeuronWidget, load_model, render, scan
    model = load_model("efficientnet_lite0")
    render(model, "blocks.3:0", steps=8, progress=False)
"""
# The waiting is a cell of its own: the widget is shown when its cell has ended.
WIDGET = """
    begun = time.perf_counter()
    w = NeuronWidget(
        "blocks.3", model=model, neuron={neuron}, dataset="samples", previews=False, store=False
    )
    w
"""
WAIT = """
    w.wait()
    together = time.perf_counter() - begun
    w.close()
"""
ALONE = """
    begun = time.perf_counter()
    render(model, "blocks.3:{neuron}", progress=False)
    between = time.perf_counter()
    scan(model, "blocks.3", "samples", progress=False)
    print("seconds", together, between - begun, time.perf_counter() - between)
"""


def measure(rounds: int) -> list[tuple[float, float, float]]:
    """Seconds of both together, of the image alone and of the scan alone, round by round."""
    cells = [OPEN]
    for neuron in range(1, rounds + 1):
        cells += [WIDGET.format(neuron=neuron), WAIT, ALONE.format(neuron=neuron)]
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        lab = Lab(Path(home))
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1400, "height": 1100})
            notebook = Notebook(lab, page, cells, "side_by_side.ipynb")
            notebook.run()
            lines = page.locator(".jp-OutputArea-output", has_text=re.compile("^seconds"))
            lines.nth(rounds - 1).wait_for(timeout=rounds * 300_000)
            found = lines.all_inner_texts()
            browser.close()
        finally:
            lab.close()
    if notebook.problems:
        sys.exit("\n".join(notebook.problems))
    return [tuple(map(float, line.split()[1:])) for line in found]  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", type=Path, help="a Markdown file that takes a section")
    args = parser.parse_args()
    os.environ.pop("NEURON_WIDGET_STORE", None)
    with results(args.results, "Image and photos side by side"):
        print(machine(torch.device("cpu")))
        ratios = []
        for together, image, photos in measure(args.rounds):
            ratios.append(together / (image + photos))
            print(
                f"together {together:6.2f} s; alone: image {image:6.2f} s, scan {photos:6.2f} s; "
                f"ratio {ratios[-1]:.2f}"
            )
        show_goals(
            [Goal("together, page open / one after the other", statistics.median(ratios), 1.5, 1.2)]
        )


if __name__ == "__main__":
    main()
