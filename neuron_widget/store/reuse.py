"""Rendering and scanning that ask the store first: the same generators, with less to do."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Unpack, overload

from neuron_widget.errors import NeuronWidgetError
from neuron_widget.settings import SCAN, ScanOptions, check_settings
from neuron_widget.store.sharing import OnWait, share
from neuron_widget.targets import Target, TargetLike, as_targets, works

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.rendering import RenderResult
    from neuron_widget.rendering.result import RenderStep, Steps
    from neuron_widget.scanning import ImageDataset, ScanProgress, ScanResult
    from neuron_widget.scanning.running import Checkpoint
    from neuron_widget.scanning.shards import Shard
    from neuron_widget.store.store import Store

__all__ = ["find_begun", "keep_begun", "render_steps", "scan_steps"]

Work = tuple[Target, ...]
"""What is rendered as one: a target, or all images of a group."""


@overload
def render_steps(
    store: Store | None,
    model: VisionModel,
    target: TargetLike,
    neurons: int | Sequence[int] | None = None,
    *,
    batch_size: int | None = None,
    keep_state: bool | None = None,
    on_wait: None = None,
    **settings: Any,
) -> Steps: ...


@overload
def render_steps(
    store: Store | None,
    model: VisionModel,
    target: TargetLike,
    neurons: int | Sequence[int] | None = None,
    *,
    batch_size: int | None = None,
    keep_state: bool | None = None,
    on_wait: OnWait,
    **settings: Any,
) -> Generator[RenderStep | None, None, RenderResult]: ...


def render_steps(
    store: Store | None,
    model: VisionModel,
    target: TargetLike,
    neurons: int | Sequence[int] | None = None,
    *,
    batch_size: int | None = None,
    keep_state: bool | None = None,
    on_wait: OnWait | None = None,
    **settings: Any,
) -> Generator[Any, None, RenderResult]:
    """As :func:`neuron_widget.render_steps`: what the store has is not rendered again.

    What was begun goes on from the stored image with the most steps. What is rendered is kept, also
    what is there when this is closed in the middle. With everything at hand no step is yielded.
    Results that come from the store carry no state.

    With ``on_wait``, images that another process renders just now are waited for: it is called
    with a :class:`.Waiting` and None is yielded, until they are there or that process has not
    moved for a while (:mod:`.locks`).
    """
    from neuron_widget.rendering import render_steps as render_all

    if store is None:
        return render_all(model, target, neurons, batch_size=batch_size, **settings)
    store.model_key.forget(model)
    chosen = tuple(one.check(model) for one in as_targets(target, neurons))
    return _render(store, model, chosen, batch_size, keep_state, on_wait, settings)


def _render(
    store: Store,
    model: VisionModel,
    targets: tuple[Target, ...],
    batch_size: int | None,
    keep_state: bool | None,
    on_wait: OnWait | None,
    settings: dict[str, Any],
) -> Generator[RenderStep | None, None, RenderResult]:
    from neuron_widget.rendering import render_steps as render_all
    from neuron_widget.rendering.manifest import join, take

    resume = settings.pop("resume", None)

    def find(work: Work) -> list[RenderResult] | None:
        """The images of what is rendered as one: all of them, or it is not there."""
        found = [store.find_render(model, target, **settings) for target in work]
        there = [result for result in found if result is not None]
        return there if len(there) == len(work) else None

    each: list[Work] = [tuple(targets[i] for i in work) for work in works(targets)]
    found = {work: find(work) for work in dict.fromkeys(each)}
    there = [result for results in found.values() for result in results or ()]
    missing = [work for work, results in found.items() if results is None]
    if not missing:
        return join(there, targets)
    together: list[RenderResult] = []

    def make(some: list[Work]) -> Generator[RenderStep, None, dict[Work, list[RenderResult]]]:
        flat = [target for work in some for target in work]
        begun = resume or find_begun(store, model, flat, settings)
        steps = render_all(model, flat, batch_size=batch_size, resume=begun, **settings)
        made = yield from keep_begun(store, model, steps)
        store.keep(model, made, keep_state=keep_state)
        together.append(made)
        single = {target: take(made, i) for i, target in enumerate(made.targets)}
        return {work: [single[target] for target in work] for work in some}

    names = {work: store.render_name(model, work[0], **settings) for work in missing}
    shared = yield from share(
        store.locks,
        names,
        find,
        make,
        on_wait=on_wait if resume is None else None,
    )
    if len(together) == 1 and together[0].targets == targets:
        return together[0]
    return join([*there, *(one for results in shared.values() for one in results)], targets)


def find_begun(
    store: Store, model: VisionModel, targets: Sequence[Target], settings: dict[str, Any]
) -> RenderResult | None:
    """What the store has of these targets with fewer steps, to go on from."""
    from neuron_widget.rendering.manifest import join

    found = [store.find_resumable(model, target, **settings) for target in targets]
    begun = [result for result in found if result is not None]
    return join(begun, [result.targets[0] for result in begun]) if begun else None


def keep_begun(store: Store, model: VisionModel, work: Steps) -> Steps:
    """The same steps; closed in the middle or failing, what is there is kept, to go on from."""
    last: RenderStep | None = None
    with closing(work):
        try:
            while True:
                try:
                    last = next(work)
                except StopIteration as end:
                    made: RenderResult = end.value
                    return made
                yield last
        except (GeneratorExit, NeuronWidgetError) as error:
            result: RenderResult | None = getattr(error, "result", None)
            if result is None and last is not None:
                result = last.result()
            # Without a state (hundreds of images at once) it would not say how far each one is.
            if result is not None and result.state is not None:
                store.keep(model, result)
            raise


@overload
def scan_steps(
    store: Store | None,
    model: VisionModel,
    layer: str,
    dataset: Any,
    *,
    batch_size: int = 32,
    workers: int | None = None,
    checkpoint: Checkpoint | None = None,
    every_photos: int | None = None,
    shard: Shard | None = None,
    on_wait: None = None,
    **settings: Unpack[ScanOptions],
) -> Generator[ScanProgress, None, ScanResult]: ...


@overload
def scan_steps(
    store: Store | None,
    model: VisionModel,
    layer: str,
    dataset: Any,
    *,
    batch_size: int = 32,
    workers: int | None = None,
    checkpoint: Checkpoint | None = None,
    every_photos: int | None = None,
    shard: Shard | None = None,
    on_wait: OnWait,
    **settings: Unpack[ScanOptions],
) -> Generator[ScanProgress | None, None, ScanResult]: ...


def scan_steps(
    store: Store | None,
    model: VisionModel,
    layer: str,
    dataset: Any,
    *,
    batch_size: int = 32,
    workers: int | None = None,
    checkpoint: Checkpoint | None = None,
    every_photos: int | None = None,
    shard: Shard | None = None,
    on_wait: OnWait | None = None,
    **settings: Unpack[ScanOptions],
) -> Generator[Any, None, ScanResult]:
    """As :func:`neuron_widget.scan_steps`: a scan that the store has opens without a photo read.

    Otherwise it goes on from its checkpoint, which a smaller sample leaves too, writes it every
    30 s (or ``every_photos``), and is kept when it is complete; ``checkpoint`` is for where there
    is no store. With ``on_wait``, a scan that another process makes just now is waited for; see
    :func:`render_steps`.

    What is found for a ``shard`` is kept as a part; once all parts are there, the whole scan is
    made of them.
    """
    from neuron_widget.scanning import open_dataset
    from neuron_widget.scanning import scan_steps as scan_all
    from neuron_widget.scanning.shards import check_shard

    options = check_settings(SCAN, settings, what="scan()")
    photos = open_dataset(dataset, split=options["split"])
    how: dict[str, Any] = {**options, "batch_size": batch_size, "workers": workers}
    how["shard"] = check_shard(shard) if shard is not None else None
    if store is None:
        return scan_all(model, layer, photos, checkpoint=checkpoint, **how)
    store.model_key.forget(model)
    return _scan(store, model, layer, photos, every_photos, on_wait, how)


def _scan(
    store: Store,
    model: VisionModel,
    layer: str,
    photos: ImageDataset,
    every_photos: int | None,
    on_wait: OnWait | None,
    how: dict[str, Any],
) -> Generator[ScanProgress | None, None, ScanResult]:
    from neuron_widget.scanning import scan_steps as scan_all

    asked = {name: how[name] for name in ("top_k", "num_samples", "seed", "precision")}
    begun, shard = {**asked, "batch_size": how["batch_size"]}, how["shard"]
    if shard is None:
        name = store.scan_name(model, layer, photos, **asked)
    else:
        name = store.part_name(model, layer, photos, shard, **begun)

    def find(_: str) -> ScanResult | None:
        if shard is not None:
            return store.find_part(name, model, photos)
        known = store.find_scan(model, layer, photos, **asked)
        if known is None:
            known = store.merged_scan(model, layer, photos, **begun)
            if known is not None:
                store.keep(model, known)
        return known

    known = find(layer)
    if known is not None:
        return known

    def make(_: list[str]) -> Generator[ScanProgress, None, dict[str, ScanResult]]:
        # Opened only now: another process may have left it when it was stopped.
        checkpoint = store.checkpoint(
            model, layer, photos, every_photos=every_photos, shard=shard, **begun
        )
        made = yield from scan_all(model, layer, photos, checkpoint=checkpoint, **how)
        if made.part is not None:
            store.keep_part(name, made.part)
        else:
            store.keep(model, made)
        return {layer: made}

    shared = yield from share(
        store.locks,
        {layer: name},
        find,
        make,
        on_wait=on_wait,
    )
    return shared[layer]
