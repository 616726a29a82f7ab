"""What :class:`neuron_widget.NeuronWidget` needs of the notebook: traits, its cell, its loop."""

from __future__ import annotations

import asyncio
import atexit
import functools
import importlib
import logging
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets
from comm import DummyComm

from neuron_widget.session import export
from neuron_widget.session.jobs import in_worker

if TYPE_CHECKING:
    from neuron_widget.page.notebook_state import NotebookState
    from neuron_widget.session import Session
    from neuron_widget.session.waiting import Waiting

    Unicode = traitlets.Unicode[str, str]
    Float = traitlets.Float[float, float]
else:
    Unicode, Float = traitlets.Unicode, traitlets.Float

__all__ = [
    "HeardWhereSent",
    "HoldsState",
    "LiveFloat",
    "LiveUnicode",
    "TraitFollower",
    "event_loop",
    "front_end",
    "running_cell",
]

_STATIC = Path(__file__).parent / "static"


def front_end(name: str) -> str | Path:
    """A file of the page's half, as anywidget takes it.

    Text: anywidget watches a path by a signal that keeps every closed widget alive (anywidget 929).
    Whoever works on the page has it watched, with ``ANYWIDGET_HMR=1``.
    """
    path = _STATIC / name
    return path if os.environ.get("ANYWIDGET_HMR") == "1" else path.read_text(encoding="utf-8")


class LiveUnicode(Unicode):
    """A text that is read from the session: see :func:`_from_session`."""

    def get(self, obj: Any, cls: Any = None) -> Any:
        """The text as it is now."""
        return _from_session(self, obj, super().get(obj, cls))


class LiveFloat(Float):
    """A number that is read from the session: see :func:`_from_session`."""

    def get(self, obj: Any, cls: Any = None) -> Any:
        """The number as it is now."""
        return _from_session(self, obj, super().get(obj, cls))


def _from_session(trait: Any, widget: Any, known: Any) -> Any:
    """What a trait says now, also in a cell that looks at it in a loop and lets nothing else run.

    Those who observe it, and the page, hear of a change on the event loop's next turn.
    """
    session = vars(widget).get("_session")
    return getattr(session.state, trait.name) if session is not None else known


class TraitFollower:
    """Sets a widget's traits to what its session says.

    Whoever observes them is called, and may do anything; see :class:`.Updates` for the thread and
    the time. What one of them raises is told of once, in the log and on the page, and ends nothing.

    Parameters
    ----------
    widget
        Has a ``_session``, sooner or later.
    names
        The traits, as the session's state names them too.
    """

    def __init__(self, widget: Any, names: tuple[str, ...]):
        self._widget = widget
        self._names = names
        # The trait that is being set, and to what.
        self._setting: tuple[str, object] | None = None
        # Where somebody raised.
        self._raised: set[tuple[object, ...]] = set()

    def update(self) -> None:
        """Set all that differ."""
        session = vars(self._widget).get("_session")
        if session is None or session.state.closed:
            return
        for name in self._names:
            value = getattr(session.state, name)
            value = str(value) if name == "target" else value
            self._setting = name, value
            try:
                self._widget.set_trait(name, value)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt) and not in_worker():
                    raise
                self._show(session, name, error)
            finally:
                self._setting = None

    def sets(self, change: Any) -> bool:
        """Whether a change is made by :meth:`update`, and so is no command to the session.

        Said once: an observer may set the same trait in turn.
        """
        ours = self._setting == (change["name"], change["new"])
        if ours:
            self._setting = None
        return ours

    def _show(self, session: Any, name: str, error: BaseException) -> None:
        places = traceback.extract_tb(error.__traceback__)
        place = (name, type(error), *((p.filename, p.lineno) for p in places[-1:]))
        if place in self._raised:
            return
        self._raised.add(place)
        title = f"A function that observes {name!r} raised"
        logging.getLogger(__name__).error("%s", title, exc_info=error)
        session.state.fail("select", title, error)


class HeardWhereSent:
    """A widget whose messages are handled in the subshell that the page sends them to.

    ipykernel 7.4 sends them to the subshell of whatever it handled last when the widget said
    something. JupyterLab ends subshells, as whenever a page is loaded again: from then on every
    message of the page would be refused, and the widget dead.
    """

    def open(self) -> None:
        """As ipywidgets has it."""
        _Sending.ends_in_order()
        super().open()  # type: ignore[misc]  # the widget's
        comm: Any = self.comm  # type: ignore[attr-defined]
        if hasattr(comm, "_reply_subshell_for"):
            comm._reply_subshell_for = None

    def _send(self, msg: dict[str, Any], buffers: Any = None) -> None:
        """As ipywidgets has it; nothing from a kernel that ends."""
        with _Sending.lock:
            if not _Sending.over and not _kernel_ends():
                super()._send(msg, buffers)  # type: ignore[misc]  # the widget's


class _Sending:
    """Our messages, which end before the kernel can send them no more.

    While Python ends, ZeroMQ closes what it sends large buffers with, though the kernel's thread
    still sends: such a message would break off after its first parts, and JupyterLab be given the
    next one as their rest.
    """

    lock: ClassVar = threading.RLock()
    over: ClassVar[bool] = False

    @classmethod
    @functools.cache
    def ends_in_order(cls) -> None:
        """Once: have ours end first, which is registered last."""
        if "zmq" in sys.modules:
            importlib.import_module("zmq.utils.garbage")
        atexit.register(cls.end)

    @classmethod
    def end(cls) -> None:
        """Say no more, and have what was said sent."""
        with cls.lock:
            cls.over = True
        thread = _sending_thread()
        if thread is not None and thread.thread.is_alive():
            sent = threading.Event()
            thread.schedule(sent.set)
            sent.wait(5)


def _sending_thread() -> Any:
    """The thread in which ipykernel sends for all others; None elsewhere."""
    try:
        from IPython import get_ipython

        return get_ipython().kernel.iopub_socket.io_thread
    except (ImportError, AttributeError):  # a script, or a host that sends in another way
        return None


def _kernel_ends() -> bool:
    """Whether the kernel has ended the thread that sends for all others.

    From then on ipykernel sends in the thread of whoever has something to say, also between the
    parts of another one's message: JupyterLab is given a message that is torn.
    """
    thread = _sending_thread()
    return thread is not None and not thread.thread.is_alive()


class HoldsState(HeardWhereSent):
    """What a notebook file has of a widget: a picture, and a state that is more than its traits.

    See :class:`.NotebookState`, which is its ``_saved`` once it is made.
    """

    _saved: NotebookState
    _session: Session

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The widget, and for pages without a kernel what there is to show when it is displayed."""
        bundle: tuple[dict[str, Any], dict[str, Any]] | None
        bundle = super()._repr_mimebundle_(**kwargs)  # type: ignore[misc]
        if bundle is None:
            return None
        data, metadata = bundle
        try:
            return {**data, **export.still(self._session.state)}, metadata
        except Exception:  # a photo may be gone; the widget itself must be shown all the same
            logging.getLogger(__name__).exception("drawing the still picture")
            return bundle

    def _hold(self, waiting: Waiting) -> None:
        """Where a page may be, wait until the state holds what is there, and send it."""
        if isinstance(self.comm, DummyComm):  # type: ignore[attr-defined]  # a script's
            return
        waiting.until_done(self._saved.packing())
        # From here, in the thread of the cell: who only runs notebooks hears nothing else.
        self._saved.send()

    def send_state(self, key: Any = None) -> None:
        """As ipywidgets has it; a page that asks for the whole state gets the rest of it later."""
        super().send_state(key)  # type: ignore[misc]  # the widget's
        if key is None and "_saved" in vars(self):
            self._saved.send_again()

    def _get_embed_state(self, drop_defaults: bool = False) -> dict[str, Any]:
        """For ipywidgets' own pages: the state as a notebook file has it."""
        embedded: dict[str, Any] = super()._get_embed_state(drop_defaults)  # type: ignore[misc]
        if "_saved" in vars(self):
            embedded["state"] |= self._saved.parts
        return embedded

    def _send_parts(self, parts: dict[str, Any]) -> None:
        if self.comm is not None:  # type: ignore[attr-defined]
            message = {"method": "update", "state": parts, "buffer_paths": []}
            self._send(message)


def event_loop() -> asyncio.AbstractEventLoop | None:
    """The loop in whose thread cells run; None in a script."""
    try:
        from IPython import get_ipython

        loop: asyncio.AbstractEventLoop = get_ipython().kernel.io_loop.asyncio_loop
        return loop
    except (ImportError, AttributeError):
        pass
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def running_cell() -> tuple[str, str]:
    """(cell, execution) where this runs; empty strings outside a notebook."""
    try:
        from IPython import get_ipython

        shell = get_ipython()
        parent = shell.kernel.get_parent("shell") if shell is not None else {}
        cell = str(parent.get("metadata", {}).get("cellId", ""))
        return cell, str(parent.get("header", {}).get("msg_id", ""))
    except (ImportError, AttributeError):
        return "", ""
