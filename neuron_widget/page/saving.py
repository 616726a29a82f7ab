"""What a session has, as a page without a kernel."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_widget.session.jobs import Job

if TYPE_CHECKING:
    from neuron_widget.page import Contents, Plan
    from neuron_widget.rendering import RenderResult
    from neuron_widget.session.state import State
    from neuron_widget.store import Store

__all__ = ["Saving"]


class Saving:
    """Makes a page of the selected layer, in the worker, beside whatever else runs.

    Parameters
    ----------
    state
        A session's, with its network open.
    store
        Where more images may be.
    neurons
        Those to show; default all that there is something of.
    photos, limit, title
        See :func:`neuron_widget.export_html`.
    """

    def __init__(
        self,
        state: State,
        store: Store | None,
        *,
        neurons: Sequence[int] | None,
        photos: bool,
        limit: int | None,
        title: str,
    ):
        self._state, self._store = state, store
        self._neurons = neurons
        self._photos, self._limit, self._title = photos, limit, title
        self._contents: Contents | None = None
        self.plan: Plan | None = None

    def planning(self) -> Job:
        """A job that looks what there is and sets :attr:`plan`."""

        def steps() -> Generator[None, None, None]:
            from neuron_widget.page import plan_page

            yield
            self._contents = yield from self._gather()
            self.plan = plan_page(self._contents, photos=self._photos, limit=self._limit)

        return self._submit(steps())

    def writing(self, path: Path) -> Job:
        """A job that writes the page as planned."""
        from neuron_widget.page import write_page

        assert self._contents is not None
        assert self.plan is not None
        return self._submit(write_page(self._contents, self.plan, path, self._title))

    def _submit(self, steps: Generator[Any, None, Any]) -> Job:
        # Who waits for the job is told what ended it.
        return self._state.submit(
            "page", steps, lambda _: None, priority=1, on_error=lambda _: None
        )

    def _gather(self) -> Generator[None, None, Contents]:
        from neuron_widget.page import Contents

        state = self._state
        with state.lock:
            model, layer, steps = state.model, state.layer, state.steps
            assert model is not None
            made = {
                target.neuron: result
                for target, (result, _) in state.cache.renderings.items()
                if target.layer == layer and target == target.channel
            }
            tiles = dict(state.cache.thumbs(layer))
            scan, recipe = state.cache.scans.get(layer), state.settings.recipe
            measured = state.cache.measured(layer)
            neuron, channels = state.neuron, state.channels
        store = self._store
        how = {**recipe.as_options(), "steps": steps}
        looked = range(channels)
        if self._neurons is not None:
            looked = model.check_neurons(layer, self._neurons)  # type: ignore[assignment]
        drawn = []
        for n in looked:
            if n in made or (store is not None and store.has_render(model, layer, n, **how)):
                drawn.append(n)
            if n % 16 == 0:
                yield  # a thousand look-ups take a second: others may have a turn

        def load(n: int) -> RenderResult:
            result = made.get(n)
            return result if result is not None else store.find_render(model, layer, n, **how)  # type: ignore[union-attr, return-value]

        known = {*drawn, *tiles}
        some = looked if scan is not None or self._neurons is not None else sorted(known)
        return Contents(
            model,
            model.layer(layer),
            list(some),
            drawn,
            load,
            tiles,
            scan,
            neuron,
            steps,
            predicted=measured,
        )
