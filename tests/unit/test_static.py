"""The bundles that are in the package: small, and nothing in it is fetched from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import neuron_widget

STATIC = Path(neuron_widget.__file__).parent / "static"


def test_the_bundles_are_small() -> None:
    # It is sent again for every widget. (The limit was 90 kB before the panel of one's own photo,
    # and 96 kB before predictability. What is seldom used could come on demand.)
    limits = {"widget.js": 98_000, "widget.css": 30_000, "quiz.js": 30_000, "quiz.css": 10_000}
    for name, limit in limits.items():
        size = (STATIC / name).stat().st_size
        print(f"\n{name}: {size / 1000:.1f} kB")
        assert size < limit


def test_the_bundles_name_no_other_host() -> None:
    for name in ("widget.js", "widget.css", "quiz.js", "quiz.css", "page.js", "page.css"):
        text = (STATIC / name).read_text()
        hosts = set(re.findall(r"https?://[^\s\"'`)]+", text))
        assert hosts <= {
            "http://www.w3.org/2000/svg",
            "http://www.w3.org/1999/xhtml",
            "http://www.w3.org/1998/Math/MathML",
        }, hosts
        assert not re.search(r"""@import|(?<![\w.])import\s*\(|\bfrom\s*["']""", text)
