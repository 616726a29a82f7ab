"""What the parts of a session share."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Literal

from neuron_widget.errors import NeuronWidgetError, WidgetError
from neuron_widget.session import messages
from neuron_widget.session.cache import SessionCache, Thumb
from neuron_widget.session.jobs import Job, Worker
from neuron_widget.session.messages import Message, Part
from neuron_widget.session.pace import FrameWindow
from neuron_widget.session.settings import Recipe, Settings
from neuron_widget.session.together import Together
from neuron_widget.targets import Channel, Target

if TYPE_CHECKING:
    from neuron_widget.networks.known import KnownNetwork, Network
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.rendering import RenderResult
    from neuron_widget.scanning import ScanResult

__all__ = ["Load", "State"]

Load = Callable[..., "VisionModel"]

# States of a task that has not ended.
ACTIVE = ("running", "waiting", "elsewhere")

_STATUS_AT_END = {"done": "ready", "stopped": "stopped", "failed": "failed"}


class State:
    """The selection, what was made so far, and the ways to the page and to the worker.

    The parts of a session take it, so that none of them needs to know another one. ``lock`` guards
    it; it is not held while torch works, nor while code of the user's runs.

    Parameters
    ----------
    settings
        What to show.
    send
        Called with a message and its buffers, from any thread.
    on_change
        Called with nothing when the selection, the status or the progress changed.
    worker
        Runs the jobs. Several sessions share one.
    load
        Opens the network: takes what ``load_model`` takes. Default that.
    together
        What it shares with other sessions.
    """

    def __init__(
        self,
        settings: Settings,
        send: Callable[[Message, list[bytes]], None],
        on_change: Callable[[], None],
        worker: Worker,
        load: Load | None = None,
        together: Together | None = None,
    ):
        self.settings = settings
        self.load = load
        self.together = together
        self.send = send
        self.on_change = on_change
        self.worker = worker
        self.lock = threading.RLock()
        self.frames = FrameWindow()
        self.cache = self.new_cache(settings.recipe)
        self.model: VisionModel | None = None
        # What the store knows of the network before it is open: results are shown by it.
        self.known: KnownNetwork | None = None
        # Before the network is open the layer may be unknown: its name is "" then.
        self.target = settings.target or Channel(settings.layer or "", settings.neuron)
        self.steps = settings.steps
        self.channels = 0
        self.status = "opening"
        self.progress = 0.0
        # Why what was asked for in the cell is not what is shown: Python hears of it when it waits.
        self.problem: BaseException | None = None
        self.closed = False
        # Of the photo that a person brought: it is in no cache, and nowhere on disk.
        self.looked: list[Part] = []
        # Pictures that were made together, by their task.
        self.strips: dict[str, Part] = {}
        # The last message about each thing that a later view needs to know.
        self._shown: dict[str, Message] = {}
        if together is not None:
            together.join(self)

    def new_cache(self, recipe: Recipe) -> SessionCache:
        """One that knows nothing; of several sessions in a process each remembers less."""
        return SessionCache(recipe, self.together.most if self.together is not None else None)

    @property
    def opened(self) -> bool:
        """Whether the network is open."""
        return self.model is not None

    @property
    def network(self) -> Network | None:
        """The network whose results are shown: it may not be open yet."""
        return self.model if self.model is not None else self.known

    @property
    def layer(self) -> str:
        """The selected target's layer; "" before one is known."""
        return self.target.layer

    @property
    def neuron(self) -> int:
        """The selected target's neuron."""
        return self.target.neuron

    def title(self, target: Target) -> str:
        """How people call a target: by the name of its neuron, where the layer has names."""
        try:
            return target.title_in(self.network.layer(target.layer) if self.network else None)
        except NeuronWidgetError:  # a layer that is not there (any more)
            return target.title

    @property
    def result(self) -> RenderResult | None:
        """The rendering of the selected target."""
        return self.cache.rendering(self.target)

    @property
    def scan_result(self) -> ScanResult | None:
        """The scan of the selected layer."""
        return self.cache.scans.get(self.layer)

    def check_open(self) -> None:
        """Raise WidgetError once the session is closed."""
        if self.closed:
            raise WidgetError(
                "this widget is closed: it has let go of its network and its results, and works no "
                "more; make another NeuronWidget(...)"
            )

    def close(self) -> None:
        """Stop all work for good, and let go of the network, the data set and the results.

        What was last said to the page stays, for a view that is opened once more.
        """
        self.closed = True
        self.stop()
        if self.together is not None:
            self.together.leave(self)
        with self.lock:
            self.model = self.known = None
            self.settings = self.settings.replace(model=None, dataset=None, store=None)
            self.cache = self.new_cache(self.settings.recipe)
            self.looked = []
            self.strips = {}
            self.problem = None
            self.status = "closed"

    # -------------------------------------------------------------- the worker

    def submit(
        self,
        task: str,
        steps: Generator[Any, None, Any],
        on_done: Callable[[Any], None],
        *,
        priority: int,
        on_step: Callable[[Any], None] | None = None,
        on_stop: Callable[[], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
        share: float = 1.0,
        delay: float = 0.0,
    ) -> Job:
        """Queue a job of this session; an older one of the same task ends.

        See :class:`.jobs.Job`. Nothing is called back once the session is closed.
        """

        def failed(error: BaseException) -> None:
            self.fail("render", "Something went wrong", error)

        def unless_closed(callback: Callable[..., None] | None) -> Callable[..., None]:
            return lambda *said: None if self.closed or callback is None else callback(*said)

        return self.worker.submit(
            Job(
                self,
                task,
                steps,
                priority,
                share,
                delay,
                on_step=unless_closed(on_step),
                on_done=unless_closed(on_done),
                on_stop=unless_closed(on_stop),
                on_error=unless_closed(on_error or failed),
            )
        )

    def jobs(self) -> list[Job]:
        """This session's jobs that are not finished, those about to end too; oldest first."""
        return self.worker.jobs(self)

    def running(self, task: str) -> bool:
        """Whether a job of this task is queued or running, and not about to end."""
        return any(job.task == task and job.active for job in self.jobs())

    def give(self, task: str, share: float) -> None:
        """Give a task another share of the time from now on (see :class:`.jobs.Job`)."""
        for job in self.jobs():
            if job.task == task:
                job.share = share

    def stop(self, *tasks: str) -> None:
        """Stop the jobs of these tasks, or all; returns at once."""
        self.worker.stop(self, *tasks)

    def forget_strip(self, of: Literal["dataset", "brought"]) -> None:
        """Forget the pictures that begin from a photo of the data set, or from the one brought."""
        with self.lock:
            message, _ = self.strips.get("accentuation", ({}, []))
            if message.get("photo", {}).get("of") == of:
                del self.strips["accentuation"]

    # -------------------------------------------------------------- the page

    def show(self, key: str, message: Message) -> None:
        """Send a message that a later view needs too."""
        with self.lock:
            self._shown[key] = message
            if not self.closed:
                self.send(message, [])

    def show_layer(self) -> None:
        """Have the page know the selected layer, if it is not one of the menu."""
        told = self._shown.get("network", {}).get("network")
        if told is None or any(layer["name"] == self.layer for layer in told["layers"]):
            return
        if self.network is not None:
            info = self.network.layer(self.layer)
            self.show("network", messages.opened(self.network, info))

    def send_targets(self, *targets: Target) -> None:
        """Send what is known of targets; without any, of the selected one and those pinned."""
        with self.lock:
            for part in self.cache.targets(targets or (self.target, *self.cache.pins)):
                self.send(*part)

    def add_thumbs(self, recipe: Recipe, layer: str, made: dict[int, Thumb]) -> None:
        """Keep thumbnails, and send those that are news."""
        self.take_thumbs(recipe, layer, made)
        if self.together is not None and made:
            self.together.tell(self, recipe, layer, made)

    def take_thumbs(self, recipe: Recipe, layer: str, made: dict[int, Thumb]) -> None:
        """The same with what another session made."""
        with self.lock:
            fresh = self.cache.add_thumbs(recipe, layer, made)
            if fresh and not self.closed:
                self.send(*messages.thumbs(layer, fresh))

    def show_progress(
        self,
        task: str,
        layer: str,
        target: Target | None,
        done: int,
        total: int,
        rate: float = 0.0,
        left: float = 0.0,
        state: str = "running",
        note: str = "",
    ) -> None:
        """Show how far a task is."""
        if self.closed:
            return
        message = messages.progress(task, layer, target, done, total, rate, left, state, note)
        self.show(f"progress {task}", message)
        active = state in ACTIVE
        by = " in another process" if state == "elsewhere" else ""
        if task == "render":
            self.progress = done / total if total else 0.0
            self.status = (
                f"rendering {self.title(target)}{by}"
                if active and target
                else _STATUS_AT_END[state]
            )
        elif task == "scan" and not self.running("render"):
            self.status = f"scanning for {layer}{by}" if active else _STATUS_AT_END[state]
        self.on_change()

    def list_layer(self) -> None:
        """Tell the page of the selected layer, where it is none of those that it was told of."""
        told = self._shown.get("network", {}).get("network")
        if self.model is None or told is None:
            return
        if self.layer not in [one["name"] for one in told["layers"]]:
            self.show("network", messages.opened(self.model, self.model.layer(self.layer)))

    def shows_active(self, task: str) -> bool:
        """Whether the page was last told that this task waits or runs."""
        return self._shown.get(f"progress {task}", {}).get("state") in ACTIVE

    def fail(
        self, where: str, title: str, error: BaseException, action: str = "", dataset: str = ""
    ) -> None:
        """Show an error, with its traceback where it is not one of ours."""
        expected = isinstance(error, NeuronWidgetError)
        trace = "" if expected else "".join(traceback.format_exception(error))
        if where in ("network", "render"):
            self.status = f"failed: {error}"
        self.show(f"error {where}", messages.error(where, title, error, trace, action, dataset))
        self.on_change()

    def no_error(self, where: str) -> None:
        """Take an error off the page."""
        with self.lock:
            if self._shown.pop(f"error {where}", None) is not None:
                self.send(messages.no_error(where), [])

    def send_snapshot(self) -> None:
        """Send everything a new view needs, as one message.

        Under the lock: what another thread says meanwhile comes after it. A page forgets what it
        knew when a snapshot comes, so one that is older than what went before it loses that.
        """
        with self.lock:
            self.send(*self.snapshot())

    def snapshot(self) -> Part:
        """Everything a new view needs, as it is now."""
        first = ("network", "selected", "configured", "dataset", "pins")
        with self.lock:
            parts: list[Part] = [(self._shown[key], []) for key in first if key in self._shown]
            parts += self.cache.gallery(self.layer)
            parts += self.cache.targets((self.target, *self.cache.pins))
            parts += [*self.looked, *self.strips.values()]
            parts += [(message, []) for key, message in self._shown.items() if key not in first]
        return messages.snapshot(parts)
