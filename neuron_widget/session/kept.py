"""What a session has made so far, and what of it a view needs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from neuron_widget import messages
from neuron_widget.messages import Part

if TYPE_CHECKING:
    from neuron_widget.render import RenderResult
    from neuron_widget.scan import ScanResult

__all__ = ["Kept", "Key", "Thumb"]

Key = tuple[str, int]  # layer, neuron
Thumb = tuple[bytes, bool]  # JPEG, whether it shows a finished rendering

# Pictures and photo rows: enough for a lesson, small enough to forget about (some 100 MB).
MOST = 64

V = TypeVar("V")


class Kept:
    """Renderings, photo rows, scans and thumbnails of one network (under the session's lock)."""

    def __init__(self) -> None:
        self.renderings: OrderedDict[Key, tuple[RenderResult, Part]] = OrderedDict()
        self.photos: OrderedDict[Key, Part] = OrderedDict()
        self.scans: dict[str, ScanResult] = {}
        self.thumbs: dict[str, dict[int, Thumb]] = {}

    def add_rendering(self, key: Key, result: RenderResult, part: Part) -> None:
        """Keep a rendering and its message."""
        _keep(self.renderings, key, (result, part))

    def add_photos(self, key: Key, part: Part) -> None:
        """Keep the photo rows of a neuron."""
        _keep(self.photos, key, part)

    def add_scan(self, layer: str, result: ScanResult) -> None:
        """Keep a scan; photo rows of an earlier one are forgotten."""
        self.scans[layer] = result
        for key in [key for key in self.photos if key[0] == layer]:
            del self.photos[key]

    def forget_data(self) -> None:
        """Forget what came from the data set."""
        self.scans.clear()
        self.photos.clear()

    def add_thumbs(self, layer: str, made: dict[int, Thumb]) -> dict[int, Thumb]:
        """Keep thumbnails; those that are news. A quick preview never covers a finished picture."""
        there = self.thumbs.setdefault(layer, {})
        fresh = {n: t for n, t in made.items() if t[1] or not there.get(n, (b"", False))[1]}
        there.update(fresh)
        return fresh

    def without_thumb(self, layer: str, order: Iterable[int], most: int) -> list[int]:
        """The first neurons in ``order`` that have no thumbnail yet."""
        there = self.thumbs.get(layer, {})
        return list(dict.fromkeys(n for n in order if n not in there))[:most]

    def rendering(self, key: Key) -> RenderResult | None:
        """The rendering of a neuron."""
        found = self.renderings.get(key)
        return found[0] if found is not None else None

    def gallery(self, layer: str) -> list[Part]:
        """Messages about all neurons of a layer."""
        parts: list[Part] = []
        if layer in self.scans:
            parts.append((messages.strengths(self.scans[layer], layer), []))
        if self.thumbs.get(layer):
            parts.append(messages.thumbs(layer, self.thumbs[layer]))
        return parts

    def neuron(self, key: Key) -> list[Part]:
        """Messages about one neuron."""
        parts: list[Part] = []
        if key in self.renderings:
            message, buffers = self.renderings[key][1]
            scan = self.scans.get(key[0])
            best = float(scan.best[key[1]]) if scan is not None else None
            parts.append(({**message, "best_photo": best}, buffers))
        if key in self.photos:
            parts.append(self.photos[key])
        return parts


def _keep(kept: OrderedDict[Key, V], key: Key, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > MOST:
        kept.popitem(last=False)
