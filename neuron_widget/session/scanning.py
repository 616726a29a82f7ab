"""The data set, its scan, and the photos of a neuron."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import DatasetError, DownloadNeeded
from neuron_widget.session import messages
from neuron_widget.session.jobs import Job
from neuron_widget.session.messages import Part
from neuron_widget.session.pace import Rate, Throttle

if TYPE_CHECKING:
    from neuron_widget.scanning import ImageDataset, ScanProgress, ScanResult
    from neuron_widget.session.session import Session

__all__ = ["Scanning"]


class Scanning:
    """The jobs that scan a session's data set and prepare photos."""

    def __init__(self, session: Session):
        self._session = session
        self._dataset: ImageDataset | None = None
        # A scan was asked for while a data set was being opened.
        self._postponed = False

    def start(self, another: Any = None, *, download: bool, told: bool = False) -> Job:
        """Scan the data set, or another one, for the selected layer.

        Another one is opened while the scan before it goes on; only then does it take its place.
        ``told``: an error that is on the page stays there.
        """
        session = self._session
        opening = [job for job in session.worker.jobs(session) if job.task == "dataset"]
        if another is None and opening:
            # It goes on to the layer that is selected then.
            self._postponed = True
            return opening[0]
        opens = another is not None or self._dataset is None
        layer, aside = session.layer, opens and session.running("scan")
        rate, tell = Rate(), Throttle(0.2)
        last: list[ScanProgress] = []

        def progress(done: int, state: str, total: int | None = None) -> None:
            total = done if total is None else total
            if not aside:
                session.tell_progress("scan", layer, -1, done, total, state=state)

        def steps() -> Generator[ScanProgress | None, None, ScanResult]:
            nonlocal layer, aside
            if opens:
                yield from self._open(another, download)
                session.worker.rename(session, "dataset", "scan")
                layer, aside, self._postponed = session.layer, False, False
            return (yield from self._steps(layer))

        def on_step(step: ScanProgress | None) -> None:
            if step is None:
                return
            last[:] = [step]
            if tell.due():
                per_second, left = rate.update(step.done, step.total)
                session.tell_progress("scan", layer, -1, step.done, step.total, per_second, left)

        def on_done(result: ScanResult, state: str = "done") -> None:
            self._keep(layer, result)
            session.store_adapter.tell()
            progress(result.scanned, state, last[0].total if state == "stopped" else None)

        def on_stop() -> None:
            # Replaced by another scan: nothing to show. Stopped by the person: what is there.
            if session.closed or session.running("scan") or session.running("dataset"):
                return
            self._postponed = False
            if last and last[0].done and session.layer == layer:
                on_done(last[0].result(), "stopped")
            else:
                progress(0, "stopped", last[0].total if last else None)

        def title() -> str:
            if another is None or self._dataset is None or session.settings.dataset == another:
                return "The data set could not be scanned"
            goes_on = session.running("scan")
            rest = f"; the scan of {self._dataset.name} goes on" if goes_on else ""
            return f"{another} could not be opened{rest}"

        def on_error(error: BaseException) -> None:
            if self._dataset is None:
                # Known now: the page shows the ways to give one.
                session.show("dataset", messages.dataset(None, []))
            if isinstance(error, DownloadNeeded):
                progress(0, "stopped")
                named = str(session.settings.dataset if another is None else another)
                question = DatasetError(error.question)
                session.fail("scan", f"Download {named}?", question, "download", named)
            else:
                progress(0, "failed")
                session.fail("scan", title(), error)
            if self._postponed and self._dataset is not None:
                self._postponed = False
                self.start(download=False, told=True)

        if not told:
            session.no_error("scan")
        progress(0, "waiting")
        return session.submit(
            "dataset" if opens else "scan",
            steps(),
            on_done,
            priority=2,
            on_step=on_step,
            on_stop=on_stop,
            on_error=on_error,
        )

    def _open(self, another: Any, download: bool) -> Generator[None, None, None]:
        from neuron_widget.scanning import open_dataset_steps

        session = self._session
        yield
        wanted = session.settings.dataset if another is None else another
        dataset = yield from open_dataset_steps(wanted, download=download)
        yield
        self._dataset = dataset
        with session.lock:
            # Only now: what cannot be opened is not what this view looks into.
            session.settings = replace(session.settings, dataset=wanted)
            session.cache.forget_data()
        session.show("dataset", messages.dataset(dataset, []))

    def _steps(self, layer: str) -> Generator[ScanProgress, None, ScanResult]:
        from neuron_widget.store.reuse import scan_steps

        session = self._session
        model = session.model
        assert model is not None
        assert self._dataset is not None
        return (
            yield from scan_steps(
                session.store_adapter.store,
                model,
                layer,
                self._dataset,
                top_k=session.settings.top_k,
                # Small batches on a CPU: the image that forms beside this must keep moving.
                batch_size=8 if model.device.type == "cpu" else 64,
            )
        )

    def _keep(self, layer: str, result: ScanResult) -> None:
        session = self._session
        with session.lock:
            session.cache.add_scan(layer, result)
        if self._dataset is not None:
            session.show("dataset", messages.dataset(self._dataset, result.skipped))
        session.send(messages.strengths(result, layer), [])
        session.send_neurons()
        self.find_photos()

    def find_photos(self) -> None:
        """Prepare the photo rows of the selected neuron, and of those that are pinned."""
        session = self._session
        with session.lock:
            kept = session.cache
            wanted = [
                (key, kept.scans[key[0]])
                for key in dict.fromkeys((session.key, *kept.pins))
                if key[0] in kept.scans and key not in kept.photos
            ]
        if not wanted:
            return

        def steps() -> Generator[None, None, None]:
            for key, scan in wanted:
                yield
                part = messages.photos(scan, *key)
                with session.lock:
                    if kept.scans.get(key[0]) is not scan:
                        continue  # scanned again in the meantime
                    kept.add_photos(key, part)
                session.send(*part)

        session.submit("photos", steps(), lambda _: None, priority=1)

    def enlarge(self, layer: str, neuron: int, group: str, rank: int) -> None:
        """Send one photo large."""
        session = self._session
        scan = session.cache.scans.get(layer)
        if scan is None or group not in ("most", "least"):
            return
        found = scan

        def steps() -> Generator[None, None, Part]:
            yield
            return messages.large_photo(found, layer, neuron, group, rank)

        session.submit("enlarge", steps(), lambda part: session.send(*part), priority=0)
