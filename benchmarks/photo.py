"""How long a person waits for what the widget says of a photo, in a real JupyterLab and Chromium.

    python benchmarks/photo.py [--device cpu|cuda] [--quick] [--weights FILE] [--results FILE]

Everything is measured in the page, with its own clock; the network is open and its photos are
scanned. A JPEG of about 2 MB is dropped, with a real drop event:

* The drop: until the gallery is in the photo's order and the selected neuron's map lies on it.
* Hovering a tile: until its map is painted. Maps of the neurons below the photo are there already;
  those of other tiles are asked of the kernel.
* A click on a position: until its neurons are there.
* Silencing: until the five best classes without the neuron are there.

Then, in this process, what of that is the network's and what the photo's own.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from report import Goal, Times, machine, results, show_goals, test_weights

from neuron_widget import load_model
from neuron_widget.looking.engine import look_at
from neuron_widget.looking.photo import square_of

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
from conftest import CHROMIUM, FLAGS, Lab, Notebook

LAYER = "mixed4a"
DROPPED = "photo dropped to gallery and map"
NEAR, FAR = "tile below the photo hovered to its map", "tile of the gallery hovered to its map"
PLACE, SILENT = "position clicked to its neurons", "silenced to the best classes"

# What each measurement waits for, frame by frame.
UNTIL = """const until = (there) => new Promise((done) => {
  const started = performance.now();
  const look = () => there() ? done(performance.now() - started) : requestAnimationFrame(look);
  look();
});
const map = () => {
  const c = document.querySelector(".nw-point canvas");
  return c ? c.getContext("2d").getImageData(0, 0, c.width, c.height).data.join() : "";
};
const one = (selector) => document.querySelector(selector);"""

DROP = (
    "([name, data]) => {"
    + UNTIL
    + """
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
  const before = map();
  const how = { bubbles: true, cancelable: true, dataTransfer: transfer };
  one(".neuron-widget").dispatchEvent(new DragEvent("drop", how));
  return until(() => {
    const first = one(".nw-firing .nw-photo-score")?.textContent.replace("neuron ", "");
    return one(".nw-photos .nw-filename")?.textContent === name && one(".nw-point img").complete
      && one(".nw-tiles [data-neuron]").dataset.neuron === first && ![before, ""].includes(map());
  });
}"""
)

HOVER = (
    "([selector, i, kind]) => {"
    + UNTIL
    + """
  const before = map();
  document.querySelectorAll(selector)[i].dispatchEvent(new MouseEvent(kind, { bubbles: true }));
  return until(() => ![before, ""].includes(map()));
}"""
)

CLICK = (
    "([x, y]) => {"
    + UNTIL
    + """
  const photo = one(".nw-point"), box = photo.getBoundingClientRect();
  const before = one(".nw-firing").previousSibling.textContent;
  const at = { clientX: box.left + x * box.width, clientY: box.top + y * box.height };
  photo.dispatchEvent(new MouseEvent("click", { bubbles: true, ...at }));
  return until(() => {
    const title = one(".nw-firing")?.previousSibling.textContent ?? before;
    return title !== before && title.startsWith("Firing at");
  });
}"""
)

SILENCE = (
    "(how) => {"
    + UNTIL
    + """
  const select = one(".nw-answers select");
  select.value = how;
  select.dispatchEvent(new Event("change", { bubbles: true }));
  return until(() => one(".nw-answers tbody td:nth-child(3)")?.textContent);
}"""
)


def jpeg(seed: int) -> bytes:
    """A photograph of 12 megapixels and about 2 MB, as far as a decoder can tell."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (150, 200, 3), np.uint8)
    large = np.asarray(Image.fromarray(small).resize((4000, 3000), Image.Resampling.BICUBIC))
    grain = random.integers(-4, 5, (3000, 4000, 1), np.int16)
    file = io.BytesIO()
    pixels = (large.astype(np.int16) + grain).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return file.getvalue()


def cell(weights: str | None, device: str) -> str:
    load = f"weights={weights or 'random'!r}, device={device!r}"
    return f"""
        from neuron_widget import NeuronWidget, load_model
        model = load_model("inceptionv1", {load})
        w = NeuronWidget({LAYER!r}, model=model, steps=16, size=64, previews=False)
        w
        """


def measure(lab: Lab, weights: str | None, device: str, photos: list[bytes]) -> dict[str, Any]:
    times = Times(torch.device(device))

    def take(name: str, script: str, given: object) -> None:
        times.of.setdefault(name, []).append(page.evaluate(script, given))
        page.wait_for_timeout(300)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        print(f"Chromium {browser.version}, JupyterLab, InceptionV1, {LAYER}")
        page: Page = browser.new_page(viewport={"width": 1400, "height": 1400})
        notebook = Notebook(lab, page, [cell(weights, device)], "photo.ipynb")
        notebook.run()
        page.wait_for_selector(".nw-strip img", timeout=600_000)
        page.wait_for_timeout(3000)
        for i, data in enumerate(photos):
            name = f"photo{i}.jpg"
            if i == 0:  # the first photo imports what the others find there
                page.evaluate(DROP, [name, base64.b64encode(data).decode()])
                page.wait_for_timeout(2000)
                continue
            take(DROPPED, DROP, [name, base64.b64encode(data).decode()])
            page.wait_for_selector(".nw-answers tbody tr")
            take(NEAR, HOVER, [".nw-firing button", 2, "mouseenter"])
            page.evaluate(
                "document.querySelectorAll('.nw-firing button')[2]"
                ".dispatchEvent(new MouseEvent('mouseleave'))"
            )
            take(FAR, HOVER, [".nw-tiles [data-neuron]", 60 + i, "mouseover"])
            page.evaluate(
                "document.querySelector('.nw-tiles').dispatchEvent(new MouseEvent('mouseleave'))"
            )
            take(PLACE, CLICK, [0.1 + 0.08 * i, 0.5])
            take(SILENT, SILENCE, "0")
            page.evaluate(SILENCE.replace("return until", "return; until"), "")
            page.wait_for_timeout(300)
        browser.close()
        if notebook.problems:
            sys.exit("\n".join(notebook.problems))
    times.show("until it is there", DROPPED)
    return times.of


def in_process(weights: str | None, data: bytes, rounds: int) -> None:
    """Milliseconds of the parts, one thread, by the process's own clock: the least of some."""
    torch.set_num_threads(1)
    model = load_model("inceptionv1", weights=weights or "random", device="cpu")
    square = square_of(data, model.input_size)
    seen = look_at(model, LAYER, square, "x", None)
    parts = {
        "photo to the square the network sees": lambda: square_of(data, model.input_size),
        f"network up to {LAYER}": lambda: look_at(model, LAYER, square, "x", None),
        "neurons of a position": lambda: seen.at(7, 7, 12),
        "network to its end, one neuron silent": lambda: seen.without(68),
    }
    print(f"\n{'one thread, processor time':<58}{'ms':>14}")
    for name, work in parts.items():
        work()
        taken = []
        for _ in range(rounds):
            start = time.process_time()
            work()
            taken.append(time.process_time() - start)
        print(f"{name:<58}{1e3 * min(taken):>14.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--weights", help="a state dict of InceptionV1")
    parser.add_argument("--results", help="a Markdown file that takes a section of results")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("No GPU here: nothing was measured.")
        return
    if CHROMIUM is None:
        sys.exit("No Chromium here: `make browser` installs Debian's.")
    weights = args.weights or test_weights()
    os.environ["NEURON_WIDGET_STORE"] = "off"
    title = f"A photo of one's own, {args.device}{', quick' if args.quick else ''}"
    photos = [jpeg(seed) for seed in range(4 if args.quick else 10)]
    with results(args.results, title), tempfile.TemporaryDirectory() as home:
        print(machine(torch.device(args.device)))
        print(f"JPEGs of 4000 x 3000 pixels, {len(photos[0]) / 1e6:.1f} MB")
        lab = Lab(Path(home))
        try:
            found = measure(lab, weights, args.device, photos)
        finally:
            lab.close()
        seconds = {name: statistics.median(taken) / 1e3 for name, taken in found.items()}
        show_goals(
            [
                Goal(f"{DROPPED}, seconds", seconds[DROPPED], 0.6, 0.3, ".2f"),
                Goal(f"{NEAR}, seconds", seconds[NEAR], 0.05, 0.02, ".3f"),
                Goal(f"{FAR}, seconds", seconds[FAR], 0.05, 0.02, ".3f"),
                Goal(f"{PLACE}, seconds", seconds[PLACE], 0.1, 0.05, ".3f"),
                Goal(f"{SILENT}, seconds", seconds[SILENT], 0.5, 0.2, ".2f"),
            ]
        )
        in_process(weights, photos[0], 3 if args.quick else 9)


if __name__ == "__main__":
    main()
