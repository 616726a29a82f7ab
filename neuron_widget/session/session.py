"""The commands of one widget, and what begins when something is selected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_args

from neuron_widget.errors import WidgetError, WrongValue
from neuron_widget.names import EMBEDDED, check_neuron
from neuron_widget.protocol.messages import MAX_PINS, Task
from neuron_widget.session import messages
from neuron_widget.session.arguments import as_shown_with
from neuron_widget.session.audience import note_view
from neuron_widget.session.jobs import Job, Worker, shared_worker
from neuron_widget.session.looking import Looking
from neuron_widget.session.measuring import Measuring
from neuron_widget.session.messages import Message
from neuron_widget.session.opening import Opening
from neuron_widget.session.pace import Settling
from neuron_widget.session.photos import Photos
from neuron_widget.session.previews import Previews
from neuron_widget.session.rendering import Rendering
from neuron_widget.session.scanning import Scanning
from neuron_widget.session.settings import Fit, Settings
from neuron_widget.session.state import Load, State
from neuron_widget.session.store_adapter import StoreAdapter
from neuron_widget.session.strips import STRIPS, Strips
from neuron_widget.session.together import Together
from neuron_widget.settings import RENDER
from neuron_widget.targets import Channel, Target, TargetLike

__all__ = ["Session"]

TASKS: tuple[Task, ...] = get_args(Task)


class Session:
    """The commands of one widget, from the page or from Python, and the work behind them.

    Commands may come from any thread and return at once; results arrive in the worker's thread.
    What is selected and what was made is in :attr:`state`; the parameters are its. ``worker`` is
    the one that all widgets of the process share, if none is given.
    """

    def __init__(
        self,
        settings: Settings,
        send: Callable[[Message, list[bytes]], None],
        on_change: Callable[[], None],
        worker: Worker | None = None,
        load: Load | None = None,
        together: Together | None = None,
    ):
        self.state = State(settings, send, on_change, worker or shared_worker(), load, together)
        self.store = StoreAdapter(self.state)
        # Tasks that were stopped before the network is open.
        self._not_to_begin: set[Task] = set()
        self._settling = Settling()
        self._opening = Opening(
            self.state, self.store, lambda shown: self._begin(new_layer=True, shown=shown)
        )
        self._measuring = Measuring(self.state, self.store)
        self.looking = Looking(self.state, self._opening.postpones)
        self.strips = Strips(self.state, self.store, self.looking.square_of)
        self._rendering = Rendering(self.state, self.store, self._on_image)
        self._previews = Previews(self.state, self.store)
        self._photos = Photos(self.state)
        self.scanning = Scanning(self.state, self.store, self._on_scanned, self._photos.look)
        self.state.show("configured", messages.configured(settings))
        self._opening.start()

    # -------------------------------------------------------------- the selection

    def select(
        self,
        target: TargetLike = None,
        steps: int | None = None,
        *,
        layer: str | None = None,
        neuron: int | None = None,
        seq: int = -1,
        settled: bool = True,
        auto: bool | None = None,
    ) -> None:
        """Choose what to look at; what is known of it is shown at once.

        ``target``, or another ``layer`` (with the neuron that is selected, as far as it has so
        many) or another ``neuron`` of the layer that is selected.

        Raises
        ------
        TargetError, UnknownLayer, NeuronOutOfRange, TypeError, ValueError
        """
        state = self.state
        state.check_open()
        steps = RENDER["steps"].check(state.steps if steps is None else steps)
        while True:
            model, before = state.network, state.target
            chosen = self._chosen(target, layer, neuron)
            if state.model is None and not self._opening.knows(chosen):
                model = None
            if model is not None:
                # Not under the lock: a layer nobody asked for yet is looked at, in the network.
                info = model.layer(chosen.layer)
                if target is None and neuron is None and chosen.neuron >= info.channels:
                    chosen = Channel(info.name, info.channels - 1)
                chosen = chosen.check(model)
            with state.lock:
                if model not in (None, state.network) or state.target != before:
                    continue  # another network or choice in the meantime
                if model is None and state.model is not None:
                    continue  # opened in the meantime
                state.target, state.steps = chosen, steps
                if model is None:
                    break  # looked at, and checked, when the network is open
                state.channels = info.channels
                if chosen != before or target is not None:
                    state.problem = None
                new_layer = chosen.layer != before.layer
                break
        if model is None:
            if state.known is not None:
                self._opening.say_waiting()
            return
        self._begin(new_layer=new_layer, seq=seq, settled=settled, auto=auto)

    def _chosen(self, target: TargetLike, layer: str | None, neuron: int | None) -> Target:
        """The target that is meant, not yet checked against the network."""
        state = self.state
        if target is not None:
            return as_shown_with(target, state.settings.options)
        if layer is None and neuron is None:
            return state.target
        name = layer or state.layer
        return Channel(name, check_neuron(state.neuron if neuron is None else neuron, None, name))

    def _begin(
        self,
        *,
        new_layer: bool,
        shown: bool = False,
        seq: int = -1,
        settled: bool = True,
        auto: bool | None = None,
    ) -> None:
        """Show what is known of the selection, and begin what is wanted of it.

        ``shown``: the page has what is known already.
        """
        state = self.state
        if not shown:
            self._show(new_layer=new_layer, seq=seq)
        if state.model is None:
            self._recall(new_layer=new_layer, settled=settled, auto=auto)
            return
        with state.lock:
            stopped, self._not_to_begin = self._not_to_begin, set()
        if new_layer:
            state.stop("preview", "scan", "measure", "judge", *([] if shown else ["photos"]))
            self.looking.refresh()
            if not shown:
                self._previews.show_stored()
            if "preview" in stopped:
                self._show_stopped("preview")
            else:
                self._previews.start()
            if state.settings.auto and state.layer not in state.cache.scans:
                if "scan" in stopped:
                    self._show_stopped("scan")
                else:
                    self.scanning.start()
        if settled:
            wait = self._settling.wait()
            wanted = state.settings.auto if auto is None else auto
            known = self._rendering.known() or self._rendering.recall(packaged=True)
            if wanted and not known:
                if "render" in stopped:
                    self._show_stopped("render")
                else:
                    # A layer's first rendering may have the network prepared, which takes longer.
                    self._rendering.start(0.0 if new_layer else wait, ahead=not new_layer)
            self._photos.find()
            self.strips.follow()
        state.on_change()

    def _on_image(self, target: Target) -> None:
        self._measuring.look(target)
        self.strips.follow(target)

    def _on_scanned(self) -> None:
        self._photos.find()
        self.looking.refresh()

    def _show(self, *, new_layer: bool, seq: int) -> None:
        """Show what the session has of the selection."""
        state = self.state
        state.list_layer()
        with state.lock:
            parts = state.cache.gallery(state.layer) if new_layer else []
            parts += state.cache.target(state.target)
            selected = messages.selected(seq, state.target, state.steps)
        state.no_error("select")
        state.show_layer()
        state.show("selected", selected)
        for part in parts:
            state.send(*part)

    def _recall(self, *, new_layer: bool, settled: bool, auto: bool | None) -> None:
        """Show what the store has of the selection; the rest begins when the network is open."""
        state = self.state
        self._opening.shown = state.target
        if new_layer:
            state.stop("recall", "photos")
            self._previews.show_stored()
            if state.settings.auto and state.layer not in state.cache.scans:
                self.scanning.recall(waits=self._opening.goes_on)
        if settled:
            self._photos.find()
            wanted = state.settings.auto if auto is None else auto
            known = self._rendering.known() or self._rendering.recall(packaged=True)
            if wanted and not known and self._opening.goes_on:
                self._opening.say_waiting()
                state.show_progress(
                    "render", state.layer, state.target, 0, state.steps, state="waiting"
                )
        state.on_change()

    def _show_stopped(self, task: Task) -> None:
        """Show a task that has not begun as one that can be resumed."""
        target = self.state.target if task == "render" else None
        self.state.show_progress(task, self.state.layer, target, 0, 0, state="stopped")

    def pin(self, targets: Iterable[TargetLike]) -> None:
        """Keep these targets, at most four, to be shown side by side.

        Raises
        ------
        TargetError, UnknownLayer, NeuronOutOfRange, ValueError
        """
        state = self.state
        state.check_open()
        pins = list(dict.fromkeys(as_shown_with(t, state.settings.options) for t in targets))
        if len(pins) > MAX_PINS:
            raise WrongValue(f"at most {MAX_PINS} targets can be pinned, got {len(pins)}")
        postponed = self._opening.postpones("pin", lambda: self.pin(pins))
        if not postponed and state.model is not None:
            pins = [target.check(state.model) for target in pins]
        with state.lock:
            fresh = [target for target in pins if target not in state.cache.pins]
            state.cache.pins = tuple(pins)
            parts = state.cache.targets(fresh)
        state.show("pins", messages.pins(pins))
        for part in parts:
            state.send(*part)
        if fresh:
            self._photos.find()

    # -------------------------------------------------------------- the work

    def open_embedded(self) -> None:
        """Open the network that comes with the package instead of the one that failed."""
        state = self.state
        state.check_open()
        self.stop()
        with state.lock:
            self._not_to_begin.clear()
            state.settings = state.settings.replace(
                model=EMBEDDED, weights=None, device=None, layer=None, target=None, fit=Fit()
            )
            state.model = state.known = None
            state.target = Channel("", 0)
        self._opening.start()

    def render(self, steps: int | None = None, *, insist: bool = False) -> Job | None:
        """Render the selected neuron; more steps than are there already go on from them.

        ``steps`` is for this once; default what is selected. ``insist``: what is waited for,
        because another process makes it just now, is made here as well.
        """
        self.state.check_open()
        if steps is not None:
            steps = RENDER["steps"].check(steps)
        if self._opening.postpones("render", lambda: self.render(steps)):
            if self.state.known is not None:
                self._opening.say_waiting()
            return None
        return self._rendering.start(steps=steps, insist=insist)

    def configure(self, values: Mapping[str, Any]) -> None:
        """Change how images are made. What was made otherwise is kept, and shown no more.

        Raises
        ------
        TypeError, ValueError
        """
        state = self.state
        state.check_open()
        changed = state.settings.configured(values)
        with state.lock:
            other = changed.recipe != state.settings.recipe
            if not other and changed.options == state.settings.options:
                return
            state.settings = changed
            state.stop("preview", *(["render", *STRIPS] if other else []))
            state.cache.recipe = changed.recipe
            if other:
                state.strips.clear()
            state.show("configured", messages.configured(changed))
            parts = state.cache.gallery(state.layer) if other else []
        for part in parts:
            state.send(*part)
        if other:
            state.send_targets()
        if state.network is None:
            return
        if state.model is None:
            self._previews.show_stored()
            self._recall(new_layer=False, settled=other, auto=None)
            return
        self._previews.show_stored()
        self._previews.start()
        known = self._rendering.known() or (other and self._rendering.recall(packaged=True))
        if other and state.settings.auto and not known:
            self._rendering.start()
        self.strips.follow()
        state.on_change()

    def scan(self, dataset: Any = None, *, download: bool = False) -> Job | None:
        """Scan the data set (or another one) for the photos that fire the layer's neurons."""
        self.state.check_open()
        if self._opening.postpones("scan", lambda: self.scan(dataset, download=download)):
            return None
        return self.scanning.start(dataset, download=download)

    def measure(self) -> Job | None:
        """Measure how far pictures predict the layer that is scanned; None if it is known.

        Raises
        ------
        WidgetError
            Before there is a scan.
        """
        self.state.check_open()
        if self._opening.postpones("measure", self.measure):
            return None
        return self._measuring.start()

    def look_at(self, neurons: Sequence[int]) -> None:
        """Render the previews of these neurons before others."""
        self._previews.in_view = list(neurons)

    def enlarge(self, target: Target, group: str, rank: int) -> None:
        """Send one photo of a target's neuron large."""
        self._photos.enlarge(target, group, rank)

    def look(self, photo: Any, name: str = "") -> Job | None:
        """Show a photo to the selected layer; see :func:`neuron_widget.look`."""
        self.state.check_open()
        return self.looking.start(photo, name)

    def stop(self, task: Task | None = None) -> None:
        """Stop a task, or everything; it takes effect within one step and keeps what is there.

        Before the network is open: what the settings ask for does not begin by itself then.
        """
        tasks = TASKS if task is None else (task,)
        self._opening.forget(*tasks, *(["pin"] if task is None else []))
        with self.state.lock:
            if self.state.model is None:
                self._not_to_begin |= set(tasks)
        if "render" in tasks:
            self._rendering.stop()
        if "scan" in tasks:
            self.state.stop("dataset", "scan", "learn")
        for own in {"preview", "measure"}.intersection(tasks):
            self.state.stop(own)
        self.strips.stop(*(own for own in STRIPS if own in tasks))
        if task is None:
            self.state.stop("photos", "judge", "look", "answer")

    def resume(self, task: Task) -> Job | None:
        """Go on with what was stopped or left of a task: where it was, as far as it was to go."""
        self.state.check_open()
        if self._opening.postpones(task, lambda: self.resume(task)):
            return None
        if task == "render":
            return self._rendering.resume()
        if task == "scan":
            self._photos.find()
            return self.scanning.resume()
        if task == "measure":
            return self._measuring.start()
        if task in STRIPS:
            return self.strips.resume(task)
        self._previews.start()
        return None

    def close(self, why: str = "") -> None:
        """Stop for good and let go of everything; ``why`` is said in a view that stays."""
        state = self.state
        if why and not state.closed:
            state.fail("select", "This view has ended", WidgetError(why))
        state.close()
        parts = (self._opening, self._rendering, self.scanning, self.looking, self.store)
        for part in (*parts, self.strips):
            part.let_go()

    # -------------------------------------------------------------- who looks on

    def view(self, name: str, *, visible: bool, gone: bool = False) -> None:
        """A view (or a Python call that waits) came, left sight, or is gone."""
        note_view(self.state, name, visible=visible, gone=gone)

    def foreground(self) -> list[Job]:
        """The jobs somebody waits for (all but the gallery's previews)."""
        unwatched = ("preview", "saved", "judge", "leave")
        return [job for job in self.state.jobs() if job.task not in unwatched]
