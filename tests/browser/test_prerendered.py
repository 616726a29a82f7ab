"""A prerendered layer in JupyterLab: everything at once. Run with ``-s`` to see the figures."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

# How much longer it may take than the same pictures as plain output of a cell, on this machine.
GALLERY = 5.0
RELEASE = 3.0


@dataclass
class Layer:
    """A layer whose store is filled, and the cell that shows it."""

    name: str
    neurons: int
    cell: str


def filled(root: Path, layer: str, neurons: int, data: str, weights: Path | None) -> Layer:
    how = ["--neurons", f"0-{neurons - 1}", "--steps", "2", "--size", "64", "--json"]
    given = ["--weights", str(weights)] if weights else []
    command = ["prerender", layer, "--data", data, "--store", str(root), *how, *given]
    subprocess.run(
        [sys.executable, "-m", "neuron_widget.cli", *command],
        check=True,
        capture_output=True,
        timeout=500,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    told = f", weights={str(weights)!r}" if weights else ""
    cell = (
        f"NeuronWidget({layer!r}, dataset={data!r}, steps=2, size=64, previews=False, "
        f"store={str(root)!r}{told})"
    )
    return Layer(layer, neurons, f"from neuron_widget import NeuronWidget\n{cell}")


@pytest.fixture(scope="module")
def layer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, folder: Path
) -> Layer:
    """Real weights and photos where they are at hand, else the embedded network."""
    root = tmp_path_factory.mktemp("store")
    if not os.environ.get("NEURON_WIDGET_TEST_DATA"):
        return filled(root, "blocks.3", 32, str(folder), None)
    weights = request.getfixturevalue("inception_weights")
    photos = request.getfixturevalue("photos")
    return filled(root, "mixed4a", 32, str(photos / "val"), weights)


# Runs the cells chosen by `command`; the time until every tile of the last widget is drawn.
RUN_GALLERY = """
async ([command, neurons]) => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const begun = performance.now();
  window.jupyterapp.commands.execute(command);
  const tiles = () => [...document.querySelectorAll(".neuron-widget .nw-tile img")];
  const seen = [];
  for (;;) {
    await frame();
    const now = performance.now() - begun;
    const widget = document.querySelector(".neuron-widget");
    if (!widget && now < 90_000) continue;
    seen[0] ??= now;
    if (widget.querySelector(".nw-layer")) seen[1] ??= now;
    const drawn = tiles().filter((img) => img.complete && img.naturalWidth > 0).length;
    if (drawn > 0) seen[2] ??= now;
    if (drawn >= neurons || now > 90_000) return { seen, drawn, took: now };
  }
}
"""

# Drags the slider and lets it go; the time from the release to the finished image, decoded.
RELEASE_SLIDER = """
async ([layer, neuron]) => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const slider = document.querySelector(".neuron-widget input[type=range]");
  const from = slider.valueAsNumber;
  for (let i = 1; i <= 8; i++) {
    slider.valueAsNumber = Math.round(from + ((neuron - from) * i) / 8);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await frame();
  }
  const begun = performance.now();
  slider.dispatchEvent(new Event("change", { bubbles: true }));
  for (;;) {
    const image = document.querySelector(`img.nw-image[alt="${layer} neuron ${neuron}"]`);
    const whole = image && !image.closest(".nw-soft") && image.complete && image.naturalWidth > 0;
    const now = performance.now() - begun;
    if (whole || now > 20_000) return now;
    await frame();
  }
}
"""


# A cell of nothing but pictures, and the time until they are drawn.
PLAIN = """
from base64 import b64encode
from io import BytesIO
import numpy as np
from IPython.display import HTML
from PIL import Image
def picture(n, size):
    file, noise = BytesIO(), np.random.default_rng(n).integers(0, 255, (size, size, 3), np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return f'<img src="data:image/png;base64,{b64encode(file.getvalue()).decode()}">'
HTML("".join(picture(n, 96) for n in range(32)))
"""
RUN_PLAIN = """
async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const begun = performance.now();
  window.jupyterapp.commands.execute("notebook:run-all-cells");
  for (;;) {
    await frame();
    const all = [...document.querySelectorAll(".jp-OutputArea-output img")];
    if (all.filter((img) => img.complete && img.naturalWidth > 0).length >= 32)
      return performance.now() - begun;
  }
}
"""
# One picture asked of a kernel, decoded.
ASK_PLAIN = """
async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const begun = performance.now();
  const code = "from IPython.display import display; display(HTML(picture(0, 224)))";
  const future = kernel.requestExecute({ code, store_history: false });
  const box = document.createElement("div");
  future.onIOPub = (m) => { if (m.content.data) box.innerHTML = m.content.data["text/html"]; };
  await future.done;
  await box.querySelector("img").decode();
  await frame();
  return performance.now() - begun;
}
"""


def photos_are_there(page: Page) -> None:
    for group in ("Most activating", "Least activating"):
        tiles = page.get_by_role("group", name=group).get_by_role("button")
        expect(tiles).to_have_count(9, timeout=60_000)


def in_plain(page: Page) -> tuple[float, float]:
    """Milliseconds to a cell of plain pictures, and to one that is asked of the kernel."""
    page.evaluate("window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    expect(page.locator(".jp-OutputArea-output img")).to_have_count(0)
    cell = page.evaluate(RUN_PLAIN)
    return cell, statistics.median(page.evaluate(ASK_PLAIN) for _ in range(10))


def test_everything_is_there_at_once(open_notebook, layer: Layer) -> None:  # type: ignore[no-untyped-def]
    plain = open_notebook(PLAIN)
    plain.wait_for_kernel()
    plain.page.evaluate(RUN_PLAIN)
    notebook = open_notebook(layer.cell, "import torch")
    page: Page = notebook.page
    notebook.wait_for_kernel()
    # A kernel that has just started must import torch first, which is not ours to hasten.
    cold = page.evaluate(RUN_GALLERY, ["notebook:run-all-cells", layer.neurons])
    photos_are_there(page)
    assert cold["drawn"] >= layer.neurons
    # The best of three, each beside the same pictures without us: other work on the machine must
    # not decide.
    tries = []
    while len(tries) < 3 and (
        not tries or min(tries)[0] > GALLERY or min(t[1] for t in tries) > RELEASE
    ):
        plain.page.bring_to_front()
        cell, asked = in_plain(plain.page)
        page.bring_to_front()
        page.evaluate("window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        expect(page.locator(".neuron-widget")).to_have_count(0)
        gallery = page.evaluate(RUN_GALLERY, ["notebook:run-all-cells", layer.neurons])
        photos_are_there(page)
        page.wait_for_timeout(500)
        released = []
        for neuron in (31, 7, 19, 2, 28, 11, 23, 5, 14, 30):
            released.append(page.evaluate(RELEASE_SLIDER, [layer.name, neuron]))
            photos_are_there(page)
        median = statistics.median(released)
        tries.append((gallery["took"] / cell, median / asked))
        print(
            f"\n{layer.name}, {layer.neurons} neurons: cell start to complete gallery "
            f"{gallery['took'] / 1000:.2f} s ({[round(s) for s in gallery['seen']]} ms: widget, "
            f"network, first tile), {tries[-1][0]:.1f} times plain pictures; in a fresh kernel "
            f"{cold['took'] / 1000:.2f} s ({[round(s) for s in cold['seen']]}); slider "
            f"released to image: median {median:.0f} ms, worst {max(released):.0f} ms, "
            f"{tries[-1][1]:.1f} times a plain picture"
        )
    assert min(gallery for gallery, _ in tries) < GALLERY
    assert min(release for _, release in tries) < RELEASE


def test_what_comes_with_the_package_is_there_in_a_new_kernel(
    open_notebook, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    """Gallery, image and photos before torch is; Render makes the image live once it is."""
    cell = f"NeuronWidget('blocks.4', neuron=5, store={str(tmp_path / 'store')!r})"
    notebook = open_notebook(f"from neuron_widget import NeuronWidget\n{cell}")
    page: Page = notebook.page
    notebook.wait_for_kernel()
    cold = page.evaluate(RUN_GALLERY, ["notebook:run-all-cells", 112])
    photos_are_there(page)
    print(f"\na new kernel: complete gallery after {cold['took'] / 1000:.2f} s")
    assert cold["drawn"] == 112
    said = page.get_by_text("came with the package")
    expect(said).to_be_visible()
    # Another neuron, whether the network is open or not.
    page.locator(".nw-tile").nth(9).click()
    picture = page.locator('img.nw-image[alt="blocks.4 neuron 9"]')
    expect(picture).to_be_visible(timeout=60_000)  # the kernel may be importing torch
    expect(said).to_be_visible()
    photos_are_there(page)
    page.get_by_role("button", name="Render", exact=True).click()
    expect(page.locator(".nw-badge")).to_have_text("forming", timeout=120_000)
    expect(said).to_have_count(0)
    page.get_by_role("button", name="Stop", exact=True).first.click()
    # What was begun takes no finished picture's place.
    expect(said).to_be_visible(timeout=60_000)
    expect(page.get_by_role("alert")).to_have_count(0)
