"""A scan in parts: which photos are in each, and one result of all, equal in every bit.

The photos' order is cut into batches, and each shard takes whole ones. So a photo is read beside
the same others whoever reads it, and what a network makes of it is the same to the last bit; the
statistics are free of the order. The parts are files (:mod:`.part_files`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuron_widget.errors import StoreError, WrongType, shown
from neuron_widget.scanning.part_files import ScanPart, made_by, packed, plain_facts
from neuron_widget.setting import check_int

if TYPE_CHECKING:
    from neuron_widget.scanning.statistics import ScanStatistics

__all__ = ["Shard", "check_shard", "merged", "part_of", "parts_in", "shard_of", "share_of"]

Shard = tuple[int, int]
"""``(i, n)``: the i-th of n, counted from 0."""

# Of what makes a scan, what is told by another word than its own name.
_CALLED = {
    "model.identity": "network",
    "model.input_size": "input size",
    "dataset.fingerprint": "data set",
    "dataset.photos": "number of photos",
    "made_by.device": "device",
    "made_by.algorithm": "algorithm",
    "made_by.versions.neuron_widget": "version of neuron-widget",
    "made_by.versions.torch": "version of PyTorch",
}
# The same photos may be elsewhere, under another name.
_FREE = ("dataset.name", "model.name", "model.title")
_MOST_NAMED = 10


def check_shard(shard: object) -> Shard:
    """Return a shard, ``(i, n)`` with i of 0 to n - 1; TypeError or ValueError otherwise."""
    if not isinstance(shard, tuple | list) or len(shard) != 2:
        raise WrongType(
            f"shard must be a pair (i, n) such as (0, 16), the first of 16; got {shown(shard)}"
        )
    shards = check_int("shard's n", shard[1], 1)
    return check_int("shard's i (counted from 0)", shard[0], 0, shards - 1), shards


def share_of(count: int, shard: Shard) -> slice:
    """Which of so many things a shard takes: neighbours, as many as the others or one more."""
    i, n = shard
    return slice(count * i // n, count * (i + 1) // n)


def shard_of(order: NDArray[np.int64], shard: Shard, batch_size: int) -> NDArray[np.int64]:
    """Return the photos of a shard: whole batches of the order, those of one tar side by side.

    What is left of the last batch is read last, by the last shard.
    """
    batches, rest = np.split(order, [len(order) // batch_size * batch_size])
    batches = batches.reshape(-1, batch_size)
    batches = batches[batches[:, 0].argsort()]
    own = batches[share_of(len(batches), shard)].reshape(-1)
    return np.concatenate([own, rest]) if shard[0] == shard[1] - 1 else own


def part_of(
    manifest: Mapping[str, Any],
    device: str,
    shard: Shard,
    statistics: ScanStatistics,
    groups: NDArray[np.int64] | None,
    places: Sequence[int],
) -> ScanPart:
    """Return the part that a shard is.

    Parameters
    ----------
    manifest
        Of the shard's result.
    device
        What the network ran on: ``"cpu"``, ``"cuda"``.
    shard, statistics, groups
        Which it is, what was found in it, and the groups of all photos.
    places
        Of each skipped photo in the order of all photos.
    """
    own = ("scanned", "skipped", "photos", "groups")
    scan = {name: value for name, value in manifest.items() if name not in own}
    skipped = [(at, *what) for at, what in zip(places, manifest["skipped"], strict=True)]
    facts = {
        "shard": shard,
        "scan": {**scan, "made_by": made_by(device)},
        "scanned": manifest["scanned"],
        "skipped": skipped,
        "photos": manifest["photos"],
    }
    arrays = packed(statistics.arrays())
    if groups is not None:
        kept = statistics.top.result().index, statistics.bottom.result().index
        known = np.unique(np.concatenate(kept, axis=None))
        arrays |= {"groups.photo": known, "groups.number": groups[known]}
    return ScanPart(plain_facts(facts), arrays, f"part {shard[0]} of {shard[1]}")


def _check_parts(parts: Sequence[ScanPart]) -> None:
    """Raise StoreError unless these are all parts of one scan, each once; it names those at fault.

    Parts are counted from 0, as shards are.
    """
    if not parts:
        raise StoreError("there is no part to merge; expected all that scan(shard=(i, n)) gives")
    scans = [_compared(part) for part in parts]
    usual = max(scans, key=scans.count)
    first = parts[scans.index(usual)]
    for part, scan in zip(parts, scans, strict=True):
        for name in dict.fromkeys([*usual, *scan]):
            ours, theirs = usual.get(name), scan.get(name)
            if theirs != ours:
                called = _CALLED.get(name, name.removeprefix("settings."))
                raise StoreError(
                    f"{part.source} is of another scan than {first.source}: {called} is "
                    f"{shown(theirs)}, and {shown(ours)} there; expected the parts of one scan. "
                    "Leave it out"
                )
        if part.shard[1] != first.shard[1]:
            raise StoreError(
                f"{first.source} is one of {first.shard[1]} parts, {part.source} one of "
                f"{part.shard[1]}; expected the parts of one division. Leave one of them out"
            )
    seen: dict[int, ScanPart] = {}
    for part in parts:
        there = seen.setdefault(part.shard[0], part)
        if there is not part:
            raise StoreError(
                f"{there.source} and {part.source} are both part {part.shard[0]} of "
                f"{part.shard[1]}; expected each once. Leave one of them out"
            )
    missing = [i for i in range(first.shard[1]) if i not in seen]
    if missing:
        named = ", ".join(map(str, missing[:_MOST_NAMED]))
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        raise StoreError(
            f"part {named}{more} of {first.shard[1]} (counted from 0) "
            f"{'is' if len(missing) == 1 else 'are'} missing; scan with --shard "
            f"{missing[0]}/{first.shard[1]}, shard=({missing[0]}, {first.shard[1]}) in Python"
        )


def _compared(part: ScanPart) -> dict[str, Any]:
    return {name: value for name, value in _flat(part.scan).items() if name not in _FREE}


def _flat(facts: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested facts as one level: ``{"model.identity": ...}``."""
    found: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = value
    return found


def merged(parts: Sequence[ScanPart]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return manifest and arrays of the scan that all these parts are.

    Raises StoreError as :func:`_check_parts` does, and DatasetError if no photo could be read.
    """
    _check_parts(parts)
    parts = sorted(parts, key=lambda part: part.shard)
    scan = {name: value for name, value in parts[0].scan.items() if name != "made_by"}
    groups = _groups(parts, scan["dataset"]["photos"])
    whole = parts[0].statistics(groups)
    for part in parts[1:]:
        whole.merge(part.statistics(groups))
    scanned = sum(part.facts["scanned"] for part in parts)
    skipped = sorted(tuple(entry) for part in parts for entry in part.facts["skipped"])
    wanted = scan["settings"]["num_samples"]
    photos = scan["dataset"]["photos"] if wanted is None else min(wanted, scan["dataset"]["photos"])
    if scanned + len(skipped) != photos:
        raise StoreError(
            f"the {len(parts)} parts have {scanned + len(skipped):,} photos, and the scan has "
            f"{photos:,}; expected each photo in one part. Scan again"
        )
    if scanned == 0:
        from neuron_widget.scanning.loading import nothing_readable

        raise nothing_readable(photos, scan["dataset"]["name"], skipped[0][1:])
    tables = whole.tables()
    known = {i: named for part in parts for i, named in part.facts["photos"].items()}
    photos_named = [str(i) for i in tables.photos()]
    manifest = {
        **scan,
        "scanned": scanned,
        "skipped": [entry[1:] for entry in skipped],
        "photos": {i: known[i] for i in photos_named if i in known},
    }
    if groups is not None:
        manifest["groups"] = {i: int(groups[int(i)]) for i in photos_named}
    return manifest, tables.arrays()


def _groups(parts: Sequence[ScanPart], photos: int) -> NDArray[np.int64] | None:
    """The groups of the photos that any part names; every other photo stands alone."""
    if not any("groups.photo" in part.arrays for part in parts):
        return None
    groups = -1 - np.arange(photos)
    for part in parts:
        groups[part.arrays["groups.photo"]] = part.arrays["groups.number"]
    return groups


def parts_in(given: Any) -> list[ScanPart]:
    """Return the parts that results, files and folders of files are; StoreError for others."""
    some = given if isinstance(given, list | tuple) else [given]
    found: list[ScanPart] = []
    for one in some:
        if isinstance(one, ScanPart):
            found.append(one)
        elif hasattr(one, "tables"):
            if one.part is None:
                raise StoreError(
                    f"{one!r} is the result of no shard; expected those of scan(shard=(i, n)), "
                    "each scanned to its end"
                )
            found.append(one.part)
        elif Path(one).is_dir():
            files = sorted(Path(one).glob("*.safetensors"))
            if not files:
                raise StoreError(f"there is no part in the folder '{one}' (*.safetensors)")
            found += [ScanPart.load(file) for file in files]
        else:
            found.append(ScanPart.load(Path(one)))
    return found
