"""A widget in JupyterLab whose session is in a Ray actor, which is killed and comes back."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.cluster]

SLOW = 120_000

CELL = """
import os
os.environ.update(RAY_TMPDIR={folder!r}, NEURON_WIDGET_STORE={store!r}, OMP_NUM_THREADS="1")
os.environ.pop("RAY_ADDRESS", None)
from neuron_widget import NeuronWidget
w = NeuronWidget("blocks.1", model="efficientnet_lite0", neuron=7, steps=8, size=64,
                 dataset={photos!r}, cluster="local")
w
"""
ASKED = 'import sys; print("torch:", "torch" in sys.modules, "image:", w.image.size)'


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Where Ray puts its sockets, whose names must be short."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed (make test-cluster)")
    folder = Path(tempfile.mkdtemp(prefix="nw-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def kill_server(lab: int) -> None:
    """Kill the actor; and first the process that waits to take its place, or it is back at once."""
    killed = []
    while not killed:  # a process that renames itself has no name for a moment
        names = {}
        for one in psutil.Process(lab).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                names[one.pid] = " ".join(one.cmdline())
        servers = [pid for pid, name in names.items() if name.startswith("ray::Server")]
        waiting = [pid for pid, name in names.items() if name.startswith("ray::IDLE")]
        for pid in (*waiting, *servers) if servers else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            killed.append(pid)


# Notes that the page has said it, with the picture and the photos as they were: Ray may have
# another process at hand, and the session be back before anybody has read that it was lost.
SAID = """() => {
  const widget = document.querySelector(".neuron-widget");
  const watching = new MutationObserver(() => {
    if (!widget.textContent.includes("The connection is lost")) return;
    watching.disconnect();
    window.said = {
      pictures: widget.querySelectorAll(".nw-picture img").length,
      photos: widget.querySelectorAll('[aria-label="Most activating"] button').length,
    };
  });
  watching.observe(widget, { childList: true, subtree: true, characterData: true });
}"""


def test_a_session_that_is_lost_is_said_and_found(
    open_notebook: Any, folder: Path, ray_folder: Path, tmp_path: Path
) -> None:
    cell = CELL.format(folder=str(ray_folder), store=str(tmp_path / "store"), photos=str(folder))
    notebook = open_notebook(cell, ASKED)
    page = notebook.page
    widget = page.locator(".neuron-widget")
    picture = widget.locator(".nw-picture img")
    tiles = widget.get_by_role("group", name="Most activating").get_by_role("button")
    lost = widget.get_by_text("The connection is lost")

    notebook.wait_for_kernel()
    notebook.command("notebook:run-cell-and-select-next")
    expect(widget.get_by_text("Connecting to the cluster")).to_be_visible(timeout=SLOW)
    expect(picture).to_be_visible(timeout=SLOW)
    expect(tiles).to_have_count(9, timeout=SLOW)
    expect(widget.get_by_text("forming")).to_have_count(0, timeout=SLOW)
    notebook.command("notebook:run-cell-and-select-next")
    expect(page.get_by_text("torch: False image: (64, 64)")).to_be_visible(timeout=SLOW)

    page.evaluate(SAID)
    kill_server(notebook.lab.server.pid)
    said = page.wait_for_function("() => window.said", timeout=SLOW)
    assert said.json_value() == {"pictures": 1, "photos": 9}
    expect(lost).to_have_count(0, timeout=SLOW)
    widget.get_by_role("spinbutton", name="Neuron number").fill("3")
    page.keyboard.press("Enter")
    expect(picture).to_have_attribute("alt", re.compile("neuron 3"), timeout=SLOW)
