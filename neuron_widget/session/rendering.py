"""The image of the selected neuron, and the previews of the gallery."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from neuron_widget.protocol.encode import thumb
from neuron_widget.session import messages
from neuron_widget.session.jobs import Job
from neuron_widget.session.pace import Rate, Throttle

if TYPE_CHECKING:
    from neuron_widget.rendering import RenderResult, RenderStep
    from neuron_widget.session.cache import Key, Thumb
    from neuron_widget.session.session import Session
    from neuron_widget.session.settings import Recipe

__all__ = ["Previews", "Rendering"]

# Few neurons a batch, so that tiles appear one row after the other and in the order looked at.
PREVIEW_BATCH = 8


class Rendering:
    """The job that renders the selected neuron, with live frames."""

    def __init__(self, session: Session):
        self._session = session
        self._job: tuple[Job, tuple[Recipe, Key, int]] | None = None
        # Stopped for another neuron's sake, and to be gone on with; stopped by a person, and not.
        self._left: set[tuple[Recipe, Key]] = set()
        self._by_hand: set[tuple[Recipe, Key]] = set()

    def known(self) -> bool:
        """Whether the selected neuron has an image that nothing is wanted of."""
        session = self._session
        left = (session.settings.recipe, session.key) in self._left
        return session.cache.rendering(session.key) is not None and not left

    def halt(self) -> None:
        """What runs is about to be stopped because a person wants it so."""
        if self._job is not None and not self._job[0].finished.is_set():
            self._by_hand.add(self._job[1][:2])

    def recall(self, steps: int | None = None) -> bool:
        """Show the selected neuron's image as the store has it; False if it has none."""
        session = self._session
        layer, neuron, recipe = session.layer, session.neuron, session.settings.recipe
        steps = session.steps if steps is None else steps
        result = session.store_adapter.find(layer, neuron, steps, recipe)
        if result is None:
            return False
        self._show(recipe, layer, neuron, result)
        if not session.running("render"):
            session.tell_progress("render", layer, neuron, steps, steps, state="done")
        return True

    def start(self, delay: float = 0.0, steps: int | None = None) -> Job | None:
        """Render the selected neuron, or go on from the image that is there.

        ``steps`` counts from the beginning; default what is selected. None if the store has it.
        """
        session = self._session
        layer, neuron, recipe = session.layer, session.neuron, session.settings.recipe
        key, steps = (layer, neuron), session.steps if steps is None else steps
        if self._job is not None and self._job[1] == (recipe, key, steps):
            job = self._job[0]
            if not (job.stopped or job.finished.is_set()):
                return job
        if self.recall(steps):
            return None
        self._by_hand.discard((recipe, key))
        rate, tell = Rate(), Throttle(0.2)
        last: list[RenderStep] = []

        def progress(done: int, state: str) -> None:
            session.tell_progress("render", layer, neuron, done, steps, state=state)

        def on_step(step: RenderStep) -> None:
            last[:] = [step]
            if tell.due():
                per_second, left = rate.update(step.step, step.steps)
                session.tell_progress(
                    "render", layer, neuron, step.step, step.steps, per_second, left
                )
            if session.frames.due():
                index = session.frames.sent()
                part = messages.frame(index, layer, neuron, step)
                with session.lock:
                    # After a change of settings the page must see no picture made before it.
                    if session.cache.recipe == recipe:
                        session.send(*part)

        def on_done(result: RenderResult, state: str = "done") -> None:
            if state == "done":
                self._left.discard((recipe, key))
            self._show(recipe, layer, neuron, result)
            progress(result.steps, state)
            session.store_adapter.keep(result)

        def on_stop() -> None:
            if (recipe, key) in self._by_hand:
                self._by_hand.discard((recipe, key))
                self._left.discard((recipe, key))
            else:
                self._left.add((recipe, key))
            result = last[0].result() if last and not session.closed else None
            known = session.cache.rendering(key, recipe)
            if result is not None and (known is None or known.steps <= result.steps):
                on_done(result, "stopped")
            elif known is not None and not session.closed:
                # A new beginning takes no further image's place before it is as far.
                session.send_neurons(key)
                progress(known.steps, "stopped")
            else:
                progress(0, "stopped")

        def on_error(error: BaseException) -> None:
            result: RenderResult | None = getattr(error, "result", None)
            # What it began from, before any step, is no image of the neuron.
            done = result.steps if result is not None else 0
            if result is not None and done:
                self._show(recipe, layer, neuron, result)
            progress(done, "failed")
            session.fail("render", f"Rendering {layer} neuron {neuron} failed", error)

        session.no_error("render")
        progress(0, "waiting")
        job = session.submit(
            "render",
            self._steps(key, steps, recipe),
            on_done,
            priority=2,
            # A person watches the image; the scan beside it may take a little longer.
            share=2.0,
            delay=delay,
            on_step=on_step,
            on_stop=on_stop,
            on_error=on_error,
        )
        self._job = job, (recipe, key, steps)
        return job

    def _steps(
        self, key: Key, steps: int, recipe: Recipe
    ) -> Generator[RenderStep, None, RenderResult]:
        from neuron_widget.rendering import render_steps

        session = self._session
        model = session.model
        assert model is not None
        # Looked up only now: the rendering that this one replaces has been kept.
        known = (
            session.cache.rendering(key, recipe),
            session.store_adapter.begun(*key, steps, recipe),
        )
        begun = [
            result
            for result in known
            if result is not None
            and result.state is not None
            and result.steps < steps
            and result.settings["model"] == model.identity
        ]
        resume = max(begun, key=lambda result: result.steps, default=None)
        return (
            yield from render_steps(model, *key, steps=steps, **recipe._asdict(), resume=resume)
        )

    def _show(self, recipe: Recipe, layer: str, neuron: int, result: RenderResult) -> None:
        from neuron_widget.settings import PREVIEW

        session = self._session
        part = messages.image(result, None)
        # One that was stopped is worth no more than a preview, and less before it has its steps.
        whole = result.steps >= result.settings["steps"]
        made: dict[int, Thumb] = {}
        if whole or result.steps >= PREVIEW["steps"]:
            made[neuron] = thumb(result.to_pil(0)), whole
        with session.lock:
            session.cache.add_rendering(recipe, (layer, neuron), result, part)
            session.cache.add_thumbs(recipe, layer, made)
        session.send_neurons((layer, neuron))
        add_thumbs(session, recipe, layer, made)
        session.on_change()


class Previews:
    """The job that fills the gallery: small pictures, a few steps, what is looked at first."""

    def __init__(self, session: Session):
        self._session = session
        self.in_view: list[int] = []

    def start(self) -> None:
        """Fill the gallery of the selected layer."""
        session = self._session
        if session.model is None:
            return
        from neuron_widget.settings import PREVIEW

        layer, total, recipe = session.layer, session.channels, session.settings.recipe
        rate = Rate()
        finished = {**recipe._asdict(), "steps": session.steps}
        quick = {k: v for k, v in {**recipe._asdict(), **PREVIEW}.items() if k != "batch_size"}
        for how, whole in ((quick, False), (finished, True)):
            tiles = session.store_adapter.tiles(layer, how)
            add_thumbs(session, recipe, layer, {n: (tile, whole) for n, tile in tiles.items()})
        # What is stored costs nothing and is shown in any case.
        if not (session.settings.auto and session.settings.previews):
            return

        def count() -> int:
            return len(session.cache.thumbs(layer))

        def keep() -> None:
            with session.lock:
                if session.cache.recipe != recipe:
                    return
                # A finished picture serves as a preview next time.
                made = {n: tile for n, (tile, _) in session.cache.thumbs(layer).items()}
            session.store_adapter.keep_tiles(layer, made, quick)

        def on_end(done: int, state: str) -> None:
            session.tell_progress("preview", layer, -1, done, total, state=state)
            keep()

        def on_batch(result: RenderResult) -> None:
            made = {n: (thumb(result.to_pil(i)), False) for i, n in enumerate(result.neurons)}
            add_thumbs(session, recipe, layer, made)
            per_second, left = rate.update(count(), total)
            session.tell_progress("preview", layer, -1, count(), total, per_second, left)

        session.submit(
            "preview",
            self._steps(layer, recipe, on_batch),
            lambda _: on_end(total, "done"),
            priority=3,
            on_stop=lambda: on_end(count(), "stopped"),
        )

    def _steps(
        self, layer: str, recipe: Recipe, on_batch: Callable[[RenderResult], None]
    ) -> Generator[object, None, None]:
        from neuron_widget.rendering import render_steps
        from neuron_widget.settings import PREVIEW

        model = self._session.model
        assert model is not None
        while neurons := self._next(layer):
            how = {**recipe._asdict(), **PREVIEW}
            on_batch((yield from render_steps(model, layer, neurons, **how)))

    def _next(self, layer: str) -> list[int]:
        """The selected neuron, then those in view, then the others in order."""
        session = self._session
        with session.lock:
            there = range(session.channels)
            order = [session.neuron, *(n for n in self.in_view if n in there), *there]
            return session.cache.without_thumb(layer, order, PREVIEW_BATCH)


def add_thumbs(session: Session, recipe: Recipe, layer: str, made: dict[int, Thumb]) -> None:
    """Keep and send thumbnails."""
    with session.lock:
        fresh = session.cache.add_thumbs(recipe, layer, made)
        if fresh and not session.closed:
            session.send(*messages.thumbs(layer, fresh))
