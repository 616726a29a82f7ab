"""Every setting of a picture and of a scan, described once.

From these descriptions come the checks, the part of a stored result's key, the fields of the
protocol, the page's controls and their defaults, the widget's arguments, the copied Python line
and the command line's options. Adding a setting means one entry here and one place that obeys it.

This module imports no torch.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypedDict, TypeVar, get_args, get_type_hints

from neuron_widget.errors import WrongType, WrongValue, nearest, shown
from neuron_widget.objectives import OBJECTIVES, canonical_objective

__all__ = [
    "PREVIEW",
    "RENDER",
    "SCAN",
    "VIEW",
    "Choice",
    "PageControl",
    "RenderOptions",
    "ScanOptions",
    "Setting",
    "ViewOptions",
    "WidgetOptions",
    "check_int",
    "check_settings",
    "defaults",
    "documented_options",
    "key_parts",
    "page_settings",
]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Choice:
    """One value of a setting that is chosen by name: its label and its line of help on the page."""

    name: str
    label: str = ""
    help: str = ""


@dataclass(frozen=True)
class PageControl:
    """How the page's settings panel shows a setting.

    ``low`` and ``high`` bound what a person may choose there and as a widget's argument; they may
    be narrower than what Python takes. ``task`` is the task that a switch turns off.
    """

    label: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    task: str | None = None


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes
    ----------
    default
        Its value where nobody names one. None: chosen from the network or the processor.
    low, high
        Smallest and largest value of a number; ``low`` itself is not allowed if ``above``.
    choices
        The values there are, where it is chosen by name.
    help
        One line for people: docstrings, ``--help``, the page.
    in_key
        Whether results with different values are different results, and so have different keys in
        the store. ``"changed"``, for settings added later: only a value that is not the default
        stands in the key, so that results stored before the setting existed stay found.
    page
        How the page shows it; None keeps it off the page.
    optional
        Whether None is a value: "choose for me".
    """

    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    above: bool = False
    choices: tuple[Choice, ...] = ()
    in_key: Literal["always", "changed", "never"] = "changed"
    page: PageControl | None = None
    optional: bool = False
    alias: Callable[[Any], Any] | None = None
    name: str = ""
    type: type = object

    def check(self, value: Any, *, on_page: bool = False) -> Any:
        """Return ``value`` as its type, within the range.

        Raises
        ------
        TypeError, ValueError
            Naming the value, what was expected, and the nearest right one.
        """
        if value is None and self.optional:
            return None
        if self.alias is not None:
            value = self.alias(value)
        if self.choices:
            return _check_choice(self.name, value, [choice.name for choice in self.choices])
        low, high = self.low, self.high
        if on_page and self.page is not None:
            low = self.page.low if self.page.low is not None else low
            high = self.page.high if self.page.high is not None else high
        if self.type is bool:
            if not isinstance(value, bool):
                wanted = "True, False or None" if self.optional else "True or False"
                raise WrongType(f"{self.name} must be {wanted}, got {shown(value)}")
            return value
        if self.type is int:
            assert low is not None
            return check_int(self.name, value, int(low), None if high is None else int(high))
        if self.type is float:
            return self._check_float(value)
        return value

    def _check_float(self, value: Any) -> float:
        bounds = []
        if self.low is not None:
            bounds.append(f"above {self.low:g}" if self.above else f"at least {self.low:g}")
        if self.high is not None:
            bounds.append(f"at most {self.high:g}")
        wanted = f"{' and '.join(bounds)}, such as {self.default:g}"
        if isinstance(value, bool) or not isinstance(value, Real):
            raise WrongType(f"{self.name} must be a number {wanted}, got {shown(value)}")
        number = float(value)
        low_ok = self.low is None or (number > self.low if self.above else number >= self.low)
        high_ok = self.high is None or number <= self.high
        if not (math.isfinite(number) and low_ok and high_ok):
            raise WrongValue(f"{self.name} must be {wanted}; got {shown(value)}")
        return number


# ------------------------------------------------------------------ the settings


class RenderOptions(TypedDict, total=False):
    """Settings of a picture: the keyword arguments that :func:`neuron_widget.render` takes."""

    steps: Annotated[
        int,
        Setting(512, "Steps of activation maximisation.", low=1, high=100_000, in_key="never"),
    ]
    size: Annotated[
        int,
        Setting(
            224,
            "Side of the image in pixels. Larger shows more repeats and takes longer.",
            low=16,
            high=4096,
            in_key="always",
            page=PageControl("Size", low=32, high=1024, step=1),
        ),
    ]
    lr: Annotated[
        float,
        Setting(
            0.05,
            "Adam's step size. Larger forms faster and rougher; 0.05 is usual.",
            low=0,
            high=10,
            above=True,
            in_key="always",
            page=PageControl("Learning rate", low=0.001, high=10),
        ),
    ]
    seed: Annotated[
        int,
        Setting(
            0,
            "The noise it begins from. Another seed shows another side of the neuron.",
            low=0,
            high=2**63 - 1,
            in_key="always",
            page=PageControl("Seed", low=0, high=2**31 - 1, step=1),
        ),
    ]
    objective: Annotated[
        Any,  # a name; for Python also a function of the activation
        Setting(
            "channel",
            "What an image maximises.",
            choices=tuple(Choice(o.name, o.label, o.help) for o in OBJECTIVES.values()),
            in_key="always",
            page=PageControl("Objective"),
            alias=canonical_objective,
        ),
    ]
    engine: Annotated[
        str,
        Setting(
            "fast",
            "This package's own engine, or torch-lucent as the reference.",
            choices=(Choice("fast"), Choice("lucent")),
            in_key="always",
        ),
    ]
    redirect_relu: Annotated[
        bool | None,
        Setting(
            None,
            "Redirect gradients that no ReLU lets through in the first steps. Default: what the "
            "network needs.",
            in_key="always",
            optional=True,
        ),
    ]
    precision: Annotated[
        str | None,
        Setting(
            None,
            "Arithmetic of the network while the image forms. Default: the fastest that looks as "
            "good.",
            choices=(Choice("float32"), Choice("bfloat16")),
            in_key="always",
            optional=True,
        ),
    ]


class ScanOptions(TypedDict, total=False):
    """Settings of a scan: the keyword arguments that :func:`neuron_widget.scan` takes."""

    top_k: Annotated[int, Setting(9, "Photos to keep at either end.", low=1, in_key="never")]
    num_samples: Annotated[
        int | None,
        Setting(None, "Look at so many photos. Default: all.", low=1, optional=True),
    ]
    split: Annotated[str, Setting("train", "train or val, where the data set has splits.")]
    seed: Annotated[int, Setting(0, "Seed of the sample and of the order.", low=0)]
    precision: Annotated[
        str,
        Setting(
            "exact",
            "exact (float32), or fast (bfloat16 where the processor has it).",
            choices=(Choice("exact"), Choice("fast")),
        ),
    ]


class ViewOptions(TypedDict, total=False):
    """What a widget shows beside its pictures: arguments of :class:`neuron_widget.NeuronWidget`."""

    top_k: Annotated[
        int, Setting(9, "How many photos to show most and least activating.", low=1, high=50)
    ]
    auto: Annotated[
        bool,
        Setting(
            True,
            "Whether to scan, and to render a newly chosen neuron, without being asked.",
            in_key="never",
        ),
    ]
    previews: Annotated[
        bool,
        Setting(
            True,
            "The gallery fills by itself when nothing else runs. Off, tiles fill as you render.",
            in_key="never",
            page=PageControl("Previews", task="preview"),
        ),
    ]


class WidgetOptions(RenderOptions, ViewOptions, total=False):
    """Settings that :class:`neuron_widget.NeuronWidget` takes as arguments."""


def _described(options: Any) -> dict[str, Setting]:
    found = {}
    for name, hint in get_type_hints(options, include_extras=True).items():
        plain, setting = get_args(hint)
        if plain is Any:  # chosen by name
            plain = str
        elif not isinstance(plain, type):  # int | None
            plain = next(t for t in get_args(plain) if t is not type(None))
        found[name] = replace(setting, name=name, type=plain)
    return found


RENDER = _described(RenderOptions)
SCAN = _described(ScanOptions)
VIEW = _described(ViewOptions)


PREVIEW: Mapping[str, Any] = MappingProxyType({"size": 80, "steps": 32, "lr": 0.1})
"""Settings of the small pictures of a gallery, for a tile of 64 px.

Chosen by a look and by figures on 42 neurons of InceptionV1's mixed4a (bfloat16): every neuron is
among the 4 strongest of the 508 channels on its own preview, and the previews' activations are
ordered much as those of 128 steps at 224 px (Spearman 0.92; 96 px cost a third more and gave 0.89).
Fewer steps leave weak neurons pale, and without redirected ReLU some start dead and stay so.
"""


def page_settings() -> dict[str, Setting]:
    """Return the settings that the page shows, by name, in the order it shows them."""
    return {name: s for name, s in {**RENDER, **VIEW}.items() if s.page is not None}


# ------------------------------------------------------------------ what is made of them


def defaults(settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Return the default of every setting, by name."""
    return {name: setting.default for name, setting in settings.items()}


def check_settings(
    settings: Mapping[str, Setting], given: Mapping[str, Any], *, what: str
) -> dict[str, Any]:
    """Return all settings by name, checked; defaults where ``given`` names none.

    Raises
    ------
    TypeError, ValueError
        For an unknown name, and for what :meth:`Setting.check` refuses. ``what`` says who takes
        them, such as ``"render()"``.
    """
    for name in given:
        if name not in settings:
            hint = nearest(name, settings) or f"expected {', '.join(settings)}"
            raise WrongType(f"{what} has no setting {name!r}; {hint}")
    return {
        name: setting.check(given[name]) if name in given else setting.default
        for name, setting in settings.items()
    }


def key_parts(settings: Mapping[str, Setting], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of the settings stands in the key of a stored result."""
    return {
        name: values[name]
        for name, setting in settings.items()
        if setting.in_key == "always"
        or (setting.in_key == "changed" and values[name] != setting.default)
    }


def documented_options(options: Any, *, but: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Decorate a function whose ``**settings`` are ``options``: help and completion list each one.

    Only the signature that people and tools see changes; what is passed is checked in the call.
    """

    def decorate(function: F) -> F:
        plain = [
            p
            for p in inspect.signature(function).parameters.values()
            if p.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        named = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=setting.default,
                annotation=setting.type | None if setting.optional else setting.type,
            )
            for name, setting in _described(options).items()
            if name not in but
        ]
        places = [p for p in plain if p.kind is not inspect.Parameter.KEYWORD_ONLY]
        keywords = [p for p in plain if p.kind is inspect.Parameter.KEYWORD_ONLY]
        function.__signature__ = inspect.Signature([*places, *named, *keywords])  # type: ignore[attr-defined]
        return function

    return decorate


def check_int(name: str, value: object, low: int, high: int | None = None) -> int:
    """``value`` as an int in ``low..high``; TypeError or ValueError otherwise."""
    wanted = f"from {low:,} to {high:,}" if high is not None else f"of at least {low:,}"
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise WrongType(f"{name} must be an integer {wanted}, got {shown(value)}")
    number = int(value.__index__())
    if number < low or (high is not None and number > high):
        raise WrongValue(f"{name} must be {wanted}, got {shown(number)}")
    return number


def _check_choice(name: str, value: object, known: Sequence[str]) -> str:
    if not isinstance(value, str):
        raise WrongType(f"{name} must be one of {', '.join(map(repr, known))}, got {shown(value)}")
    if value not in known:
        hint = nearest(value, known) or f"expected {', '.join(map(repr, known))}"
        raise WrongValue(f"unknown {name} {shown(value)}; {hint}")
    return value
