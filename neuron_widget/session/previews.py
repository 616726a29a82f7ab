"""The previews of the gallery."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from neuron_widget.protocol.encode import thumb
from neuron_widget.session.jobs import Pause
from neuron_widget.session.pace import Rate
from neuron_widget.session.state import State
from neuron_widget.session.store_adapter import StoreAdapter
from neuron_widget.settings import PREVIEW

if TYPE_CHECKING:
    from neuron_widget.rendering import RenderResult
    from neuron_widget.session.settings import Recipe

__all__ = ["Previews"]

# Few neurons a batch, so that tiles appear one row after the other and in the order looked at.
PREVIEW_BATCH = 8

_TURN_S = 0.5  # between two looks at whether another session still makes them

# Until so many tiles are there, previews get this share of the time beside image and scan: an empty
# gallery is nothing to look at, and the image moves from its first step on.
FIRST_TILES = 16
FIRST_SHARE = 8.0


class Previews:
    """The job that fills the gallery: small pictures, a few steps, what is looked at first."""

    def __init__(self, state: State, store: StoreAdapter):
        self._state = state
        self._store = store
        self.in_view: list[int] = []

    def show_stored(self) -> None:
        """Show what the store has of the selected layer's gallery: that costs nothing."""
        state = self._state
        layer, recipe = state.layer, state.settings.recipe
        finished = {**recipe.as_options(), "steps": state.steps}
        for how, whole in ((self._quick(layer, recipe), False), (finished, True)):
            tiles = self._store.tiles(layer, how)
            state.add_thumbs(recipe, layer, {n: (tile, whole) for n, tile in tiles.items()})

    def start(self) -> None:
        """Fill the gallery of the selected layer with what it lacks, if the settings say so."""
        state = self._state
        if state.model is None or not (state.settings.auto and state.settings.previews):
            return
        layer, recipe = state.layer, state.settings.recipe
        total = state.model.layer(layer).channels
        rate = Rate()
        made_here: set[int] = set()

        def count() -> int:
            return len(state.cache.thumbs(layer))

        def keep() -> None:
            with state.lock:
                # Else they are from the store, or came with the package.
                if state.cache.recipe != recipe or not made_here:
                    return
                # A finished picture serves as a preview next time.
                made = {n: tile for n, (tile, _) in state.cache.thumbs(layer).items()}
            self._store.keep_tiles(layer, made, self._quick(layer, recipe))

        def on_end(done: int, how: str) -> None:
            state.show_progress("preview", layer, None, done, total, state=how)
            keep()

        def on_batch(result: RenderResult) -> None:
            made = {n: (thumb(result.to_pil(i)), False) for i, n in enumerate(result.neurons)}
            state.add_thumbs(recipe, layer, made)
            made_here.update(made)
            if count() >= FIRST_TILES:
                state.give("preview", 1.0)
            per_second, left = rate.update(count(), total)
            state.show_progress("preview", layer, None, count(), total, per_second, left)

        state.submit(
            "preview",
            self._steps(layer, recipe, on_batch),
            lambda _: on_end(total, "done"),
            # Beside the image and the scan, not after them.
            priority=2,
            share=FIRST_SHARE if count() < FIRST_TILES else 1.0,
            on_stop=lambda: on_end(count(), "stopped"),
        )

    def _steps(
        self, layer: str, recipe: Recipe, on_batch: Callable[[RenderResult], None]
    ) -> Generator[object, None, None]:
        from neuron_widget.rendering import render_steps

        state = self._state
        model, together = state.model, state.together
        assert model is not None
        how = self._quick(layer, recipe)
        try:
            while neurons := self._next(layer, model.layer(layer).channels):
                if together is not None and not together.may_make(state, recipe, layer):
                    yield Pause(_TURN_S)  # they come from the session that makes them
                    continue
                on_batch((yield from render_steps(model, layer, neurons, **how)))
        finally:
            if together is not None:
                together.free(state)

    def _next(self, layer: str, channels: int) -> list[int]:
        """The selected neuron, then those in view, then the others in order."""
        state = self._state
        with state.lock:
            # Another layer may be selected, and this one's previews about to be stopped.
            there = range(channels)
            order = [n for n in (state.neuron, *self.in_view) if n in there] + [*there]
            return state.cache.without_thumb(layer, order, PREVIEW_BATCH)

    def _quick(self, layer: str, recipe: Recipe) -> dict[str, Any]:
        """How previews are made, as the store knows it.

        No larger than the picture that they stand for, and of a size that the network takes.
        """
        how = {**recipe.as_options(), **PREVIEW}
        model = self._state.model
        if model is not None:
            wanted = min(PREVIEW["size"], recipe.as_options()["size"])
            how["size"] = model.image_size(wanted, layer)
        return how
