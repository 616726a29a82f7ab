"""The layers of a network, once it has been probed: names, sizes, layouts, and the menu."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from neuron_widget.networks.evidence import prefix_names
from neuron_widget.networks.layer_info import TOKENS, LayerInfo
from neuron_widget.networks.layouts import Layout
from neuron_widget.networks.menu import grouped, menu_names, middle_layer
from neuron_widget.networks.probing import Probed

__all__ = ["KnownLayers", "base_of_token"]

# Of prefix tokens these are worth a place in the menu; registers hold what the network put aside.
_IN_MENU = ("cls", "dist")
_TOKEN = re.compile(r"(.+)\.(cls|dist|(?:reg|token)\d+)")


def base_of_token(name: str) -> str | None:
    """The layer that a prefix token's name is of: ``blocks.8`` of ``blocks.8.cls``."""
    found = _TOKEN.fullmatch(name)
    return found[1] if found else None


class KnownLayers:
    """What is known of a network's layers.

    Parameters
    ----------
    module
        The network.
    seen
        What was seen in its forward pass.
    main
        The layers of the menu, where they are given.

    Attributes
    ----------
    every : dict
        Name -> :class:`.LayerInfo`, of all that have a map; prefix tokens too, each as a layer of
        its own.
    menu : tuple of LayerInfo
        The layers a person would name, with their groups.
    """

    def __init__(self, module: nn.Module, seen: Probed, main: Sequence[str] | None = None):
        self.seen = seen
        self._module = module
        self.every: dict[str, LayerInfo] = {}
        self._places: dict[str, tuple[str, Layout]] = {}
        self._tokens: dict[str, list[str]] = {}
        self._modules = {name for name, _ in module.named_modules()}
        self._prefix_names = functools.lru_cache(functools.partial(prefix_names, module))
        for name, shape in seen.shapes.items():
            self.learn(name, shape, seen.layouts[name])
        outer = {inner: name for name, inner in seen.same.items()}
        for inner in outer:
            name = inner
            while name in outer:
                name = outer[name]
            if name in seen.shapes:
                self.learn(inner, seen.shapes[name], seen.layouts[name])
        self.menu = tuple(self._in_menu(main))

    def learn(self, name: str, shape: tuple[int, int, int], layout: Layout) -> LayerInfo:
        """Take in a layer, and its prefix tokens."""
        kind = "maps" if layout.kind == "maps_last" else layout.kind
        self.every[name] = LayerInfo(name, *shape, kind=kind, signed=kind in TOKENS)
        self._places[name] = (name, layout)
        if layout.prefix:
            names = [f"{name}.{token}" for token in self._prefix_names(layout.prefix)]
            # A module of that name goes before.
            self._tokens[name] = [token for token in names if token not in self._modules]
            for i, token in enumerate(names):
                if token in self._tokens[name]:
                    self.every[token] = LayerInfo(token, shape[0], 1, 1, kind="token", signed=True)
                    self._places[token] = (name, layout.of_token(i))
        return self.every[name]

    def place(self, name: str) -> tuple[str, Layout]:
        """The module that gives a layer that is known, and how it gives it."""
        return self._places[name]

    def _in_menu(self, main: Sequence[str] | None) -> list[LayerInfo]:
        names = [n for n in main if n in self.every] if main else None
        if names is None:
            names = menu_names(self._module, self.seen)
        found = []
        for name, group in grouped(names).items():
            tokens = [t for t in self._tokens.get(name, ()) if t.endswith(_IN_MENU)]
            found += [replace(self.every[n], group=group) for n in (name, *tokens)]
        return found

    def middle(self, names: Sequence[str]) -> str:
        """The one of these layers to begin with."""
        return middle_layer(self._module, names, self.seen)
