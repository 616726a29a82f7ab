"""``--ray``: where the work goes, and how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neuron_widget.errors import StoreError, WrongValue

if TYPE_CHECKING:
    from neuron_widget.cli.jobs import Opened
    from neuron_widget.cli.output import Bars
    from neuron_widget.cluster import ClusterProgress, Where

__all__ = ["Watch", "cluster_of"]

_TASKS = {"images": "Rendering", "scan": "Scanning", "rest": "Tiles and maps of"}


def cluster_of(
    opened: Opened,
    address: str | None,
    cpus_per_worker: int | None,
    device: str | None,
    shard: str | None = None,
    *,
    verbose: bool = False,
) -> Where | None:
    """The cluster that the options name; None where ``--ray`` is not given."""
    if address is None:
        for name, given in (("--cpus-per-worker", cpus_per_worker is not None), ("-v", verbose)):
            if given:
                raise WrongValue(f"{name} is for work on a cluster; expected --ray beside it")
        return None
    from neuron_widget.cluster import Where

    if shard is not None:
        raise WrongValue("--ray makes all shards, and --shard one; expected one of the two")
    if opened.store is None:
        raise StoreError(
            "--ray keeps its parts in the store, and there is none; name a folder that all "
            "machines see with --store"
        )
    return Where(address, cpus_per_worker, device)


class Watch:
    """Shows how far a cluster is: one bar for all, and with ``verbose`` one a worker."""

    def __init__(self, bars: Bars, layer: str, verbose: bool):
        self._bars = bars
        self._layer = layer
        self._verbose = verbose

    def __call__(self, now: ClusterProgress) -> None:
        """Show a step."""
        if now.note:
            self._bars.say(now.note)
        if not (now.workers or now.done):
            return  # waiting for workers is not slow work
        unit = {"images": "images", "scan": "photos"}.get(now.task, "")
        title = f"{_TASKS[now.task]} {self._layer}"
        self._bars.update(title, now.done, now.total, unit, now.found)
        if self._verbose:
            for name, done in now.workers:
                self._bars.update(name, done, now.total, unit)
