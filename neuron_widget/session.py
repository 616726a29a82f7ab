"""What one widget shows: the network, the data set, and the work that is asked for.

The session knows no notebook. It takes commands (from the page or from Python), runs the work as
jobs of the shared worker, keeps the results, and speaks to the page through ``send(message,
buffers)`` in the words of :mod:`neuron_widget.protocol`. A new view gets :meth:`Session.snapshot`.

Commands may come from any thread and return at once; results arrive in the worker thread. One lock
guards the state; it is never held while torch works.
"""

from __future__ import annotations

import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from neuron_widget import messages
from neuron_widget.errors import DownloadNeeded, NeuronWidgetError
from neuron_widget.jobs import Job, Worker, shared_worker
from neuron_widget.messages import Message, Part
from neuron_widget.names import EMBEDDED, check_neuron
from neuron_widget.pace import FrameWindow, Rate, Throttle

if TYPE_CHECKING:
    from neuron_widget.models import VisionModel
    from neuron_widget.render import RenderResult, RenderStep
    from neuron_widget.scan import ImageDataset, ScanProgress, ScanResult

__all__ = ["Session", "Settings"]

# Kept pictures and photo rows: enough for a lesson, small enough to forget about (~50 MB).
KEPT = 64
SETTLE_S = 0.25
PREVIEW_BATCH = 8

_ENDED = {"done": "ready", "stopped": "stopped", "failed": "failed"}

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Settings:
    """What a widget was asked to show. ``layer`` is None for the network's default layer."""

    model: Any = None
    weights: Any = None
    device: Any = None
    dataset: Any = "samples"
    layer: str | None = None
    neuron: int = 0
    steps: int = 512
    size: int = 224
    seed: int = 0
    lr: float = 0.05
    top_k: int = 9
    auto: bool = True


class Session:
    """The state and the work behind one widget.

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
        self._settings = settings
        self._send = send
        self._on_change = on_change
        self._worker = worker or shared_worker()
        self._lock = threading.RLock()
        self.frames = FrameWindow()
        self.model: VisionModel | None = None
        self.dataset: ImageDataset | None = None
        self.layer = settings.layer or ""
        self.neuron = settings.neuron
        self.steps = settings.steps
        self.status = "opening"
        self.progress = 0.0
        self.closed = False
        self._channels = 0
        self._shown: dict[str, Message] = {}
        self._images: OrderedDict[tuple[str, int], RenderResult] = OrderedDict()
        self._photos: OrderedDict[tuple[str, int], Part] = OrderedDict()
        self._scans: dict[str, ScanResult] = {}
        self._thumbs: dict[str, dict[int, tuple[bytes, bool]]] = {}
        self._in_view: list[int] = []
        self.open()

    # -------------------------------------------------------------- commands

    def open(self) -> None:
        """Open the network (in the worker); what can be shown is shown meanwhile."""
        self._clear_error("network")
        self._show("network", messages.opening("Opening the network"))
        self._submit("open", self._open_steps(), self._opened, urgency=0, on_error=self._not_opened)

    def open_embedded(self) -> None:
        """Open the network that comes with the package instead of the one that failed."""
        self.stop()
        self._settings = replace(self._settings, model=EMBEDDED, weights=None, layer=None, neuron=0)
        with self._lock:
            self.model, self.layer, self.neuron = None, "", 0
        self.open()

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
        UnknownLayer, NeuronOutOfRange, ValueError
        """
        with self._lock:
            if self.model is None:
                self.layer, self.neuron = (
                    layer or self.layer,
                    self.neuron if neuron is None else neuron,
                )
                self.steps = steps or self.steps
                return
            new_layer = self.model.layer(layer) if layer else self.model.layer(self.layer)
            changed = new_layer.name != self.layer
            if neuron is None:
                neuron = min(self.neuron, new_layer.channels - 1)
            neuron = check_neuron(neuron, new_layer.channels, new_layer.name)
            self.steps = messages.check_steps(self.steps if steps is None else steps)
            self.layer, self.neuron, self._channels = new_layer.name, neuron, new_layer.channels
            self._clear_error("select")
            self._show("selected", messages.selected(seq, self.layer, neuron, self.steps))
        self._on_change()
        self._send_known(gallery=changed)
        if changed:
            self._worker.stop(self, "preview", "scan", "photos")
            self._start_previews()
            if self._settings.auto and self.layer not in self._scans:
                self.scan()
        if settled:
            self._find_photos()
            wanted = self._settings.auto if auto is None else auto
            if wanted and (self.layer, self.neuron) not in self._images:
                self._start_render(delay=SETTLE_S)

    def render(self) -> Job | None:
        """Render the selected neuron; more steps than are there already go on from them."""
        return self._start_render()

    def scan(self, dataset: Any = None, *, download: bool = False) -> Job | None:
        """Scan the data set (or another one) for the photos that fire the layer's neurons."""
        if self.model is None:
            if dataset is not None:
                self._settings = replace(self._settings, dataset=dataset)
            return None
        self._clear_error("scan")
        rate = Rate()
        tell = Throttle(0.2)
        layer = self.layer
        partial: list[ScanProgress] = []

        def on_step(step: ScanProgress | None) -> None:
            if step is None:
                return
            partial[:] = [step]
            if tell.due():
                per_second, left = rate.update(step.done, step.total)
                self._progress("scan", layer, -1, step.done, step.total, per_second, left)

        def on_done(result: ScanResult, state: str = "done") -> None:
            self._scanned(layer, result)
            done = result.scanned
            self._progress("scan", layer, -1, done, done, 0, 0, state)

        def on_stop() -> None:
            # Replaced by another scan, or stopped by the person: then what is there is shown.
            replaced = any(job.task == "scan" for job in self._worker.jobs(self))
            if partial and partial[0].done and not replaced and not self.closed:
                on_done(partial[0].result(), "stopped")
            elif not replaced:
                self._progress("scan", layer, -1, 0, 0, 0, 0, "stopped")

        def on_error(error: BaseException) -> None:
            self._progress("scan", layer, -1, 0, 0, 0, 0, "failed")
            action = "download" if isinstance(error, DownloadNeeded) else ""
            self._fail("scan", "The data set could not be scanned", error, action, dataset)

        self._progress("scan", layer, -1, 0, 0, 0, 0, "waiting")
        return self._submit(
            "scan",
            self._scan_steps(layer, dataset, download),
            on_done,
            urgency=2,
            on_step=on_step,
            on_stop=on_stop,
            on_error=on_error,
        )

    def stop(self) -> None:
        """Stop everything that runs; it takes effect within one step and keeps what is there."""
        self._worker.stop(self, "render", "scan", "preview", "photos")

    def close(self) -> None:
        """Stop for good and let go of the results."""
        self.closed = True
        self._worker.stop(self)
        with self._lock:
            for kept in (self._images, self._photos, self._scans, self._thumbs):
                kept.clear()

    def look_at(self, neurons: Sequence[int]) -> None:
        """Render the previews of these neurons before others."""
        with self._lock:
            self._in_view = [int(n) for n in neurons][:2048]

    def enlarge(self, layer: str, neuron: int, group: str, rank: int) -> None:
        """Send one photo large."""
        result = self._scans.get(layer)
        if result is None or group not in ("most", "least"):
            return

        def steps() -> Generator[None, None, Part]:
            assert result is not None
            yield
            return messages.large_photo(result, layer, neuron, group, rank)

        self._submit("enlarge", steps(), lambda part: self._send(*part), urgency=0)

    def foreground(self) -> list[Job]:
        """The jobs somebody waits for (all but the gallery's previews)."""
        return [job for job in self._worker.jobs(self) if job.task != "preview"]

    # -------------------------------------------------------------- results

    @property
    def result(self) -> RenderResult | None:
        """The rendering of the selected neuron."""
        return self._images.get((self.layer, self.neuron))

    @property
    def scan_result(self) -> ScanResult | None:
        """The scan of the selected layer."""
        return self._scans.get(self.layer)

    def notes(self) -> list[str]:
        """What made the picture and the photos, for figures."""
        lines = []
        if self.model is not None:
            lines.append(self.model.title)
        result, scan = self.result, self.scan_result
        if result is not None:
            s = result.settings
            lines.append(
                f"activation {result.activation[0]:.4g} after {result.steps} steps "
                f"({s['size']} px, seed {s['seed']}, Adam {s['lr']})"
            )
        if scan is not None:
            best = float(scan.best[self.neuron])
            lines.append(f"best of {scan.scanned:,} photos of {scan.dataset}: {best:.4g}")
        return lines

    def snapshot(self) -> Part:
        """Everything a new view needs, as one message."""
        with self._lock:
            order = ("selected", "network", "dataset")
            parts: list[Part] = [(self._shown[key], []) for key in order if key in self._shown]
            parts += self._known(gallery=True)
            parts += [(message, []) for key, message in self._shown.items() if key not in order]
        return messages.snapshot(parts)

    def _known(self, *, gallery: bool) -> list[Part]:
        key = (self.layer, self.neuron)
        parts: list[Part] = []
        scan = self._scans.get(self.layer)
        if gallery and scan is not None:
            parts.append((messages.strengths(scan, self.layer), []))
        thumbs = self._thumbs.get(self.layer, {})
        if gallery and thumbs:
            parts.append(messages.thumbs(self.layer, thumbs))
        if key in self._images:
            parts.append(messages.image(self._images[key], self._best_photo(*key)))
        if key in self._photos:
            parts.append(self._photos[key])
        return parts

    def _send_known(self, *, gallery: bool) -> None:
        with self._lock:
            parts = self._known(gallery=gallery)
        for part in parts:
            self._send(*part)

    def _best_photo(self, layer: str, neuron: int) -> float | None:
        scan = self._scans.get(layer)
        return float(scan.best[neuron]) if scan is not None else None

    # -------------------------------------------------------------- opening

    def _open_steps(self) -> Generator[None, None, VisionModel]:
        yield  # the view is on its way before torch is imported
        from neuron_widget.zoo import load_model

        s = self._settings
        tell = Throttle(0.2)

        def report(line: str) -> None:
            if tell.due():
                self._show("network", messages.opening(line))

        model = load_model(s.model, weights=s.weights, device=s.device, report=report)
        yield
        _ = model.layers, model.identity  # one forward pass and a hash: done here, not in a click
        return model

    def _opened(self, model: VisionModel) -> None:
        wanted = self.layer or model.default_layer
        layer = model.layer(model.default_layer)
        problem: NeuronWidgetError | None = None
        try:
            layer = model.layer(wanted)
            check_neuron(self.neuron, layer.channels, layer.name)
        except NeuronWidgetError as error:
            problem = error
        with self._lock:
            self.model = model
            self.layer = ""
            self._show("network", messages.opened(model, layer))
        self.status = "ready"
        neuron = self.neuron if 0 <= self.neuron < layer.channels else 0
        self.select(layer.name, neuron, self.steps)
        if problem is not None:
            self._fail("select", f"Showing {layer.name} neuron {neuron} instead", problem)

    def _not_opened(self, error: BaseException) -> None:
        self._show("network", messages.opening(""))
        action = "embedded" if self._settings.model != EMBEDDED else ""
        self._fail("network", "The network could not be opened", error, action)

    # -------------------------------------------------------------- rendering

    def _start_render(self, delay: float = 0.0) -> Job | None:
        if self.model is None:
            return None
        from neuron_widget.render import render_steps

        s, layer, neuron, steps = self._settings, self.layer, self.neuron, self.steps
        known = self._images.get((layer, neuron))
        resume = known if known is not None and known.state and known.steps < steps else None
        self._clear_error("render")
        rate = Rate()
        tell = Throttle(0.2)
        last: list[RenderStep] = []

        def on_step(step: RenderStep) -> None:
            last[:] = [step]
            if self.frames.due():
                index = self.frames.sent()
                self._send(*messages.frame(index, layer, neuron, step))
            if tell.due():
                per_second, left = rate.update(step.step, step.steps)
                self._progress("render", layer, neuron, step.step, step.steps, per_second, left)

        def on_done(result: RenderResult, state: str = "done") -> None:
            self._rendered(layer, neuron, result)
            self._progress("render", layer, neuron, result.steps, steps, 0, 0, state)

        def on_stop() -> None:
            if last and last[0].step > 0 and not self.closed:
                on_done(last[0].result(), "stopped")
            else:
                self._progress("render", layer, neuron, 0, steps, 0, 0, "stopped")

        def on_error(error: BaseException) -> None:
            result = getattr(error, "result", None)
            if result is not None:
                self._rendered(layer, neuron, result)
            self._progress("render", layer, neuron, 0, steps, 0, 0, "failed")
            self._fail("render", f"Rendering {layer} neuron {neuron} failed", error)

        self._progress("render", layer, neuron, 0, steps, 0, 0, "waiting")
        return self._submit(
            "render",
            render_steps(
                self.model,
                layer,
                neuron,
                steps=steps,
                size=s.size,
                lr=s.lr,
                seed=s.seed,
                resume=resume,
            ),
            on_done,
            urgency=2,
            # A person watches the image; the scan beside it may take a little longer.
            share=2.0,
            delay=delay,
            on_step=on_step,
            on_stop=on_stop,
            on_error=on_error,
        )

    def _rendered(self, layer: str, neuron: int, result: RenderResult) -> None:
        with self._lock:
            _keep(self._images, (layer, neuron), result)
        self._send(*messages.image(result, self._best_photo(layer, neuron)))
        self._add_thumbs(layer, {neuron: (messages.thumb(result.to_pil(0)), True)})
        self._on_change()

    # -------------------------------------------------------------- previews

    def _start_previews(self) -> None:
        if self.model is None or not self._settings.auto:
            return
        layer, total = self.layer, self._channels
        rate = Rate()

        def on_step(_step: object) -> None:
            pass

        def on_thumbs(result: RenderResult) -> None:
            made = {
                n: (messages.thumb(result.to_pil(i)), False) for i, n in enumerate(result.neurons)
            }
            self._add_thumbs(layer, made)
            done = len(self._thumbs.get(layer, {}))
            self._progress("preview", layer, -1, done, total, *rate.update(done, total))

        def on_done(_: object) -> None:
            self._progress("preview", layer, -1, total, total, 0, 0, "done")

        def on_stop() -> None:
            if not self.closed:
                done = len(self._thumbs.get(layer, {}))
                self._progress("preview", layer, -1, done, total, 0, 0, "stopped")

        self._submit(
            "preview",
            self._preview_steps(layer, on_thumbs),
            on_done,
            urgency=3,
            on_step=on_step,
            on_stop=on_stop,
        )

    def _preview_steps(
        self, layer: str, on_thumbs: Callable[[RenderResult], None]
    ) -> Generator[object, None, None]:
        from neuron_widget.render import PREVIEW, render_steps

        assert self.model is not None
        while neurons := self._next_previews(layer):
            steps = render_steps(self.model, layer, neurons, seed=self._settings.seed, **PREVIEW)
            on_thumbs((yield from steps))

    def _next_previews(self, layer: str) -> list[int]:
        """The selected neuron, then those in view, then the others in order."""
        with self._lock:
            there = self._thumbs.get(layer, {})
            order: Iterable[int] = [self.neuron, *self._in_view, *range(self._channels)]
            missing = dict.fromkeys(n for n in order if n not in there and 0 <= n < self._channels)
            return list(missing)[:PREVIEW_BATCH]

    def _add_thumbs(self, layer: str, made: dict[int, tuple[bytes, bool]]) -> None:
        with self._lock:
            there = self._thumbs.setdefault(layer, {})
            # A quick preview never covers a finished picture.
            fresh = {n: t for n, t in made.items() if t[1] or not there.get(n, (b"", False))[1]}
            there.update(fresh)
        if fresh:
            self._send(*messages.thumbs(layer, fresh))

    # -------------------------------------------------------------- scanning

    def _scan_steps(
        self, layer: str, dataset: Any, download: bool
    ) -> Generator[ScanProgress | None, None, ScanResult]:
        from neuron_widget.scan import open_dataset, scan_steps

        assert self.model is not None
        if dataset is not None or self.dataset is None:
            yield None
            given = dataset if dataset is not None else self._settings.dataset
            opened = open_dataset(given, download=download)
            with self._lock:
                self.dataset = opened
                self._scans.clear()
                self._photos.clear()
            self._show("dataset", messages.dataset(opened, []))
        assert self.dataset is not None
        # Small batches on a CPU: the image that forms beside this scan must keep moving.
        batch_size = 8 if self.model.device.type == "cpu" else 64
        return (
            yield from scan_steps(
                self.model,
                layer,
                self.dataset,
                top_k=self._settings.top_k,
                batch_size=batch_size,
            )
        )

    def _scanned(self, layer: str, result: ScanResult) -> None:
        with self._lock:
            self._scans[layer] = result
            for key in [key for key in self._photos if key[0] == layer]:
                del self._photos[key]
        if self.dataset is not None:
            self._show("dataset", messages.dataset(self.dataset, result.skipped))
        self._send(messages.strengths(result, layer), [])
        self._find_photos()

    def _find_photos(self) -> None:
        """Prepare the photo rows of the selected neuron, if the layer was scanned."""
        key = (self.layer, self.neuron)
        scan = self._scans.get(self.layer)
        if scan is None or key in self._photos:
            return

        def steps() -> Generator[None, None, Part]:
            assert scan is not None
            yield
            return messages.photos(scan, *key)

        def on_done(part: Part) -> None:
            with self._lock:
                _keep(self._photos, key, part)
            self._send(*part)
            with self._lock:
                image = self._images.get(key)
            if image is not None:
                self._send(*messages.image(image, self._best_photo(*key)))

        self._submit("photos", steps(), on_done, urgency=1)

    # -------------------------------------------------------------- telling

    def _submit(
        self,
        task: str,
        steps: Generator[Any, None, Any],
        on_done: Callable[[Any], None],
        *,
        on_error: Callable[[BaseException], None] | None = None,
        **how: Any,
    ) -> Job:
        def failed(error: BaseException) -> None:
            self._fail("render", "Something went wrong", error)

        job = Job(self, task, steps, on_done=on_done, on_error=on_error or failed, **how)
        return self._worker.submit(job)

    def _show(self, key: str, message: Message) -> None:
        """Send a message that a later view needs too."""
        with self._lock:
            self._shown[key] = message
        if not self.closed:
            self._send(message, [])

    def _progress(
        self,
        task: str,
        layer: str,
        neuron: int,
        done: int,
        total: int,
        rate: float,
        left: float,
        state: str = "running",
    ) -> None:
        if self.closed:
            return
        message = messages.progress(task, layer, neuron, done, total, rate, left, state)
        self._show(f"progress {task}", message)
        active = state in ("running", "waiting")
        if task == "render":
            self.progress = done / total if total else 0.0
            self.status = f"rendering {layer} neuron {neuron}" if active else _ENDED[state]
        elif task == "scan" and not any(j.task == "render" for j in self._worker.jobs(self)):
            self.status = f"scanning for {layer}" if active else _ENDED[state]
        self._on_change()

    def _fail(
        self, where: str, title: str, error: BaseException, action: str = "", dataset: Any = None
    ) -> None:
        expected = isinstance(error, NeuronWidgetError)
        trace = "" if expected else "".join(traceback.format_exception(error))
        name = dataset if isinstance(dataset, str) else ""
        if where in ("network", "render"):
            self.status = f"failed: {error}"
        self._show(f"error {where}", messages.error(where, title, error, trace, action, name))
        self._on_change()

    def _clear_error(self, where: str) -> None:
        with self._lock:
            there = self._shown.pop(f"error {where}", None)
        if there is not None:
            self._send(messages.no_error(where), [])


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > KEPT:
        kept.popitem(last=False)
