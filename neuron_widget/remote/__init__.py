"""A widget's session, in this process or on another machine.

``here``       a session in this process
``far``        one on another machine, as a widget sees it; ``far_examples``: its photos
``mirror``     what the page was told of it, which outlives the connection
``link``       the line to it: order, loss and return; ``ray_server``: through Ray
``places``     where servers are found and started
``server``     sessions of many clients on one GPU; ``desk``: one of them
``answers``    what Python asks of a session, beside commands
``rules``      what clients may ask for; ``wire``: what travels

Both kinds are what :mod:`neuron_widget.session.interface` says. Messages and commands are those of
a page (:mod:`neuron_widget.protocol`). Importing this imports neither Ray nor torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from neuron_widget.errors import WrongType
from neuron_widget.remote.here import SessionHere
from neuron_widget.session import Settings
from neuron_widget.session.arguments import check_arguments
from neuron_widget.session.interface import WidgetSession
from neuron_widget.session.messages import Message

__all__ = ["Prepared", "prepare_session"]

Send = Callable[[Message, list[bytes]], None]


@dataclass(frozen=True)
class Prepared:
    """A session whose arguments are right: ``begin(send, on_change)`` begins it."""

    settings: Settings
    begin: Callable[[Send, Callable[[], None]], WidgetSession]


def prepare_session(cluster: str | None, *, dataset: Any, **arguments: Any) -> Prepared:
    """Check a widget's arguments, for a session here or, with ``cluster``, elsewhere.

    Raises
    ------
    UnknownLayer, NeuronOutOfRange, ModelError, DatasetError, TypeError, ValueError
    """
    if cluster is None:
        dataset = "samples" if dataset is None else dataset
        settings = check_arguments(dataset=dataset, **arguments)
        return Prepared(settings, lambda send, on_change: SessionHere(settings, send, on_change))
    if not isinstance(cluster, str) or not cluster.strip():
        raise WrongType(
            f"cluster must be 'auto' or an address such as 'ray://host:10001', got {cluster!r}"
        )
    from neuron_widget.remote.far import FarSession
    from neuron_widget.remote.ray_server import Reach
    from neuron_widget.remote.wire import wish_of

    wish, settings = wish_of(dataset=dataset, **arguments)
    address = cluster.strip()
    return Prepared(
        settings,
        lambda send, on_change: FarSession(
            wish, settings, address, Reach(address), send, on_change
        ),
    )
