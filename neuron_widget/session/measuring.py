"""How far pictures predict the neurons of a layer."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import WidgetError
from neuron_widget.session import messages
from neuron_widget.session.jobs import Job
from neuron_widget.session.pace import Rate, Throttle
from neuron_widget.session.state import State
from neuron_widget.session.store_adapter import StoreAdapter
from neuron_widget.targets import Target

if TYPE_CHECKING:
    from neuron_widget.analysis.predicting import Predictability, Watching
    from neuron_widget.rendering import RenderResult
    from neuron_widget.session.settings import Recipe

__all__ = ["Measuring"]


class Measuring:
    """The job that asks a machine about a layer; and, where that was done, about each new image."""

    def __init__(self, state: State, store: StoreAdapter):
        self._state = state
        self._store = store

    def start(self) -> Job | None:
        """Measure the selected layer; None if that was done."""
        state = self._state
        layer, scan = state.layer, state.scan_result
        if scan is None:
            raise WidgetError(
                f"photos of {layer or 'the layer'} are not scanned yet: how far pictures predict "
                "its neurons is asked about photos; wait for the scan, or start it with scan()"
            )
        if state.cache.measured(layer) is not None:
            return None
        if state.running("measure"):
            return next(job for job in state.jobs() if job.task == "measure" and job.active)
        state.no_error("save")
        rate, throttle = Rate(), Throttle(0.2)
        last = {"done": 0, "total": 0}

        def on_step(now: Watching) -> None:
            last.update(done=now.done, total=now.total)
            if throttle.due():
                per_second, left = rate.update(now.done, now.total)
                show("running", per_second, left)

        def show(how: str, per_second: float = 0.0, left: float = 0.0) -> None:
            done, total = last["total" if how == "done" else "done"], last["total"]
            state.show_progress("measure", layer, None, done, total, per_second, left, how)

        def on_error(error: BaseException) -> None:
            show("failed")
            state.fail("save", "How far pictures predict neurons could not be measured", error)

        def on_done(found: Predictability) -> None:
            show("done")
            if state.cache.scans.get(layer) is scan:
                self._keep(state.settings.recipe, layer, found, ())
                self._judge(layer)

        show("waiting")
        return state.submit(
            "measure",
            self._steps(scan),
            on_done,
            # Asked for, so beside the gallery's previews and not after them.
            priority=2,
            on_step=on_step,
            on_stop=partial(show, "stopped"),
            on_error=on_error,
        )

    def _steps(self, scan: Any) -> Generator[Watching, None, Predictability]:
        from neuron_widget.analysis.predicting import predictability_steps

        store = self._store.store
        return (yield from predictability_steps(scan, store=store if store is not None else False))

    def look(self, target: Target) -> None:
        """Ask about the image of a target, where its layer is measured."""
        if target == target.channel and self._state.cache.measured(target.layer) is not None:
            self._judge(target.layer, target.neuron)

    def _judge(self, layer: str, neuron: int | None = None) -> None:
        """Ask about the finished image of a neuron, or those of all that have one."""
        state = self._state
        with state.lock:
            recipe = state.cache.recipe
            found = state.cache.measured(layer)
            made: dict[int, RenderResult] = {
                target.neuron: result
                for target, (result, _) in state.cache.renderings.items()
                if target.layer == layer and target == target.channel
                if neuron in (None, target.neuron)
            }
        if found is None or found.reason or not made:
            return
        whole = {n: r for n, r in made.items() if r.steps >= r.settings["steps"]}

        def steps() -> Generator[None, None, Predictability]:
            yield
            return found.with_images({n: r.images[0] for n, r in whole.items()})

        on_done = partial(self._on_judged, recipe, layer, whole)
        # One image is looked at in a moment: no reason to wait for the previews.
        state.submit("judge", steps(), on_done, priority=3 if neuron is None else 1)

    def _on_judged(
        self, recipe: Recipe, layer: str, made: dict[int, RenderResult], found: Predictability
    ) -> None:
        if self._state.cache.measured(layer) is not None:  # not another scan in the meantime
            self._keep(recipe, layer, found, made)

    def _keep(self, recipe: Recipe, layer: str, found: Predictability, judged: Any) -> None:
        state = self._state
        with state.lock:
            state.cache.add_measure(recipe, layer, found, judged)
            measured = state.cache.measured(layer)
        if measured is not None and not state.closed:
            state.send(messages.predicted(measured), [])
