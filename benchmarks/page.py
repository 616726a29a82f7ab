"""What the page costs while the kernel renders and scans: CPU seconds of Chromium's processes.

    python benchmarks/page.py [--seconds 20] [--rounds 3] [--threads] [--scripted | --lab]
                              [--results FILE]

CPU seconds count the page's own work, however busy the machine is with other things; they are
divided by the seconds that passed: a share of a core.

* Scripted: the page in a plain HTML file, fed by a script at the pace of a fast kernel (as many
  frames of 224 px a second as one sends, ten reports of progress, eight previews): the same work in
  every run, so two versions of the page can be compared.
* In JupyterLab: a real kernel renders and scans with the embedded network. How many frames there
  are depends on the machine; that number is told beside it. JupyterLab at rest is told apart.

It needs what ``make browser`` installs, and Linux.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from playwright.sync_api import Browser, Page, sync_playwright
from processes import Meter
from report import Goal, machine, results, show_goals

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from conftest import CHROMIUM, FLAGS, Lab, Notebook, serve_harness

from neuron_widget.protocol.messages import MAX_FRAMES_PER_SECOND

CELLS = [
    """
    from neuron_widget import NeuronWidget
    w = NeuronWidget("blocks.4", model="efficientnet_lite0", steps=20_000)
    w
    """
]

# Counts the frames of the moving picture that are drawn.
COUNT_FRAMES = """() => {
  window.framesDrawn = 0;
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  CanvasRenderingContext2D.prototype.drawImage = function (...how) {
    if (this.canvas.classList.contains("nw-image")) window.framesDrawn += 1;
    return draw.apply(this, how);
  };
}"""

# A kernel's messages at a fixed pace.
SCRIPT = """async () => {
  const { bytes, pattern } = await import("/js/test/drawings.js");
  const some = (count, side) =>
    Array.from({ length: count }, (_, i) => bytes(pattern(3, side, i / count), "image/jpeg"));
  const [pictures, tiles] = [some(16, 224), some(16, 64)];
  const layer = "mixed4a", target = { kind: "channel", layer, neuron: 68 };
  let frame = 0, done = 0, tile = 0;
  const progress = (task, target, total) => ({ kind: "progress", task, layer, target, total,
    done: done % total, rate: 11.3 + (done % 7), left: 40 - (done % 9), state: "running" });
  setInterval(() => {
    frame += 1;
    const step = frame * 2;
    model.tell({ kind: "frame", index: frame, target, step, steps: 20000, value: Math.sqrt(step) },
      [pictures[frame % 16]]);
  }, 1000 / FRAMES);
  setInterval(() => { done += 2; model.tell(progress("render", target, 20000)); }, 200);
  setInterval(() => model.tell(progress("scan", null, 485)), 200);
  setInterval(() => {
    const neurons = Array.from({ length: 8 }, (_, i) => (tile * 8 + i) % 508);
    tile += 1;
    model.tell({ kind: "thumbs", layer, neurons, finished: neurons.map(() => false) },
      neurons.map((n) => tiles[(n + tile) % 16]));
  }, 1000);
}"""


def measure(page: Page, seconds: float, *, threads: bool) -> dict[str, float]:
    """Shares of a core while the page works, and frames a second."""
    before = page.evaluate("window.framesDrawn ?? 0")
    meter = Meter()
    fine = Meter(threads=True)
    time.sleep(seconds)
    found, by_thread = meter.cores(), fine.cores()
    frames = (page.evaluate("window.framesDrawn ?? 0") - before) / seconds
    if threads:
        for name, share in sorted(by_thread.items(), key=lambda item: -item[1]):
            if share > 0.004:
                print(f"    {name:<44}{share:.3f}")
    return {**found, "frames": frames}


def line(name: str, found: dict[str, float]) -> str:
    """One line of the table."""
    parts = "".join(f"{found.get(kind, 0):>13.3f}" for kind in KINDS)
    return f"{name:<28}{found['all']:>8.3f}{parts}{found['frames']:>10.1f}"


KINDS = ("renderer", "gpu-process", "browser")
HEAD = f"{'share of a core':<28}{'all':>8}{''.join(f'{k:>13}' for k in KINDS)}{'frames/s':>10}"


def scripted(browser: Browser, seconds: float, *, threads: bool) -> float:
    """Share of a core of the page alone, with a script for a kernel."""
    page = browser.new_page(viewport={"width": 1400, "height": 1100})
    with serve_harness() as address:
        page.goto(f"{address}?previews=0")
        page.wait_for_function("window.harness === 'ready'")
        page.wait_for_selector(".nw-photo img", timeout=60_000)
        page.wait_for_timeout(3000)
        page.evaluate(COUNT_FRAMES)
        rest = measure(page, 5, threads=False)
        page.evaluate(SCRIPT.replace("FRAMES", str(MAX_FRAMES_PER_SECOND)))
        page.wait_for_timeout(3000)
        found = measure(page, seconds, threads=threads)
        print(line("scripted, at rest", rest))
        print(line("scripted, working", found))
    page.close()
    return found["all"]


def in_jupyterlab(lab: Lab, browser: Browser, seconds: float, *, threads: bool) -> float:
    """Share of a core while a real kernel renders and scans, JupyterLab at rest not counted."""
    page = browser.new_page(viewport={"width": 1400, "height": 1100})
    notebook = Notebook(lab, page, CELLS, "page.ipynb")
    notebook.wait_for_kernel()
    page.wait_for_timeout(5000)
    rest = measure(page, 5, threads=False)
    notebook.run()
    page.evaluate("document.querySelector('.neuron-widget').scrollIntoView()")
    page.get_by_text("forming").wait_for(timeout=180_000)
    page.evaluate(COUNT_FRAMES)
    page.wait_for_timeout(2000)
    found = measure(page, seconds, threads=threads)
    going = page.locator(".nw-progress[data-state=running]").count()
    print(line("JupyterLab, at rest", rest))
    print(line(f"JupyterLab, {going} tasks", found))
    notebook.command("kernelmenu:shutdown")
    page.wait_for_timeout(1000)
    page.close()
    return found["all"] - rest["all"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", action="store_true", help="also by thread")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--scripted", action="store_true", help="only with a script for a kernel")
    which.add_argument("--lab", action="store_true", help="only in JupyterLab")
    parser.add_argument("--results", help="a Markdown file that takes a section of results")
    args = parser.parse_args()
    if CHROMIUM is None:
        sys.exit("No Chromium here: `make browser` installs Debian's.")
    if not Path("/proc/self/stat").exists():
        sys.exit("CPU seconds are read from /proc: this needs Linux.")
    os.environ["NEURON_WIDGET_STORE"] = "off"
    shares: dict[str, list[float]] = {"scripted": [], "in JupyterLab": []}
    with (
        results(args.results, "What the page costs"),
        tempfile.TemporaryDirectory() as home,
        sync_playwright() as playwright,
    ):
        print(machine(torch.device("cpu")))
        print(HEAD)
        lab = None if args.scripted else Lab(Path(home))
        try:
            for _ in range(args.rounds):
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                how = {"seconds": args.seconds, "threads": args.threads}
                if not args.lab:
                    shares["scripted"].append(scripted(browser, **how))
                if lab is not None:
                    shares["in JupyterLab"].append(in_jupyterlab(lab, browser, **how))
                browser.close()
        finally:
            if lab is not None:
                lab.close()
        show_goals(
            [
                Goal(f"page's share of a core, {name}", statistics.median(found), 0.2, 0.1, ".3f")
                for name, found in shares.items()
                if found
            ]
        )


if __name__ == "__main__":
    main()
