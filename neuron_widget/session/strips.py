"""Pictures that form together: facets, what lies between two pins, the way from a photo."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from neuron_widget.errors import WidgetError
from neuron_widget.session import strip_messages as messages
from neuron_widget.session.jobs import Job, Pause
from neuron_widget.session.messages import Part
from neuron_widget.session.pace import Rate, Throttle
from neuron_widget.session.state import State
from neuron_widget.session.store_adapter import StoreAdapter, pausing, said_of
from neuron_widget.session.strip_messages import PhotoName, StripTask, Wish
from neuron_widget.session.strip_work import of_brought, photo_read, wanted
from neuron_widget.targets import Target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from neuron_widget.rendering import RenderResult, RenderStep
    from neuron_widget.store.sharing import Waiting

__all__ = ["BETWEEN", "STRIPS", "Strips"]

STRIPS: tuple[StripTask, ...] = get_args(StripTask)

BETWEEN = 6
"""Pictures from one pin to the other, both of them included."""

MOST = 16
"""Strips that are kept in memory."""

_FAILS = {
    "facets": "Facets of",
    "between": "Pictures between",
    "accentuation": "Changing a photo for",
}


Shots = list[tuple[int, "NDArray[np.float32]"]]
"""Steps, and the picture ``(H, W, 3)`` as it was then."""


@dataclass(eq=False)
class _Run:
    """One strip, from its request to its end.

    ``shots``: of a single picture what it was on the way. ``dataset``: the one whose photos were
    shown when it was asked for. ``forgotten``: its photo was put away, so nothing of it is kept.
    """

    wish: Wish
    dataset: Any = None
    job: Job | None = None
    step: int = 0
    shots: Shots = field(default_factory=list)
    stopped_by_person: bool = False
    forgotten: bool = False
    rate: Rate = field(default_factory=Rate)
    throttle: Throttle = field(default_factory=lambda: Throttle(0.2))


class Strips:
    """The jobs that make groups of pictures, with live frames; one of each task at a time.

    ``brought`` gives the photo that a person brought, by its number.
    """

    def __init__(self, state: State, store: StoreAdapter, brought: Callable[[int], Image.Image]):
        self._state = state
        self._store = store
        self._brought = brought
        self._runs: dict[StripTask, _Run] = {}
        self._kept: OrderedDict[Wish, Part] = OrderedDict()
        # What was left on the way, to go on from; and what a person stopped.
        self._begun: OrderedDict[Wish, tuple[RenderResult, Shots]] = OrderedDict()
        self._stopped: set[Wish] = set()

    # -------------------------------------------------------------- what is wanted

    def follow(self, target: Target | None = None) -> None:
        """Show the facets of what is selected, or begin them, where they are wanted.

        ``target``: it has a new image; what is selected may be another one.
        """
        state = self._state
        if target not in (None, state.target):
            return
        wish = self._facets()
        if wish is None:
            state.stop("facets")
            return
        if self._show(wish):
            return
        run = self._runs.get("facets")
        if state.settings.auto and wish not in self._stopped and not _makes(run, wish):
            self._start(wish)

    def between(self, first: Target, last: Target) -> Job | None:
        """Make the pictures from one target to another.

        Raises
        ------
        WidgetError
            If the network is not open, one of the two has no picture yet, or the objective is a
            function.
        TargetError, UnknownLayer, NeuronOutOfRange
        """
        state = self._state
        if state.model is None:
            raise WidgetError("the network is not open yet: ask again when it is")
        first, last = first.check(state.model), last.check(state.model)
        if first == last:
            raise WidgetError(f"between {state.title(first)} and itself there is nothing to show")
        singles = [self._single(target) for target in (first, last)]
        for target, single in zip((first, last), singles, strict=True):
            if single is None:
                raise WidgetError(
                    f"{state.title(target)} has no picture yet: render it first, then ask for what "
                    "is between"
                )
        one, other = singles
        assert one is not None
        assert other is not None
        recipe = state.settings.recipe
        wish = Wish("between", (first, last), (one, other), BETWEEN, recipe, state.steps)
        return None if self._show(wish) else self._start(wish)

    def accentuate(self, target: Target, photo: PhotoName) -> Job:
        """Make the pictures from a photo to what fires a target more, and is near the photo.

        Raises
        ------
        WidgetError
            If the network is not open, or the objective is a function.
        TargetError, UnknownLayer, NeuronOutOfRange
        """
        from neuron_widget.rendering.accentuation import STEPS

        state = self._state
        if state.model is None:
            raise WidgetError("the network is not open yet: ask again when it is")
        recipe = state.settings.recipe
        if not isinstance(recipe.as_options()["objective"], str):
            raise WidgetError(
                "an objective of your own is no expression that a photo can be held near: choose "
                "another in Settings, or use neuron_widget.render(..., start=photo)"
            )
        target = target.check(state.model)
        return self._start(Wish("accentuation", (target,), (), 1, recipe, STEPS, photo))

    def forget_brought(self) -> None:
        """Forget what was made of the photo that a person brought."""
        run = self._runs.get("accentuation")
        if run is not None and of_brought(run.wish):
            run.forgotten = True
            self._state.stop("accentuation")
            del self._runs["accentuation"]
        for wish in [w for w in (*self._kept, *self._begun) if of_brought(w)]:
            self._kept.pop(wish, None)
            self._begun.pop(wish, None)
        self._state.forget_strip("brought")

    def resume(self, task: StripTask) -> Job | None:
        """Go on with what was stopped; facets also where nothing was begun."""
        run = self._runs.get(task)
        if run is not None and task != "facets":
            first, *others = run.wish.of
            if run.wish.recipe != self._state.settings.recipe:  # settings have changed since
                photo = run.wish.photo
                return self.accentuate(first, photo) if photo else self.between(first, *others)
        wish = self._facets() if task == "facets" else run.wish if run is not None else None
        return self._start(wish) if wish is not None else None

    def stop(self, *tasks: StripTask) -> None:
        """Stop because a person wants it so: it does not go on by itself."""
        for task in tasks:
            if (run := self._runs.get(task)) is not None:
                run.stopped_by_person = True
        if tasks:  # without any all work would be meant
            self._state.stop(*tasks)

    def let_go(self) -> None:
        """Forget everything."""
        self._runs.clear()
        self._kept.clear()
        self._begun.clear()
        self._stopped.clear()

    def _facets(self) -> Wish | None:
        """The facets that are wanted of what is selected; None before its image is there."""
        state = self._state
        settings, target = state.settings, state.target
        single = self._single(target)
        if state.model is None or settings.facets < 2 or not single:
            return None
        recipe = settings.recipe
        return Wish("facets", (target,), (single,), settings.facets, recipe, state.steps)

    def _single(self, target: Target) -> float | None:
        """What the picture of a target activates; None before it is finished."""
        state = self._state
        objective = dict(state.settings.recipe.items)["objective"]
        result = state.cache.rendering(target)
        whole = result is not None and result.steps >= result.settings["steps"]
        if result is None or not whole or not isinstance(objective, str):
            return None
        return float(result.activation[0])

    # -------------------------------------------------------------- the work

    def _start(self, wish: Wish) -> Job:
        state = self._state
        now = self._runs.get(wish.task)
        # Of a photo that was not read yet nobody knows whether it is the same.
        if now is not None and now.job is not None and _makes(now, wish) and not wish.photo:
            return now.job
        run = self._runs[wish.task] = _Run(wish, state.settings.dataset)
        self._stopped.discard(wish)
        state.no_error("render")
        self._progress(run, "waiting")
        run.job = state.submit(
            wish.task,
            self._steps(run),
            partial(self._on_done, run),
            priority=2,
            share=2.0,
            on_step=partial(self._on_step, run),
            on_stop=partial(self._on_stop, run),
            on_error=partial(self._on_error, run),
        )
        return run.job

    def _steps(self, run: _Run) -> Generator[RenderStep | Pause, None, Part]:
        from neuron_widget.rendering.accentuation import SHOTS
        from neuron_widget.store.reuse import render_steps

        model = self._state.model
        assert model is not None
        if run.wish.photo is not None:
            yield Pause(0.0)  # not in the thread that asks: a photo is read by code of the user's
            run.wish, photo = photo_read(self._state, self._brought, run.wish)
            run.shots = [(0, photo)]
        wish = run.wish
        if wish.photo is not None and (part := self._kept.get(wish)) is not None:
            return messages.of_photo(part, wish.photo)
        begun, run.shots = self._begun.pop(wish, (None, run.shots))
        targets, how = yield from wanted(self._state, wish, begun)
        run.rate = Rate()
        if begun is not None and begun.state is not None:
            how["resume"] = begun
        # What was made of a photo is in no store: it may be a private one.
        store = self._store.store if wish.photo is None else None
        work = render_steps(store, model, targets, on_wait=partial(self._on_wait, run), **how)
        last: RenderStep | None = None
        with closing(pausing(work)) as steps:
            try:
                while True:
                    try:
                        step = next(steps)
                    except StopIteration as end:
                        result: RenderResult = end.value
                        break
                    if not isinstance(step, Pause):
                        last = step
                        if wish.photo is not None and step.step in SHOTS:
                            run.shots.append((step.step, step.images()[0]))
                    yield step
            except GeneratorExit:
                if last is not None and not (self._state.closed or run.forgotten):
                    self._leave(run, last.result())
                raise
        self._store.report_failure()
        part = self._part(run, result)
        if not run.forgotten:
            self._keep(wish, part)
        return part

    def _leave(self, run: _Run, result: RenderResult) -> None:
        """Show what there is of a strip that is left on the way, and keep it to go on from."""
        self._begun[run.wish] = result, run.shots
        while len(self._begun) > MOST:
            self._begun.popitem(last=False)
        self._tell(run, self._part(run, result))

    def _part(self, run: _Run, result: RenderResult) -> Part:
        """The message of what is there, with what each picture activates on its own."""
        from neuron_widget.rendering.together import worth

        model = self._state.model
        assert model is not None
        options = run.wish.recipe.as_options()
        start = run.wish.start or options["start"]
        run.step = result.steps
        before = [shot for shot in run.shots if shot[0] < result.steps]
        pictures = [*(picture for _, picture in before), *result.images]
        at = [*(step for step, _ in before), *[result.steps] * len(result)]
        found = [
            worth(model, target, options["objective"], pictures, start) for target in run.wish.of
        ]
        return messages.strip(run.wish, result.targets[0], pictures, at, found)

    # -------------------------------------------------------------- what the job says

    def _on_wait(self, run: _Run, waiting: Waiting) -> None:
        self._progress(run, "elsewhere", said_of(waiting))

    def _on_step(self, run: _Run, step: RenderStep) -> None:
        state, run.step = self._state, step.step
        if step.step < step.steps and run.throttle.due():
            rate, left = run.rate.update(step.step, step.steps)
            self._progress(run, "running", rate=rate, left=left)
        if state.frames.due():
            index = state.frames.sent()
            part = messages.strip_frame(run.wish, index, step, ack=state.frames.full)
            with state.lock:
                if self._is_now(run):
                    state.send(*part)

    def _on_done(self, run: _Run, part: Part) -> None:
        self._tell(run, part)
        run.step = run.wish.steps
        self._progress(run, "done")

    def _on_stop(self, run: _Run) -> None:
        if run.stopped_by_person and run.wish.task == "facets":  # only they begin by themselves
            self._stopped.add(run.wish)
        self._progress(run, "stopped")

    def _on_error(self, run: _Run, error: BaseException) -> None:
        self._progress(run, "failed")
        names = " and ".join(map(self._state.title, run.wish.of))
        self._state.fail("render", f"{_FAILS[run.wish.task]} {names} failed", error)

    def _progress(self, run: _Run, how: str, note: str = "", **pace: float) -> None:
        wish, first = run.wish, run.wish.of[0]
        self._state.show_progress(
            wish.task, first.layer, first, run.step, wish.steps, state=how, note=note, **pace
        )

    # -------------------------------------------------------------- what is there

    def _show(self, wish: Wish) -> bool:
        """Show a strip that is there already; False if it is not."""
        part = self._kept.get(wish)
        if part is None:
            return False
        self._state.stop(wish.task)
        run = _Run(wish, step=wish.steps)
        self._tell(run, part)
        self._progress(run, "done")
        return True

    def _keep(self, wish: Wish, part: Part) -> None:
        self._kept[wish] = part
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)

    def _tell(self, run: _Run, part: Part) -> None:
        """Send a strip, to this view and to later ones."""
        state = self._state
        with state.lock:
            if self._is_now(run):
                state.strips[run.wish.task] = part
                state.send(*part)

    def _is_now(self, run: _Run) -> bool:
        """Whether it was made as images are made now, and of a photo that is there now."""
        photo, state = run.wish.photo, self._state
        there = photo is None or photo.of == "brought" or run.dataset is state.settings.dataset
        return there and not run.forgotten and state.cache.recipe == run.wish.recipe


def _makes(run: _Run | None, wish: Wish) -> bool:
    """Whether a wish is under way."""
    return run is not None and run.wish == wish and run.job is not None and run.job.active
