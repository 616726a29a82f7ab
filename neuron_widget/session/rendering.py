"""The image of the selected neuron."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from neuron_widget.protocol.encode import thumb
from neuron_widget.session import messages
from neuron_widget.session.jobs import Job, Pause
from neuron_widget.session.pace import Rate, Throttle
from neuron_widget.session.state import State
from neuron_widget.session.store_adapter import StoreAdapter, said_of
from neuron_widget.targets import Target

if TYPE_CHECKING:
    from neuron_widget.rendering import RenderResult, RenderStep
    from neuron_widget.rendering.result import Steps
    from neuron_widget.session.cache import Thumb
    from neuron_widget.session.settings import Recipe
    from neuron_widget.store.sharing import Waiting

__all__ = ["Rendering"]

_PRIORITY, _FIRST_STEP = 2, 1


@dataclass(eq=False)
class _Run:
    """One rendering, from its request to its end.

    ``here``: made here, whoever else makes it. ``elsewhere``: another process makes it just now.
    ``left`` is what there was when it was stopped. ``told``: the page knows how it ended.
    """

    recipe: Recipe
    target: Target
    steps: int
    here: bool = False
    job: Job | None = None
    elsewhere: bool = False
    note: str = ""
    said: tuple[int, str] | None = None
    left: RenderResult | None = None
    told: bool = False
    stopped_by_person: bool = False
    rate: Rate = field(default_factory=Rate)
    throttle: Throttle = field(default_factory=lambda: Throttle(0.2))

    def makes(self, recipe: Recipe, target: Target, steps: int) -> bool:
        """Whether this is being made just now."""
        under_way = self.job is not None and self.job.active
        return under_way and (self.recipe, self.target, self.steps) == (recipe, target, steps)


class _Stopped(NamedTuple):
    """A rendering that did not come to its end: how far it was to go, and who ended it."""

    steps: int
    by_person: bool


class Rendering:
    """The job that renders the selected neuron, with live frames.

    ``on_image`` is called with a target of which there is a new image.
    """

    def __init__(self, state: State, store: StoreAdapter, on_image: Callable[[Target], None]):
        self._state = state
        self._store = store
        self._on_image = on_image
        self._run: _Run | None = None
        self._stopped: dict[tuple[Recipe, Target], _Stopped] = {}

    def known(self) -> bool:
        """Whether the selected neuron has an image that nothing is wanted of.

        One that was stopped for another neuron's sake goes on by itself.
        """
        state = self._state
        stopped = self._stopped.get((state.settings.recipe, state.target))
        left = stopped is not None and not stopped.by_person
        return state.cache.rendering(state.target) is not None and not left

    def stop(self) -> None:
        """Stop because a person wants it so: it does not go on by itself."""
        if self._run is not None:
            self._run.stopped_by_person = True
        self._state.stop("render")

    def let_go(self) -> None:
        """Forget the last rendering."""
        self._run = None

    def resume(self) -> Job | None:
        """Go on with the selected neuron where it was stopped, as far as it was to go."""
        state = self._state
        stopped = self._stopped.get((state.settings.recipe, state.target))
        if stopped is not None:
            return self.start(steps=stopped.steps)
        return self.start() if state.cache.rendering(state.target) is None else None

    def recall(self, steps: int | None = None, *, packaged: bool = False) -> bool:
        """Show the selected neuron's image as the store has it; False if it has none.

        ``packaged``: one that came with the package will do.
        """
        state = self._state
        target, recipe = state.target, state.settings.recipe
        steps = state.steps if steps is None else steps
        result = self._store.find(target, steps, recipe, packaged)
        if result is None:
            return False
        # A choice in the middle of another one (while the network opens) looks it up as well.
        there = state.cache.rendering(target, recipe)
        if there is None or there.steps != result.steps:
            self._show(recipe, target, result)
        if not state.running("render"):
            state.show_progress("render", target.layer, target, steps, steps, state="done")
        return True

    def start(
        self,
        delay: float = 0.0,
        steps: int | None = None,
        *,
        insist: bool = False,
        ahead: bool = False,
    ) -> Job | None:
        """Render the selected neuron, or go on from the image that is there.

        ``steps`` counts from the beginning; default what is selected. None if the store has it.
        ``insist``: if another process makes it just now, and that is known, make it here as well.
        ``ahead``: its first step goes before the neuron's photos, which take as long as ten.
        """
        state = self._state
        target, recipe = state.target, state.settings.recipe
        steps = state.steps if steps is None else steps
        here = False
        if self._run is not None and self._run.makes(recipe, target, steps):
            here = insist and self._run.elsewhere
            if not here:
                return self._run.job
        if self.recall(steps):
            return None
        run = _Run(recipe, target, steps, here)
        state.no_error("render")
        self._progress(run, 0, "waiting")
        self._run = run
        run.job = state.submit(
            "render",
            self._steps(run),
            partial(self._on_done, run),
            priority=_FIRST_STEP if ahead else _PRIORITY,
            # A person watches the image; the scan beside it may take a little longer.
            share=2.0,
            delay=delay,
            on_step=partial(self._on_step, run),
            on_stop=partial(self._on_stop, run),
            on_error=partial(self._on_error, run),
        )
        return run.job

    def _steps(self, run: _Run) -> Generator[RenderStep | Pause, None, RenderResult]:
        on_wait = None if run.here else partial(self._on_wait, run)
        make = partial(self._make, run)
        return (yield from self._store.share(run.target, run.steps, run.recipe, make, on_wait))

    def _make(self, run: _Run) -> Steps:
        """Render it here. What is there at the end is shown, then kept, before others may go on."""
        from neuron_widget.rendering import render_steps

        model = self._state.model
        assert model is not None
        if run.elsewhere:
            run.elsewhere, run.note = False, "taken over from another notebook or program"
        # Looked up only now: the rendering that this one replaces has been kept.
        known = (
            self._state.cache.rendering(run.target, run.recipe),
            self._store.begun(run.target, run.steps, run.recipe),
        )
        begun = [
            result
            for result in known
            if result is not None
            and result.state is not None
            and result.steps < run.steps
            and result.settings["model"] == model.identity
        ]
        resume = max(begun, key=lambda result: result.steps, default=None)
        how = run.recipe.as_options()
        last: RenderStep | None = None
        self._state.frames.begin()
        with closing(
            render_steps(model, run.target, steps=run.steps, **how, resume=resume)
        ) as steps:
            try:
                while True:
                    try:
                        last = next(steps)
                    except StopIteration as end:
                        result: RenderResult = end.value
                        break
                    yield last
            except GeneratorExit:
                if last is not None and not self._state.closed:
                    run.left = last.result()
                    self._tell_stopped(run)
                    self._store.keep(run.left)
                raise
        if not self._state.closed:
            self._tell_done(run, result)
        self._store.keep(result)
        return result

    # -------------------------------------------------------------- what the job says

    def _on_wait(self, run: _Run, waiting: Waiting) -> None:
        run.elsewhere = True
        # Its steps are counted from where it began: those left tell where it is.
        left = waiting.total - waiting.done
        said = max(0, run.steps - left) if waiting.total else 0, said_of(waiting)
        if said != run.said:
            run.said = said
            self._progress(run, said[0], "elsewhere", f"{said[1]} · Render makes it here")

    def _on_step(self, run: _Run, step: RenderStep) -> None:
        state = self._state
        if run.job is not None:
            state.worker.reprioritise(run.job, _PRIORITY)
        # Not of the last step: where the progress is whole, the image is there.
        if step.step < step.steps and run.throttle.due():
            rate, left = run.rate.update(step.step, step.steps)
            layer = run.target.layer
            state.show_progress(
                "render", layer, run.target, step.step, step.steps, rate, left, note=run.note
            )
        if state.frames.due():
            index = state.frames.sent()
            objective = run.recipe.as_options()["objective"]
            part = messages.frame(index, step, ack=state.frames.full, objective=objective)
            with state.lock:
                # After a change of settings the page must see no picture made before it.
                if state.cache.recipe == run.recipe:
                    state.send(*part)

    def _on_done(self, run: _Run, result: RenderResult) -> None:
        if not run.told:
            self._tell_done(run, result)

    def _tell_done(self, run: _Run, result: RenderResult) -> None:
        run.told = True
        self._stopped.pop((run.recipe, run.target), None)
        self._show(run.recipe, run.target, result)
        self._progress(run, result.steps, "done")

    def _on_stop(self, run: _Run) -> None:
        if not run.told:
            self._tell_stopped(run)

    def _tell_stopped(self, run: _Run) -> None:
        run.told = True
        state = self._state
        self._stopped[run.recipe, run.target] = _Stopped(run.steps, run.stopped_by_person)
        result = run.left
        known = state.cache.rendering(run.target, run.recipe)
        if result is not None and (known is None or known.steps <= result.steps):
            self._show(run.recipe, run.target, result)
            self._progress(run, result.steps, "stopped")
        elif known is not None:
            # A new beginning takes no further image's place before it is as far.
            state.send_targets(run.target)
            self._progress(run, known.steps, "stopped")
        else:
            self._progress(run, 0, "stopped")

    def _on_error(self, run: _Run, error: BaseException) -> None:
        result: RenderResult | None = getattr(error, "result", None)
        # What it began from, before any step, is no image of the neuron.
        done = result.steps if result is not None else 0
        if result is not None and done:
            self._show(run.recipe, run.target, result)
        self._progress(run, done, "failed")
        self._state.fail("render", f"Rendering {self._state.title(run.target)} failed", error)

    def _progress(self, run: _Run, done: int, how: str, note: str = "") -> None:
        layer = run.target.layer
        self._state.show_progress(
            "render", layer, run.target, done, run.steps, state=how, note=note
        )

    def _show(self, recipe: Recipe, target: Target, result: RenderResult) -> None:
        from neuron_widget.settings import PREVIEW

        state = self._state
        part = messages.image(result)
        # One that was stopped is worth no more than a preview, and less before it has its steps.
        whole = result.steps >= result.settings["steps"]
        made: dict[int, Thumb] = {}
        # A tile shows the whole neuron.
        tile = target == target.channel
        if tile and (whole or result.steps >= PREVIEW["steps"]):
            made[target.neuron] = thumb(result.to_pil(0)), whole
        with state.lock:
            state.cache.add_rendering(recipe, target, result, part)
        state.send_targets(target)
        state.add_thumbs(recipe, target.layer, made)
        self._on_image(target)
        state.on_change()
