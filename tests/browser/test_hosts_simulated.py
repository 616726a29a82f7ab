"""Hosts that cannot run here, as far as a page can play them: VS Code, and Colab.

The page and the widget's Python are real; between them stands what is peculiar to the host. A
message of the page calls the widget's handler, as a kernel would.
"""

from __future__ import annotations

import base64
import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from neuron_widget import NeuronWidget

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]

# Live frames are drawn on a canvas, images are files.
PICTURE = "e => e instanceof HTMLCanvasElement ? e.toDataURL() : e.src"

HOST = """
<!doctype html><html lang="en" {html}><head><title>host</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="/neuron_widget/static/widget.css"></head>
<body {body} style="background: #fff"><main></main><script type="module">
import factory from "/neuron_widget/static/widget.js";
const listeners = new Set();
// A view of a part of a larger message.
const bytes = (text) => {{
  const whole = Uint8Array.from("123" + atob(text), (c) => c.charCodeAt(0));
  return new {view}(whole.buffer, 3, whole.length - 3);
}};
window.deliver = (parts) => {{
  for (const [content, buffers] of parts)
    for (const listener of listeners) listener(content, buffers.map(bytes));
}};
const model = {{
  get: () => undefined,
  send: (content) => window.toKernel(content).then(window.deliver),
  on: (name, listener) => name === "msg:custom" && listeners.add(listener),
  off: (name, listener) => listeners.delete(listener),
}};
const el = document.createElement("div");
document.querySelector("main").append(el);
const widget = factory();
await widget.initialize({{ model }});
await widget.render({{ model, el }});
</script></body></html>
"""


class Host:
    """A page with a widget in it, and what went wrong there.

    ``background``: whether what a background thread sends reaches the page.
    """

    def __init__(self, page: Page, widget: NeuronWidget, *, background: bool):
        self.page = page
        self.problems: list[str] = []
        self.kinds: list[str] = []
        self._widget = widget
        self._answer: list[Any] | None = None
        self._thread = 0
        self._waiting: list[Any] = []
        self._background = background
        self._lock = threading.Lock()
        widget.send = self._from_kernel  # type: ignore[method-assign]
        page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        page.on("console", lambda m: m.type == "error" and self.problems.append(m.text))
        page.expose_function("toKernel", self._to_kernel)

    def _from_kernel(self, content: Any, buffers: Any = None) -> None:
        part = [content, [base64.b64encode(b).decode() for b in buffers or []]]
        with self._lock:
            if self._answer is not None and threading.get_ident() == self._thread:
                self._answer.append(part)
            elif self._background:
                self._waiting.append(part)

    def _to_kernel(self, content: dict[str, Any]) -> list[Any]:
        self.kinds.append(content["kind"])
        with self._lock:
            self._answer, self._thread = [], threading.get_ident()
        self._widget._on_page_message(self._widget, content, [])
        with self._lock:
            answer, self._answer = self._answer, None
            return answer

    def flush(self) -> None:
        """What came from the background since the last time reaches the page."""
        with self._lock:
            parts, self._waiting = self._waiting, []
        self.page.evaluate("parts => window.deliver(parts)", parts)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(ROOT))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def open_host(browser: Browser, address: str, folder: Path) -> Iterator[Callable[..., Host]]:
    hosts: list[Host] = []
    widgets: list[NeuronWidget] = []

    def open_it(
        *,
        html: str = "",
        body: str = "",
        view: str = "DataView",
        background: bool = True,
        steps: int,
    ) -> Host:
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        widget = NeuronWidget(
            "blocks.3", dataset=str(folder), neuron=7, size=64, steps=steps, previews=False
        )
        widgets.append(widget)
        host = Host(page, widget, background=background)
        hosts.append(host)
        page.route(
            "**/host.html",
            lambda route: route.fulfill(
                body=HOST.format(html=html, body=body, view=view), content_type="text/html"
            ),
        )
        page.goto(f"{address}/host.html")
        return host

    yield open_it
    for widget in widgets:
        widget.close()
    for host in hosts:
        host.page.close()
    assert not [p for host in hosts for p in host.problems]


def test_colab_shows_nothing_from_the_background_and_works(open_host: Any) -> None:
    host = open_host(html="theme=dark", view="Uint8Array", background=False, steps=400)
    page = host.page
    root = page.locator(".neuron-widget")
    expect(root).to_have_attribute("data-theme", "dark")
    # The network opens in the background: the page asks, by itself.
    expect(page.get_by_role("combobox", name="Layer")).to_have_value("blocks.3", timeout=90_000)
    assert "poll" in host.kinds
    # The picture moves while it is rendered, and the photos come.
    image = page.get_by_role("img", name="blocks.3 neuron 7", exact=True)
    expect(image).to_be_visible(timeout=30_000)
    expect(page.locator(".nw-settings")).to_contain_text("400 steps", timeout=120_000)
    tiles = page.get_by_role("group", name="Most activating").get_by_role("button")
    expect(tiles).to_have_count(9, timeout=60_000)
    expect(page.get_by_role("button", name="Stop scanning")).to_have_count(0, timeout=60_000)
    # Another neuron: no wait for silence this time, and frames come. So many steps that it is
    # not done before it is stopped.
    steps = page.get_by_role("spinbutton", name="Steps number")
    steps.fill("2048")
    steps.press("Enter")
    seen = set()
    page.get_by_role("button", name="Next neuron").click()
    image = page.get_by_role("img", name="blocks.3 neuron 8", exact=True)
    expect(image).to_be_visible(timeout=30_000)
    for _ in range(300):
        seen.add(image.evaluate(PICTURE))
        if len(seen) >= 3:
            break
        page.wait_for_timeout(100)
    assert len(seen) >= 3, "the image must move"
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("stopped at step")).to_be_visible(timeout=30_000)
    # Nothing runs: it asks no more.
    page.wait_for_timeout(7_000)
    asked = host.kinds.count("poll")
    page.wait_for_timeout(1_500)
    assert host.kinds.count("poll") == asked


def test_where_the_background_is_heard_the_page_stops_asking(open_host: Any) -> None:
    host = open_host(body='data-vscode-theme-kind="vscode-dark" class="vscode-dark"', steps=100_000)
    page = host.page
    expect(page.locator(".neuron-widget")).to_have_attribute("data-theme", "dark")
    # VS Code forces a white background behind an output: the widget has its own.
    ground = page.locator(".neuron-widget").evaluate("e => getComputedStyle(e).backgroundColor")
    assert ground == "rgb(21, 25, 28)"
    page.wait_for_timeout(3_500)
    host.flush()
    for _ in range(240):
        page.wait_for_timeout(500)
        host.flush()
        if page.get_by_role("img", name="blocks.3 neuron 7", exact=True).count():
            break
    asked = host.kinds.count("poll")
    for _ in range(15):
        page.wait_for_timeout(200)
        host.flush()
    assert host.kinds.count("poll") - asked <= 1
    for _ in range(300):  # a step may take long
        if host.kinds.count("ack") >= 3:
            break
        page.wait_for_timeout(200)
        host.flush()
    assert host.kinds.count("ack") >= 3
