"""The page's commands, as messages, to a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuron_widget.protocol.check import check_message
from neuron_widget.session import export

if TYPE_CHECKING:
    from neuron_widget.session.session import Session

__all__ = ["handle_message"]


def handle_message(session: Session, content: object) -> None:
    """Do what a message of :mod:`neuron_widget.protocol.messages` asks.

    Raises
    ------
    NeuronWidgetError, ValueError, TypeError
        For a message that is not understood, or asks for what cannot be.
    """
    m = check_message(content)
    match m["kind"]:
        case "ready":
            session.view(m["view"], visible=True)
            session.state.send(*session.state.snapshot())
        case "visible":
            session.view(m["view"], visible=m["visible"], gone=m["gone"])
        case "select":
            session.select(m["layer"], m["neuron"], m["steps"], seq=m["seq"], settled=m["settled"])
        case "start":
            session.select(m["layer"], m["neuron"], m["steps"], auto=False)
            session.render()
        case "more":
            session.select(m["layer"], m["neuron"], auto=False)
            session.render(m["steps"])
        case "configure":
            names = ("size", "lr", "seed", "objective", "previews")
            session.configure(**{name: m[name] for name in names})
        case "pin":
            session.pin((p["layer"], p["neuron"]) for p in m["pins"])
        case "figure":
            export.send_figure(session.state, m["asker"], m["layer"], m["neuron"])
        case "line":
            export.send_line(session.state, m["asker"])
        case "stop":
            session.stop(m["task"])
        case "resume":
            session.resume(m["task"])
        case "scan":
            session.scan(m["dataset"] or None, download=m["download"])
        case "open_embedded":
            session.open_embedded()
        case "ack":
            session.state.frames.acknowledged(m["index"])
        case "in_view":
            session.look_at(m["neurons"])
        case "enlarge":
            session.enlarge(m["layer"], m["neuron"], m["group"], m["rank"])
        case other:  # "poll" is answered by who sends the messages
            raise ValueError(f"no session answers {other!r}")
