"""What the page was told, kept in the student's own process: it outlives a lost connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from neuron_widget.networks.known import KnownNetwork
from neuron_widget.networks.layer_info import TOKENS, LayerInfo
from neuron_widget.session import Settings
from neuron_widget.session.cache import SessionCache
from neuron_widget.session.jobs import shared_worker
from neuron_widget.session.messages import Message, Part
from neuron_widget.session.settings import Recipe
from neuron_widget.session.state import ACTIVE, State
from neuron_widget.settings import page_settings
from neuron_widget.targets import from_dict

if TYPE_CHECKING:
    from neuron_widget.rendering import RenderResult

__all__ = ["Mirror"]


class _Cache(SessionCache):
    """Messages without the results that they were made of."""

    def __init__(self, recipe: Recipe):
        super().__init__(recipe)
        self.layers: dict[tuple[str, str], Message] = {}

    def gallery(self, layer: str) -> list[Part]:
        """Messages about all neurons of a layer."""
        kinds = ("strengths", "predicted")
        told = [self.layers[kind, layer] for kind in kinds if (kind, layer) in self.layers]
        return [(message, []) for message in told] + super().gallery(layer)


class Mirror(State):
    """A session's state as far as its messages tell it; :meth:`hear` takes them in.

    ``send`` is called with what the page has to hear, as of any session's state.
    """

    def __init__(
        self,
        settings: Settings,
        send: Callable[[Message, list[bytes]], None],
        on_change: Callable[[], None],
    ):
        super().__init__(settings, send, on_change, shared_worker())
        self.cache = _Cache(settings.recipe)
        self._opened = False
        self._identity = ""

    @property
    def opened(self) -> bool:
        """Whether the network is open, where the session is."""
        return self._opened

    def hear(self, message: Message, buffers: list[bytes]) -> None:
        """Take in what the session says, and pass it on."""
        if message["kind"] == "session.state":
            self.status, self.progress = message["status"], message["progress"]
            self._opened = message["opened"]
        elif message["kind"] == "snapshot":
            self._hear_snapshot(message, buffers)
        else:
            with self.lock:
                if self.closed:
                    return
                self._note(message, buffers)
                self.send(message, buffers)
        self.on_change()

    def _hear_snapshot(self, message: Message, buffers: list[bytes]) -> None:
        """Take in a whole state. The page gets one too, with what it had before besides."""
        with self.lock:
            if self.closed:
                return
            for key in [key for key in self._shown if key.split()[0] in ("error", "progress")]:
                del self._shown[key]
            self._shown.pop("opening", None)
            self.looked, self.strips = [], {}
            begin = 0
            for part, count in zip(message["messages"], message["counts"], strict=True):
                self._note(part, buffers[begin : begin + count])
                begin += count
            self.send_snapshot()

    def _note(self, message: Message, buffers: list[bytes]) -> None:
        kind = message["kind"]
        take = getattr(self, f"_note_{kind}", None)
        if take is not None:
            take(message, buffers)

    def _note_selected(self, message: Message, _: Any) -> None:
        self.target, self.steps = from_dict(message["target"]), message["steps"]
        self._shown["selected"] = message

    def _note_opening(self, message: Message, _: Any) -> None:
        there = self._shown.get("network", {}).get("kind") == "opened"
        self._shown["opening" if there else "network"] = message

    def _note_opened(self, message: Message, _: Any) -> None:
        network = message["network"]
        if network["identity"] and network["identity"] != self._identity:
            if self._identity:
                self.cache = _Cache(self.cache.recipe)
            self._identity = network["identity"]
        self._shown["network"] = message
        self._shown.pop("opening", None)
        self.known = known_of(network)

    def _note_configured(self, message: Message, _: Any) -> None:
        self._shown["configured"] = message
        remakes = page_settings()
        made = {
            n: v
            for n, v in message["settings"].items()
            if n in remakes and remakes[n].in_key != "never"
        }
        self.cache.recipe = Recipe(tuple(sorted(made.items())))

    def _note_dataset(self, message: Message, _: Any) -> None:
        before = self._shown.get("dataset", {}).get("dataset")
        now = message["dataset"]
        if before and now and before["name"] != now["name"]:
            self.cache.forget_data()
            self._cache.layers.clear()
        self._shown["dataset"] = message

    def _note_pins(self, message: Message, _: Any) -> None:
        self.cache.pins = tuple(map(from_dict, message["pins"]))
        self._shown["pins"] = message

    def _note_progress(self, message: Message, _: Any) -> None:
        self._shown[f"progress {message['task']}"] = message

    def _note_error(self, message: Message, _: Any) -> None:
        key = f"error {message['where']}"
        if message["message"]:
            self._shown[key] = message
        else:
            self._shown.pop(key, None)

    def _note_image(self, message: Message, buffers: list[bytes]) -> None:
        target = from_dict(message["target"])
        nothing: RenderResult = None  # type: ignore[assignment]  # it is where the session is
        self.cache.add_rendering(self.cache.recipe, target, nothing, (message, buffers))

    def _note_thumbs(self, message: Message, buffers: list[bytes]) -> None:
        made = zip(message["neurons"], zip(buffers, message["finished"], strict=True), strict=True)
        self.cache.add_thumbs(self.cache.recipe, message["layer"], dict(made))

    def _note_photos(self, message: Message, buffers: list[bytes]) -> None:
        self.cache.add_photos(from_dict(message["target"]), (message, buffers))

    def _note_strengths(self, message: Message, _: Any) -> None:
        self._cache.layers["strengths", message["layer"]] = message

    def _note_predicted(self, message: Message, _: Any) -> None:
        self._cache.layers["predicted", message["layer"]] = message

    def _note_looked(self, message: Message, buffers: list[bytes]) -> None:
        self.looked = [(message, buffers)]

    def _note_place(self, message: Message, buffers: list[bytes]) -> None:
        if message["whole"]:
            self.looked = [*self.looked[:1], (message, buffers)]

    def _note_answer(self, message: Message, buffers: list[bytes]) -> None:
        self.looked = [*self.looked[:2], (message, buffers)]

    def _note_put_away(self, _: Message, __: Any) -> None:
        self.looked = []

    def _note_strip(self, message: Message, buffers: list[bytes]) -> None:
        if "index" not in message:
            self.strips[message["task"]] = (message, buffers)

    @property
    def _cache(self) -> _Cache:
        assert isinstance(self.cache, _Cache)
        return self.cache

    def picture(self) -> bytes | None:
        """The image of the selected target as PNG, as the page has it."""
        found = self.cache.renderings.get(self.target)
        return found[1][1][0] if found is not None else None

    def interrupt(self, note: str) -> None:
        """Say that nothing goes on for now."""
        for key, message in list(self._shown.items()):
            if key.startswith("progress") and message["state"] in ACTIVE:
                self.show(key, {**message, "state": "elsewhere", "note": note})

    def end_waiting(self) -> None:
        """Nothing of what went on before goes on by itself."""
        for key, message in list(self._shown.items()):
            if key.startswith("progress") and message["state"] in ACTIVE:
                self.show(key, {**message, "state": "stopped", "note": ""})


def known_of(network: Message) -> KnownNetwork:
    """A network as far as the page is told of it."""
    layers = tuple(
        LayerInfo(
            *(x["name"], x["channels"], x["height"], x["width"]),
            word=x.get("word", "neuron"),
            signed=x.get("signed", x.get("kind") in TOKENS),
            names=tuple(x.get("names", ())),
            kind=x.get("kind", "maps"),
            group=x.get("group", ""),
        )
        for x in network["layers"]
    )
    names = ("name", "title", "identity", "note", "device")
    return KnownNetwork(
        **{name: network[name] for name in names},
        input="",
        input_size=0,
        layers=layers,
        default_layer=layers[0].name if layers else "",
        redirect_relu=False,
    )
