"""Parts of a scan as files: the state of its statistics, and what scan it is a part of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuron_widget.durable import (
    MALFORMED,
    Damaged,
    Record,
    open_record,
    pack_arrays,
    parse_facts,
    seal,
    whole,
    write_atomically,
)
from neuron_widget.errors import StoreError
from neuron_widget.names import as_path
from neuron_widget.scanning.files import ALGORITHM
from neuron_widget.scanning.image_dataset import digest

if TYPE_CHECKING:
    from neuron_widget.scanning.statistics import ScanStatistics

__all__ = ["ScanPart", "made_by", "packed", "plain_facts"]

_KIND = "scan part"
_LARGEST = 2**30  # bytes of a file: some 8 kB a neuron
_MOST_PHOTOS = 10**8
_SKETCH, _PLACE, _NUMBER = "sketch.counts", "sketch.place", "sketch.number"


def made_by(device: str) -> dict[str, Any]:
    """What else than its settings makes a scan what it is, to the last bit."""
    import torch

    from neuron_widget.version import __version__

    versions = {"neuron_widget": __version__, "torch": str(torch.__version__)}
    return {"algorithm": ALGORITHM, "versions": versions, "device": device}


def plain_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as they come back from a file."""
    return parse_facts(seal({**facts, "kind": _KIND}))


def packed(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The state of the statistics as a part has it: of the sketch, mostly empty, what is in it."""
    counts = arrays[_SKETCH]
    place = np.flatnonzero(counts)
    others = {name: array for name, array in arrays.items() if name != _SKETCH}
    return {**others, _PLACE: _small(place), _NUMBER: _small(counts[place])}


def _small(numbers: NDArray[np.int64]) -> NDArray[Any]:
    """The same whole numbers in half of the bytes, if they fit."""
    most = np.iinfo(np.int32).max
    return numbers if numbers.max(initial=0) > most else numbers.astype(np.int32)


@dataclass(frozen=True)
class ScanPart:
    """One shard of a scan.

    Attributes
    ----------
    facts
        The shard, the scan that it is a part of, its photos and those skipped.
    arrays
        The state of the statistics, and the groups of the photos that it names.
    source
        What errors call it: its file.
    """

    facts: dict[str, Any]
    arrays: dict[str, NDArray[Any]]
    source: str

    @property
    def shard(self) -> tuple[int, int]:
        """``(i, n)``, counted from 0."""
        i, n = self.facts["shard"]
        return i, n

    @property
    def scan(self) -> dict[str, Any]:
        """What it is a part of: equal in all parts of a scan."""
        scan: dict[str, Any] = self.facts["scan"]
        return scan

    @property
    def name(self) -> str:
        """The name of its file: parts of different scans can be in one folder."""
        (i, n), width = self.shard, len(str(self.shard[1] - 1))
        layer = re.sub(r"[^\w.-]", "_", self.scan["layer"])
        own = digest([json.dumps(self.scan, sort_keys=True)])[:8]
        return f"{layer}-{own}-{i:0{width}}-of-{n}.safetensors"

    def statistics(self, groups: NDArray[np.int64] | None) -> ScanStatistics:
        """The statistics of its photos; ``groups`` are those of all photos."""
        import torch

        from neuron_widget.scanning.extremes import QuantileSketch
        from neuron_widget.scanning.statistics import ScanStatistics

        scan = self.scan
        channels, height, width = scan["shape"]
        photos = scan["dataset"]["photos"]
        found = ScanStatistics(channels, photos, scan["settings"], groups, torch.device("cpu"))
        state = {name: a for name, a in self.arrays.items() if not name.startswith("groups.")}
        counts = np.zeros(channels * QuantileSketch.BINS, np.int64)
        counts[state.pop(_PLACE)] = state.pop(_NUMBER)
        try:
            found.restore({**state, _SKETCH: counts}, self.facts["scanned"])
            found.check_best_photos(photos, height * width)
        except (KeyError, ValueError) as error:
            raise StoreError(f"{self.source} is no part of a scan ({error})") from error
        return found

    def pack(self, name: str | None = None) -> bytes:
        """Return it as a file; with ``name``, one of a store."""
        named = {"name": name} if name is not None else {}
        return pack_arrays(self.arrays, {**self.facts, **named})

    def save(self, path: Path) -> Path:
        """Write it, into a folder under its own name, and return its path. Raises StoreError."""
        path = path / self.name if path.is_dir() else path
        if path.suffix.lower() != ".safetensors":
            raise StoreError(
                f"a part of a scan is saved as safetensors; got the name {path.name!r}, "
                f"expected one such as {path.stem + '.safetensors'!r}"
            )
        write_atomically(path, self.pack())
        return path

    @classmethod
    def load(cls, path: Path) -> ScanPart:
        """Return the part in a file; StoreError says what else it is."""
        path = as_path(path, "the part's file", StoreError, example="part.safetensors")
        try:
            with open_record(path, largest=_LARGEST) as record:
                return cls.read(record, str(path))
        except OSError as error:
            raise StoreError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
        except Damaged as error:
            raise StoreError(
                f"{path} cannot be merged: {error}; expected a part of a scan, such as "
                "neuron-widget scan --shard writes"
            ) from error

    @classmethod
    def read(cls, record: Record, source: str) -> ScanPart:
        """Return the part in an open file, each number of which is within its range, or Damaged."""
        kind = record.facts.get("kind")
        if kind != _KIND:
            raise Damaged("it is a whole scan" if kind == "scan" else "it is no part of a scan")
        try:
            return cls(*_checked(record), source)
        except MALFORMED as error:
            raise Damaged(f"it is no part of a scan ({error!r})") from error


def _checked(record: Record) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    from neuron_widget.scanning.extremes import QuantileSketch
    from neuron_widget.scanning.statistics import depths

    facts = {name: value for name, value in record.facts.items() if name not in ("sha256", "name")}
    i, n = (whole(one) for one in facts["shard"])
    whole(i, 0, n - 1)
    scan, settings = facts["scan"], facts["scan"]["settings"]
    channels, _, _ = (whole(side, 1) for side in scan["shape"])
    photos = whole(scan["dataset"]["photos"], 1, _MOST_PHOTOS)
    whole(settings["top_k"], 1)
    if settings["precision"] not in ("exact", "fast"):
        raise ValueError(f"precision {settings['precision']!r}")
    if settings["num_samples"] is not None:
        whole(settings["num_samples"], 1)
    whole(scan["batch_size"], 1)
    whole(facts["scanned"])
    if not isinstance(scan["layer"], str) or not isinstance(scan["dataset"]["name"], str):
        raise ValueError("layer and data set have no names")
    facts["skipped"] = [
        [whole(at), str(path), str(reason)] for at, path, reason in facts["skipped"]
    ]
    for number, (path, label) in facts["photos"].items():
        whole(int(number), 0, photos - 1)
        if not isinstance(path, str) or not isinstance(label, str):
            raise ValueError(f"photo {number} has no path")
    arrays = record.arrays()
    # What the file says of itself must fit what is in it before anything is made of that size.
    _, kept = depths(settings, photos)
    if arrays["top.key"].shape != (channels, kept):
        raise ValueError(f"{arrays['top.key'].shape} photos of {channels} neurons")
    place, counted = arrays[_PLACE], arrays[_NUMBER]
    fits = place.shape == counted.shape and counted.dtype.kind == "i"
    if not fits or not _within(place, channels * QuantileSketch.BINS):
        raise ValueError("a quantile outside of its bins")
    known = arrays.get("groups.photo")
    if known is not None and (
        known.shape != arrays["groups.number"].shape or not _within(known, photos)
    ):
        raise ValueError("groups of other photos")
    return facts, arrays


def _within(numbers: NDArray[Any], end: int) -> bool:
    """Whether these are numbers of 0 to ``end`` - 1."""
    if numbers.ndim != 1 or numbers.dtype.kind != "i":
        return False
    return not numbers.size or (int(numbers.min()) >= 0 and int(numbers.max()) < end)
