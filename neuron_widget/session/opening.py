"""Opening the network, while the view is up and says what is going on."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from neuron_widget.errors import NeuronWidgetError
from neuron_widget.names import EMBEDDED, check_neuron
from neuron_widget.session import messages
from neuron_widget.session.cache import SessionCache
from neuron_widget.session.pace import Throttle

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.session.session import Session

__all__ = ["Opening"]


class Opening:
    """The job that opens a session's network."""

    def __init__(self, session: Session):
        self._session = session
        # What was asked for before the network is open.
        self.asked: list[Callable[[], object]] = []

    def postpones(self, ask: Callable[[], object]) -> bool:
        """Whether this has to wait until the network is open; then it is done."""
        with self._session.lock:
            if self._session.model is None:
                self.asked.append(ask)
                return True
            return False

    def start(self) -> None:
        """Open the network that the settings name."""
        session = self._session
        session.no_error("network")
        session.show("network", messages.opening("Opening the network"))
        session.submit("open", self._steps(), self._opened, priority=0, on_error=self._not_opened)

    def _steps(self) -> Generator[None, None, VisionModel]:
        yield  # the view is on its way before torch is imported, which takes seconds
        from neuron_widget.networks.zoo import load_model

        session = self._session
        settings = session.settings
        tell = Throttle(0.2)

        def report(line: str) -> None:
            if tell.due():
                session.show("network", messages.opening(line))

        model = load_model(
            settings.model, weights=settings.weights, device=settings.device, report=report
        )
        yield
        _ = model.layers, model.identity  # a forward pass and a hash: here rather than in a click
        return model

    def _opened(self, model: VisionModel) -> None:
        """Look into this network from now on."""
        session = self._session
        info = model.layer(model.default_layer)
        problem: NeuronWidgetError | None = None
        # At once: a command of the cell sees all of the network or nothing.
        with session.lock:
            try:
                info = model.layer(session.layer or info.name)
                check_neuron(session.neuron, info.channels, info.name)
            except NeuronWidgetError as error:
                problem = error
            session.model, session.layer, session.channels = model, info.name, info.channels
            session.neuron = session.neuron if session.neuron < info.channels else 0
            session.cache = SessionCache(session.settings.recipe)
            asked, self.asked = self.asked, []
        session.pin([])
        session.show("network", messages.opened(model, info))
        session.status = "ready"
        session.look(new_layer=True)
        if problem is not None:
            title = f"Showing {info.name} neuron {session.neuron} instead"
            session.fail("select", title, problem)
        for ask in asked:
            try:
                ask()
            except NeuronWidgetError as error:
                session.fail("select", "What was asked for is not there", error)

    def _not_opened(self, error: BaseException) -> None:
        session = self._session
        session.show("network", messages.opening(""))
        action = "embedded" if session.settings.model != EMBEDDED else ""
        session.fail("network", "The network could not be opened", error, action)
