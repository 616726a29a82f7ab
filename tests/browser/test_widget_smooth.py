"""How smooth the page is, measured in Chromium with a scripted kernel. Run with ``-s`` to see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    # Count object URLs as the browser sees them.
    page.add_init_script(
        """
        window.urls = new Set();
        const [make, drop] = [URL.createObjectURL, URL.revokeObjectURL];
        URL.createObjectURL = (b) => { const u = make.call(URL, b); urls.add(u); return u; };
        URL.revokeObjectURL = (u) => { urls.delete(u); drop.call(URL, u); };
        """
    )
    yield page
    page.close()


def test_a_drag_sends_ten_messages_a_second_and_the_last(page: Page, harness: str) -> None:
    page.goto(f"{harness}?previews=0&layer=mixed5b")
    page.wait_for_function("window.harness === 'ready'")
    sent = page.evaluate(
        """async () => {
          const slider = document.querySelector("input[type=range]");
          model.sent.length = 0;
          const started = performance.now();
          for (let n = 1; n <= 180; n++) {
            slider.valueAsNumber = n;
            slider.dispatchEvent(new Event("input", { bubbles: true }));
            await new Promise((done) => setTimeout(done, 1000 / 60));
          }
          const took = performance.now() - started;
          slider.dispatchEvent(new Event("change", { bubbles: true }));
          await new Promise((done) => setTimeout(done, 400));
          const selects = model.sent.filter((m) => m.kind === "select");
          return { took, count: selects.length, last: selects.at(-1) };
        }"""
    )
    rate = (sent["count"] - 1) / (sent["took"] / 1000)
    print(f"\ndrag: 180 events in {sent['took'] / 1000:.1f} s, {rate:.1f} messages a second")
    assert rate <= 10.5
    assert sent["count"] > 5
    assert (sent["last"]["target"]["neuron"], sent["last"]["settled"]) == (180, True)


def test_frames_are_acknowledged_and_their_urls_given_back(page: Page, harness: str) -> None:
    page.goto(f"{harness}?previews=0&dataset=0")
    page.wait_for_function("window.harness === 'ready'")
    result = page.evaluate(
        """async () => {
          const { bytes, pattern } = await import("/js/test/drawings.js");
          const picture = bytes(pattern(3, 224, 0.5), "image/jpeg");
          const layer = "mixed4a";
          const target = { kind: "channel", layer, neuron: 68 };
          const drawn = () => model.sent.filter((m) => m.kind === "ack").length;
          // What the browser alone takes to decode and paint them, one after another.
          const begun = performance.now();
          for (let i = 0; i < 50; i++) {
            (await createImageBitmap(new Blob([picture], { type: "image/jpeg" }))).close();
            await new Promise((done) => requestAnimationFrame(done));
          }
          const alone = 10 * (performance.now() - begun);
          const before = urls.size;
          let most = 0;
          const started = performance.now();
          for (let i = 0; i < 500; i++) {
            model.tell({ kind: "progress", task: "render", layer, target, done: i, total: 500,
              rate: 1, left: 1, state: "running" });
            model.tell({ kind: "frame", index: i, target, step: i, steps: 500,
              value: i }, [picture]);
            most = Math.max(most, urls.size - before);
            while (i + 1 - drawn() >= 2) await new Promise((done) => setTimeout(done, 1));
          }
          while (drawn() < 500) await new Promise((done) => setTimeout(done, 5));
          const took = performance.now() - started;
          return { most, left: urls.size - before, acks: drawn(), took, alone };
        }"""
    )
    print(
        f"\nframes: {result['acks']} of 500 acknowledged, {500_000 / result['took']:.0f} a second,"
        f" {result['took'] / result['alone']:.2f} times the browser's own time,"
        f" object URLs at most {result['most']}, at the end {result['left']}"
    )
    assert result["acks"] == 500
    assert result["most"] <= 3
    assert result["left"] <= 1
    assert result["took"] < result["alone"]


def test_scrolling_a_thousand_tiles_is_smooth(page: Page, harness: str) -> None:
    page.goto(f"{harness}?layer=mixed5b&dataset=0&previews=1024")
    page.wait_for_function(
        "document.querySelectorAll('.nw-tile img').length >= 1024", timeout=90_000
    )
    page.wait_for_timeout(500)
    measured = page.evaluate(
        """async () => {
          const box = document.querySelector(".nw-tiles");
          const frame = () => new Promise((done) => requestAnimationFrame(done));
          await frame();
          // As many images in a plain list, and nothing of ours about them.
          const plain = document.createElement("div");
          plain.style.cssText = `position: fixed; right: 0; bottom: 0; overflow: auto;
            width: ${box.clientWidth}px; height: ${box.clientHeight}px`;
          for (const tile of box.querySelectorAll("img")) {
            const { width, height } = tile.getBoundingClientRect();
            const image = new Image(width, height);
            image.src = tile.src;
            plain.append(image);
          }
          document.body.append(plain);
          await Promise.all([...plain.children].map((image) => image.decode()));
          // By turns: a busy machine slows all.
          const rest = document.createElement("div");
          const took = new Map([[rest, 0], [plain, 0], [box, 0]]);
          for (let turn = 0; turn < 12; turn++)
            for (const scrolled of took.keys()) {
              const begun = await frame();
              let now = begun;
              for (let i = 0; i < 10; i++) {
                scrolled.scrollTop += 60;
                now = await frame();
              }
              took.set(scrolled, took.get(scrolled) + now - begun);
            }
          const [idle, alone, rate] = [...took.values()].map((ms) => 120_000 / ms);
          return { idle, alone, rate, scrolled: [plain.scrollTop, box.scrollTop] };
        }"""
    )
    rate, alone, idle = measured["rate"], measured["alone"], measured["idle"]
    print(f"\nscroll: {rate:.0f} frames a second, a plain list {alone:.0f}, at rest {idle:.0f}")
    assert min(measured["scrolled"]) > 1000
    assert rate >= min(50, 0.8 * alone)
