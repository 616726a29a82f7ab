"""Opening the network, while the view is up and says what is going on."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from neuron_widget.errors import NeuronWidgetError
from neuron_widget.names import EMBEDDED
from neuron_widget.session import messages
from neuron_widget.session.cache import SessionCache
from neuron_widget.session.openmp import short_look_out
from neuron_widget.session.pace import Throttle
from neuron_widget.session.state import State
from neuron_widget.targets import Channel, Target

if TYPE_CHECKING:
    from neuron_widget.networks.model import LayerInfo, VisionModel

__all__ = ["Opening"]


class Opening:
    """The job that opens a session's network.

    Parameters
    ----------
    state
        The session's.
    on_opened
        Called when there is a network to look into, with a layer and a neuron of it selected.
    """

    def __init__(self, state: State, on_opened: Callable[[], None]):
        self._state = state
        self._on_opened = on_opened
        # What was asked for before the network is open, each with its task.
        self._asked: list[tuple[str, Callable[[], object]]] = []

    def postpones(self, task: str, ask: Callable[[], object]) -> bool:
        """Whether this has to wait until the network is open; then it is done."""
        with self._state.lock:
            if self._state.model is None:
                self._asked.append((task, ask))
                return True
            return False

    def forget(self, *tasks: str) -> None:
        """Do nothing of what was asked for of these tasks before the network is open."""
        with self._state.lock:
            self._asked = [(task, ask) for task, ask in self._asked if task not in tasks]

    def let_go(self) -> None:
        """Forget what was asked for."""
        self._asked = []

    def start(self) -> None:
        """Open the network that the settings name."""
        state = self._state
        state.problem = None
        state.no_error("network")
        state.show("network", messages.opening("Opening the network"))
        state.submit("open", self._steps(), self._opened, priority=0, on_error=self._not_opened)

    def _steps(self) -> Generator[None, None, VisionModel]:
        yield  # the view is on its way before torch is imported, which takes seconds
        with short_look_out():
            from neuron_widget.networks.zoo import load_model

        state = self._state
        settings = state.settings
        throttle = Throttle(0.2)

        def report(line: str) -> None:
            if throttle.due():
                state.show("network", messages.opening(line))

        model = load_model(
            settings.model, weights=settings.weights, device=settings.device, report=report
        )
        yield
        _ = model.layers, model.identity  # a forward pass and a hash: here rather than in a click
        return model

    def _opened(self, model: VisionModel) -> None:
        """Look into this network from now on."""
        state = self._state
        while True:
            asked_for = state.target
            # Not under the lock: this may run the network.
            info, target, problem = _judge(model, asked_for)
            # At once: a command of the cell sees all of the network or nothing.
            with state.lock:
                if state.target != asked_for:
                    continue  # another choice in the meantime
                state.model, state.target, state.channels = model, target, info.channels
                state.cache = SessionCache(state.settings.recipe)
                state.problem = problem
                asked, self._asked = self._asked, []
                break
        state.show("pins", messages.pins([]))
        state.show("network", messages.opened(model, info))
        state.status = "ready"
        self._on_opened()
        if problem is not None:
            state.fail("select", f"Showing {state.target.title} instead", problem)
        for _, ask in asked:
            try:
                ask()
            except NeuronWidgetError as error:
                state.fail("select", "What was asked for is not there", error)

    def _not_opened(self, error: BaseException) -> None:
        state = self._state
        state.problem = error
        state.show("network", messages.opening(""))
        action = "embedded" if state.settings.model != EMBEDDED else ""
        state.fail("network", "The network could not be opened", error, action)


def _judge(
    model: VisionModel, target: Target
) -> tuple[LayerInfo, Target, NeuronWidgetError | None]:
    """Layer and target to show, and what is wrong with the choice where it cannot be shown."""
    info = model.layer(model.default_layer)
    try:
        info = model.layer(target.layer or info.name)
        return info, target.in_layer(info.name).check(model), None
    except NeuronWidgetError as error:
        return info, Channel(info.name, 0), error
