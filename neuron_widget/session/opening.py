"""Opening the network, while the view is up and says what is going on."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from neuron_widget import messages
from neuron_widget.names import EMBEDDED
from neuron_widget.pace import Throttle

if TYPE_CHECKING:
    from neuron_widget.models import VisionModel
    from neuron_widget.session.session import Session

__all__ = ["Opening"]


class Opening:
    """The job that opens a session's network."""

    def __init__(self, session: Session):
        self._session = session

    def start(self) -> None:
        """Open the network that the settings name."""
        session = self._session
        session.no_error("network")
        session.show("network", messages.opening("Opening the network"))
        session.submit("open", self._steps(), session.opened, urgency=0, on_error=self._not_opened)

    def _steps(self) -> Generator[None, None, VisionModel]:
        yield  # the view is on its way before torch is imported, which takes seconds
        from neuron_widget.zoo import load_model

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

    def _not_opened(self, error: BaseException) -> None:
        session = self._session
        session.show("network", messages.opening(""))
        action = "embedded" if session.settings.model != EMBEDDED else ""
        session.fail("network", "The network could not be opened", error, action)
