"""Take pictures of the page with its fake kernel: ``python js/test/shots.py OUT [names...]``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "browser"))
from conftest import AXE, CHROMIUM, FLAGS, serve_harness


def finished(page: Page) -> None:
    """Wait for the finished image and for previews."""
    page.wait_for_selector(".nw-big", timeout=30000)
    page.wait_for_timeout(2500)


def large(page: Page) -> None:
    """Open the second photo and turn the page once."""
    finished(page)
    page.get_by_role("group", name="Most activating").get_by_role("button").nth(1).click()
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(600)


def pinned(page: Page) -> None:
    """Pin three neurons."""
    finished(page)
    for _ in range(3):
        page.get_by_role("button", name="Pin", exact=True).click()
        page.get_by_role("button", name="Next neuron").click()
        page.wait_for_selector(".nw-big", timeout=30000)
    page.wait_for_timeout(500)


def settings(page: Page) -> None:
    """Open the settings and type another seed."""
    finished(page)
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Seed").fill("7")
    page.wait_for_timeout(200)


def unit_pinned(page: Page) -> None:
    """Pin a unit and its whole neuron, and open the settings."""
    settings(page)
    page.get_by_role("button", name="Pin", exact=True).click()
    page.get_by_role("button", name="Whole neuron").click()
    page.wait_for_selector(".nw-big", timeout=30000)
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Pin", exact=True).click()
    page.get_by_title("Show mixed4a neuron 68, unit 7,7").click()
    page.wait_for_timeout(500)


def previews_off(page: Page) -> None:
    """Switch the previews off."""
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Previews").uncheck()
    page.get_by_role("button", name="Apply").click()
    page.wait_for_timeout(300)


def menu(page: Page) -> None:
    """Open the menu."""
    finished(page)
    page.get_by_role("button", name="Save and share").click()
    page.wait_for_timeout(300)


def narrowed(page: Page) -> None:
    """Filter the gallery by a class that is there, then by one that is not."""
    finished(page)
    page.get_by_label("Filter").fill("church")
    page.wait_for_timeout(300)


def no_match(page: Page) -> None:
    """Filter the gallery by what is not there."""
    finished(page)
    page.get_by_label("Filter").fill("zebra")
    page.wait_for_timeout(300)


def wait(ms: int) -> Any:
    """Wait a fixed time."""
    return lambda page: page.wait_for_timeout(ms)


def no_photo(page: Page) -> None:
    """Open the panel for a photo of one's own."""
    finished(page)
    page.get_by_role("button", name="Your photo").click()
    page.wait_for_timeout(300)


def brought(page: Page) -> None:
    """Look at one of the photos, point at a place of it, and silence the neuron."""
    finished(page)
    page.get_by_role("group", name="Most activating").get_by_role("button").nth(1).click()
    page.get_by_role("button", name="Look at this one").click()
    photo = page.get_by_role("application")
    photo.click(position={"x": 90, "y": 70})
    page.get_by_label("Neuron 68", exact=True).select_option("off: zero")
    page.locator(".nw-firing button").nth(1).hover()
    page.wait_for_timeout(600)


def typed(page: Page) -> None:
    """Open the data set panel and scan a bad path; wait for the error."""
    page.get_by_role("button", name="photos/train").click()
    page.get_by_label("Data set folder or name").fill("/no/such/folder")
    page.get_by_role("button", name="Scan", exact=True).click()
    page.get_by_role("alert").wait_for()
    page.wait_for_timeout(300)


def stopped(page: Page) -> None:
    """Stop the scan, the previews and the rendering, each with its own button."""
    page.wait_for_timeout(1500)
    for name in ("Stop scanning", "Stop previews", "Stop"):
        page.get_by_role("button", name=name, exact=True).click()
    page.get_by_role("button", name="Resume previews").wait_for()
    page.wait_for_timeout(1000)


def stopped_early(page: Page) -> None:
    """A scan that was stopped while its data set was being opened."""
    page.evaluate(
        """() => {
          const messages = [
            { kind: "opened", network: model.network },
            { kind: "selected", seq: -1, target: model.target, steps: 512 },
            model.progress("scan", 0, 0, 0, 0, "stopped"),
            model.progress("preview", 0, 508, 0, 0, "stopped"),
          ];
          model.tell({ kind: "snapshot", messages, counts: messages.map(() => 0) });
        }"""
    )
    page.wait_for_timeout(300)


def resumed(page: Page) -> None:
    """Let all three go on."""
    stopped(page)
    for name in ("Resume scanning", "Resume previews"):
        page.get_by_role("button", name=name).click()
    page.wait_for_timeout(300)


def answered(page: Page) -> None:
    """Answer the first question of the quiz by keyboard, wrongly."""
    page.get_by_role("button", name="Left photo").focus()
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Next question").wait_for()
    page.wait_for_timeout(300)


def played(page: Page) -> None:
    """Play the quiz to its end."""
    for name in ("Next question", "Next question", "See the score"):
        page.get_by_role("button", name="Right photo").click()
        page.get_by_role("button", name=name).click()
    page.get_by_role("button", name="Play again").wait_for()


# What the scripted kernel has done, or is at.
DONE = "start=1&speed=2000"
GOING = "scanning=1&start=1&speed=40&neuron=257"

# Name: width, height, what the kernel does, what the person does.
SHOTS: dict[str, tuple[int, int, str, Any]] = {
    "first": (1100, 900, "opening=1", wait(300)),
    "mid": (1100, 1000, "start=1&until=312&speed=400", wait(4500)),
    "finished": (1100, 1000, f"{DONE}&neuron=257", finished),
    "large": (1100, 1000, DONE, large),
    "pinned": (1100, 1100, f"{DONE}&previews=100", pinned),
    "settings": (1100, 1100, f"{DONE}&previews=100", settings),
    "unit": (1400, 1100, f"{DONE}&previews=300&row=7&column=7", finished),
    "unit-mid": (1100, 1000, "start=1&until=312&speed=400&row=7&column=7", wait(4500)),
    "unit-none": (1100, 900, "row=7&column=7&dataset=0&previews=100", wait(2000)),
    "unit-menu": (1100, 1100, "row=7&column=7&previews=100", wait(1500)),
    "unit-pinned": (1400, 1100, f"{DONE}&previews=300&row=7&column=7", unit_pinned),
    "unit-w640": (640, 1400, f"{DONE}&row=7&column=7", finished),
    "unit-w320": (320, 1500, f"{DONE}&row=7&column=7", unit_pinned),
    "dark-unit": (1400, 1100, f"{DONE}&row=7&column=7&theme=dark", settings),
    "dark-unit-w640": (640, 1400, f"{DONE}&row=7&column=7&theme=dark", unit_pinned),
    "menu": (1100, 1100, f"{DONE}&previews=100", menu),
    "filter": (1100, 1100, f"{DONE}&previews=300", narrowed),
    "no-match": (1100, 1100, f"{DONE}&previews=100", no_match),
    "w320-menu": (320, 1500, f"{DONE}&previews=40", menu),
    "w320-pinned": (320, 1500, f"{DONE}&previews=40", pinned),
    "w320-settings": (320, 1500, f"{DONE}&previews=40", settings),
    "dark-pinned": (1100, 1100, f"{DONE}&previews=100&theme=dark", pinned),
    "dark-menu": (1100, 1100, f"{DONE}&previews=100&theme=dark", menu),
    "dark-settings": (1100, 1100, f"{DONE}&previews=100&theme=dark", settings),
    "error": (1100, 700, "error=1", wait(500)),
    "bad-path": (1100, 1000, "previews=40", typed),
    "none": (1100, 900, "dataset=0&previews=80", wait(2000)),
    "scanning": (1100, 900, "scanning=1&previews=80", wait(2000)),
    "going": (1400, 1000, GOING, wait(2500)),
    "stopped": (1400, 1000, GOING, stopped),
    "stopped-w640": (640, 1400, GOING, stopped),
    "stopped-w320": (320, 1500, GOING, stopped),
    "dark-stopped": (1400, 1000, f"{GOING}&theme=dark", stopped),
    "dark-w640": (640, 1400, f"{GOING}&theme=dark", wait(2500)),
    "stopped-early": (1400, 1000, "previews=0&dataset=0", stopped_early),
    "resumed": (1400, 1000, GOING, resumed),
    "previews-off": (1100, 900, "previews=0", previews_off),
    "no-photo": (1100, 1200, "start=1&speed=2000&previews=100", no_photo),
    "photo": (1100, 1200, "start=1&speed=2000&previews=508", brought),
    "photo-dark": (1400, 1200, "start=1&speed=2000&previews=508&theme=dark", brought),
    "photo-w320": (320, 2100, "start=1&speed=2000&previews=508", brought),
    "dead": (1100, 900, "neuron=5&previews=40", wait(2000)),
    "mute": (1100, 500, "mute=1", wait(3500)),
    "w320": (320, 1500, f"{DONE}&views=1", finished),
    "w320-large": (320, 1500, DONE, large),
    "w800": (800, 1000, DONE, finished),
    "w1800": (1800, 1000, f"{DONE}&neuron=257", finished),
    "dark": (1100, 1000, f"{DONE}&theme=dark&neuron=257", finished),
    "quiz": (1100, 700, "quiz=both", wait(300)),
    "quiz-answered": (1100, 700, "quiz=synthetic", answered),
    "quiz-played": (1100, 500, "quiz=both", played),
    "quiz-dark": (1100, 700, "quiz=both&theme=dark", answered),
    "quiz-w640": (640, 900, "quiz=photos", answered),
    "quiz-w320": (320, 1200, "quiz=both", answered),
    "dark-large": (1100, 1000, f"{DONE}&theme=dark", large),
}


def main() -> None:
    """Take the pictures, and report console errors, foreign requests and axe's findings."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, serve_harness() as harness:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        address = harness.partition("/js/")[0]
        for name in sys.argv[2:] or SHOTS:
            width, height, query, act = SHOTS[name]
            page = browser.new_page(viewport={"width": width, "height": height})
            page.on("console", lambda m: print("  console:", m.type, m.text))
            page.on("pageerror", lambda e: print("  page error:", e))
            page.on(
                "request",
                lambda r: (
                    r.url.startswith((address, "data:", "blob:"))
                    or print("  foreign request:", r.url)
                ),
            )
            page.goto(f"{harness}?{query}")
            act(page)
            page.screenshot(path=str(out / f"{name}.png"), full_page=True)
            wide = page.evaluate("document.documentElement.scrollWidth")
            print(name, "scroll width", wide, "of", width)
            page.add_script_tag(path=str(AXE))
            report = page.evaluate("axe.run('.neuron-widget, .neuron-quiz')")
            for found in report["violations"]:
                print("  axe:", found["impact"], found["id"], found["help"])
                for node in found["nodes"][:4]:
                    print("     ", node["html"][:160], node["failureSummary"][:300])
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
