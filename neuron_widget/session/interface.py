"""What a widget asks of its session, which may be in this process or on another machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from neuron_widget.session.state import State

if TYPE_CHECKING:
    from PIL import Image

    from neuron_widget.analysis.predicting import Predictability
    from neuron_widget.looking import Look
    from neuron_widget.rendering import RenderResult
    from neuron_widget.scanning import Example

__all__ = ["Awaited", "PageWish", "WidgetSession"]


class Awaited(Protocol):
    """Work that can be waited for: a :class:`.Job`, or one on another machine."""

    task: str
    finished: threading.Event
    error: BaseException | None


@dataclass(frozen=True)
class PageWish:
    """What a page without a kernel is to hold; see :func:`neuron_widget.export_html`."""

    neurons: Sequence[int] | None
    photos: bool
    limit: int | None
    title: str


class WidgetSession(Protocol):
    """The commands of one widget; :class:`.Session` says what they do."""

    @property
    def state(self) -> State:
        """What is shown."""

    def select(
        self, *, layer: str = ..., neuron: int = ..., steps: int = ..., target: str = ...
    ) -> None:
        """Choose what to look at."""

    def render(self) -> Awaited | None:
        """Render the selected neuron; None if it is known."""

    def scan(self, dataset: Any = None) -> Awaited | None:
        """Scan the data set, or another one."""

    def measure(self) -> Awaited | None:
        """Measure how far pictures predict the layer; None if it is known."""

    def look(self, photo: Any) -> Awaited | None:
        """Show a photo to the selected layer."""

    def stop(self) -> None:
        """Stop everything."""

    def close(self, why: str = "") -> None:
        """Stop for good."""

    def view(self, name: str, *, visible: bool, gone: bool = False) -> None:
        """A view, or a Python call that waits, came, left sight, or is gone."""

    def foreground(self) -> Sequence[Awaited]:
        """What somebody waits for."""

    def handle(self, message: dict[str, Any], buffers: Sequence[bytes | memoryview]) -> None:
        """Do what a message of the page asks."""

    def result(self) -> RenderResult | None:
        """The rendering of the selected target, as far as it is."""

    def image(self) -> Image.Image | None:
        """Its image."""

    def examples(self) -> dict[str, list[Example]] | None:
        """Photos of the selected neuron, ``{"most": [...], "least": [...]}``."""

    def looked(self) -> Look | None:
        """The photo that was brought, as the selected layer sees it."""

    def measured(self) -> Predictability | None:
        """How far pictures predict the selected layer."""

    def contact_sheet(self) -> Image.Image:
        """The image and the photos of the selected neuron as one picture."""

    def still(self) -> dict[str, str]:
        """What a page without a kernel can show of it, by MIME type."""

    def save_figure(self, path: str | os.PathLike[str]) -> Path:
        """Write the figure of the selected neuron."""

    def write_page(self, path: Path, wish: PageWish, wait: Callable[[Awaited], None]) -> None:
        """Write the selected layer as one HTML file; its plan is printed first.

        ``wait`` waits for work as Python calls do.
        """
