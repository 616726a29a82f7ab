"""Rendering and scanning that ask the store first: the same generators, with less to do."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import RenderError
from neuron_widget.targets import Target, TargetLike, as_targets

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.rendering import RenderResult
    from neuron_widget.rendering.result import RenderStep, Steps
    from neuron_widget.scanning import ScanProgress, ScanResult
    from neuron_widget.store.store import Store

__all__ = ["find_begun", "keep_begun", "render_steps", "scan_steps"]


def render_steps(
    store: Store | None,
    model: VisionModel,
    target: TargetLike,
    neurons: int | Sequence[int] | None = None,
    *,
    batch_size: int | None = None,
    keep_state: bool | None = None,
    **settings: Any,
) -> Steps:
    """As :func:`neuron_widget.render_steps`: what the store has is not rendered again.

    What was begun goes on from the stored image with the most steps. What is rendered is kept, also
    what is there when this is closed in the middle. With everything at hand no step is yielded.
    Results that come from the store carry no state.
    """
    from neuron_widget.rendering import render_steps as render_all

    if store is None:
        return render_all(model, target, neurons, batch_size=batch_size, **settings)
    store.recipe.forget(model)
    chosen = tuple(one.check(model) for one in as_targets(target, neurons))
    return _render(store, model, chosen, batch_size, keep_state, settings)


def _render(
    store: Store,
    model: VisionModel,
    targets: tuple[Target, ...],
    batch_size: int | None,
    keep_state: bool | None,
    settings: dict[str, Any],
) -> Steps:
    from neuron_widget.rendering import render_steps as render_all
    from neuron_widget.rendering.manifest import join, take

    resume = settings.pop("resume", None)
    found = {t: store.find_render(model, t, **settings) for t in dict.fromkeys(targets)}
    there = [result for result in found.values() if result is not None]
    missing = [target for target, result in found.items() if result is None]
    if missing:
        resume = resume or find_begun(store, model, missing, settings)
        work = render_all(model, missing, batch_size=batch_size, resume=resume, **settings)
        made = yield from keep_begun(store, model, work)
        store.keep(model, made, keep_state=keep_state)
        if not there and tuple(missing) == targets:
            return made
        there += [take(made, i) for i in range(len(made))]
    return join(there, targets)


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
        except (GeneratorExit, RenderError) as error:
            result: RenderResult | None = getattr(error, "result", None)
            if result is None and last is not None:
                result = last.result()
            # Without a state (hundreds of images at once) it would not say how far each one is.
            if result is not None and result.state is not None:
                store.keep(model, result)
            raise


def scan_steps(
    store: Store | None,
    model: VisionModel,
    layer: str,
    dataset: Any,
    *,
    top_k: int = 9,
    num_samples: int | None = None,
    split: str = "train",
    seed: int = 0,
    batch_size: int = 32,
    precision: str = "exact",
    every_photos: int | None = None,
    **how: Any,
) -> Generator[ScanProgress, None, ScanResult]:
    """As :func:`neuron_widget.scan_steps`: a scan that the store has opens without a photo read.

    Otherwise it goes on from its checkpoint, which a smaller sample leaves too, writes it every
    30 s (or ``every_photos``), and is kept when it is complete.
    """
    from neuron_widget.scanning import open_dataset
    from neuron_widget.scanning import scan_steps as scan_all

    photos = open_dataset(dataset, split=split)
    plain: dict[str, Any] = {"top_k": top_k, "seed": seed, "precision": precision}
    if store is not None:
        store.recipe.forget(model)
        known = store.find_scan(model, layer, photos, num_samples=num_samples, **plain)
        if known is not None:
            return known
        how["checkpoint"] = store.checkpoint(
            model, layer, photos, batch_size=batch_size, every_photos=every_photos, **plain
        )
    result = yield from scan_all(
        model,
        layer,
        photos,
        num_samples=num_samples,
        split=split,
        batch_size=batch_size,
        **plain,
        **how,
    )
    if store is not None:
        store.keep(model, result)
    return result
