"""One script of twelve steps that is tried in every host.

A step waits for what it wants to see, for as long as the slowest machine may take; none measures.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from hosts.host import Host
from playwright.sync_api import Locator, expect

__all__ = ["STEPS", "play"]

# Milliseconds: a host and its kernel start; the network opens, renders, scans.
START, WORK = 180_000, 120_000
# Enough steps that a person can stop in the middle on any machine.
MANY = 2048
# Live frames are drawn on a canvas, images are files.
PICTURE = "e => e instanceof HTMLCanvasElement ? e.toDataURL() : e.src"
DECODED = "e => [...e.querySelectorAll('.nw-photo img')].every(i => i.complete && i.naturalWidth)"
GROUPS = ("Most activating", "Least activating")


def picture(root: Locator, neuron: int) -> Locator:
    """The large picture of a neuron, live or finished."""
    return root.get_by_role("img", name=f"blocks.3 neuron {neuron}", exact=True)


def slider(root: Locator) -> Locator:
    """The neuron slider."""
    return root.get_by_role("slider", name="Neuron", exact=True)


def finished(root: Locator, neuron: int) -> None:
    """The picture of a neuron is there, made with all its steps."""
    expect(picture(root, neuron)).to_be_visible(timeout=WORK)
    expect(root.locator(".nw-settings")).to_contain_text("24 steps", timeout=WORK)


def view(host: Host) -> None:
    """The widget is drawn in its output, with its network, its layer and a picture."""
    host.prepare()
    began = time.monotonic()
    host.show()
    root = host.root()
    expect(root).to_be_visible(timeout=START)
    expect(root.get_by_role("combobox", name="Layer")).to_have_value("blocks.3", timeout=WORK)
    expect(picture(root, 7)).to_be_visible(timeout=WORK)
    host.first_picture = time.monotonic() - began
    finished(root, 7)


def gallery(host: Host) -> None:
    """Tiles fill with previews, and one is chosen by a click."""
    root = host.root()
    tiles = root.get_by_role("listbox", name="Neurons").get_by_role("option")
    expect(root.locator(".nw-tile img").first).to_be_visible(timeout=WORK)
    tiles.nth(2).click()
    expect(slider(root)).to_have_value("2")
    finished(root, 2)


def by_keyboard(host: Host) -> None:
    """The slider goes on with an arrow key, which the host does not take for itself."""
    root = host.root()
    slider(root).focus()
    host.page.keyboard.press("ArrowRight")
    expect(slider(root)).to_have_value("3")
    # D D deletes a cell where the host hears it.
    host.page.keyboard.press("d")
    host.page.keyboard.press("d")
    expect(slider(root)).to_be_visible()
    finished(root, 3)


def live(host: Host) -> None:
    """The picture changes while it is rendered."""
    root = host.root()
    steps = root.get_by_role("spinbutton", name="Steps number")
    steps.fill(str(MANY))
    steps.press("Enter")
    root.get_by_role("button", name="Render", exact=True).click()
    expect(root.get_by_text("forming", exact=True)).to_be_visible(timeout=WORK)
    seen: set[str] = set()
    end = time.monotonic() + WORK / 1000
    while len(seen) < 3:
        assert time.monotonic() < end, f"{len(seen)} pictures of one that forms"
        seen.add(picture(root, 3).first.evaluate(PICTURE))
        host.heard(0.05)


def stop(host: Host) -> None:
    """Stop ends the rendering, and the page says where."""
    root = host.root()
    root.get_by_role("button", name="Stop", exact=True).click()
    expect(root.get_by_text("stopped at step")).to_be_visible(timeout=WORK)


def photos(host: Host) -> None:
    """Nine photos each that fire the neuron most and least, drawn."""
    root = host.root()
    for group in GROUPS:
        tiles = root.get_by_role("group", name=group).get_by_role("button")
        expect(tiles).to_have_count(9, timeout=WORK)
    # While the scan goes on they may change places.
    expect(root.get_by_role("button", name="Stop scanning")).to_have_count(0, timeout=WORK)
    expect(root.locator(".nw-photos-head")).not_to_contain_text("so far", timeout=WORK)
    end = time.monotonic() + WORK / 1000
    while not root.evaluate(DECODED):
        assert time.monotonic() < end, "photos that are not drawn"
        host.heard(0.1)


def large(host: Host) -> None:
    """A photo opens large, with what its peak can see; Escape closes it."""
    root = host.root()
    root.get_by_role("group", name=GROUPS[0]).get_by_role("button").nth(1).click()
    dialog = root.get_by_role("dialog")
    expect(dialog.get_by_role("img", name="What the peak can see")).to_be_visible(timeout=WORK)
    host.page.keyboard.press("ArrowRight")
    expect(dialog.get_by_text("Most activating · 3")).to_be_visible(timeout=WORK)
    host.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def two_views(host: Host) -> None:
    """A second output shows the same: what is chosen in one is chosen in the other."""
    host.show_again()
    first, second = host.root(0), host.root(1)
    expect(slider(second)).to_have_value("3", timeout=WORK)
    second.get_by_role("button", name="Next neuron").click()
    expect(slider(first)).to_have_value("4", timeout=WORK)
    first.get_by_role("button", name="Previous neuron").click()
    expect(slider(second)).to_have_value("3", timeout=WORK)
    expect(picture(second, 3)).to_be_visible(timeout=WORK)


def reload(host: Host) -> None:
    """The page loaded again shows the widget, and it still answers."""
    host.reload()
    root = host.root()
    expect(root).to_be_visible(timeout=START)
    expect(root.get_by_role("combobox", name="Layer")).to_have_value("blocks.3", timeout=WORK)
    now = int(slider(root).input_value()) + 1
    root.get_by_role("button", name="Next neuron").click()
    expect(picture(root, now)).to_be_visible(timeout=WORK)
    if "two views" not in host.without:
        expect(slider(host.root(1))).to_have_value(str(now), timeout=WORK)


def theme(host: Host) -> None:
    """The widget is light in a light host, and dark once the host is."""
    root = host.root()
    expect(root).to_have_attribute("data-theme", "light")
    host.darken()
    expect(root).to_have_attribute("data-theme", "dark", timeout=WORK)
    assert root.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(21, 25, 28)"


def at_home(host: Host) -> None:
    """No request went to another machine than the one that serves the host."""
    assert not host.elsewhere, "\n".join(host.elsewhere)


def calm(host: Host) -> None:
    """Nothing is wrong on the page, nor in the console."""
    host.heard(3)  # what a notebook is to hold is packed a moment after the work
    expect(host.root().get_by_role("alert")).to_have_count(0)
    assert not host.errors, "\n".join(host.errors)


STEPS: dict[str, Callable[[Host], None]] = {
    "view": view,
    "gallery": gallery,
    "keyboard": by_keyboard,
    "live": live,
    "stop": stop,
    "photos": photos,
    "photo large": large,
    "two views": two_views,
    "reload": reload,
    "dark theme": theme,
    "no request elsewhere": at_home,
    "no error": calm,
}


def play(host: Host) -> dict[str, str]:
    """Try all steps; what came of each.

    ``works``; ``told``; ``-`` for what is not there; ``host's own`` for what its page asks for.
    """
    unknown = (host.without.keys() | host.told.keys()) - STEPS.keys()
    assert not unknown, unknown
    came: dict[str, str] = {}
    for name, step in STEPS.items():
        if name in host.without:
            print(f"  {name}: not there: {host.without[name]}")
            came[name] = "-"
        elif name in host.told:
            said = host.page.get_by_text(re.compile(host.told[name])).first
            expect(said).to_be_visible(timeout=WORK)
            came[name] = "told"
        else:
            began = time.monotonic()
            step(host)
            print(f"  {name}: {time.monotonic() - began:.1f} s")
            came[name] = "host's own" if step is at_home and host.asked_by_host else "works"
    return came
