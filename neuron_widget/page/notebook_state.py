"""What a saved notebook holds of a widget, so that it opens again where there is no kernel.

A notebook file may hold the *state* of its widgets: names and JSON, as the page has them. Here
names are added to it that are no traits, so that only what has changed is sent:

``_saved``
    what holds for the layer, the names of the other parts, and the code that reads them, with
    that of the panels;
``_saved_12``
    neuron 12: its image, its photos with their maps;
``_saved_tiles_0``
    sixty-four tiles of the gallery.

``js/src/page/from-state.ts`` puts them together to what a saved page holds.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import zlib
from collections.abc import Callable, Generator, Iterable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from neuron_widget.session.export import python_line
from neuron_widget.session.jobs import Job
from neuron_widget.targets import Channel

if TYPE_CHECKING:
    from neuron_widget.scanning import ScanResult
    from neuron_widget.session.messages import Message, Part
    from neuron_widget.session.state import State

__all__ = ["MOST_BYTES", "NotebookState"]

MOST_BYTES = 5_500_000
"""What the parts of one widget take in a notebook file, at the most."""

IMAGE_PX, PHOTO_PX = 224, 160
TILES = 64

# A person goes on choosing: what is made meanwhile is packed together.
REST_S = 1.5

# Messages that say that there is something new to hold.
NEWS = ("image", "photos", "strengths", "thumbs")

Json = dict[str, Any]


class NotebookState:
    """Packs what a session has, when there is something new, in the worker and beside other work.

    Nothing is packed before a page has shown itself (:attr:`watched`) or somebody waits for it.

    Parameters
    ----------
    send
        Called with names and parts: they become part of the page's state of the widget.
    """

    def __init__(self, send: Callable[[Json], None]):
        self._send = send
        self._state: State | None = None
        self.watched = False
        # There is something new since the packing began.
        self._again = False
        self._lock = threading.RLock()
        self._parts: Json = {}
        self._bytes: dict[str, int] = {}
        # What a part was made of: while that is the same, so is the part.
        self._made_of: Json = {}
        self._unsent: set[str] = set()
        self._gone: set[str] = set()

    def follow(self, state: State) -> None:
        """Begin, with the state of a session."""
        self._state = state

    @property
    def parts(self) -> Json:
        """All parts, by name."""
        with self._lock:
            return dict(self._parts)

    def heard(self, kind: str) -> None:
        """The page was told something: pack it, if it is news."""
        if not self.watched or kind not in NEWS or self._state is None or self._state.closed:
            return
        if self._state.running("saved"):
            self._again = True
        else:
            self._submit(REST_S, priority=2, share=0.25)

    def send_again(self) -> None:
        """A page asks for the whole state, as after a reload: it has none of the parts."""
        with self._lock:
            self._unsent |= self._parts.keys()
        self.heard(NEWS[0])

    def packing(self) -> Job:
        """A job that packs what is there now; :meth:`send` it afterwards."""
        return self._submit(0.0, priority=1, share=1.0)

    def send(self) -> None:
        """Send what the page does not have yet."""
        with self._lock:
            unsent = {name: self._parts.get(name) for name in (*self._unsent, *self._gone)}
            self._unsent.clear()
            self._gone.clear()
        # One by one: other messages may go between them. The names of the others come last.
        for name in sorted(unsent, key=lambda name: (name == "_saved", name)):
            self._send({name: unsent[name]})

    def let_go(self) -> None:
        """Hold nothing any more but what a notebook file would have."""
        with self._lock:
            self._made_of.clear()

    def _submit(self, delay: float, *, priority: int, share: float) -> Job:
        def packed(_: None) -> None:
            if self.watched:
                # Shiny takes nothing from a worker; nor is there a file that would hold it.
                with contextlib.suppress(RuntimeError):
                    self.send()
            if self._again:
                self._again = False
                self.heard(NEWS[0])

        assert self._state is not None
        return self._state.submit(
            "saved",
            self._whole(self._state),
            packed,
            priority=priority,
            share=share,
            delay=delay,
        )

    # -------------------------------------------------------------- packing

    def _whole(self, state: State) -> Generator[None, None, None]:
        try:
            yield from self._steps(state)
        except Exception:  # a photo may be gone: the file has less in it, and the work goes on
            logging.getLogger(__name__).exception("packing what the notebook is to hold")

    def _steps(self, state: State) -> Generator[None, None, None]:
        yield
        with state.lock:
            layer, target, steps = state.layer, state.target.channel, state.steps
            cache, network, settings = state.cache, state.network, state.settings
            shown = {key: state._shown.get(key) for key in ("network", "dataset")}
            images = {
                t.neuron: part
                for t, (_, part) in cache.renderings.items()
                if t.layer == layer and t == t.channel
            }
            photos = {t.neuron: part for t, part in cache.photos.items() if t.layer == layer}
            tiles = dict(cache.thumbs(layer))
            gallery = [message for message, _ in cache.gallery(layer)]
            scan = cache.looked_into(layer)
        opened = shown["network"] or {}
        if network is None or not layer or opened.get("kind") != "opened":
            return
        room = MOST_BYTES
        there = {"_saved"}
        for name, some in _chunks(tiles):
            if not self._same(name, some):
                self._keep(name, some, _tiles(some))
            there.add(name)
            room -= self._bytes[name]
            yield
        held = []
        # What is on screen first, then the latest.
        for neuron in dict.fromkeys([target.neuron, *reversed(images)]):
            made_of = (layer, images.get(neuron), photos.get(neuron))
            if made_of[1:] == (None, None):
                continue
            name = f"_saved_{neuron}"
            if not self._same(name, made_of):
                part = yield from _neuron(images.get(neuron), photos.get(neuron), scan)
                self._keep(name, made_of, part)
            room -= self._bytes[name]
            if room < 0:
                break
            held.append(neuron)
            there.add(name)
        base = {
            "code": _code(),
            "parts": sorted(there - {"_saved"}),
            "selected": {"kind": "selected", "seq": -1, "target": target.as_dict(), "steps": steps},
            "messages": _messages(layer, shown, gallery),
            "holds": sorted(held),
            "line": _line(settings, layer, steps),
        }
        if not self._same("_saved", base):
            self._keep("_saved", base, base)
        with self._lock:
            for name in self._parts.keys() - there:
                del self._parts[name], self._bytes[name]
                self._made_of.pop(name, None)
                self._unsent.discard(name)
                self._gone.add(name)

    def _same(self, name: str, made_of: object) -> bool:
        with self._lock:
            return name in self._parts and bool(self._made_of.get(name) == made_of)

    def _keep(self, name: str, made_of: object, part: Json) -> None:
        with self._lock:
            self._parts[name], self._made_of[name] = part, made_of
            self._bytes[name] = len(json.dumps(part))
            self._unsent.add(name)
            self._gone.discard(name)


def _chunks(tiles: dict[int, Any]) -> Iterable[tuple[str, list[tuple[int, Any]]]]:
    chunks: dict[int, list[tuple[int, Any]]] = {}
    for neuron, tile in sorted(tiles.items()):
        chunks.setdefault(neuron // TILES, []).append((neuron, tile))
    return ((f"_saved_tiles_{number}", some) for number, some in chunks.items())


def _tiles(some: list[tuple[int, Any]]) -> Json:
    from neuron_widget.page.pack import text

    return {
        "neurons": [neuron for neuron, _ in some],
        "finished": [finished for _, (_, finished) in some],
        "data": [text(tile) for _, (tile, _) in some],
    }


def _neuron(
    image: Part | None, photos: Part | None, scan: ScanResult | None
) -> Generator[None, None, Json]:
    """One neuron as a saved page has it, from what the page was told of it."""
    from neuron_widget.page.pack import text, thin

    neuron: Json = {}
    shared: Json = {}
    if image is not None:
        facts, (data, *_) = image
        small = text(_webp(data, IMAGE_PX))
        neuron["image"] = {**facts, "history": thin(facts["history"]), "data": small}
        yield
    if photos is not None:
        said, buffers = photos
        rows = [*said["most"], *said["least"]]
        neuron["photos"] = {
            **said,
            "most": [_shot(photo) for photo in said["most"]],
            "least": [_shot(photo) for photo in said["least"]],
            "maps": text(zlib.compress(b"".join(buffers[1::2]), 9)),
        }
        for photo, row in zip(rows, buffers[::2], strict=True):
            shared[str(photo["index"])] = {
                "label": photo["label"],
                "path": _short(photo["path"]),
                "data": text(_photo(scan, photo["index"], row)),
            }
            yield
    return {"neuron": neuron, "photos": shared}


def _photo(scan: ScanResult | None, index: int, small: bytes) -> bytes:
    """A photo, larger than in its row where it can still be read."""
    from neuron_widget.errors import NeuronWidgetError
    from neuron_widget.page.plan import webp

    try:
        return webp(scan.square(index), PHOTO_PX) if scan is not None else small
    except NeuronWidgetError:
        return small


def _webp(data: bytes, side: int) -> bytes:
    import io

    from PIL import Image

    from neuron_widget.page.plan import webp

    with Image.open(io.BytesIO(data)) as picture:
        return webp(picture, side)


def _shot(photo: Message) -> list[Any]:
    numbers = (photo["score"], photo["peak"], *photo["position"], *photo["receptive_field"])
    return [str(photo["index"]), *numbers]


def _short(path: str) -> str:
    """File and folder: where a person keeps photos is nobody's business."""
    name = PurePath(path)
    return str(PurePath(*name.parts[-2:])) if name.is_absolute() else path


def _messages(layer: str, shown: Json, gallery: list[Message]) -> list[Message]:
    """What holds for the whole layer."""
    network = shown["network"]["network"]
    this = [x for x in network["layers"] if x["name"] == layer]
    note = "A saved notebook: what was rendered and scanned is here. Run the cell to go on."
    messages: list[Message] = [
        {
            "kind": "opened",
            "network": {**network, "layers": this, "device": "saved", "note": note},
        }
    ]
    if shown["dataset"] is not None:
        messages.append(shown["dataset"])
    return messages + [message for message in gallery if message["kind"] == "strengths"]


def _line(settings: Any, layer: str, steps: int) -> Json:
    first, _ = python_line(settings, Channel(layer, 0), steps)
    other, note = python_line(settings, Channel(layer, 1), steps)
    return {"first": first, "other": other.replace("neuron=1", "neuron=NEURON"), "note": note}


def _code() -> str:
    """What stands in for the kernel; and the panels, which a kernel would send."""
    static = Path(__file__).parents[1] / "static"
    return "\n".join((static / name).read_text("utf-8") for name in ("saved.js", "panels.js"))
