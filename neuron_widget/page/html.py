"""The file: the widget's own bundle, the data, and a policy that lets nothing else in."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["bundle_bytes", "page_html"]

_STATIC = Path(__file__).parents[1] / "static"
_SCRIPTS = ("panels.js", "widget.js", "page.js")
_STYLES = ("widget.css", "page.css")


def bundle_bytes() -> int:
    """Bytes of what every page has of the widget itself."""
    return sum((_STATIC / name).stat().st_size for name in (*_SCRIPTS, *_STYLES))


def page_html(
    title: str,
    intro: str,
    notes: Sequence[str],
    data: dict[str, Any],
    classes: Sequence[str] = (),
) -> str:
    """Return a page as HTML.

    Text of any origin is escaped, and the policy admits exactly these scripts and styles, by their
    hashes, and no request: a name that got through as markup could still do nothing.
    """
    panels, bundle, own = ((_STATIC / name).read_text("utf-8") for name in _SCRIPTS)
    # The panels, which a kernel would send, come first: a widget looks for them when it is made.
    widget, page = _script(panels + _as_global(bundle)), _script(own)
    styles = [(_STATIC / name).read_text("utf-8") for name in _STYLES]
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash(widget)} {_hash(page)}",
            f"style-src {' '.join(map(_hash, styles))}",
            "img-src blob: data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    named, kind = html.escape(title), html.escape(" ".join(classes))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{named}</title>
<link rel="icon" href="data:,">
<style>{styles[0]}</style>
<style>{styles[1]}</style>
</head>
<body>
<header>
<h1>{named}</h1>
<p>{html.escape(intro)}</p>
</header>
<main id="neuron-widget" class="{kind}">
<h2>Neurons, images and photos</h2>
<noscript>This page draws itself with the JavaScript inside it; your browser has that switched
off.</noscript>
</main>
<footer>
{"".join(f"<p>{html.escape(note)}</p>" for note in notes)}
</footer>
<script type="application/json" id="neuron-widget-data">{_json(data)}</script>
<script type="module">{widget}</script>
<script type="module">{page}</script>
</body>
</html>
"""


def _json(data: dict[str, Any]) -> str:
    """JSON in which no text can end the script that holds it: plain ASCII, and no ``<``, ``&``."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _as_global(module: str) -> str:
    """The widget's module as a script that leaves its factory where page.js finds it."""
    head, export, tail = module.rpartition("export{")
    name, _, rest = tail.partition(" as default}")
    if not export or not name.isidentifier() or rest.strip() not in ("", ";"):
        raise RuntimeError("static/widget.js does not end with its default export")
    return f"{head}globalThis.neuronWidget={name};"


def _script(code: str) -> str:
    """Code that does not end the element it stands in. Inside strings ``<\\/`` means ``</``."""
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
