"""Filling a store with a whole layer, beside other processes that do the same."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from neuron_widget.scanning.shards import check_shard, share_of
from neuron_widget.store.maps import LARGEST_MAPS, make_maps, maps_size
from neuron_widget.store.reuse import find_begun, keep_begun, scan_steps
from neuron_widget.store.sharing import Waiting, share
from neuron_widget.targets import as_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from neuron_widget.networks.model import VisionModel
    from neuron_widget.scanning import ScanResult
    from neuron_widget.scanning.shards import Shard
    from neuron_widget.store.store import Store

__all__ = ["Fill", "fill_images", "fill_photos"]


@dataclass(frozen=True)
class Fill:
    """How far a filling is.

    ``task`` is ``"images"``, ``"scan"`` or ``"maps"``; ``done`` of ``total`` neurons or photos;
    ``part`` what of the present batch is done, in neurons; ``made`` how many of those done were
    made by this process, now; ``waiting`` what another process is waited for, "" if none is.
    """

    task: str
    done: int
    total: int
    part: float = 0.0
    made: int = 0
    waiting: str = ""


def fill_images(
    store: Store,
    model: VisionModel,
    layer: str,
    neurons: Sequence[int],
    *,
    batch_size: int | None = None,
    shard: Shard | None = None,
    **settings: Any,
) -> Generator[Fill, None, int]:
    """Render and keep the images of the neurons that are not in the store; returns how many.

    Of a ``shard`` those of its neurons alone, without the layer's tiles, which all have a part in.

    Raises ``StoreError`` if they cannot be kept. Images that another process is at work on are
    waited for, and made here if it is killed or does not move. Closed in the middle, it leaves what
    is there; the next time it goes on from that.
    """
    from neuron_widget.rendering import render_steps
    from neuron_widget.rendering.memory import default_batch_size
    from neuron_widget.rendering.settings import default_size

    size = settings.get("size") or default_size(model, layer)
    most = batch_size or default_batch_size(model, layer, size)
    store.model_key.forget(model)
    if shard is not None:
        # Not by batches: how large they are depends on the memory that a machine has free.
        neurons = neurons[share_of(len(neurons), check_shard(shard))]

    def find(neuron: int) -> bool | None:
        # Read whole: an image of which a part has changed is made anew.
        if store.find_render(model, layer, neuron, **settings) is None:
            return None
        left.discard(neuron)
        return True

    left = set(neurons)
    total, made, words = len(left), 0, _Words()
    missing = [neuron for neuron in dict.fromkeys(neurons) if not find(neuron)]
    yield Fill("images", total - len(left), total)

    def make(some: list[int]) -> Generator[float, None, dict[int, bool]]:
        nonlocal made
        begun = find_begun(store, model, as_targets(layer, some), settings)
        rendering = render_steps(model, layer, some, batch_size=most, resume=begun, **settings)
        with closing(keep_begun(store, model, rendering)) as steps:
            while True:
                try:
                    step = next(steps)
                except StopIteration as end:
                    store.put_render(model, end.value, keep_state=False)
                    made += len(some)
                    left.difference_update(some)
                    return dict.fromkeys(some, True)
                yield step.done / max(1, step.total) * len(some)

    work = share(
        store.locks,
        {n: store.render_name(model, layer, n, **settings) for n in missing},
        find,
        make,
        on_wait=words,
        most=most,
    )
    with closing(work):
        for part in work:
            yield Fill("images", total - len(left), total, part or 0.0, made, words.take())
    yield Fill("images", total, total, 0.0, made)
    if shard is None:
        _fill_gallery(store, model, layer, settings)
    return made


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

    ``how`` is what :func:`.reuse.scan_steps` takes. What another process is at work on is waited
    for, as in :func:`fill_images`. Closed in the middle, the scan leaves its checkpoint. Returns
    the scan; of a ``shard`` that of its photos, without maps.
    """
    maps = maps and how.get("shard") is None
    last, words = Fill("scan", 0, 0), _Words()
    with closing(scan_steps(store, model, layer, dataset, on_wait=words, **how)) as steps:
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                result: ScanResult = end.value
                break
            if step is not None:
                last = Fill("scan", step.done, step.total, 0.0, step.done)
            yield replace(last, waiting=words.take())
    if maps and maps_size(result) <= LARGEST_MAPS and not store.has_maps(model, result):
        yield from _fill_maps(store, model, result)
    return result


def _fill_maps(store: Store, model: VisionModel, result: ScanResult) -> Generator[Fill, None, None]:
    last, words = Fill("maps", 0, 0), _Words()

    def make(_: list[str]) -> Generator[tuple[int, int], None, dict[str, bool]]:
        made = yield from make_maps(result)
        store.put_maps(model, result, made)
        return {"maps": True}

    work = share(
        store.locks,
        {"maps": f"maps-{store.scan_name_of(model, result)}"},
        lambda _: store.has_maps(model, result) or None,
        make,
        on_wait=words,
    )
    with closing(work):
        for step in work:
            if step is not None:
                last = Fill("maps", step[0], step[1], 0.0, step[0])
            yield replace(last, waiting=words.take())


class _Words:
    """What there is to say of waiting since the last time."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, now: Waiting) -> None:
        self._last = str(now)

    def take(self) -> str:
        last, self._last = self._last, ""
        return last
