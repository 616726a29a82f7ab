"""The page's commands, as messages, to a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neuron_widget.session import export
from neuron_widget.targets import from_dict

if TYPE_CHECKING:
    from neuron_widget.session.session import Session

__all__ = ["handle_message"]


def handle_message(
    session: Session,
    m: Mapping[str, Any],
    buffers: Sequence[bytes | memoryview] = (),  # noqa: ARG001  # no message has any so far
) -> None:
    """Do what a message of :mod:`neuron_widget.protocol.messages` asks.

    ``buffers`` are those of the message, in the order that its docstring lists them.

    Raises
    ------
    ValueError, TypeError, KeyError
        For a message that is not understood, or asks for what cannot be.
    """
    match m.get("kind"):
        case "ready":
            session.view(str(m["view"]), visible=True)
            session.state.send(*session.state.snapshot())
        case "visible":
            session.view(str(m["view"]), visible=bool(m["visible"]), gone=bool(m["gone"]))
        case "select":
            target = from_dict(m["target"])
            settled = bool(m["settled"])
            session.select(target, m["steps"], seq=int(m["seq"]), settled=settled)
        case "start":
            session.select(from_dict(m["target"]), m["steps"], auto=False)
            session.render()
        case "more":
            session.select(from_dict(m["target"]), auto=False)
            session.render(m["steps"])
        case "configure":
            session.configure(m["settings"])
        case "pin":
            session.pin(from_dict(target) for target in m["pins"])
        case "figure":
            export.send_figure(session.state, str(m["asker"]), from_dict(m["target"]))
        case "line":
            export.send_line(session.state, str(m["asker"]))
        case "stop":
            session.stop(m["task"])
        case "resume":
            session.resume(m["task"])
        case "scan":
            session.scan(str(m["dataset"]) or None, download=bool(m["download"]))
        case "open_embedded":
            session.open_embedded()
        case "ack":
            session.state.frames.acknowledged(int(m["index"]))
        case "in_view":
            session.look_at(m["neurons"])
        case "enlarge":
            session.enlarge(from_dict(m["target"]), str(m["group"]), int(m["rank"]))
        case other:
            raise ValueError(f"the page sent a message of unknown kind {other!r}")
