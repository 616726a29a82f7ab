"""A saved page in Chromium, from file:// and offline: it works, and nothing in it gets out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from torch import nn

from neuron_widget import export_html, load_model, predictability, render, scan

pytestmark = pytest.mark.browser

AXE = Path(__file__).parents[2] / "js/node_modules/axe-core/axe.min.js"
EVIL = "<img src=x onerror=alert(1)>.JPEG"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A whole layer, a part of it, and one without photos; one photo's name is an attack."""
    root = tmp_path_factory.mktemp("saved")
    random = np.random.default_rng(0)
    for i in range(24):
        folder = root / "photos" / ("<b onclick=alert(2)>" if i % 2 else "tench")
        folder.mkdir(parents=True, exist_ok=True)
        small = random.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        name = EVIL if i == 3 else f"{i}.JPEG"
        Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC).save(folder / name)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 7, stride=4, padding=3), nn.ReLU(), nn.Conv2d(4, 40, 1))
    nn.init.uniform_(net[2].weight)  # no neuron is dead
    model = load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=64)
    images = render(model, "2", range(40), steps=4, size=64, progress=False)
    found = scan(model, "2", root / "photos", top_k=9, progress=False)
    how = {"images": images, "report": lambda _line: None}
    told = predictability(
        found,
        observer=lambda images: images.mean(dim=(2, 3)),
        references=2,
        questions=4,
        rendered=images,
        store=False,
        progress=False,
    )
    return {
        "whole": export_html(root / "whole.html", model, "2", scan=found, predicted=told, **how),
        "part": export_html(root / "part.html", model, "2", neurons=[*range(8), 30], **how),
        "bare": export_html(root / "bare.html", model, "2", scan=found, photos=False, **how),
    }


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, pages: dict[str, Path]) -> Iterator[Open]:
    """Open a page offline; at the end it must have asked for nothing but itself."""
    problems: list[str] = []
    contexts = []

    def begin(name: str, width: int = 1200, **how: object) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 1000}, offline=True, **how
        )
        contexts.append(context)
        page = context.new_page()
        address = pages[name].as_uri()
        page.on("dialog", lambda d: (problems.append(f"dialog: {d.message}"), d.dismiss()))
        page.on("pageerror", lambda error: problems.append(f"page error: {error}"))
        page.on(
            "console",
            lambda m: problems.append(m.text) if m.type in ("error", "warning") else None,
        )
        page.on(
            "request",
            lambda r: (
                None
                if r.url == address or r.url.startswith(("blob:", "data:"))
                else problems.append(f"request: {r.url}")
            ),
        )
        page.goto(address)
        expect(page.locator(".nw-tile img").first).to_be_visible(timeout=30_000)
        return page

    yield begin
    for context in contexts:
        context.close()
    assert not problems, "\n".join(problems)


def until(page: Page, expression: str) -> None:
    """Wait for what is true; playwright's own way needs eval, which the page's policy forbids."""
    end = time.monotonic() + 20
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        time.sleep(0.02)


def slider(page: Page):  # type: ignore[no-untyped-def]  # a Locator
    return page.get_by_role("slider", name="Neuron", exact=True)


def shown(page: Page, neuron: int) -> None:
    """Image and photos of a neuron are there, decoded."""
    image = page.get_by_role("img", name=f"2 neuron {neuron}", exact=True)
    expect(image).to_be_visible()
    until(
        page,
        "[...document.querySelectorAll('.nw-image, .nw-photo img')]"
        ".every(i => i.complete && i.naturalWidth > 0)",
    )
    for group in ("Most activating", "Least activating"):
        photos = page.get_by_role("group", name=group).get_by_role("button")
        expect(photos).to_have_count(9)


def test_how_far_pictures_predict_neurons_is_in_the_page(open_page: Open) -> None:
    page = open_page("whole")
    line = page.locator(".nw-predicted")
    expect(line).to_contain_text(re.compile(r"right in .*% of new pairs; from the image alone in"))
    page.get_by_role("combobox", name="Sort").select_option("predictable")
    expect(page.get_by_text(re.compile("40 neurons, right in")).first).to_be_visible()
    order = page.evaluate(
        "[...document.querySelectorAll('.nw-tile')].map(t => Number(t.dataset.neuron))"
    )
    assert sorted(order) == list(range(40)) != order
    page.get_by_role("button", name="Save and share").click()
    expect(page.locator(".nw-chart")).to_contain_text("█")
    # A page of which nothing was measured offers nothing.
    bare = open_page("bare")
    expect(bare.locator(".nw-predicted")).to_have_count(0)
    expect(bare.get_by_role("combobox", name="Sort").get_by_text("predictable")).to_be_disabled()


def test_everything_works_from_a_file(open_page: Open) -> None:
    page = open_page("whole")
    expect(page.get_by_role("listbox", name="Neurons").get_by_role("option")).to_have_count(40)
    until(page, "document.querySelectorAll('.nw-tile img').length === 40")
    shown(page, 0)

    # Slider, by keyboard and in the middle of a drag; gallery by click.
    slider(page).focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    shown(page, 5)
    before = page.locator(".nw-big").text_content()
    page.get_by_role("option", name=re.compile(r"^2 neuron 17\b")).click()
    shown(page, 17)
    expect(slider(page)).to_have_value("17")
    expect(page.locator(".nw-big")).not_to_have_text(before or "")

    # Maps and histogram.
    expect(page.get_by_role("region", name="Histogram")).to_be_visible()
    page.get_by_role("radio", name="only").check()
    # They are painted in the frame after they are there.
    until(
        page,
        """[...document.querySelectorAll(".nw-photo canvas")].filter((c) => c.getContext("2d")
          .getImageData(0, 0, c.width, c.height).data.some((v) => v > 0)).length === 18""",
    )
    page.get_by_role("radio", name="blend").check()

    # A photo large, with what its peak can see; Escape closes it.
    page.get_by_role("group", name="Most activating").get_by_role("button").nth(1).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("img", name="What the peak can see")).to_be_visible()
    expect(dialog.get_by_text("of 2 neuron 17")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(dialog.get_by_text("Most activating · 3")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)

    # Two neurons pinned side by side.
    page.get_by_role("button", name="Pin", exact=True).click()
    page.get_by_role("button", name="Next neuron").click()
    page.get_by_role("button", name="Pin", exact=True).click()
    expect(page.get_by_role("img", name=re.compile("^Pinned 2 neuron"))).to_have_count(2)

    # The image as a file, the view as a line of Python.
    page.get_by_role("button", name="Save and share").click()
    with page.expect_download() as saving:
        page.get_by_role("button", name="Save image").click()
    assert saving.value.path().read_bytes()[:4] == b"\x89PNG"
    expect(page.get_by_label("This view as a line of Python")).to_have_value(
        re.compile(r'NeuronWidget\("2", model=model, .*neuron=18')
    )


def test_what_needs_a_kernel_is_not_there(open_page: Open) -> None:
    page = open_page("whole")
    shown(page, 0)
    page.get_by_role("button", name="Save and share").click()
    for name in ("Render", "Stop", "Settings", "Save figure", "Scan", "photos"):
        expect(page.get_by_role("button", name=re.compile(f"^{name}"))).to_have_count(0)
    expect(page.get_by_role("slider", name="Steps")).to_have_count(0)
    expect(page.get_by_text("A saved page")).to_be_visible()
    # Longer than the widget waits for a kernel before it says that there is none.
    page.wait_for_timeout(3_500)
    expect(page.get_by_text(re.compile("kernel is busy|No answer"))).to_have_count(0)


def test_an_attack_in_a_name_is_text(open_page: Open) -> None:
    page = open_page("whole")
    shown(page, 0)
    expect(page.get_by_text("<b onclick=alert(2)>").first).to_be_visible()
    strip = page.get_by_role("button", name=re.compile("^Photo"))
    dialog = page.get_by_role("dialog")
    for neuron in range(40):  # somewhere among the winners is the photo with the name
        page.get_by_role("option", name=re.compile(rf"^2 neuron {neuron}\b")).click()
        shown(page, neuron)
        strip.first.click()
        for _ in range(18):
            if dialog.locator(".nw-filename").text_content() == f"<b onclick=alert(2)>/{EVIL}":
                assert page.locator("img[src=x]").count() == 0
                assert page.locator("b[onclick]").count() == 0
                return
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Escape")
    raise AssertionError("no neuron shows the photo with the name")


def test_a_part_of_a_layer_says_what_it_holds(open_page: Open) -> None:
    page = open_page("part")
    expect(page.get_by_label("Filter")).to_have_value("0-7, 30")
    expect(page.get_by_role("listbox", name="Neurons").get_by_role("option")).to_have_count(9)
    slider(page).focus()
    page.keyboard.press("End")
    expect(page.get_by_role("alert")).to_contain_text("Neuron 39 is not in this page")
    expect(page.get_by_role("alert")).to_contain_text("0-7, 30")
    expect(page.get_by_text("No finished image of this neuron was saved.")).to_be_visible()
    page.get_by_role("option", name=re.compile(r"^2 neuron 30\b")).click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("region", name="Photos")).to_have_count(0)


def test_without_photos_maps_and_scores_stay(open_page: Open) -> None:
    page = open_page("bare")
    shown(page, 0)
    expect(page.get_by_text("The photos themselves are left out.")).to_be_visible()
    page.get_by_role("group", name="Most activating").get_by_role("button").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Score (mean)")).to_be_visible()
    expect(dialog.get_by_role("img", name="What the peak can see")).to_have_count(0)


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (320, "light")])
def test_it_fits_and_can_be_read(open_page: Open, width: int, scheme: str) -> None:
    page = open_page("whole", width=width, color_scheme=scheme, bypass_csp=True)
    shown(page, 0)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".neuron-widget").get_attribute("data-theme") == scheme
    if not AXE.exists():
        print("axe-core is not installed (npm ci in js/): its rules are not looked at")
        return
    page.add_script_tag(path=str(AXE))
    report = page.evaluate("axe.run()")
    assert not report["violations"], [(v["id"], v["help"]) for v in report["violations"]]
