"""What a widget was asked to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import ModelError
from neuron_widget.settings import RENDER, VIEW, defaults, page_settings
from neuron_widget.targets import Target

if TYPE_CHECKING:
    from neuron_widget.networks.known import KnownNetwork
    from neuron_widget.networks.model import VisionModel

__all__ = ["WIDGET", "Fit", "Recipe", "Settings"]

WIDGET = {**RENDER, **VIEW}
"""The settings that a widget takes as arguments, by name."""


@dataclass(frozen=True)
class Recipe:
    """What a picture depends on besides the network, the target and the steps."""

    items: tuple[tuple[str, Any], ...]

    def as_options(self) -> dict[str, Any]:
        """Return the settings by name, as :func:`neuron_widget.render` takes them."""
        return dict(self.items)


@dataclass(frozen=True)
class Fit:
    """What a network makes of the settings.

    Attributes
    ----------
    usual
        What those come to that are left to the network, by name. Empty before one is open.
    limits
        The lowest and the highest value it takes, of settings whose range is narrower for it.
    """

    usual: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def known(cls, network: KnownNetwork) -> Fit:
        """What is known of it before the network is open."""
        usual = {"size": network.usual_size, "redirect_relu": network.redirect_relu}
        return cls(usual, {"size": network.sizes})

    @classmethod
    def of(cls, model: VisionModel, layer: str) -> Fit:
        """Try it on the network: a few forward passes the first time."""
        from neuron_widget.rendering.settings import default_size

        size = WIDGET["size"].page
        assert size is not None
        assert size.low is not None
        assert size.high is not None
        return cls(
            {"size": default_size(model, layer), "redirect_relu": model.redirect_relu},
            {"size": model.size_limits(int(size.low), int(size.high))},
        )


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
    target
        What is shown first where that is no whole neuron, or is known by its name.
    fit
        What the network makes of them.
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
        target: Target | None = None,
        fit: Fit = Fit(),
        **options: Any,
    ):
        self.model = model
        self.weights = weights
        self.device = device
        self.dataset = dataset
        self.store = store
        self.layer = layer
        self.neuron = neuron
        self.target = target
        self.fit = fit
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
            For a value out of the page's range, or the network's.
        """
        changed, shown = {}, self.page
        for name, setting in page_settings().items():
            if name not in values:
                continue
            value = setting.from_page(values[name])
            if name in self.fit.limits:
                low, high = self.fit.limits[name]
                if not low <= value <= high:
                    alone = f"{low}, which the network takes alone" if low == high else ""
                    wanted = alone or f"from {low:,} to {high:,} for this network"
                    raise ValueError(f"{name} must be {wanted}; got {value}")
            # What is as it is shown stays left to the network where it was.
            if values[name] != shown[name]:
                changed[name] = value
        return self.replace(**changed)

    def fitted(self, model: VisionModel, layer: str) -> tuple[Settings, ModelError | None]:
        """Return these settings for a network, and what is wrong where it cannot take one.

        ``layer`` is the one that is shown. A size that the network does not take is its usual one
        then.
        """
        settings = self.replace(fit=Fit.of(model, layer))
        if self.options["size"] is None:
            return settings, None
        try:
            model.check_size(self.options["size"], layer)
        except ModelError as error:
            return settings.replace(size=None), error
        return settings, None

    @property
    def recipe(self) -> Recipe:
        """What pictures depend on."""
        made = {name: self.options[name] for name in RENDER if name != "steps"}
        for name in made:
            only = RENDER[name].only_with
            if only is not None and made[only[0]] != only[1]:
                made[name] = RENDER[name].default
        usual = self.fit.usual
        return Recipe(tuple((n, usual.get(n) if v is None else v) for n, v in made.items()))

    @property
    def page(self) -> dict[str, Any]:
        """The settings that the page shows, by name, as it knows them."""
        shown = {}
        for name, setting in page_settings().items():
            value = self.options[name]
            if value is None and setting.usual is not None:
                value = self.fit.usual.get(name)
            shown[name] = setting.to_page(value)
        return shown

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
    def facets(self) -> int:
        """How many images that are to differ; 1 for none beside the neuron's own."""
        return int(self.options["facets"])

    @property
    def previews(self) -> bool:
        """Whether the gallery fills by itself."""
        return bool(self.options["previews"])
