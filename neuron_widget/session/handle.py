"""The page's commands, as messages, to a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from neuron_widget.errors import NeuronWidgetError
from neuron_widget.protocol.check import check_message
from neuron_widget.session import export, messages
from neuron_widget.session.dictionaries import make_dictionary
from neuron_widget.session.strip_messages import PhotoName
from neuron_widget.targets import from_dict

if TYPE_CHECKING:
    from neuron_widget.session.session import Session

__all__ = ["handle_message"]


def handle_message(
    session: Session,
    content: object,
    buffers: Sequence[bytes | memoryview] = (),
) -> None:
    """Do what a message of :mod:`neuron_widget.protocol.messages` asks.

    ``buffers`` are those of the message, in the order that its docstring lists them.

    Raises
    ------
    NeuronWidgetError, ValueError, TypeError
        For a message that is not understood, or asks for what cannot be.
    """
    m = check_message(content)
    match m["kind"]:
        case "ready":
            session.view(m["view"], visible=True)
            session.state.send_snapshot()
        case "visible":
            session.view(m["view"], visible=m["visible"], gone=m["gone"])
        case "panels":
            session.state.send(*messages.panels())
        case "select":
            try:
                target = from_dict(m["target"])
                session.select(target, m["steps"], seq=m["seq"], settled=m["settled"])
            except (NeuronWidgetError, ValueError, TypeError):
                # The page shows its choice already: it goes back to what is selected.
                state = session.state
                state.send(messages.selected(m["seq"], state.target, state.steps), [])
                raise
        case "start":
            session.select(from_dict(m["target"]), m["steps"], auto=False)
            session.render(insist=True)  # a person wants to see it form
        case "more":
            session.select(from_dict(m["target"]), auto=False)
            session.render(m["steps"], insist=True)
        case "configure":
            session.configure(m["settings"])
        case "pin":
            session.pin(from_dict(target) for target in m["pins"])
        case "figure":
            export.send_figure(session.state, m["asker"], from_dict(m["target"]))
        case "line":
            export.send_line(session.state, m["asker"])
        case "measure":
            session.measure()
        case "stop":
            session.stop(m["task"])
        case "resume":
            session.resume(m["task"])
        case "scan":
            session.scan(m["dataset"] or None, download=m["download"])
        case "dictionary":
            make_dictionary(session.state, session.scanning.dataset, session.select, m["wish"])
        case "open_embedded":
            session.open_embedded()
        case "dismiss":
            session.state.no_error(m["where"])
        case "ack":
            session.state.frames.acknowledged(m["index"])
        case "in_view":
            session.look_at(m["neurons"])
        case "between":
            session.strips.between(from_dict(m["first"]), from_dict(m["last"]))
        case "accentuate":
            session.strips.accentuate(from_dict(m["target"]), PhotoName(**m["photo"]))
        case "enlarge":
            session.enlarge(from_dict(m["target"]), m["group"], m["rank"])
        case "bring":
            session.looking.receive(m["upload"], m["name"], m["piece"], m["pieces"], buffers)
        case "bring_shown":
            session.looking.look_at_shown(from_dict(m["target"]), m["group"], m["rank"])
        case "put_away":
            session.looking.put_away()
            session.strips.forget_brought()
        case "map":
            session.looking.send_map(from_dict(m["target"]))
        case "place":
            session.looking.send_place(m["row"], m["column"])
        case "answer":
            targets = [from_dict(target) for target in m["targets"]]
            session.looking.answer(m["question"], targets, mean=m["mean"], times=m["times"])
        case other:  # "poll" is answered by who sends the messages
            raise ValueError(f"no session answers {other!r}")
