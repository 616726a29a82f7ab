"""The arguments of a rendering, checked before any work begins."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any

import torch

from neuron_widget.errors import nearest
from neuron_widget.networks.arithmetic import computes_bfloat16, has_fast_bfloat16
from neuron_widget.networks.model import VisionModel
from neuron_widget.rendering.augment import Augmentation
from neuron_widget.rendering.objective import Objective, as_objective

__all__ = [
    "ALGORITHM",
    "ENGINES",
    "PRECISIONS",
    "REDIRECT_STEPS",
    "RenderSettings",
    "check_int",
    "check_settings",
]

_log = logging.getLogger("neuron_widget.rendering")

ALGORITHM = 5
"""Counts up when the same settings begin to give another picture: part of every cache key."""

ENGINES = ("fast", "lucent")
PRECISIONS = ("float32", "bfloat16")

REDIRECT_STEPS = 16
"""ReLU gradients are redirected in the first steps only, as lucid does: to leave a dead start."""

_STEPS = (1, 100_000)
_SIZE = (16, 4096)


@dataclass(frozen=True)
class RenderSettings:
    """What is rendered and how; equal settings give equal pictures on one machine."""

    model: str
    layer: str
    neurons: tuple[int, ...]
    steps: int
    size: int
    lr: float
    seed: int
    objective: Objective
    engine: str
    redirect_relu: bool
    precision: str
    device: str
    augmentation: Augmentation = field(default_factory=Augmentation)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for results and cache keys."""
        return {
            **{f.name: getattr(self, f.name) for f in fields(self)},
            "objective": self.objective.name,
            "augmentation": self.augmentation.as_dict(),
            "algorithm": ALGORITHM,
            "torch": str(torch.__version__),
        }

    def differences(self, other: dict[str, Any]) -> list[str]:
        """What keeps a rendering with settings ``other`` from being continued with these."""
        ours = self.as_dict()
        free = ("neurons", "steps", "torch")
        return [
            f"{key} {other.get(key)!r} -> {value!r}"
            for key, value in ours.items()
            if key not in free and other.get(key) != value
        ]


def check_settings(
    model: VisionModel,
    layer: str,
    neurons: Any,
    *,
    steps: int,
    size: int,
    lr: float,
    seed: int,
    objective: object,
    engine: str,
    redirect_relu: bool | None,
    precision: str | None,
) -> RenderSettings:
    """The settings, with defaults that depend on the model filled in.

    Raises
    ------
    TypeError, ValueError
        Naming the value, its range and the nearest right one.
    UnknownLayer, NeuronOutOfRange
        From the model.
    """
    if not isinstance(model, VisionModel):
        raise TypeError(
            f"model must be what load_model() returns, got {type(model).__name__}; "
            "pass load_model(model)"
        )
    name = model.layer(layer).name
    if redirect_relu is None:
        redirect_relu = model.redirect_relu
    elif not isinstance(redirect_relu, bool):
        raise TypeError(f"redirect_relu must be True, False or None, got {redirect_relu!r}")
    engine = _choice("engine", engine, ENGINES)
    if precision is None:
        precision = default_precision(model) if engine == "fast" else "float32"
    precision = _choice("precision", precision, PRECISIONS)
    if precision == "bfloat16" and not computes_bfloat16(model.device):
        _log.info("%s computes no bfloat16: rendering in float32", model.device)
        precision = "float32"
    if engine == "lucent" and precision != "float32":
        raise ValueError(f"precision {precision!r}: engine 'lucent' renders in 'float32' only")
    return RenderSettings(
        model=model.identity,
        layer=name,
        neurons=model.check_neurons(name, neurons),
        steps=check_int("steps", steps, *_STEPS),
        size=check_int("size", size, *_SIZE),
        lr=_positive("lr", lr),
        seed=check_int("seed", seed, 0, 2**63 - 1),
        objective=as_objective(objective, name),
        engine=engine,
        redirect_relu=redirect_relu,
        precision=precision,
        device=model.device.type,
    )


def default_precision(model: VisionModel) -> str:
    """The precision of the network while an image forms; activations are measured in float32.

    bfloat16 where the CPU multiplies it in hardware: pictures as clear, clean activations within
    1 % of float32's, several times faster. Elsewhere float32 (on a GPU it was not measured), and
    for a network of another type than float32, which autocast would mix with its own.
    """
    plain = all(p.dtype == torch.float32 for p in model.module.parameters())
    fast = plain and model.device.type == "cpu" and has_fast_bfloat16(model.device)
    return "bfloat16" if fast else "float32"


def check_int(name: str, value: object, low: int, high: int) -> int:
    """``value`` as an int in ``low..high``; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer from {low} to {high}, got {value!r}")
    number = int(value.__index__())
    if not low <= number <= high:
        raise ValueError(f"{name} must be from {low} to {high}, got {number}")
    return number


def _positive(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number above 0, such as 0.05, got {value!r}")
    number = float(value)
    if not (math.isfinite(number) and 0 < number <= 10):
        raise ValueError(f"{name} must be above 0 and at most 10, such as 0.05; got {value!r}")
    return number


def _choice(name: str, value: object, known: tuple[str, ...]) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    if value not in known:
        hint = nearest(value, known) or f"expected {', '.join(map(repr, known))}"
        raise ValueError(f"unknown {name} {value!r}; {hint}")
    return value
