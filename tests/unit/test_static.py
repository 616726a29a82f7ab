"""The bundles that are in the package: small, and nothing in it is fetched from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import neuron_widget

STATIC = Path(neuron_widget.__file__).parent / "static"


def test_the_bundles_are_small() -> None:
    # widget.js is sent again for every widget. What is seldom opened is in panels.js, which comes
    # once for a page, when it is drawn.
    limits = {
        "widget.js": 90_000,
        # All of it is text of the interface that is behind a click; the slider from a photo to a
        # picture is the last that came.
        "panels.js": 24_000,
        "widget.css": 30_000,
        "quiz.js": 30_000,
        "quiz.css": 10_000,
    }
    for name, limit in limits.items():
        size = (STATIC / name).stat().st_size
        print(f"\n{name}: {size / 1000:.1f} kB")
        assert size < limit


def test_the_bundles_name_no_other_host() -> None:
    files = sorted([*STATIC.glob("*.js"), *STATIC.glob("*.css")])
    assert {"widget.js", "panels.js", "page.css"} <= {file.name for file in files}
    for file in files:
        text = file.read_text()
        hosts = set(re.findall(r"https?://[^\s\"'`)]+", text))
        assert hosts <= {
            "http://www.w3.org/2000/svg",
            "http://www.w3.org/1999/xhtml",
            "http://www.w3.org/1998/Math/MathML",
        }, hosts
        assert not re.search(r"""@import|(?<![\w.])import\s*\(|\bfrom\s*["']""", text)


def test_the_panels_are_those_that_the_widget_asks_for() -> None:
    named = re.match(r'\(globalThis\.neuronWidgetPanels\?\?=\{\}\)\["(\w+)"\]=', _text("panels.js"))
    assert named
    assert f'"{named[1]}"' in _text("widget.js")


def _text(name: str) -> str:
    return (STATIC / name).read_text("utf-8")
