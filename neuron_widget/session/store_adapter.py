"""What a session finds in the store, and keeps there."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

from neuron_widget.errors import StoreError
from neuron_widget.networks.known import describe
from neuron_widget.session.jobs import Pause
from neuron_widget.session.state import State
from neuron_widget.targets import Target

if TYPE_CHECKING:
    from neuron_widget.networks.known import KnownNetwork, NamedNetwork
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.rendering import RenderResult
    from neuron_widget.rendering.result import RenderStep, Steps
    from neuron_widget.scanning import ImageDataset, ScanResult
    from neuron_widget.session.settings import Recipe
    from neuron_widget.store import Store
    from neuron_widget.store.sharing import OnWait, Waiting

__all__ = ["StoreAdapter", "pausing", "said_of"]

# A process that computes makes a step every second or so.
SILENT_S = 5.0

R = TypeVar("R")
Y = TypeVar("Y")


class StoreAdapter:
    """The store as one session sees it; without a store everything is unknown."""

    def __init__(self, state: State):
        self._state = state
        self._store: Store | None = None
        self._opened = False
        self._reported = False

    @property
    def store(self) -> Store | None:
        """The store, opened when it is first asked for (that reads nothing)."""
        if not self._opened:
            from neuron_widget.store import open_store

            self._store = open_store(self._state.settings.store)
            self._opened = True
        return self._store

    def let_go(self) -> None:
        """Forget the store."""
        self._store, self._opened = None, True

    def find(
        self, target: Target, steps: int, recipe: Recipe, packaged: bool = False
    ) -> RenderResult | None:
        """The stored image of a target: one file read, some milliseconds.

        ``packaged``: one that came with the package will do.
        """
        network, store = self._state.network, self.store
        if store is None or network is None:
            return None
        how = {**recipe.as_options(), "steps": steps}
        found = store.find_render(network, target, **how)
        if found is None and packaged:
            found = store.find_packaged(network, target, **how)
        return found

    def begun(self, target: Target, steps: int, recipe: Recipe) -> RenderResult | None:
        """The stored image with the most steps below ``steps``, to go on from."""
        model, store = self._state.model, self.store
        if store is None or model is None:
            return None
        return store.find_resumable(model, target, steps=steps, **recipe.as_options())

    def share(
        self,
        target: Target,
        steps: int,
        recipe: Recipe,
        make: Callable[[], Steps],
        on_wait: OnWait | None,
    ) -> Generator[RenderStep | Pause, None, RenderResult]:
        """Make an image, or wait for it while another process makes it: then steps are pauses.

        ``make`` keeps what it made; ``on_wait`` as in :func:`.sharing.share`. Without a store it is
        just made.
        """
        model, store = self._state.model, self.store
        if store is None or model is None:
            return (yield from make())
        from neuron_widget.store.sharing import share

        how = {**recipe.as_options(), "steps": steps}

        def made(_: list[Target]) -> Generator[RenderStep, None, dict[Target, RenderResult]]:
            return {target: (yield from make())}

        name = store.render_name(model, target, **how)
        found = yield from pausing(
            share(
                store.locks,
                {target: name},
                lambda _: store.find_render(model, target, **how),
                made,
                on_wait=on_wait,
            )
        )
        return found[target]

    def keep(self, result: RenderResult) -> None:
        """Keep an image; what is known already is not written again."""
        model, store = self._state.model, self.store
        if store is not None and model is not None:
            store.keep(model, result)
            self.report_failure()

    def tiles(self, layer: str, how: dict[str, Any]) -> dict[int, bytes]:
        """The stored tiles of a layer whose images were made like this."""
        network, store = self._state.network, self.store
        if store is None or network is None:
            return {}
        return store.find_gallery(network, layer, packaged=True, **how)

    def scan(self, layer: str, dataset: ImageDataset) -> ScanResult | None:
        """The stored scan of a layer over a data set."""
        network, store = self._state.network, self.store
        if store is None or network is None:
            return None
        return store.find_scan(network, layer, dataset, top_k=self._state.settings.top_k)

    def known(self, named: NamedNetwork | None) -> KnownNetwork | None:
        """What the store knows of a network that is not open."""
        if self.store is None or named is None:
            return None
        return self.store.find_network(named)

    def describe(self, named: NamedNetwork | None, model: VisionModel) -> KnownNetwork | None:
        """What is to be known of a network that is open; kept, where it has a name."""
        if self.store is None or named is None:
            return None
        self.store.put_network(named, model)
        return describe(model, self.store.model_key(model))

    def keep_tiles(self, layer: str, tiles: dict[int, bytes], how: dict[str, Any]) -> None:
        """Keep tiles."""
        model, store = self._state.model, self.store
        if store is not None and model is not None and tiles:
            try:
                store.put_gallery(model, layer, tiles, **how)
            except StoreError as error:
                store.fail(error)
            self.report_failure()

    def report_failure(self) -> None:
        """Say on the page that results are not kept, and why; and no more when they are again."""
        failure = self.store.failure if self.store is not None else None
        reported, self._reported = self._reported, failure is not None
        if failure is not None and not reported:
            self._state.fail("save", "Results are not kept on disk", failure)
        elif failure is None and reported:
            self._state.no_error("save")


def pausing(work: Generator[Y | None, None, R]) -> Generator[Y | Pause, None, R]:
    """The same steps, as a job makes them: where there is nothing to do but wait, it pauses."""
    from neuron_widget.store.sharing import POLL_S

    with closing(work):
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                result: R = end.value
                return result
            yield Pause(POLL_S) if step is None else step


def said_of(waiting: Waiting) -> str:
    """What the page says of a result that another process makes."""
    from neuron_widget.store.locks import PATIENCE_S

    if waiting.silent < SILENT_S:
        return "another notebook or program makes it"
    return (
        f"another notebook or program makes it, but took no step for {waiting.silent:.0f} s; "
        f"made here after {PATIENCE_S:.0f} s"
    )
