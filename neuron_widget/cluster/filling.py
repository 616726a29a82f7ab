"""A whole layer into the store, on a cluster: images, the scan, and what needs all of them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from neuron_widget.cluster.connection import Where, import_ray
from neuron_widget.cluster.crew import ClusterProgress
from neuron_widget.cluster.scans import STARTING, crew_for, merge_parts, scan_pieces
from neuron_widget.cluster.worker import Piece
from neuron_widget.settings import SCAN, check_settings

if TYPE_CHECKING:
    from neuron_widget.networks import VisionModel
    from neuron_widget.scanning import ScanResult
    from neuron_widget.store import Store

__all__ = ["carried", "fill_steps"]

_IMAGES = 32  # of a piece, at most
_FEWEST = 16  # pieces, if there are images enough


def carried(images: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of pictures with what their files hold, which other machines may not have."""
    from neuron_widget.rendering.natural import as_spectrum
    from neuron_widget.rendering.start import as_start

    opened = dict(images)
    for name, read in (("spectrum", as_spectrum), ("start", as_start)):
        if opened.get(name) is not None:
            opened[name] = read(opened[name])
    return opened


def fill_steps(
    store: Store,
    model: VisionModel,
    layer: str,
    neurons: Sequence[int],
    dataset: Any,
    where: Where,
    *,
    batch_size: int | None = None,
    images: Mapping[str, Any],
    photos: Mapping[str, Any],
    shards: int | None = None,
) -> Generator[ClusterProgress, None, tuple[int, ScanResult | None]]:
    """Render what the store has no image of, and scan; ``dataset`` may be None.

    ``images`` and ``photos`` are settings of :func:`.reuse.render_steps` and
    :func:`.reuse.scan_steps`. Each image is a file, each shard of the photos too, in the store that
    all machines see; tiles and activation maps are made at the end, by one worker. Returns how many
    images were made now, and the scan.

    Raises
    ------
    ClusterError, StoreError
        As :func:`.scans.scan_steps`.
    """
    from neuron_widget.cluster.recipes import PhotosRecipe
    from neuron_widget.scanning import open_dataset

    import_ray()
    images = carried(images)
    chosen = tuple(dict.fromkeys(neurons))
    how = {**images, "batch_size": batch_size}
    missing = [n for n in chosen if store.find_render(model, layer, n, **images) is None]
    found = len(chosen) - len(missing)
    yield ClusterProgress("images", found, len(chosen), found, note=STARTING)
    recipe, shards_of = None, None
    if dataset is not None:
        named = {name: value for name, value in photos.items() if name != "batch_size"}
        options = check_settings(SCAN, named, what="scan()")
        opened = open_dataset(dataset, split=options["split"])
        recipe = PhotosRecipe.of(dataset, options["split"], opened)
        shards_of = scan_pieces(opened, options, photos.get("batch_size", 32), shards)
    made, result = 0, None
    with crew_for(store, model, layer, recipe, where) as crew:
        if missing:
            size = max(1, min(batch_size or _IMAGES, _IMAGES, -(-len(missing) // _FEWEST)))
            pieces = [
                Piece("images", neurons=tuple(missing[i : i + size]), how=how)
                for i in range(0, len(missing), size)
            ]
            with closing(crew.run(pieces, len(chosen), found)) as work:
                made = sum((yield from work))
        if shards_of is not None:
            asked = {name: options[name] for name in ("top_k", "num_samples", "seed", "precision")}
            result = store.find_scan(model, layer, opened, **asked)
            if result is None:
                with closing(crew.run(*shards_of)) as work:
                    names = yield from work
                result = merge_parts(store, model, opened, names)
        rest = Piece("rest", neurons=chosen, how={"images": how, "photos": dict(photos)})
        with closing(crew.run([rest], 1)) as work:
            yield from work
    return made, result
