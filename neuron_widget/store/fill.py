"""Filling a store with a whole layer, beside other processes that do the same."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neuron_widget.store.keys import digest
from neuron_widget.store.locks import Locks
from neuron_widget.store.maps import LARGEST_MAPS, make_maps, maps_size
from neuron_widget.store.reuse import find_begun, keep_begun, scan_steps
from neuron_widget.targets import as_targets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from neuron_widget.networks.model import VisionModel
    from neuron_widget.scanning import ScanResult
    from neuron_widget.store.store import Store

__all__ = ["Fill", "fill_images", "fill_photos"]

# How often a process that has nothing left looks whether the others have finished theirs.
_POLL_S = 0.2


@dataclass(frozen=True)
class Fill:
    """How far a filling is.

    ``task`` is ``"images"``, ``"scan"`` or ``"maps"``; ``done`` of ``total`` neurons or photos;
    ``part`` what of the present batch is done, in neurons; ``made`` how many of those done were
    made by this process, now.
    """

    task: str
    done: int
    total: int
    part: float = 0.0
    made: int = 0


def fill_images(
    store: Store,
    model: VisionModel,
    layer: str,
    neurons: Sequence[int],
    *,
    batch_size: int | None = None,
    **settings: Any,
) -> Generator[Fill, None, int]:
    """Render and keep the images of the neurons that are not in the store; returns how many.

    Raises ``StoreError`` if they cannot be kept. Images that another process is at work on are
    waited for, and made here if it is killed. Closed in the middle, it leaves what is there; the
    next time it goes on from that.
    """
    from neuron_widget.rendering import render_steps
    from neuron_widget.rendering.memory import default_batch_size

    size = settings.get("size", 224)
    most = batch_size or default_batch_size(model, layer, size)

    store.recipe.forget(model)

    def without(some: Iterable[int]) -> list[int]:
        return [n for n in some if not store.has_render(model, layer, n, **settings)]

    missing = without(dict.fromkeys(neurons))
    total, made = len(set(neurons)), 0
    yield Fill("images", total - len(missing), total)
    prefix = digest("claim", {"layer": layer, **store.recipe(model), **_plain(settings)})
    with closing(Locks(store.own.root)) as locks:
        while missing:
            with locks.some([f"{prefix} {n}" for n in missing], most) as taken:
                ours = [int(name.rpartition(" ")[2]) for name in taken]
                # Another process may have finished one between our look and our claim.
                work = without(ours)
                if work:
                    done = total - len(missing)
                    begun = find_begun(store, model, as_targets(layer, work), settings)
                    rendering = render_steps(
                        model, layer, work, batch_size=most, resume=begun, **settings
                    )
                    steps = keep_begun(store, model, rendering)
                    with closing(steps):
                        while True:
                            try:
                                step = next(steps)
                            except StopIteration as end:
                                store.put_render(model, end.value, keep_state=False)
                                break
                            part = step.done / max(1, step.total) * len(work)
                            yield Fill("images", done, total, part, made)
                    made += len(work)
                missing = [n for n in missing if n not in ours]
            if not ours:
                time.sleep(_POLL_S)
                missing = without(missing)
            yield Fill("images", total - len(missing), total, 0.0, made)
    _fill_gallery(store, model, layer, settings)
    return made


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: repr(value) for name, value in sorted(settings.items())}


def _fill_gallery(store: Store, model: VisionModel, layer: str, settings: dict[str, Any]) -> None:
    """The tiles of all images of the layer that are there."""
    from neuron_widget.protocol.encode import thumb

    known = store.find_gallery(model, layer, **settings)
    tiles = {}
    for neuron in range(model.layer(layer).channels):
        if neuron not in known:
            result = store.find_render(model, layer, neuron, **settings)
            if result is not None:
                tiles[neuron] = thumb(result.to_pil())
    store.put_gallery(model, layer, tiles, **settings)


def fill_photos(
    store: Store, model: VisionModel, layer: str, dataset: Any, *, maps: bool = True, **how: Any
) -> Generator[Fill, None, ScanResult]:
    """Scan a data set, and make the activation maps of every neuron's photos, and keep both.

    ``how`` is what :func:`.reuse.scan_steps` takes. Closed in the middle, the scan leaves its
    checkpoint. Returns the scan.
    """
    steps = scan_steps(store, model, layer, dataset, **how)
    with closing(steps):
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                result: ScanResult = end.value
                break
            yield Fill("scan", step.done, step.total, 0.0, step.done)
    if maps and result.stored_maps is None and maps_size(result) <= LARGEST_MAPS:
        making = make_maps(result)
        with closing(making):
            while True:
                try:
                    done, total = next(making)
                except StopIteration as end:
                    store.put_maps(model, result, end.value)
                    break
                yield Fill("maps", done, total, 0.0, done)
    return result
