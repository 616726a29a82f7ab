"""The selection, the commands, and what a new view is told."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import NeuronWidgetError
from neuron_widget.names import EMBEDDED, check_neuron
from neuron_widget.protocol.messages import MAX_PINS
from neuron_widget.session import messages
from neuron_widget.session.cache import Key, SessionCache
from neuron_widget.session.jobs import Job, Worker, shared_worker
from neuron_widget.session.messages import Message, Part
from neuron_widget.session.opening import Opening
from neuron_widget.session.pace import FrameWindow
from neuron_widget.session.rendering import Previews, Rendering
from neuron_widget.session.scanning import Scanning
from neuron_widget.session.settings import Settings
from neuron_widget.session.store_adapter import StoreAdapter

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.rendering import RenderResult
    from neuron_widget.scanning import ScanResult

__all__ = ["Session"]

# How long a person may go on choosing before a rendering starts by itself.
SETTLE_S = 0.25

# A page that reloads is back within seconds.
GONE_S = 20.0

_ENDED = {"done": "ready", "stopped": "stopped", "failed": "failed"}


class Session:
    """The state and the work behind one widget.

    It takes commands (from the page or from Python), runs the work as jobs of the shared worker,
    keeps the results, and speaks to the page in the words of the protocol.
    Commands may come from any thread and return at once; results arrive in the worker thread. One
    lock guards the state; it is not held while torch works.

    Parameters
    ----------
    settings
        What to show.
    send
        Called with a message and its buffers, from any thread.
    on_change
        Called with nothing when the selection, the status or the progress changed.
    """

    def __init__(
        self,
        settings: Settings,
        send: Callable[[Message, list[bytes]], None],
        on_change: Callable[[], None],
        worker: Worker | None = None,
    ):
        self.settings = settings
        self.send = send
        self.on_change = on_change
        self.worker = worker or shared_worker()
        self.lock = threading.RLock()
        self.frames = FrameWindow()
        self.cache = SessionCache(settings.recipe)
        self.model: VisionModel | None = None
        self.layer = settings.layer or ""
        self.neuron = settings.neuron
        self.steps = settings.steps
        self.channels = 0
        self.status = "opening"
        self.progress = 0.0
        self.closed = False
        # The last message about each thing that a later view needs to know.
        self._shown: dict[str, Message] = {}
        self._opening = Opening(self)
        self._rendering = Rendering(self)
        self._previews = Previews(self)
        self._scanning = Scanning(self)
        self.store_adapter = StoreAdapter(self)
        self.show("configured", messages.configured(settings))
        self._opening.start()

    # -------------------------------------------------------------- commands

    def open_embedded(self) -> None:
        """Open the network that comes with the package instead of the one that failed."""
        self.stop()
        with self.lock:
            self.settings = replace(self.settings, model=EMBEDDED, weights=None, layer=None)
            self.model, self.layer, self.neuron = None, "", 0
        self._opening.start()

    def select(
        self,
        layer: str | None = None,
        neuron: int | None = None,
        steps: int | None = None,
        *,
        seq: int = -1,
        settled: bool = True,
        auto: bool | None = None,
    ) -> None:
        """Choose what to look at; what is known of it is shown at once.

        Raises
        ------
        UnknownLayer, NeuronOutOfRange, TypeError, ValueError
        """
        steps = messages.check_steps(self.steps if steps is None else steps)
        with self.lock:
            if self.model is None:
                # Looked at, and checked, when the network is open.
                self.layer = layer or self.layer
                self.neuron = self.neuron if neuron is None else check_neuron(neuron, 1 << 30, "")
                self.steps = steps
                return
            info = self.model.layer(layer or self.layer)
            if neuron is None:
                neuron = min(self.neuron, info.channels - 1)
            neuron = check_neuron(neuron, info.channels, info.name)
            new_layer = info.name != self.layer
            self.layer, self.neuron, self.steps = info.name, neuron, steps
            self.channels = info.channels
        self.look(new_layer=new_layer, seq=seq, settled=settled, auto=auto)

    def look(
        self, *, new_layer: bool, seq: int = -1, settled: bool = True, auto: bool | None = None
    ) -> None:
        """Show what is known of the selection, and begin what is wanted of it."""
        with self.lock:
            parts = self.cache.gallery(self.layer) if new_layer else []
            parts += self.cache.neuron(self.key)
            selected = messages.selected(seq, self.layer, self.neuron, self.steps)
        self.no_error("select")
        self.show("selected", selected)
        self.on_change()
        for part in parts:
            self.send(*part)
        if new_layer:
            self.worker.stop(self, "preview", "scan", "photos")
            self._previews.start()
            if self.settings.auto and self.layer not in self.cache.scans:
                self.scan()
        if settled:
            self._scanning.find_photos()
            wanted = self.settings.auto if auto is None else auto
            known = self._rendering.known() or self._rendering.recall()
            if wanted and not known:
                self._rendering.start(delay=SETTLE_S)

    def render(self, steps: int | None = None) -> Job | None:
        """Render the selected neuron; more steps than are there already go on from them.

        ``steps`` is for this once; default what is selected.
        """
        if steps is not None:
            steps = messages.check_steps(steps)
        if self._opening.postpones(lambda: self.render(steps)):
            return None
        return self._rendering.start(steps=steps)

    def configure(self, *, size: Any, lr: Any, seed: Any, objective: Any, previews: Any) -> None:
        """Change how images are made. What was made otherwise is kept, and shown no more.

        Raises
        ------
        TypeError, ValueError
        """
        changed = self.settings.configured(
            size=size, lr=lr, seed=seed, objective=objective, previews=previews
        )
        with self.lock:
            other = changed.recipe != self.settings.recipe
            if changed == self.settings:
                return
            self.settings = changed
            self.worker.stop(self, "preview", *(["render"] if other else []))
            self.cache.recipe = changed.recipe
            self.show("configured", messages.configured(changed))
            parts = self.cache.gallery(self.layer) if other else []
        for part in parts:
            self.send(*part)
        if other:
            self.send_neurons()
        if self.model is None:
            return
        self._previews.start()
        if other and self.settings.auto and not self._rendering.known():
            self._rendering.start(delay=SETTLE_S)
        self.on_change()

    def pin(self, keys: Iterable[Key]) -> None:
        """Keep these neurons, at most four, to be shown side by side.

        Raises
        ------
        UnknownLayer, NeuronOutOfRange, TypeError, ValueError
        """
        pins = list(dict.fromkeys(keys))
        if len(pins) > MAX_PINS:
            raise ValueError(f"at most {MAX_PINS} neurons can be pinned, got {len(pins)}")
        postponed = self._opening.postpones(lambda: self.pin(pins))
        if not postponed and self.model is not None:
            pins = [
                (info.name, check_neuron(neuron, info.channels, info.name))
                for info, neuron in ((self.model.layer(layer), n) for layer, n in pins)
            ]
        with self.lock:
            fresh = [key for key in pins if key not in self.cache.pins]
            self.cache.pins = tuple(pins)
            parts = self.cache.neurons(fresh)
        self.show("pins", messages.pins(pins))
        for part in parts:
            self.send(*part)
        if fresh:
            self._scanning.find_photos()

    def scan(self, dataset: Any = None, *, download: bool = False) -> Job | None:
        """Scan the data set (or another one) for the photos that fire the layer's neurons."""
        if self._opening.postpones(lambda: self.scan(dataset, download=download)):
            return None
        return self._scanning.start(dataset, download=download)

    def stop(self) -> None:
        """Stop everything that runs; it takes effect within one step and keeps what is there."""
        self._opening.asked.clear()
        self._rendering.halt()
        self.worker.stop(self, "render", "dataset", "scan", "preview", "photos")

    def close(self) -> None:
        """Stop for good and let go of the results."""
        self.closed = True
        self.worker.stop(self)
        with self.lock:
            self.cache = SessionCache(self.settings.recipe)

    def view(self, name: str, *, visible: bool, gone: bool = False) -> None:
        """A view (or a Python call that waits) came, left sight, or is gone.

        What nobody looks at any more ends: in notebooks that do not say which cell runs, this is
        how the widget of a cell that was run again stops working.
        """
        self.frames.view(name, visible=visible, gone=gone)

        def leave() -> Generator[None, None, None]:
            yield
            if not self.frames.views:
                self.stop()

        if not self.frames.views and not self.closed:
            self.submit("leave", leave(), lambda _: None, priority=0, delay=GONE_S)
        else:
            self.worker.stop(self, "leave")

    def look_at(self, neurons: Sequence[int]) -> None:
        """Render the previews of these neurons before others."""
        self._previews.in_view = [int(n) for n in neurons][:4096]

    def enlarge(self, layer: str, neuron: int, group: str, rank: int) -> None:
        """Send one photo large."""
        self._scanning.enlarge(layer, neuron, group, rank)

    # -------------------------------------------------------------- results

    @property
    def key(self) -> Key:
        """The selected layer and neuron."""
        return self.layer, self.neuron

    @property
    def result(self) -> RenderResult | None:
        """The rendering of the selected neuron."""
        return self.cache.rendering(self.key)

    @property
    def scan_result(self) -> ScanResult | None:
        """The scan of the selected layer."""
        return self.cache.scans.get(self.layer)

    def foreground(self) -> list[Job]:
        """The jobs somebody waits for (all but the gallery's previews)."""
        return [job for job in self.worker.jobs(self) if job.task not in ("preview", "leave")]

    def notes(self, key: Key | None = None) -> list[str]:
        """What made the picture and the photos of a neuron, for figures."""
        layer, neuron = key or self.key
        lines = []
        if self.model is not None:
            lines.append(self.model.title)
        result, scan = self.cache.rendering((layer, neuron)), self.cache.scans.get(layer)
        if result is not None:
            s = result.settings
            lines.append(
                f"activation {result.activation[0]:.4g} after {result.steps} steps "
                f"({s['size']} px, seed {s['seed']}, Adam {s['lr']})"
            )
        if scan is not None:
            best = float(scan.best[neuron])
            lines.append(f"best of {scan.scanned:,} photos of {scan.dataset}: {best:.4g}")
        return lines

    def snapshot(self) -> Part:
        """Everything a new view needs, as one message."""
        first = ("network", "selected", "configured", "dataset", "pins")
        with self.lock:
            parts: list[Part] = [(self._shown[key], []) for key in first if key in self._shown]
            parts += self.cache.gallery(self.layer)
            parts += self.cache.neurons((self.key, *self.cache.pins))
            parts += [(message, []) for key, message in self._shown.items() if key not in first]
        return messages.snapshot(parts)

    # -------------------------------------------------------------- for the work

    def submit(
        self,
        task: str,
        steps: Generator[Any, None, Any],
        on_done: Callable[[Any], None],
        *,
        priority: int,
        on_error: Callable[[BaseException], None] | None = None,
        **how: Any,
    ) -> Job:
        """Queue a job of this session; an older one of the same task ends."""

        def failed(error: BaseException) -> None:
            self.fail("render", "Something went wrong", error)

        job = Job(self, task, steps, priority, on_done=on_done, on_error=on_error or failed, **how)
        return self.worker.submit(job)

    def running(self, task: str) -> bool:
        """Whether a job of this task is queued or running."""
        return any(job.task == task for job in self.worker.jobs(self))

    def show(self, key: str, message: Message) -> None:
        """Send a message that a later view needs too."""
        with self.lock:
            self._shown[key] = message
        if not self.closed:
            self.send(message, [])

    def send_neurons(self, *keys: Key) -> None:
        """Send what is known of neurons; without any, of the selected one and those pinned."""
        with self.lock:
            for part in self.cache.neurons(keys or (self.key, *self.cache.pins)):
                self.send(*part)

    def tell_progress(
        self,
        task: str,
        layer: str,
        neuron: int,
        done: int,
        total: int,
        rate: float = 0.0,
        left: float = 0.0,
        state: str = "running",
    ) -> None:
        """Show how far a task is."""
        if self.closed:
            return
        message = messages.progress(task, layer, neuron, done, total, rate, left, state)
        self.show(f"progress {task}", message)
        active = state in ("running", "waiting")
        if task == "render":
            self.progress = done / total if total else 0.0
            self.status = f"rendering {layer} neuron {neuron}" if active else _ENDED[state]
        elif task == "scan" and not self.running("render"):
            self.status = f"scanning for {layer}" if active else _ENDED[state]
        self.on_change()

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
            there = self._shown.pop(f"error {where}", None)
        if there is not None:
            self.send(messages.no_error(where), [])
