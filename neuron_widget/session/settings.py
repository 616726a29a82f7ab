"""What a widget was asked to show."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, NamedTuple

__all__ = ["OBJECTIVES", "Recipe", "Settings", "check_int", "check_lr", "check_objective"]

OBJECTIVES = ("channel", "neuron")


class Recipe(NamedTuple):
    """What a picture depends on besides the network, the neuron and the steps."""

    size: int
    lr: float
    seed: int
    objective: str


@dataclass(frozen=True)
class Settings:
    """The widget's arguments. ``layer`` is None for the network's default layer."""

    model: Any = None
    weights: Any = None
    device: Any = None
    dataset: Any = "samples"
    layer: str | None = None
    neuron: int = 0
    steps: int = 512
    size: int = 224
    seed: int = 0
    lr: float = 0.05
    objective: str = "channel"
    top_k: int = 9
    auto: bool = True
    previews: bool = True
    store: Any = None

    @property
    def recipe(self) -> Recipe:
        """What pictures depend on."""
        return Recipe(self.size, self.lr, self.seed, self.objective)

    def configured(
        self, *, size: Any, lr: Any, seed: Any, objective: Any, previews: Any
    ) -> Settings:
        """These settings with others of the making of images.

        Raises
        ------
        TypeError, ValueError
            With the range.
        """
        return replace(
            self,
            size=check_int("size", size, 32, 1024),
            lr=check_lr(lr),
            seed=check_int("seed", seed, 0, 2**31 - 1),
            objective=check_objective(objective),
            previews=bool(previews),
        )


def check_int(name: str, value: Any, low: int, high: int) -> int:
    """``value`` as an int in ``low..high``; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer from {low} to {high}, got {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} must be from {low} to {high}, got {value}")
    return int(value)


def check_lr(lr: Any) -> float:
    """Adam's learning rate, above 0 and at most 10."""
    if isinstance(lr, bool) or not isinstance(lr, Real):
        raise TypeError(f"lr must be a number above 0, such as 0.05, got {lr!r}")
    number = float(lr)
    if not (math.isfinite(number) and 0 < number <= 10):
        raise ValueError(f"lr must be above 0 and at most 10, such as 0.05; got {lr!r}")
    return number


def check_objective(objective: Any) -> str:
    """``"channel"`` or ``"neuron"``."""
    if objective not in OBJECTIVES:
        raise ValueError(
            f"objective must be 'channel' (the mean of the neuron's map) or 'neuron' (its centre "
            f"unit), got {objective!r}; other objectives work with neuron_widget.render()"
        )
    return str(objective)
