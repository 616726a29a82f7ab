"""A session in this process, with all that a widget asks of it. A server holds these, too."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_widget.session import Session, export
from neuron_widget.session.handle import handle_message

if TYPE_CHECKING:
    from PIL import Image

    from neuron_widget.analysis.predicting import Predictability
    from neuron_widget.looking import Look
    from neuron_widget.page.saving import Saving
    from neuron_widget.rendering import RenderResult
    from neuron_widget.scanning import Example
    from neuron_widget.session.interface import Awaited, PageWish

__all__ = ["SessionHere"]


class SessionHere(Session):
    """See :class:`.WidgetSession`."""

    def handle(self, message: dict[str, Any], buffers: Sequence[bytes | memoryview]) -> None:
        """Do what a message of the page asks."""
        handle_message(self, message, buffers)

    def result(self) -> RenderResult | None:
        """The rendering of the selected target."""
        return self.state.result

    def image(self) -> Image.Image | None:
        """Its image."""
        result = self.state.result
        return result.to_pil(0) if result is not None else None

    def examples(self) -> dict[str, list[Example]] | None:
        """Photos of the selected neuron."""
        scan = self.state.scan_result
        if scan is None:
            return None
        neuron = self.state.neuron
        return {"most": scan.top(neuron), "least": scan.bottom(neuron)}

    def looked(self) -> Look | None:
        """The photo that was brought."""
        return self.looking.look

    def measured(self) -> Predictability | None:
        """How far pictures predict the selected layer."""
        return self.state.cache.measured(self.state.layer)

    def contact_sheet(self) -> Image.Image:
        """The image and the photos as one picture."""
        return export.contact_sheet(self.state)

    def still(self) -> dict[str, str]:
        """What a page without a kernel can show."""
        return export.still(self.state)

    def save_figure(self, path: str | os.PathLike[str]) -> Path:
        """Write the figure."""
        return export.save_figure(self.state, path)

    def saving(self, wish: PageWish) -> Saving:
        """The two jobs that make a page."""
        from neuron_widget.page.saving import Saving

        return Saving(
            self.state,
            self.store.store,
            neurons=wish.neurons,
            photos=wish.photos,
            limit=wish.limit,
            title=wish.title,
        )

    def write_page(self, path: Path, wish: PageWish, wait: Callable[[Awaited], None]) -> None:
        """Write the selected layer as one HTML file."""
        saving = self.saving(wish)
        wait(saving.planning())
        print(f"{path.name}: {saving.plan}")
        wait(saving.writing(path))
