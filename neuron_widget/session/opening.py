"""Opening the network, while the view is up and says what is going on.

What the store has is shown before: a network that was opened once is known there, so that its
results need neither the network nor torch. When it is open, it must be the one that was known; else
what was shown is taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING

from neuron_widget.errors import ModelError, NeuronWidgetError
from neuron_widget.names import EMBEDDED
from neuron_widget.networks.known import (
    AT_HAND,
    NOT_AT_HAND,
    KnownNetwork,
    NamedNetwork,
    choose_network,
)
from neuron_widget.session import messages
from neuron_widget.session.importing import import_torch, torch_is_there
from neuron_widget.session.pace import Throttle
from neuron_widget.session.settings import Fit
from neuron_widget.session.state import State
from neuron_widget.session.store_adapter import StoreAdapter
from neuron_widget.targets import Channel, Target

if TYPE_CHECKING:
    from neuron_widget.networks.model import LayerInfo, VisionModel

__all__ = ["Opening"]


_LAST = 9  # after everything else, while torch is imported


class Opening:
    """The job that opens a session's network.

    Parameters
    ----------
    state, store
        The session's.
    on_opened
        Called when there is a network to look into, with a layer and a neuron of it selected: one
        that is known, and one that is open. Told whether what is known of it is shown already.
    """

    def __init__(self, state: State, store: StoreAdapter, on_opened: Callable[[bool], None]):
        self._state = state
        self._store = store
        self._on_opened = on_opened
        self._named: NamedNetwork | None = None
        self._found: KnownNetwork | None = None
        # What the page was shown last of a network that is known and not open.
        self.shown: Target | None = None
        # What kept the network from opening: nothing that needs it will begin.
        self._failed: BaseException | None = None
        # What was asked for before the network is open, each with its task.
        self._asked: list[tuple[str, Callable[[], object]]] = []

    def postpones(self, task: str, ask: Callable[[], object]) -> bool:
        """Whether this has to wait until the network is open; then it is done."""
        with self._state.lock:
            if self._failed is not None:
                raise ModelError(f"the network could not be opened: {self._failed}")
            if self._state.model is None:
                self._asked.append((task, ask))
                return True
            return False

    @property
    def goes_on(self) -> bool:
        """Whether the network may still open."""
        return self._failed is None

    def forget(self, *tasks: str) -> None:
        """Do nothing of what was asked for of these tasks before the network is open."""
        with self._state.lock:
            self._asked = [(task, ask) for task, ask in self._asked if task not in tasks]

    def let_go(self) -> None:
        """Forget what was asked for."""
        self._asked = []

    def knows(self, target: Target) -> bool:
        """Whether results of this target can be shown before the network is open."""
        known = self._state.known
        if known is None:
            return False
        try:
            _placed(target, known).check(known)
        except NeuronWidgetError:
            return False  # a deeper layer, or none: the network will tell
        return True

    def say_waiting(self) -> None:
        """Say that what was asked for needs the network, which is not open yet."""
        if self._failed is not None:
            return  # the page says why
        self._state.show(
            "opening", messages.opening("Loading the network: what is not stored yet begins then")
        )

    def start(self) -> None:
        """Open the network that the settings name."""
        state = self._state
        state.problem = self._failed = None
        state.no_error("network")
        settings = state.settings
        self._named = choose_network(settings.model, settings.weights)
        known = self._store.known(self._named)
        if known is None or not self._show_known(known):
            state.show("network", messages.opening("Opening the network"))
        state.submit("open", self._steps(), self._opened, priority=0, on_error=self._not_opened)

    def _show_known(self, known: KnownNetwork) -> bool:
        """Look into what the store has of a network that is not open; False if it has nothing."""
        state = self._state
        if state.settings.model is None:
            known = known.with_note(NOT_AT_HAND if known.name == EMBEDDED else AT_HAND)
        state.known = known
        if not self.knows(state.target):
            state.known = None
            return False
        info = known.layer(state.target.layer or known.default_layer)
        with state.lock:
            state.target = _placed(state.target, known).check(known)
            state.channels = info.channels
            state.settings = state.settings.replace(fit=Fit.known(known))
            state.cache = state.new_cache(state.settings.recipe)
        state.show("configured", messages.configured(state.settings))
        state.show("network", messages.opened(known, info))
        return True

    def _steps(self) -> Generator[None, None, VisionModel]:
        yield  # the view is on its way before torch is imported, which takes seconds
        if self._state.known is not None:
            self._on_opened(False)
            yield
        if not torch_is_there():
            yield from self._import()
        from neuron_widget.networks.zoo import load_model

        state = self._state
        settings = state.settings
        load = state.load or load_model
        throttle = Throttle(0.2)

        def report(line: str) -> None:
            if throttle.due():
                state.show("network", messages.opening(line))

        model = load(
            settings.model, weights=settings.weights, device=settings.device, report=report
        )
        yield
        _ = model.layers, model.identity  # a forward pass and a hash: here rather than in a click
        self._found = self._store.describe(self._named, model)
        return model

    def _import(self) -> Generator[None, None, None]:
        """Import torch; everything else that there is to do goes first."""
        state = self._state
        own = [job for job in state.jobs() if job.task == "open" and job.active]
        for job in own:
            state.worker.reprioritise(job, _LAST)
        yield from import_torch(
            lambda: state.known is None or bool(self._asked) or state.frames.views > 0
        )
        for job in own:
            state.worker.reprioritise(job, 0)

    def _opened(self, model: VisionModel) -> None:
        """Look into this network from now on."""
        state = self._state
        known, self._found, found = state.known, None, self._found
        same = known is not None and found is not None and known.same(found)
        while True:
            asked_for = state.target
            # Not under the lock: this may run the network.
            info, target, problem = _judge(model, asked_for)
            settings, wrong_size = state.settings.fitted(model, info.name)
            # At once: a command of the cell sees all of the network or nothing.
            with state.lock:
                if state.target != asked_for:
                    continue  # another choice in the meantime
                state.model, state.target, state.channels = model, target, info.channels
                state.known = None
                recipe = settings.recipe
                if same and state.cache.recipe == recipe:
                    for scan in state.cache.scans.values():
                        scan.attach(model)
                else:
                    same = False
                    state.cache = state.new_cache(recipe)
                state.settings = settings
                state._shown.pop("opening", None)
                state.problem = problem or wrong_size
                asked, self._asked = self._asked, []
                break
        if known is not None and not same:
            self._take_back(known, info)
        if not same:
            state.show("pins", messages.pins([]))
        state.show("configured", messages.configured(settings))
        state.show("network", messages.opened(model, info))
        state.status = "ready"
        self._on_opened(same and target == self.shown)
        if known is not None and not same and problem is None:
            state.fail("select", "What was shown first is taken back", _other(known, model))
        if problem is not None:
            state.fail("select", f"Showing {state.title(state.target)} instead", problem)
        elif wrong_size is not None:
            title = f"Images have {settings.fit.usual['size']} px instead"
            state.fail("select", title, wrong_size)
        for _, ask in asked:
            try:
                ask()
            except NeuronWidgetError as error:
                state.fail("select", "What was asked for is not there", error)

    def _take_back(self, known: KnownNetwork, info: LayerInfo) -> None:
        """Have the page forget what was shown of a network that turned out to be another one."""
        nothing = messages.opened(replace(known, identity=""), info)
        self._state.send(nothing, [])

    def _not_opened(self, error: BaseException) -> None:
        state = self._state
        state.problem = self._failed = error
        state._shown.pop("opening", None)
        if state.known is None:
            state.show("network", messages.opening(""))
        else:  # what is stored stays to be looked at
            state.send(messages.opening(""), [])
        for task in ("render", "scan"):
            if state.shows_active(task):  # it waited for the network
                target = state.target if task == "render" else None
                state.show_progress(task, state.layer, target, 0, 0, state="stopped")
        action = "embedded" if state.settings.model != EMBEDDED else ""
        state.fail("network", "The network could not be opened", error, action)


def _other(known: KnownNetwork, model: VisionModel) -> ModelError:
    return ModelError(
        f"it was made with {known.identity}, as the file of the weights was known by its path, "
        f"size and time; now that it is read it turns out to hold {model.identity}"
    )


def _placed(target: Target, network: KnownNetwork | VisionModel) -> Target:
    """The target in the network's default layer, where it names none."""
    return target if target.layer else target.in_layer(network.default_layer)


def _judge(
    model: VisionModel, target: Target
) -> tuple[LayerInfo, Target, NeuronWidgetError | None]:
    """Layer and target to show, and what is wrong with the choice where it cannot be shown."""
    info = model.layer(model.default_layer)
    try:
        info = model.layer(target.layer or info.name)
        return info, _placed(target, model).check(model), None
    except NeuronWidgetError as error:
        return info, Channel(info.name, 0), error
