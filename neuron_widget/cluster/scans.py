"""A scan on a cluster: :func:`scan_steps`, and :func:`scan`, which is one here or there."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack, overload
from uuid import uuid4

from neuron_widget.cluster.connection import Where, connected, import_ray
from neuron_widget.cluster.crew import ClusterProgress, Crew
from neuron_widget.cluster.worker import Piece, Setup
from neuron_widget.errors import StoreError, WrongValue
from neuron_widget.setting import check_int
from neuron_widget.settings import SCAN, ScanOptions, check_settings, documented_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from neuron_widget.networks import VisionModel
    from neuron_widget.scanning import ImageDataset, ScanResult
    from neuron_widget.scanning.running import Checkpoint
    from neuron_widget.scanning.shards import Shard
    from neuron_widget.store import Store, StoreLike

__all__ = ["STARTING", "crew_for", "divided", "scan", "scan_pieces", "scan_steps"]

STARTING = "connecting to Ray: some seconds"
"""What there is to say before a cluster is connected or started."""

_SHARD = 1024  # photos
_FEWEST, _MOST = 16, 64  # shards: parts are some 10 kB a neuron each


def divided(photos: int, batch_size: int) -> int:
    """Return into how many shards a scan is divided.

    It is the photos alone that say it: a scan that goes on, on more machines or fewer, must find
    the parts that are there.
    """
    wanted = min(max(-(-photos // _SHARD), _FEWEST), _MOST)
    return max(1, min(wanted, photos // batch_size))


@contextmanager
def crew_for(
    store: Store, model: VisionModel, layer: str, photos: Any, where: Where
) -> Iterator[Crew]:
    """Workers that know network and photos; ``photos`` is a recipe or None."""
    from neuron_widget.cluster.recipes import NetworkRecipe, versions

    own = model.layer(layer).name
    network = NetworkRecipe.of(model, own)
    if where.device is not None and network.opened is not None:
        network = replace(network, opened={**network.opened, "device": where.device})
    sign = f"cluster-{uuid4().hex}"
    lock = store.locks.take(sign)
    seen = store.locks.mark(sign) is not None  # a store without locks cannot be compared
    stores = tuple(str(folder.root.absolute()) for folder in store.folders)
    setup = Setup(network, photos, own, stores, sign if seen else "", versions())
    try:
        with connected(where) as ray, Crew(ray, setup, where) as crew:
            yield crew
    finally:
        if lock is not None:
            lock.release()


def scan_pieces(
    photos: ImageDataset, options: dict[str, Any], batch_size: int, shards: int | None
) -> tuple[list[Piece], int]:
    """Return the shards of a scan, and how many photos they have together."""
    wanted = options["num_samples"]
    total = len(photos) if wanted is None else min(wanted, len(photos))
    count = divided(total, batch_size) if shards is None else check_int("shards", shards, 1)
    how = {**options, "batch_size": batch_size}
    return [Piece("scan", (i, count), how=how) for i in range(count)], total


def scan_steps(
    store: Store,
    model: VisionModel,
    layer: str,
    dataset: Any,
    where: Where,
    *,
    batch_size: int = 32,
    shards: int | None = None,
    **settings: Unpack[ScanOptions],
) -> Generator[ClusterProgress, None, ScanResult]:
    """Scan photos on a cluster; the result equals that of one machine in every bit.

    Workers keep parts in the store, which all machines see, and here they are merged. What the
    store has is not scanned again: the whole scan, a part, a part's checkpoint. Closed, it lets
    workers keep theirs.

    Parameters
    ----------
    store, model, layer, dataset
        As of :func:`.reuse.scan_steps`. What has a name is opened by it on each machine.
    where
        The cluster.
    shards
        How many parts; default :func:`divided`.

    Raises
    ------
    ClusterError
        Ray is not installed, no cluster answers, or its workers do not live.
    StoreError
        The machines do not see one store, or a part cannot be written.
    """
    from neuron_widget.cluster.recipes import PhotosRecipe
    from neuron_widget.scanning import open_dataset

    options = check_settings(SCAN, settings, what="scan()")
    batch_size = check_int("batch_size", batch_size, 1)
    photos = open_dataset(dataset, split=options["split"])
    pieces, total = scan_pieces(photos, options, batch_size, shards)
    store.model_key.forget(model)
    asked = {name: options[name] for name in ("top_k", "num_samples", "seed", "precision")}
    known = store.find_scan(model, layer, photos, **asked)
    if known is not None:
        return known
    import_ray()
    yield ClusterProgress("scan", 0, total, 0, note=STARTING)
    recipe = PhotosRecipe.of(dataset, options["split"], photos)
    with (
        crew_for(store, model, layer, recipe, where) as crew,
        closing(crew.run(pieces, total)) as work,
    ):
        names = yield from work
    return merge_parts(store, model, photos, names)


def merge_parts(
    store: Store, model: VisionModel, photos: ImageDataset, names: list[str]
) -> ScanResult:
    """The scan that the workers' parts make, kept like any other."""
    result = store.merge_named(names, model, photos)
    store.keep(model, result)
    return result


@overload
def scan(
    model: VisionModel | nn.Module | str | None,
    layer: str,
    dataset: Any,
    *,
    batch_size: int = 32,
    workers: int | None = None,
    progress: bool = True,
    checkpoint: Checkpoint | None = None,
    shard: Shard | None = None,
    cluster: str | Where | None = None,
    store: StoreLike = None,
    **settings: Unpack[ScanOptions],
) -> ScanResult: ...


@overload
def scan(
    model: VisionModel | nn.Module | str | None,
    layer: Sequence[str],
    dataset: Any,
    *,
    batch_size: int = 32,
    workers: int | None = None,
    progress: bool = True,
    **settings: Unpack[ScanOptions],
) -> dict[str, ScanResult]: ...


@documented_options(ScanOptions)
def scan(
    model: VisionModel | nn.Module | str | None,
    layer: str | Sequence[str],
    dataset: Any,
    *,
    batch_size: int = 32,
    workers: int | None = None,
    progress: bool = True,
    checkpoint: Checkpoint | None = None,
    shard: Shard | None = None,
    cluster: str | Where | None = None,
    store: StoreLike = None,
    **settings: Unpack[ScanOptions],
) -> ScanResult | dict[str, ScanResult]:
    """Find the photos that fire every neuron of a layer most and least, in one pass.

    The score of a photo is the spatial mean of the neuron's activation. Photos are prepared as in
    ImageNet evaluation: RGB, shorter side 256 for an input of 224, centre crop, the model's own
    preprocessing.

    Parameters
    ----------
    model
        A :class:`~neuron_widget.networks.model.VisionModel`, or what ``load_model`` takes.
    layer
        Name of the layer; or of several, each photo being decoded once for all of them.
    dataset
        What :func:`~neuron_widget.scanning.datasets.open_dataset` takes.
    top_k
        Photos to keep at either end for each neuron.
    num_samples
        Look at this many photos, drawn with ``seed``; default all.
    split
        Split of the data set, where it has several.
    seed
        Seed of the sample and of the order.
    batch_size
        Photos in one forward pass.
    workers
        Threads that decode photos; default one a core, 0 decodes in the calling thread.
    progress
        Whether to show a progress bar.
    precision
        ``"exact"``: float32. ``"fast"``: a bfloat16 pass keeps more candidates than ``top_k``;
        those of a neuron are scored again in float32 when it is looked at, so that its photos,
        scores and maps are exact, while ``mean``, ``std``, ``best`` and the histogram are those
        of the bfloat16 pass (within about 1 %). On a processor without bfloat16 arithmetic it is
        the exact pass, and ``result.settings["precision"]`` says so.
    checkpoint
        Where to go on from and to keep what is done; see :func:`~neuron_widget.scan_steps`.
    shard
        ``(i, n)``, ``i`` from 0: look at the i-th of n parts of the photos alone. The results of
        all n make :meth:`.ScanResult.merge` the result of one scan, bit by bit. A shard is made of
        whole batches: of fewer batches than shards some shards are empty.
    cluster
        Where Ray does the work, in shards: ``"auto"``, the cluster that ``RAY_ADDRESS`` or
        ``ray start`` on this machine names, else all processors or GPUs of this machine; an
        address, ``"host:6379"``; or a :class:`~neuron_widget.cluster.Where`. The result is the
        same in every bit. It needs the extra ``neuron-widget[ray]``.
    store
        With ``cluster``: the folder that its parts are kept in, which all its machines see; what
        is there is not scanned again. Default as for the widget, ``NEURON_WIDGET_STORE``.

    Raises
    ------
    DatasetError
        For a data set that cannot be opened or of which no photo could be read.
    UnknownLayer
        With the nearest names.
    ClusterError
        Ray is not installed, no cluster answers, or its workers do not live.
    StoreError
        With ``cluster``: there is no store, or not all machines see it.
    TypeError, ValueError
        For an argument of the wrong type, ``top_k``, ``batch_size`` or ``num_samples`` below 1, an
        unknown ``precision``, or a ``shard`` that is not of 0 to n - 1.

    Returns
    -------
    ScanResult
        Of several layers a dict of them, by layer.

    Examples
    --------
    >>> from neuron_widget import scan
    >>> found = scan(
    ...     "efficientnet_lite0", "blocks.0", "samples", top_k=3, num_samples=16, progress=False
    ... )
    >>> found.scanned, [example.rank for example in found.top(5)]
    (16, [0, 1, 2])
    """
    from neuron_widget import scanning
    from neuron_widget.networks.zoo import load_model
    from neuron_widget.progress import drain
    from neuron_widget.store import open_store

    if cluster is None:
        if store is not None:
            raise WrongValue(
                "store= is where a cluster's parts go, and there is no cluster=; expected both, "
                "or neither"
            )
        one_or_several: Any = layer
        found: ScanResult | dict[str, ScanResult] = scanning.scan(
            model,
            one_or_several,
            dataset,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
            checkpoint=checkpoint,
            shard=shard,
            **settings,
        )
        return found
    for name, value in (("workers", workers), ("checkpoint", checkpoint), ("shard", shard)):
        if value is not None:
            raise WrongValue(f"{name}= is for a scan here; leave it out with cluster={cluster!r}")
    if not isinstance(layer, str):
        raise WrongValue("a cluster scans one layer at a time; name one, or leave cluster= out")
    where = cluster if isinstance(cluster, Where) else Where(cluster)
    opened = open_store(store)
    if opened is None:
        raise StoreError(
            "a cluster's parts need a place, and there is no store; expected store=, a folder that "
            "all its machines see"
        )
    steps = scan_steps(
        opened, load_model(model), layer, dataset, where, batch_size=batch_size, **settings
    )
    return drain(steps, progress=progress, title="Scanning", unit=" photos")
