"""Why no number is given for a layer: the words that stand in its place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuron_widget.scanning import ImageDataset, ScanResult
from neuron_widget.scanning.pairs import counted

__all__ = ["absent", "copies", "one_class", "only_class", "too_small"]


def only_class(photos: ImageDataset, wanted: NDArray[np.int64]) -> str:
    """The one class that all these photos are of; ``""`` if there are several, or none is known."""
    first = photos.label(int(wanted[0]))
    return first if first and all(photos.label(int(i)) == first for i in wanted) else ""


def too_small(scan: ScanResult, references: int, needed: int) -> str:
    """The photos asked about would overlap."""
    photos = scan._photos
    count, few = counted(photos, scan.scanned), f"{scan.scanned:,} photos are"
    if count < scan.scanned:
        few = f"{scan.scanned:,} photos of few {photos.group_name}s, which count as {count}, are"
    return (
        f"{few} too few for fair questions: with {references} references at either end, those that "
        f"fire a neuron most and least would overlap; {needed:,} would do"
    )


def one_class(scan: ScanResult, label: str) -> str:
    """All photos are of one class."""
    return (
        f"all photos of {scan.dataset} are of one class, {label!r}: what fires a neuron most and "
        "what fires it least differ too little to ask; take photos of several classes"
    )


def absent(scan: ScanResult) -> str:
    """Network or photos are not at hand."""
    return (
        f"this scan of {scan.layer} was loaded without its network or its photos, which are looked "
        "at here: pass model= and dataset= to ScanResult.load(...)"
    )


def copies(scan: ScanResult) -> str:
    """The photos are one photo."""
    return (
        f"the photos of {scan.dataset} are copies of one another: no question can be asked about "
        "one photo with the same photo as a reference"
    )
