"""How long a person waits for the widget, in a real JupyterLab and Chromium.

    python benchmarks/widget.py [--device cpu|cuda] [--quick] [--weights FILE] [--results FILE]

Everything is measured in the page, with its own clock, with the model loaded by an earlier cell:

* The cell: from its start to the gallery, every tile of the layer in the page and the first in
  sight. The peer is the smallest widget there is, one slider of ipywidgets, by turns in the same
  notebook: what the notebook, the kernel and the wire take of it. The first cell is apart, it also
  loads the page's half of the widget.
* The slider: from letting it go with the mouse to the first live frame of the new neuron. Of that,
  250 ms are the pause in which a person may go on dragging. The gallery fills meanwhile, as it
  always does. The peer is the seed notebook's way, torch-lucent's ``render_vis``: no picture before
  its last step, so its time is that of 512 steps as ``benchmarks/render.py`` measures it; not here.

* The import: a new Python that imports ``neuron_widget``, less one that imports nothing.

With ``--first-minute``: the timeline of a newcomer instead; see ``first_minute.py``.

It needs what ``make browser`` installs; JupyterLab and Chromium are started as in the tests.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import first_minute
import torch
from playwright.sync_api import Page, sync_playwright
from report import Goal, Times, machine, results, show_goals, test_weights

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from conftest import CHROMIUM, FLAGS, Lab, Notebook

LAYER = "mixed4a"
SLIDER, WIDGET = "ipywidgets.IntSlider()", "NeuronWidget, cell to gallery"
FRAME = "slider let go to first live frame"

# From the start of the selected cell until `there` finds what it looks for in the cell's output.
RUN_CELL = """([find, count]) => new Promise((done) => {
  const panel = window.jupyterapp.shell.currentWidget;
  const cell = panel.content.activeCell;
  cell.model.clearExecution();
  const node = cell.node, started = performance.now();
  window.jupyterapp.commands.execute("notebook:run-cell");
  const look = () => {
    const found = node.querySelectorAll(find);
    const box = found[0]?.getBoundingClientRect();
    if (found.length >= count && box.height > 0 && box.top < innerHeight)
      done(performance.now() - started);
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})"""

# From the next release of the mouse until a live frame is on the screen.
WAIT_FOR_FRAME = """() => {
  window.frameAfter = new Promise((done) => {
    document.addEventListener("pointerup", () => {
      const released = performance.now();
      const slider = document.querySelector("input[type=range]");
      const look = () => {
        const live = document.querySelector("canvas.nw-image");
        const forming = document.querySelector(".nw-badge")?.textContent === "forming";
        if (forming && live?.ariaLabel.endsWith(` ${slider.value}`))
          done([performance.now() - released, Number(slider.value)]);
        else requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    }, { once: true, capture: true });
  });
}"""


def import_seconds(rounds: int) -> float:
    """Of ``import neuron_widget`` in a new process, by the fastest of some, beside an empty one."""

    def least(code: str) -> float:
        taken = []
        for _ in range(rounds):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            taken.append(time.perf_counter() - start)
        return min(taken)

    check = "import sys, neuron_widget; assert 'torch' not in sys.modules"
    return least(check) - least("pass")


def cells(weights: str | None, device: str) -> list[str]:
    load = f"weights={weights or 'random'!r}, device={device!r}"
    return [
        f"""
        import ipywidgets
        from neuron_widget import NeuronWidget, load_model
        model = load_model("inceptionv1", {load})
        print("layer", model.layer({LAYER!r}).channels)
        """,
        "ipywidgets.IntSlider()",
        f"w = NeuronWidget({LAYER!r}, model=model)\nw",
    ]


def select(page: Page, index: int) -> None:
    page.evaluate(
        "i => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = i }", index
    )


def cell_times(page: Page, times: Times, channels: int, rounds: int) -> float:
    """Milliseconds of the very first widget; the others go into the table."""
    first = 0.0
    for i in range(rounds + 1):
        for name, index, find, count in (
            (SLIDER, 1, ".widget-slider", 1),
            (WIDGET, 2, "[role=option]", channels),
        ):
            if index == 2 and i:
                # One widget at a time, as a person has who runs a cell again.
                select(page, 1)
            select(page, index)
            taken = page.evaluate(RUN_CELL, [find, count])
            if i:
                times.of.setdefault(name, []).append(taken)
            elif index == 2:
                first = taken
            page.wait_for_timeout(1500)
    return first


def frame_times(page: Page, times: Times, rounds: int) -> None:
    """Drag the neuron slider to somewhere new, let go, wait for the picture to move."""
    slider = page.get_by_role("slider", name="Neuron", exact=True)
    page.evaluate("document.querySelector('.neuron-widget').scrollIntoView()")
    for i in range(rounds):
        box = slider.bounding_box()
        assert box is not None
        y, left, width = box["y"] + box["height"] / 2, box["x"] + 8, box["width"] - 16
        page.mouse.move(left + width * (0.1 + 0.8 * i / rounds), y)
        page.mouse.down()
        for step in range(1, 9):
            page.mouse.move(left + width * (0.1 + 0.8 * i / rounds + 0.01 * step), y)
            page.wait_for_timeout(16)
        page.evaluate(WAIT_FOR_FRAME)
        page.mouse.up()
        taken, _neuron = page.evaluate("window.frameAfter")
        times.of.setdefault(FRAME, []).append(taken)
        page.wait_for_timeout(500)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--quick", action="store_true", help="few rounds: under a minute")
    parser.add_argument("--weights", help="a state dict of InceptionV1")
    parser.add_argument("--results", help="a Markdown file that takes a section of results")
    parser.add_argument("--first-minute", action="store_true", help="the timeline of a newcomer")
    parser.add_argument("--cell", default=first_minute.CELL, help="the newcomer's cell")
    parser.add_argument("--shots", type=Path, help="a folder for the newcomer's screenshots")
    args = parser.parse_args()
    if args.first_minute:
        with results(args.results, "The first minute: a cold kernel, an empty home"):
            print(machine(torch.device("cpu")))
            first_minute.show(first_minute.first_minute(args.cell, args.shots))
        return
    if args.device == "cuda" and not torch.cuda.is_available():
        print("No GPU here: nothing was measured.")
        return
    if CHROMIUM is None:
        sys.exit("No Chromium here: `make browser` installs Debian's.")
    weights = args.weights or test_weights()
    # Nothing that was rendered before may answer.
    os.environ["NEURON_WIDGET_STORE"] = "off"
    title = f"Waiting for the widget, {args.device}{', quick' if args.quick else ''}"
    with results(args.results, title), tempfile.TemporaryDirectory() as home:
        print(machine(torch.device(args.device)))
        lab = Lab(Path(home))
        try:
            measure(lab, weights, args.device, 3 if args.quick else 9)
        finally:
            lab.close()


def measure(lab: Lab, weights: str | None, device: str, rounds: int) -> None:
    times = Times(torch.device(device))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        print(f"Chromium {browser.version}, JupyterLab, InceptionV1, {LAYER}\n")
        page = browser.new_page(viewport={"width": 1400, "height": 1100})
        notebook = Notebook(lab, page, cells(weights, device), "widget.ipynb")
        notebook.wait_for_kernel()
        select(page, 0)
        notebook.command("notebook:run-cell")
        said = page.locator(".jp-OutputArea-output").filter(has_text="layer")
        channels = int(said.inner_text(timeout=60_000).split()[1])
        first = cell_times(page, times, channels, rounds)
        page.wait_for_timeout(5000)
        frame_times(page, times, rounds)
        browser.close()
        if notebook.problems:
            sys.exit("\n".join(notebook.problems))
    times.show("until it is there", SLIDER)
    print(f"The first NeuronWidget of the page: {first:.0f} ms")
    gallery, frame = (statistics.median(times.of[name]) / 1e3 for name in (WIDGET, FRAME))
    show_goals(
        [
            Goal("cell start to visible gallery, seconds", gallery, 1.5, 0.7, ".2f"),
            Goal("the same, the first time in a page, seconds", first / 1e3, 1.5, 0.7, ".2f"),
            Goal("import neuron_widget, seconds", import_seconds(rounds), 0.3, 0.1, ".3f"),
            Goal("slider let go to first live frame, seconds", frame, 1.2, 0.6, ".2f"),
        ]
    )


if __name__ == "__main__":
    main()
