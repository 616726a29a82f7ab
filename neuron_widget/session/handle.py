"""The page's commands, as messages, to a session."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neuron_widget.session import export

if TYPE_CHECKING:
    from neuron_widget.session.session import Session

__all__ = ["handle_message"]


def handle_message(session: Session, m: Mapping[str, Any]) -> None:
    """Do what a message of :mod:`neuron_widget.protocol.messages` asks.

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
            session.select(
                str(m["layer"]),
                m["neuron"],
                m["steps"],
                seq=int(m["seq"]),
                settled=bool(m["settled"]),
            )
        case "start":
            session.select(str(m["layer"]), m["neuron"], m["steps"], auto=False)
            session.render()
        case "more":
            session.select(str(m["layer"]), m["neuron"], auto=False)
            session.render(m["steps"])
        case "configure":
            names = ("size", "lr", "seed", "objective", "previews")
            session.configure(**{name: m[name] for name in names})
        case "pin":
            session.pin((str(p["layer"]), p["neuron"]) for p in m["pins"])
        case "figure":
            export.send_figure(session.state, str(m["asker"]), str(m["layer"]), int(m["neuron"]))
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
            session.enlarge(str(m["layer"]), int(m["neuron"]), str(m["group"]), int(m["rank"]))
        case other:
            raise ValueError(f"the page sent a message of unknown kind {other!r}")
