"""The data set and its scan."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import DatasetError, DownloadNeeded
from neuron_widget.session import messages
from neuron_widget.session.jobs import Job, Pause
from neuron_widget.session.pace import Rate, Throttle
from neuron_widget.session.state import State
from neuron_widget.session.store_adapter import StoreAdapter, pausing, said_of

if TYPE_CHECKING:
    from neuron_widget.durable import Arrays
    from neuron_widget.scanning import ImageDataset, ScanProgress, ScanResult
    from neuron_widget.store.sharing import Waiting

__all__ = ["Scanning"]

_log = logging.getLogger(__name__)

# Photos of a scan that goes on are shown when it has seen so many, and then at a calm pace.
FIRST_LOOK = 64
LOOK_EVERY_S = 2.0

# Until then a scan gets this share of the time beside the image: no photo is on screen yet.
FIRST_SHARE = 4.0


@dataclass(eq=False)
class _Run:
    """One request: a data set to open, while ``opens``, then the scan of a layer.

    ``another`` is the data set, where it is another one than the settings name. ``aside``: the
    scan before it goes on, and is what the page hears of, until the other data set is open.
    ``elsewhere``: another process makes the scan just now.
    """

    layer: str
    opens: bool
    another: Any = None
    download: bool = False
    aside: bool = False
    last: ScanProgress | None = None
    elsewhere: bool = False
    note: str = ""
    said: tuple[int, int, str] | None = None
    rate: Rate = field(default_factory=Rate)
    throttle: Throttle = field(default_factory=lambda: Throttle(0.2))
    looks: Throttle | None = field(default_factory=lambda: Throttle(LOOK_EVERY_S))


class Scanning:
    """The job that opens a session's data set and scans it.

    Parameters
    ----------
    state, store
        The session's.
    on_scanned
        Called when there is a new scan in the cache.
    on_look
        Called with what a scan that goes on found so far, now and then.
    """

    def __init__(
        self,
        state: State,
        store: StoreAdapter,
        on_scanned: Callable[[], None],
        on_look: Callable[[ScanResult], None],
    ):
        self._state = state
        self._store = store
        self._on_scanned = on_scanned
        self._on_look = on_look
        self._dataset: ImageDataset | None = None
        # A scan was asked for while a data set was being opened.
        self._postponed = False
        # What was stopped: a data set before it was open, scans with a part of the photos.
        self._unopened: _Run | None = None
        self._partial: set[str] = set()
        # Where scans are that go on without a store.
        self._checkpoints: dict[tuple[str, str], MemoryCheckpoint] = {}
        self._iterated = _Iterated()

    def start(
        self, another: Any = None, *, download: bool = False, keep_error: bool = False
    ) -> Job:
        """Scan the data set, or another one, for the selected layer.

        Another one is opened while the scan before it goes on; only then does it take its place.
        ``keep_error``: an error that is on the page stays there.
        """
        state = self._state
        opening = [job for job in state.jobs() if job.task == "dataset" and job.active]
        if another is None and opening:
            # It goes on to the layer that is selected then.
            self._postponed = True
            return opening[0]
        opens = another is not None or self._dataset is None
        state.stop("recall")
        run = _Run(state.layer, opens, another, download, aside=opens and state.running("scan"))
        self._unopened = None
        if not keep_error:
            state.no_error("scan")
        self._progress(run, 0, 0, "waiting")
        return state.submit(
            "dataset" if opens else "scan",
            self._steps(run),
            partial(self._on_done, run),
            priority=2,
            share=FIRST_SHARE,
            on_step=partial(self._on_step, run),
            on_stop=partial(self._on_stop, run),
            on_error=partial(self._on_error, run),
        )

    @property
    def dataset(self) -> ImageDataset | None:
        """The photos; None before they are open."""
        return self._dataset

    def recall(self, *, waits: bool = True) -> None:
        """Show the stored scan of the selected layer before the network is open.

        ``waits``: where there is none, it is made when the network is open.
        Only of photos that a name or a folder tells: anything else may be code of the user's.
        """
        state, wanted = self._state, self._state.settings.dataset
        layer = state.layer
        if not isinstance(wanted, (str, os.PathLike)) or str(wanted) == "imagenette":
            return

        def steps() -> Generator[None, None, ScanResult | None]:
            from neuron_widget.scanning import open_dataset_steps

            yield
            if self._dataset is None:
                dataset = yield from open_dataset_steps(wanted)
                self._dataset = dataset
                state.show("dataset", messages.dataset(dataset, []))
            yield
            return self._store.scan(layer, self._dataset)

        def found(scan: ScanResult | None) -> None:
            if state.layer != layer or state.model is not None:
                return
            photos, how = len(self._dataset) if self._dataset is not None else 0, "waiting"
            if scan is not None:
                self._keep(layer, scan)
                photos, how = scan.scanned, "done"
            elif not waits:
                return
            done = photos if scan is not None else 0
            state.show_progress("scan", layer, None, done, photos, state=how)

        # What is wrong with the data set is said when it is to be scanned.
        state.submit("recall", steps(), found, priority=1, on_error=lambda _: None)

    def resume(self) -> Job | None:
        """Go on where the data set or the scan of the selected layer was stopped."""
        state = self._state
        if self._unopened is not None:
            return self.start(self._unopened.another, download=self._unopened.download)
        whole = state.layer in state.cache.scans and state.layer not in self._partial
        return None if whole else self.start()

    def let_go(self) -> None:
        """Forget the data set and what was found in it."""
        self._dataset = self._unopened = None
        self._checkpoints.clear()

    def _steps(self, run: _Run) -> Generator[ScanProgress | Pause | None, None, ScanResult]:
        if run.opens:
            yield from self._open(run)
            self._state.worker.rename(self._state, "dataset", "scan")
            run.layer = self._state.layer
            run.opens = run.aside = self._postponed = False
        return (yield from self._scan(run))

    def _open(self, run: _Run) -> Generator[None, None, None]:
        from neuron_widget.scanning import open_dataset_steps

        state = self._state
        yield
        wanted = state.settings.dataset if run.another is None else run.another
        # An iterator gives its items once: after a stop those it gave come again.
        again = self._iterated.again(wanted) if isinstance(wanted, Iterator) else wanted
        try:
            dataset = yield from open_dataset_steps(again, download=run.download)
        except OSError as error:  # a name that is none, a drive that is gone
            raise DatasetError(
                f"{_named(wanted)} cannot be opened: {error.strerror or error}; expected a folder "
                "of images, 'samples' or 'imagenette'"
            ) from error
        yield
        self._iterated = _Iterated()
        self._dataset = dataset
        self._partial.clear()
        self._checkpoints.clear()
        with state.lock:
            # Only now: what cannot be opened is not what this view looks into.
            state.settings = state.settings.replace(dataset=wanted)
            state.cache.forget_data()
            state.forget_strip("dataset")
        state.show("dataset", messages.dataset(dataset, []))

    def _scan(self, run: _Run) -> Generator[ScanProgress | Pause, None, ScanResult]:
        from neuron_widget.store.reuse import scan_steps

        model = self._state.model
        assert model is not None
        assert self._dataset is not None
        at = run.layer, model.identity
        work = scan_steps(
            self._store.store,
            model,
            run.layer,
            self._dataset,
            top_k=self._state.settings.top_k,
            # Small batches on a CPU: the image that forms beside this must keep moving.
            batch_size=8 if model.device.type == "cpu" else 64,
            # Where there is no store; a store has its own.
            checkpoint=self._checkpoints.setdefault(at, MemoryCheckpoint()),
            on_wait=partial(self._on_wait, run),
        )
        result = yield from pausing(work)
        self._checkpoints.pop(at, None)
        return result

    # -------------------------------------------------------------- what the job says

    def _on_wait(self, run: _Run, waiting: Waiting) -> None:
        run.elsewhere = True
        said = waiting.done, waiting.total, said_of(waiting)
        if said != run.said:
            run.said = said
            self._progress(run, *said[:2], "elsewhere", said[2])

    def _on_step(self, run: _Run, step: ScanProgress | None) -> None:
        if step is None:
            return
        if run.elsewhere:
            run.elsewhere, run.note = False, "taken over from another notebook or program"
        run.last = step
        if run.throttle.due():
            rate, left = run.rate.update(step.done, step.total)
            self._state.show_progress(
                "scan", run.layer, None, step.done, step.total, rate, left, note=run.note
            )
        self._look(run, step)

    def _look(self, run: _Run, step: ScanProgress) -> None:
        """Show what was found so far, within the scan's own step: it costs no other job its time.

        Not at the end: there the result comes.
        """
        if not FIRST_LOOK <= step.done - step.skipped < step.total - step.skipped:
            return
        self._state.give("scan", 1.0)
        if run.looks is not None and run.looks.due():
            try:
                self._on_look(step.result())
            except Exception as error:  # noqa: BLE001  # a photo is gone: no reason to end the scan
                _log.warning("the photos so far cannot be shown: %r", error)
                run.looks = None

    def _on_done(self, run: _Run, result: ScanResult) -> None:
        self._partial.discard(run.layer)
        self._keep(run.layer, result)
        self._store.report_failure()
        self._progress(run, result.scanned, result.scanned, "done")

    def _on_stop(self, run: _Run) -> None:
        state = self._state
        if not run.opens:
            self._partial.add(run.layer)
        # Replaced by another scan, which will have the last word.
        if state.running("scan") or state.running("dataset"):
            return
        self._postponed = False
        if run.opens:
            self._unopened = run
        last = run.last
        if last is not None and last.done and state.layer == run.layer:
            result = last.result()
            self._keep(run.layer, result)
            self._store.report_failure()
            self._progress(run, result.scanned, last.total, "stopped")
        else:
            self._progress(run, 0, last.total if last is not None else 0, "stopped")

    def _on_error(self, run: _Run, error: BaseException) -> None:
        state = self._state
        if self._dataset is None:
            # Known now: the page shows the ways to give one.
            state.show("dataset", messages.dataset(None, []))
        if isinstance(error, DownloadNeeded):
            self._progress(run, 0, 0, "stopped")
            named = _named(state.settings.dataset if run.another is None else run.another)
            question = DatasetError(error.question)
            state.fail("scan", f"Download {named}?", question, "download", named)
        else:
            self._progress(run, 0, 0, "failed")
            state.fail("scan", self._title(run), error)
        postponed, self._postponed = self._postponed, False
        if postponed and self._dataset is not None:
            self.start(keep_error=True)

    def _title(self, run: _Run) -> str:
        """What failed."""
        state = self._state
        if (
            run.another is None
            or self._dataset is None
            or _same(state.settings.dataset, run.another)
        ):
            return "The data set could not be scanned"
        rest = f"; the scan of {self._dataset.name} goes on" if state.running("scan") else ""
        return f"{_named(run.another)} could not be opened{rest}"

    def _progress(self, run: _Run, done: int, total: int, how: str, note: str = "") -> None:
        # The page hears of the scan beside this, and how that ended; but if it was stopped and left
        # the word to this one, nothing else would say that no scan runs any more.
        state = self._state
        if run.aside and (state.running("scan") or not state.shows_active("scan")):
            return
        state.show_progress("scan", run.layer, None, done, total, state=how, note=note)

    def _keep(self, layer: str, result: ScanResult) -> None:
        state = self._state
        strengths = messages.strengths(result, layer)
        with state.lock:
            state.cache.add_scan(layer, result, strengths)
        if self._dataset is not None:
            state.show("dataset", messages.dataset(self._dataset, result.skipped))
        state.send(strengths, [])
        self._on_scanned()


def _same(one: object, other: object) -> bool:
    """Whether two data sets are one; what is no name is not compared: that is the user's code."""
    names = isinstance(one, (str, os.PathLike)) and isinstance(other, (str, os.PathLike))
    return str(one) == str(other) if names else one is other


def _named(dataset: object) -> str:
    """A data set in a line of text."""
    if isinstance(dataset, (str, os.PathLike)):
        name = str(dataset)
        return name if len(name) < 200 else f"{name[:100]}...{name[-50:]}"
    return f"the {type(dataset).__name__}"


class _Iterated:
    """What an iterator gave so far."""

    def __init__(self) -> None:
        self._of: Iterator[Any] | None = None
        self._given: list[Any] = []

    def again(self, items: Iterator[Any]) -> Iterator[Any]:
        """All of its items, from the first one on."""
        if items is not self._of:
            self._of, self._given = items, []
        yield from list(self._given)
        while True:
            try:
                item = next(items)
            except StopIteration:
                return
            except BaseException:  # it gives nothing any more: a part is not all
                self._given.clear()
                raise
            self._given.append(item)
            yield item


class MemoryCheckpoint:
    """Where a scan is, where no store keeps it; see :mod:`neuron_widget.store.checkpoints`."""

    def __init__(self) -> None:
        self._saved: tuple[dict[str, Any], Arrays] | None = None

    def load(self) -> tuple[dict[str, Any], Arrays] | None:
        """Return what was saved; a copy, for the scan goes on in its arrays."""
        return copy.deepcopy(self._saved)

    def due(self, done: int) -> bool:  # noqa: ARG002
        """Only the end is saved."""
        return False

    def save(self, facts: dict[str, Any], arrays: Arrays) -> None:
        """Keep a copy."""
        self._saved = copy.deepcopy((facts, arrays))
