"""Where a long scan has got to, on disk: it goes on from there exactly.

What is kept is the state of the running statistics at the boundary of two full batches, with the
number of photos dealt with. Photos come in an order that the seed alone decides, so the batches
after it are those of an uninterrupted scan, and so is the result, bit by bit. The checkpoint of a
finished scan stays: a larger sample with the same seed begins with the smaller one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from neuron_widget.durable import Arrays, Damaged, Record, pack_arrays, whole
from neuron_widget.errors import StoreError
from neuron_widget.store.keys import digest

if TYPE_CHECKING:
    from neuron_widget.store.folders import Folders

__all__ = ["FileCheckpoint", "checkpoint_name"]

EVERY_S = 30.0


def checkpoint_name(
    key: str,
    *,
    top_k: int,
    batch_size: int,
    device: str,
    torch_version: str,
    shard: tuple[int, int, int] | None = None,
) -> str:
    """Name of a checkpoint: of one scan on one kind of device, where every bit is the same.

    ``shard``: which of how many, and photos of all.
    """
    # The version counts up when the state of the statistics is another, or the batches are.
    parts = {"scan": key, "device": device, "torch": torch_version, "version": 2}
    own = digest("checkpoint", {**parts, **({"shard": shard} if shard is not None else {})})
    return f"{own}-k{top_k}-b{batch_size}.safetensors"


class FileCheckpoint:
    """The checkpoint of one scan.

    Parameters
    ----------
    store
        Where it is kept.
    name
        From :func:`checkpoint_name`.
    every_s, every_photos
        Written when so many seconds have passed, or so many photos, since the last time.
    """

    def __init__(
        self, store: Folders, name: str, every_s: float = EVERY_S, every_photos: int | None = None
    ):
        self._store = store
        self._name = name
        self._every_s = every_s
        self._every_photos = every_photos
        self._when = time.monotonic()
        self._done = 0

    def load(self) -> tuple[dict[str, Any], Arrays] | None:
        """Return facts and arrays as they were saved; None if there is no whole checkpoint."""
        found: tuple[dict[str, Any], Arrays] | None
        found = self._store.find("checkpoints", self._name, _read)
        if found is not None:
            self._done = found[0]["done"]
        return found

    def due(self, done: int) -> bool:
        """Whether it is time to save, ``done`` photos being dealt with."""
        if self._every_photos is not None and done - self._done >= self._every_photos:
            return True
        return time.monotonic() - self._when >= self._every_s

    def save(self, facts: dict[str, Any], arrays: Arrays) -> None:
        """Write a checkpoint unless one further on is there; a scan goes on without it."""
        self._when, self._done = time.monotonic(), int(facts["done"])
        there = self._store.own.read("checkpoints", self._name, _done)
        if there is not None and there >= self._done:
            return
        named = {"kind": "checkpoint", "name": self._name, **facts}
        try:
            self._store.write("checkpoints", self._name, pack_arrays(arrays, named))
        except StoreError as error:
            self._store.fail(error)


def _read(record: Record) -> tuple[dict[str, Any], Arrays]:
    _done(record)
    return record.facts, record.arrays()


def _done(record: Record) -> int:
    """The photos dealt with; Damaged if that is not the sum of those seen and skipped."""
    facts = record.facts
    skipped = [(whole(i), str(reason)) for i, reason in facts["skipped"]]
    if whole(facts["done"]) != whole(facts["scanned"]) + len(skipped):
        raise Damaged(f"{facts['done']} photos are not {facts['scanned']} and {len(skipped)}")
    return int(facts["done"])
