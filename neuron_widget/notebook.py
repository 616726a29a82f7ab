"""What :class:`neuron_widget.NeuronWidget` needs of the notebook around it: its cell, its loop."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets

if TYPE_CHECKING:
    Unicode = traitlets.Unicode[str, str]
    Float = traitlets.Float[float, float]
else:
    Unicode, Float = traitlets.Unicode, traitlets.Float

__all__ = ["LiveFloat", "LiveUnicode", "event_loop", "front_end", "running_cell"]

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
