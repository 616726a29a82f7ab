"""What Python has of a session on another machine: pictures, photos, files."""

from __future__ import annotations

import io
import os
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import WidgetError
from neuron_widget.remote.mirror import Mirror

if TYPE_CHECKING:
    from PIL import Image

    from neuron_widget.rendering import RenderResult
    from neuron_widget.scanning import Example
    from neuron_widget.session.interface import Awaited, PageWish

__all__ = ["WithResults"]


class WithResults:
    """The part of :class:`.FarSession` that answers; see :class:`.WidgetSession`."""

    state: Mirror

    @abstractmethod
    def _ask(self, name: str, /, **given: Any) -> Any:
        """What the server knows, see :data:`.answers.ANSWERS`; None before there is a line."""

    def result(self) -> RenderResult | None:
        """The rendering of the selected target; it cannot be gone on from here."""
        found: RenderResult | None = self._ask("result")
        return found

    def image(self) -> Image.Image | None:
        """Its image, which is here: as the page has it, bit by bit the rendering's."""
        from PIL import Image

        data = self.state.picture()
        if data is None:
            return None
        with Image.open(io.BytesIO(data)) as image:
            return image.convert("RGB")

    def examples(self) -> dict[str, list[Example]] | None:
        """Photos of the selected neuron; pictures and maps come when they are asked for."""
        from neuron_widget.remote.far_examples import examples_of

        found = self._ask("examples")
        return None if found is None else examples_of(found, self._ask)

    def looked(self) -> None:
        """None: the page shows it, and what it is made of stays on the server."""
        return None

    def measured(self) -> None:
        """None, as for :meth:`looked`: the page shows it."""
        return None

    def contact_sheet(self) -> Image.Image:
        """The image and the photos as one picture."""
        from PIL import Image

        data = self._ask("sheet")
        if data is None:
            raise WidgetError("there is nothing to show yet: the connection is being made")
        with Image.open(io.BytesIO(data)) as image:
            return image.convert("RGB")

    def still(self) -> dict[str, str]:
        """What a page without a kernel can show: the picture that is here."""
        import base64

        data = self.state.picture()
        return {} if data is None else {"image/png": base64.b64encode(data).decode()}

    def save_figure(self, path: str | os.PathLike[str]) -> Path:
        """Write the figure, which the server draws."""
        from neuron_widget.durable import write_atomically

        file = Path(path)
        file = file if file.suffix else file.with_name(f"{file.name}.png")
        self.state.check_open()
        data = self._ask("figure", format=file.suffix[1:])
        if data is None:
            raise WidgetError("nothing is rendered yet: the connection is being made")
        write_atomically(file, data)
        return file

    def write_page(self, path: Path, wish: PageWish, wait: Callable[[Awaited], None]) -> None:  # noqa: ARG002
        """Write the layer as one HTML file, which the server makes."""
        from neuron_widget.durable import write_atomically

        neurons = None if wish.neurons is None else [int(n) for n in wish.neurons]
        given = {"photos": wish.photos, "limit": wish.limit, "title": wish.title}
        plan, data = self._ask("page", neurons=neurons, **given)
        print(f"{path.name}: {plan}")
        write_atomically(path, data)
