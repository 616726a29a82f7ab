"""NeuronWidget: traits and dispatch. The work is done by :class:`neuron_widget.session.Session`."""

from __future__ import annotations

import os
import traceback
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

import anywidget
import traitlets

from neuron_widget.errors import NeuronWidgetError, StoreError
from neuron_widget.names import as_path
from neuron_widget.notebook import (
    HoldsState,
    LiveFloat,
    LiveUnicode,
    TraitFollower,
    event_loop,
    front_end,
    running_cell,
)
from neuron_widget.page.notebook_state import NotebookState
from neuron_widget.protocol.check import check_message
from neuron_widget.remote import prepare_session
from neuron_widget.session import messages
from neuron_widget.session.arguments import reject_unknown
from neuron_widget.session.interface import PageWish
from neuron_widget.session.outbox import Outbox
from neuron_widget.session.updates import Updates
from neuron_widget.session.waiting import Waiting
from neuron_widget.settings import WidgetOptions, documented_options
from neuron_widget.targets import TargetLike

if TYPE_CHECKING:
    from PIL import Image

    from neuron_widget.analysis.predicting import Predictability
    from neuron_widget.looking import Look
    from neuron_widget.rendering import RenderResult
    from neuron_widget.scanning import Example

__all__ = ["NeuronWidget"]

_COMMANDS = ("layer", "neuron", "steps", "target")
_TRAITS = (*_COMMANDS, "status", "progress")


class NeuronWidget(HoldsState, anywidget.AnyWidget):
    """A gallery of the neurons (channels) of one layer of a CNN, in a notebook cell.

    Choose a neuron and see an image that maximises it form live, beside the real photos that fire
    it most and least, with their activation maps.

    Parameters
    ----------
    layer : str or Target, optional
        ``"mixed4a"`` (also ``"mixed_4a"``); default the network's own middle layer. Or a target:
        ``"mixed4a:68"``, one unit of it, ``"mixed4a:68@7,7"``, or ``"mixed4a:68 - mixed4b:3"``.
    model : str or torch.nn.Module or VisionModel, optional
        See :func:`neuron_widget.load_model`. Default InceptionV1 where ``layer`` is one of its
        layers; with no layer either, InceptionV1 if its weights are at hand, else the embedded
        network, and the header says so.
    weights : path, optional
        Weights of the network.
    dataset : optional
        Folder, ImageFolder root, torch or Hugging Face dataset, list of images, ``"samples"`` or
        ``"imagenette"``; see :func:`neuron_widget.open_dataset`. Default ``"samples"``.
    neuron : int
        Neuron shown first.
    device : str, optional
        ``"cuda"``, ``"mps"``, ``"cpu"``; default the first of these that is there.
    store : folder or False, optional
        Where images and scans are kept and looked for first; ``False`` for nowhere. Default the
        folder that ``NEURON_WIDGET_STORE`` names, else the platform's cache folder.
    cluster : str, optional
        Have the work done on another machine: ``"auto"``, the Ray cluster of this machine, else
        one is started here; or its address, ``"ray://host:10001"`` or ``"host:6379"``. This
        process imports no torch then. Network and data set go by their names there.
    steps, size, lr, seed, objective, param, movements, decay, spectrum, engine, redirect_relu,
    precision
        How images are made; see :func:`neuron_widget.render`.
    top_k, facets : int
        Photos to show most and least activating, 1 to 50; images that are to differ, 1 (none) to 6.
    auto : bool
        Whether to scan, and to render a newly chosen neuron, without being asked.
    previews : bool
        Whether the gallery fills with small previews by itself.

    Attributes
    ----------
    layer, neuron, steps, target
        ``target`` is the text of what is selected, such as ``"mixed4a:68"``. Two-way: set them,
        observe them, link them to other widgets. In a notebook observers run in the thread that
        runs the cells, between cells and while one waits for this widget.
    status, progress
        Read-only: a line of text; how far the rendering is, 0..1.

    Raises
    ------
    TargetError, UnknownLayer, NeuronOutOfRange, ModelError, DatasetError, TypeError, ValueError
        For arguments that are known to be wrong without the network. What only the opened network
        can tell is shown in the widget, and raised by the calls that wait.

    Examples
    --------
    >>> from neuron_widget import NeuronWidget
    >>> NeuronWidget("mixed4a", neuron=9999)
    Traceback (most recent call last):
        ...
    neuron_widget.errors.NeuronOutOfRange: layer mixed4a has 508 neurons, 0 to 507; ...
    """

    _esm = front_end("widget.js")
    _css = front_end("widget.css")

    layer = traitlets.Unicode("").tag(sync=True)
    neuron = traitlets.Int(0).tag(sync=True)
    steps = traitlets.Int(512).tag(sync=True)
    target = traitlets.Unicode("").tag(sync=True)
    status = LiveUnicode("opening", read_only=True).tag(sync=True)
    progress = LiveFloat(0.0, read_only=True).tag(sync=True)

    # The kernel is one for all cells: a cell that runs again must find its last widget.
    _live: ClassVar[weakref.WeakSet[NeuronWidget]] = weakref.WeakSet()

    @documented_options(WidgetOptions)
    def __init__(
        self,
        layer: TargetLike | None = None,
        *,
        model: Any = None,
        weights: str | os.PathLike[str] | None = None,
        dataset: Any = None,
        neuron: int = 0,
        device: Any = None,
        store: Any = None,
        cluster: str | None = None,
        **options: Unpack[WidgetOptions],
    ):
        reject_unknown(options, NeuronWidget.__init__)
        session = prepare_session(
            cluster,
            layer=layer,
            model=model,
            weights=weights,
            dataset=dataset,
            neuron=neuron,
            device=device,
            store=store,
            **options,
        )
        self._cell = running_cell()
        self._close_earlier_runs()
        super().__init__()
        self.layer = session.settings.layer or ""
        self.neuron = session.settings.neuron
        self.steps = session.settings.steps
        self._sheet_shown = False
        self._saved = NotebookState(self._send_parts)
        self._outbox = Outbox(self._send_message)
        self._follower = TraitFollower(self, _TRAITS)
        self._updates = Updates(self._follower.update, event_loop())
        self._session = session.begin(self._outbox.send, self._updates.request)
        self._waiting = Waiting(self._session, self._updates)
        self._saved.follow(self._session.state)
        self.on_msg(self._on_page_message)
        self.observe(self._on_trait, names=list(_COMMANDS))
        NeuronWidget._live.add(self)
        self._updates.request()  # there was no session to read from until now

    # -------------------------------------------------------------- for Python

    @property
    def result(self) -> RenderResult | None:
        """The rendering of the selected neuron, as far as it is; None before there is one."""
        return self._session.result()

    @property
    def image(self) -> Image.Image | None:
        """The rendered image of the selected neuron; None before there is one."""
        return self._session.image()

    @property
    def examples(self) -> dict[str, list[Example]] | None:
        """The photos of the selected neuron, ``{"most": [...], "least": [...]}``.

        None before the data set is scanned.
        """
        return self._session.examples()

    def render(self, wait: bool = False) -> RenderResult | None:
        """Render the selected neuron, or go on from the image that is there if ``steps`` is larger.

        With ``wait``, return the result; an interrupt stops the rendering and keeps what is there.

        Raises
        ------
        ModelError, UnknownLayer, NeuronOutOfRange, RenderError
            With ``wait``: what kept the network from opening, what is wrong with the layer or the
            neuron that the cell asked for, or what ended the rendering.
        WidgetError
            If the widget is closed, or if its own work waits for it (a function that observes it
            in a script, a network, a data set).
        """
        if wait:
            self._waiting.until_open()
        with self._updates.held():
            job = self._session.render()
        if not wait:
            return None
        self._waiting.until_done(job)
        return self.result

    def scan(self, dataset: Any = None, wait: bool = False) -> dict[str, list[Example]] | None:
        """Scan the data set, or another one, for the photos that fire the layer's neurons.

        With ``wait``, return :attr:`examples`; an interrupt keeps what was scanned.

        Raises
        ------
        ModelError, UnknownLayer, NeuronOutOfRange, DatasetError, WidgetError
            As :meth:`render`, and what is wrong with the data set.
        """
        if wait:
            self._waiting.until_open()
        with self._updates.held():
            job = self._session.scan(dataset)
        if not wait:
            return None
        self._waiting.until_done(job)
        return self.examples

    def measure(self, wait: bool = False) -> Predictability | None:
        """Measure how far pictures predict the layer's neurons (see :func:`.predictability`).

        The page shows it beside each neuron's image, and can sort the gallery by it. With ``wait``,
        return what was found.

        Raises
        ------
        WidgetError
            Before the layer's photos are scanned.
        ModelError, WeightsUnavailable
            As :func:`neuron_widget.predictability`.
        """
        if wait:
            self._waiting.until_idle(None)
        with self._updates.held():
            job = self._session.measure()
        if not wait:
            return None
        if job is not None:
            self._waiting.until_done(job)
        return self._session.measured()

    def look(self, photo: Any, wait: bool = False) -> Look | None:
        """Show a photo of yours to the layer: who fires on it, and where.

        ``photo`` is a path, a PIL image, an array or tensor, or one of :attr:`examples`. It stays
        in memory: it is in no store, no exported page and no saved notebook. With ``wait``, return
        the :class:`~neuron_widget.Look`.

        Raises
        ------
        ModelError, UnknownLayer, NeuronOutOfRange, DatasetError, WidgetError
            As :meth:`render`, and what is wrong with the photo.
        """
        if wait:
            self._waiting.until_open()
        with self._updates.held():
            job = self._session.look(photo)
        if not wait:
            return None
        self._waiting.until_done(job)
        return self._session.looked()

    def stop(self) -> None:
        """Stop what runs; it ends within one step, and what is there is kept."""
        self._session.stop()

    def wait(self, timeout: float | None = None) -> None:
        """Wait for everything but the gallery's previews; then the results are there.

        Raises
        ------
        TimeoutError
            After ``timeout`` seconds. The work goes on.
        ModelError, UnknownLayer, NeuronOutOfRange, WidgetError
            As :meth:`render`.
        """
        self._waiting.until_idle(timeout)
        self._hold(self._waiting)

    def snapshot(self) -> Image.Image:
        """The image and photos of the selected neuron as one picture, also shown below the cell.

        Notebook pages without a kernel (GitHub, nbviewer) show that output. Calling it again
        updates it.
        """
        self._session.state.check_open()
        sheet = self._session.contact_sheet()
        from IPython.core.getipython import get_ipython
        from IPython.display import display

        if get_ipython() is not None:
            display(  # type: ignore[no-untyped-call]  # IPython's is untyped
                sheet, display_id=f"sheet-{self.model_id}", update=self._sheet_shown
            )
            self._sheet_shown = True
        return sheet

    def save_figure(self, path: str | os.PathLike[str]) -> Path:
        """Save the figure of the selected neuron: the image, then its photos with their maps.

        Raises
        ------
        WidgetError
            If nothing is rendered yet, or the widget is closed.
        """
        self._session.state.check_open()
        file = as_path(path, "the figure", StoreError, example="figure.png")
        return self._session.save_figure(file)

    def to_html(
        self,
        path: str | os.PathLike[str],
        *,
        neurons: Sequence[int] | None = None,
        photos: bool = True,
        max_bytes: int | None = 25 * 10**6,
        title: str = "",
    ) -> Path:
        """Save the layer as one HTML file that works without a kernel and without a network.

        It holds what is there (images, previews, the scan with photos and maps), also in the
        store; nothing is rendered for it. The size is estimated and printed first. The arguments
        are those of :func:`neuron_widget.export_html`, and what it raises too.
        """
        from neuron_widget.page.export import check_path, check_wishes

        file = check_path(path)
        max_bytes = check_wishes(title, max_bytes)
        self._waiting.until_open()
        wish = PageWish(neurons, photos, max_bytes, title)
        self._session.write_page(file, wish, self._waiting.until_done)
        return file

    def close(self) -> None:
        """Stop the work, let go of the results, and take the widget off the page."""
        if hasattr(self, "_session"):
            self._session.close()
            self._saved.let_go()
        NeuronWidget._live.discard(self)
        super().close()

    # -------------------------------------------------------------- the page

    def _on_page_message(self, _widget: object, content: Any, buffers: Any) -> None:
        """Dispatch one message. Errors are shown: a handler's exception would go to the log."""
        with self._updates.held(), self._outbox.handling():
            try:
                message = check_message(content)
                self._saved.watched |= message["kind"] == "ready"
                if message["kind"] == "poll":
                    self._on_poll(more=message["more"])
                else:
                    self._session.handle(message, buffers)
            except Exception as error:  # noqa: BLE001  # the boundary: every error goes to the page
                trace = "".join(traceback.format_exception(error))
                expected = isinstance(error, (ValueError, TypeError, NeuronWidgetError))
                shown = "" if expected else trace
                self._outbox.send(
                    messages.error("select", "That did not work", error, shown, "", ""), []
                )

    def _on_poll(self, *, more: bool) -> None:
        if not more:
            self._outbox.end()
        elif self._outbox.poll():
            self._outbox.pulse()
            self._session.state.send_snapshot()
        self._outbox.send({"kind": "polled"}, [])

    def _send_message(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        if self.comm is not None:
            self.send(message, buffers)
        self._saved.heard(message["kind"])

    def _on_trait(self, change: Any) -> None:
        # Not what comes from the session; nor, once it is closed, from what is linked to it.
        if self._follower.sets(change) or self._session.state.closed:
            return
        with self._updates.held():
            try:
                self._session.select(**{change["name"]: change["new"]})
            except (ValueError, TypeError, NeuronWidgetError):
                self._updates.request()  # the trait goes back to what is shown
                raise

    # -------------------------------------------------------------- keeping order

    def _close_earlier_runs(self) -> None:
        """End the work of widgets that this cell made when it ran before."""
        for widget in list(NeuronWidget._live):
            cell, execution = widget._cell
            if cell and cell == self._cell[0] and execution != self._cell[1]:
                widget._session.close("Its cell was run again; the new view is below that cell.")
                NeuronWidget._live.discard(widget)
