"""What the script needs of a host: to show the widget in it, and to hear what goes wrong there."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import ClassVar
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Error, Locator, Page, Request

__all__ = ["Host", "widget_cell"]


def widget_cell(folder: object, **more: object) -> str:
    """The cell that every host runs: a small layer, few steps, photos of noise."""
    options = "".join(f", {name}={value!r}" for name, value in more.items())
    return (
        "from neuron_widget import NeuronWidget\n"
        f'w = NeuronWidget("blocks.3", dataset={str(folder)!r}, neuron=7, size=64, steps=24'
        f"{options})\n"
        "w"
    )


class Host:
    """A page of a host with the widget in it.

    A step of the script that a host has no place for is named in ``without``, with the reason. One
    that it cannot do is named in ``told``, with the words (a pattern) that the page says instead.
    """

    title: ClassVar[str]
    without: ClassVar[dict[str, str]] = {}
    told: ClassVar[dict[str, str]] = {}
    # What the host's own page asks other machines for (patterns), with any widget and with none.
    asks: ClassVar[tuple[str, ...]] = ()
    # Errors of the host's own that are in its console with any widget, and with none.
    noise: ClassVar[tuple[str, ...]] = ()
    # Whether the page is told of as soon as an error is anybody's, or only where it is ours.
    strict: ClassVar[bool] = True

    def __init__(self, page: Page, version: str = "") -> None:
        self.page, self.version = page, version
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.asked_by_host: list[str] = []
        # Seconds from opening the page to the first picture that moved or was finished.
        self.first_picture = 0.0
        page.on("console", self._on_console)
        page.on("pageerror", self._on_page_error)
        page.on("request", self._on_request)

    # ------------------------------------------------------------------ what an adapter says

    def prepare(self) -> None:
        """What a person does before the page is opened; not in the time to the first picture."""

    def show(self) -> None:
        """Open the page and run the cell."""
        raise NotImplementedError

    def root(self, view: int = 0) -> Locator:
        """The widget's element in its first output, or another one."""
        return self.page.locator(".neuron-widget").nth(view)

    def show_again(self) -> None:
        """Show the same widget in a second output; some hosts do so from the start."""

    def reload(self) -> None:
        """Load the page again, as a person who presses F5."""
        self.page.reload()

    def darken(self) -> None:
        """Choose the host's dark theme."""
        self.page.emulate_media(color_scheme="dark")

    # ------------------------------------------------------------------ what went wrong

    def heard(self, seconds: float) -> None:
        """Let the page's events arrive for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.page.wait_for_timeout(min(100, 1000 * left))

    def _ours(self, texts: Iterable[str]) -> bool:
        text = " ".join(texts)
        if any(re.search(pattern, text) for pattern in self.noise):
            return False
        # The widget's module is loaded from a blob, and the manager's errors name its class.
        return self.strict or "blob:" in text or "neuron" in text.lower() or "anywidget" in text

    def _on_console(self, message: ConsoleMessage) -> None:
        place = message.location
        texts = (message.text, str(place.get("url", "")))
        if message.type == "error" and self._ours(texts):
            self.errors.append(f"console: {message.text} ({texts[1]})")

    def _on_page_error(self, error: Error) -> None:
        if self._ours((error.message, error.stack or "")):
            self.errors.append(f"page: {error.message}\n{error.stack}")

    def _on_request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme in ("http", "https", "ws", "wss") and url.hostname not in (
            "127.0.0.1",
            "localhost",
            "hub.test",
        ):
            theirs = any(re.search(pattern, request.url) for pattern in self.asks)
            (self.asked_by_host if theirs else self.elsewhere).append(request.url)
