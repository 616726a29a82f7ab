"""What a session has made so far, and what of it a view needs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, TypeVar

from neuron_widget.session import messages
from neuron_widget.session.messages import Message, Part
from neuron_widget.session.settings import Recipe
from neuron_widget.targets import Target

if TYPE_CHECKING:
    from neuron_widget.analysis.judging import Answers
    from neuron_widget.analysis.predicting import Predictability
    from neuron_widget.rendering import RenderResult
    from neuron_widget.scanning import ScanResult

__all__ = ["SessionCache", "Thumb"]

Thumb = tuple[bytes, bool]  # JPEG, whether it shows a finished rendering

# Pictures and photo rows: enough for a lesson, small enough to forget about (some 100 MB).
MOST = 64

V = TypeVar("V")


class SessionCache:
    """Renderings, photo rows, scans and thumbnails of one network (under the session's lock).

    Pictures and thumbnails belong to a recipe: under another one they are not shown, and are there
    again when the person goes back to it.
    """

    def __init__(self, recipe: Recipe, most: int | None = None) -> None:
        self.recipe = recipe
        self._most = MOST if most is None else most
        # What is pinned is not forgotten.
        self.pins: tuple[Target, ...] = ()
        self._renderings: dict[Recipe, OrderedDict[Target, tuple[RenderResult, Part]]] = {}
        self._thumbs: dict[tuple[Recipe, str], dict[int, Thumb]] = {}
        self.photos: OrderedDict[Target, Part] = OrderedDict()
        self.scans: dict[str, ScanResult] = {}
        # What scans that have not ended found so far: photos to look at, and nothing else.
        self.so_far: dict[str, ScanResult] = {}
        self._strengths: dict[str, Message] = {}
        # How far pictures predict a layer; and what was found with images of a recipe.
        self._measured: dict[str, Predictability] = {}
        self._judged: dict[tuple[Recipe, str], dict[int, Answers]] = {}

    @property
    def renderings(self) -> OrderedDict[Target, tuple[RenderResult, Part]]:
        """Renderings of the present recipe."""
        return self._renderings.setdefault(self.recipe, OrderedDict())

    def thumbs(self, layer: str) -> dict[int, Thumb]:
        """Thumbnails of the present recipe."""
        return self._thumbs.setdefault((self.recipe, layer), {})

    def add_rendering(
        self, recipe: Recipe, target: Target, result: RenderResult, part: Part
    ) -> None:
        """Keep a rendering and its message; of all recipes together, so many and the pins."""
        there = self._renderings.setdefault(recipe, OrderedDict())
        _keep(there, target, (result, part), self.pins, self._most)
        for other, some in self._renderings.items():
            while other != recipe and some and self._total() > self._most:
                some.popitem(last=False)

    def _total(self) -> int:
        return sum(map(len, self._renderings.values()))

    def add_photos(self, target: Target, part: Part) -> None:
        """Keep the photo rows of a neuron."""
        _keep(self.photos, target, part, [pin.channel for pin in self.pins], self._most)

    def add_scan(self, layer: str, result: ScanResult, strengths: Message) -> None:
        """Keep a scan and its message; photo rows of an earlier one are forgotten.

        The message is given: to make it asks the user's data set for labels, which is not done
        under the lock.
        """
        if self.scans.get(layer) is not result:
            self._forget_measure(layer)
        self.scans[layer], self._strengths[layer] = result, strengths
        self.so_far.pop(layer, None)
        for key in [key for key in self.photos if key.layer == layer]:
            del self.photos[key]

    def looked_into(self, layer: str) -> ScanResult | None:
        """The scan whose photos are shown: what a running one found so far goes first."""
        return self.so_far.get(layer) or self.scans.get(layer)

    def at_hand(self, channel: Target) -> bool:
        """Whether the photos of a neuron are there, of a scan that has ended."""
        return channel in self.photos and channel.layer not in self.so_far

    def forget_data(self) -> None:
        """Forget what came from the data set."""
        self.scans.clear()
        self.so_far.clear()
        self._strengths.clear()
        self._measured.clear()
        self._judged.clear()
        self.photos.clear()

    def add_measure(
        self, recipe: Recipe, layer: str, found: Predictability, judged: Iterable[int]
    ) -> None:
        """Keep how far pictures predict a layer; of the neurons ``judged``, images too."""
        self._measured[layer] = found
        there = self._judged.setdefault((recipe, layer), {})
        there.update({neuron: found.answers[neuron] for neuron in judged})

    def measured(self, layer: str) -> Predictability | None:
        """How far pictures predict a layer, images of the present recipe among them."""
        found = self._measured.get(layer)
        if found is None:
            return None
        return found.with_answers(self._judged.get((self.recipe, layer), {}))

    def _forget_measure(self, layer: str) -> None:
        self._measured.pop(layer, None)
        for key in [key for key in self._judged if key[1] == layer]:
            del self._judged[key]

    def add_thumbs(self, recipe: Recipe, layer: str, made: dict[int, Thumb]) -> dict[int, Thumb]:
        """Keep thumbnails; those that are news. A quick preview never covers a finished picture."""
        there = self._thumbs.setdefault((recipe, layer), {})
        fresh = {n: t for n, t in made.items() if t[1] or not there.get(n, (b"", False))[1]}
        there.update(fresh)
        return fresh if recipe == self.recipe else {}

    def without_thumb(self, layer: str, order: Iterable[int], most: int) -> list[int]:
        """The first neurons in ``order`` that have no thumbnail yet."""
        there = self.thumbs(layer)
        return list(dict.fromkeys(n for n in order if n not in there))[:most]

    def rendering(self, target: Target, recipe: Recipe | None = None) -> RenderResult | None:
        """The rendering of a target, by the present recipe or another one."""
        found = self._renderings.get(recipe or self.recipe, OrderedDict()).get(target)
        return found[0] if found is not None else None

    def gallery(self, layer: str) -> list[Part]:
        """Messages about all neurons of a layer."""
        parts: list[Part] = []
        if layer in self._strengths:
            parts.append((self._strengths[layer], []))
        measured = self.measured(layer)
        if measured is not None:
            parts.append((messages.predicted(measured), []))
        if self.thumbs(layer):
            parts.append(messages.thumbs(layer, self.thumbs(layer)))
        return parts

    def target(self, target: Target) -> list[Part]:
        """Messages about one target: its picture, and the photos of its neuron."""
        parts: list[Part] = []
        if target in self.renderings:
            parts.append(self.renderings[target][1])
        if target.channel in self.photos:
            parts.append(self.photos[target.channel])
        return parts

    def targets(self, targets: Iterable[Target]) -> list[Part]:
        """Messages about several targets, each once."""
        return [part for target in dict.fromkeys(targets) for part in self.target(target)]


def _keep(
    kept: OrderedDict[Target, V], key: Target, value: V, pins: Collection[Target], most: int
) -> None:
    kept[key] = value
    kept.move_to_end(key)
    loose = [k for k in kept if k not in pins]
    for old in loose[: max(0, len(loose) - most)]:
        del kept[old]
