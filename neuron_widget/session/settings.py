"""What a widget was asked to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from neuron_widget.settings import RENDER, VIEW, defaults, page_settings

__all__ = ["WIDGET", "Recipe", "Settings"]

WIDGET = {**RENDER, **VIEW}
"""The settings that a widget takes as arguments, by name."""


@dataclass(frozen=True)
class Recipe:
    """What a picture depends on besides the network, the target and the steps."""

    items: tuple[tuple[str, Any], ...]

    def as_options(self) -> dict[str, Any]:
        """Return the settings by name, as :func:`neuron_widget.render` takes them."""
        return dict(self.items)


class Settings:
    """The widget's arguments.

    Parameters
    ----------
    model, weights, device, dataset, store
        As :class:`neuron_widget.NeuronWidget` takes them.
    layer
        The layer shown first; None for the network's default layer.
    neuron
        The neuron shown first.
    position
        Row and column of a single unit of it.
    options
        Settings in :data:`WIDGET`, by name; the others have their defaults.
    """

    def __init__(
        self,
        *,
        model: Any = None,
        weights: Any = None,
        device: Any = None,
        dataset: Any = "samples",
        store: Any = None,
        layer: str | None = None,
        neuron: int = 0,
        position: tuple[int, int] | None = None,
        **options: Any,
    ):
        self.model = model
        self.weights = weights
        self.device = device
        self.dataset = dataset
        self.store = store
        self.layer = layer
        self.neuron = neuron
        self.position = position
        self.options: Mapping[str, Any] = MappingProxyType({**defaults(WIDGET), **options})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Settings) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # it holds what the user gave

    def replace(self, **changes: Any) -> Settings:
        """Return these settings with some changed."""
        plain = {name: value for name, value in vars(self).items() if name != "options"}
        return Settings(**{**plain, **self.options, **changes})

    def configured(self, values: Mapping[str, Any]) -> Settings:
        """Return these settings with those that the page shows changed.

        Raises
        ------
        TypeError, ValueError
            For a value out of the page's range.
        """
        known = page_settings()
        return self.replace(
            **{n: s.check(values[n], on_page=True) for n, s in known.items() if n in values}
        )

    @property
    def recipe(self) -> Recipe:
        """What pictures depend on."""
        made = ((name, self.options[name]) for name in RENDER if name != "steps")
        return Recipe(tuple(made))

    @property
    def page(self) -> dict[str, Any]:
        """The settings that the page shows, by name."""
        return {name: self.options[name] for name in page_settings()}

    @property
    def steps(self) -> int:
        """Steps of activation maximisation."""
        return int(self.options["steps"])

    @property
    def top_k(self) -> int:
        """Photos to show at either end."""
        return int(self.options["top_k"])

    @property
    def auto(self) -> bool:
        """Whether work begins without being asked."""
        return bool(self.options["auto"])

    @property
    def previews(self) -> bool:
        """Whether the gallery fills by itself."""
        return bool(self.options["previews"])
