"""The quiz in a real JupyterLab, played by keyboard and by mouse."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

CELL = """
    from neuron_widget import NeuronQuiz
    quiz = NeuronQuiz("blocks.4", neurons=3, num_samples=96, steps=8, size=64, progress=False)
    quiz
    """


def run(notebook) -> Page:  # type: ignore[no-untyped-def]  # conftest's Notebook
    page: Page = notebook.page
    notebook.wait_for_kernel()
    notebook.command("notebook:run-all-cells")
    page.wait_for_selector(".neuron-quiz", timeout=300_000)
    return page


def test_a_game(open_notebook, tmp_path) -> None:  # type: ignore[no-untyped-def]
    page = run(open_notebook(CELL))
    quiz = page.get_by_role("region", name="Neuron quiz")
    cells = page.locator(".jp-Notebook .jp-Cell")
    before = cells.count()

    # The first question shows the rendered image alone; nothing tells the answer.
    expect(quiz.get_by_text("Question 1 of 3")).to_be_visible()
    expect(quiz.get_by_role("img", name="Rendered image, question 1")).to_be_visible()
    left = quiz.get_by_role("button", name="Left photo", exact=True)
    right = quiz.get_by_role("button", name="Right photo", exact=True)
    expect(left).to_be_visible()
    # All pictures can be drawn; they come out of their bytes a moment later.
    page.wait_for_function(
        """() => [...document.querySelectorAll(".neuron-quiz img")]
          .every((i) => i.complete && i.naturalWidth > 0)"""
    )

    # By keyboard, from the first key to the last; the notebook hears none of them.
    left.focus()
    page.keyboard.press("ArrowRight")
    expect(quiz.get_by_role("status")).to_have_text(re.compile(r"^(Correct|Wrong): neuron \d+"))
    expect(quiz.get_by_role("button", name="Next question")).to_be_focused()
    expect(quiz.get_by_text(re.compile(r"Score [01] of 1"))).to_be_visible()
    page.keyboard.press("ArrowLeft")  # too late
    page.keyboard.press("Enter")
    expect(quiz.get_by_text("Question 2 of 3")).to_be_visible()
    for group in ("Fire it most", "Fire it least"):
        photos = quiz.get_by_role("group", name=group).get_by_role("img")
        expect(photos.first).to_be_visible()
    assert quiz.evaluate("root => root.contains(document.activeElement)")
    page.keyboard.press("ArrowLeft")
    expect(quiz.get_by_role("button", name="Next question")).to_be_focused()

    # A reloaded page has the question, its answer and the score.
    page.screenshot(path=tmp_path / "answered.png")
    page.keyboard.press("Enter")
    expect(quiz.get_by_text("Question 3 of 3")).to_be_visible()

    # By mouse.
    right.click()
    quiz.get_by_role("button", name="See the score").click()
    expect(quiz.get_by_text("All 3 questions answered")).to_be_visible()
    rows = quiz.get_by_role("table").get_by_role("row")
    expect(rows).to_have_count(4)
    expect(rows.nth(1)).to_have_text(re.compile(r"rendered image[01] of 1(0|100) %"))
    quiz.get_by_role("button", name="Play again").click()
    expect(quiz.get_by_text("Question 1 of 3")).to_be_visible()
    assert cells.count() == before


def test_a_second_view_and_a_dark_narrow_page(open_notebook) -> None:  # type: ignore[no-untyped-def]
    page = run(open_notebook(CELL, "quiz", width=700))
    views = page.get_by_role("region", name="Neuron quiz")
    expect(views).to_have_count(2, timeout=60_000)
    views.first.get_by_role("button", name="Left photo").click()
    for view in (views.first, views.last):
        expect(view.get_by_role("button", name="Next question")).to_be_visible()
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    expect(views.first).to_have_attribute("data-theme", "dark")
    width = views.first.evaluate("root => [root.scrollWidth, root.clientWidth]")
    assert width[0] <= width[1], "nothing may stick out of a narrow page"
