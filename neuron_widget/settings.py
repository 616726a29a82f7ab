"""Every setting of a picture and of a scan, described once.

From these descriptions come the checks, the part of a stored result's key, the fields of the
protocol, the page's controls and their defaults, the widget's arguments, the copied Python line
and the command line's options. Adding a setting means one entry here and one place that obeys it.

This module imports no torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Any, TypedDict, TypeVar, get_args, get_type_hints

from neuron_widget.errors import WrongType, nearest
from neuron_widget.objectives import OBJECTIVES, canonical_objective
from neuron_widget.setting import Choice, PageControl, Setting

__all__ = [
    "PREVIEW",
    "RENDER",
    "SCAN",
    "VIEW",
    "RenderOptions",
    "ScanOptions",
    "ViewOptions",
    "WidgetOptions",
    "check_settings",
    "defaults",
    "documented_options",
    "key_parts",
    "page_settings",
]

F = TypeVar("F", bound=Callable[..., Any])


# ------------------------------------------------------------------ the settings


class RenderOptions(TypedDict, total=False):
    """Settings of a picture: the keyword arguments that :func:`neuron_widget.render` takes."""

    steps: Annotated[
        int,
        Setting(512, "Steps of activation maximisation.", low=1, high=100_000, in_key="never"),
    ]
    size: Annotated[
        int | None,
        Setting(
            None,
            "Side of the image in pixels. Larger shows more repeats and takes longer. Default: "
            "224, or the nearest that the network takes.",
            low=16,
            high=4096,
            in_key="always",
            page=PageControl("Size", low=16, high=1024, step=1),
            optional=True,
            usual=224,
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
    param: Annotated[
        str,
        Setting(
            "fourier",
            "What an image is made of.",
            choices=(
                Choice("fourier", "Fourier", "Waves of any strength: the strongest pictures."),
                Choice("maco", "MACO", "Waves as strong as in photos: only their places change."),
                Choice("pixel", "pixels", "Each pixel by itself: mostly noise."),
            ),
            page=PageControl("Form"),
        ),
    ]
    movements: Annotated[
        str,
        Setting(
            "auto",
            "How far an image is moved, turned and scaled before every step: what holds under wide "
            "movements shows the whole thing, and less of the neuron's strength.",
            choices=(
                Choice("auto", "as the target needs", "Wide for a class, small for all else."),
                Choice("small", "small", "By a few pixels: the strongest and sharpest patterns."),
                Choice("wide", "wide", "By a tenth and more: whole objects, in deep layers too."),
            ),
            in_key="never",  # what it comes to is
            page=PageControl("Movements"),
        ),
    ]
    decay: Annotated[
        float,
        Setting(
            1.0,
            "Of Fourier images: how much slower fine waves grow than coarse ones, as a power of "
            "the frequency.",
            low=0,
            high=4,
            only_with=("param", "fourier"),
        ),
    ]
    spectrum: Annotated[
        Any,  # a file; for Python also what photo_spectrum() returns
        Setting(
            None,
            "Of MACO images: how strong waves are in photos of yours, a file of photo_spectrum(). "
            "Default: in photos that come with the package.",
            optional=True,
            only_with=("param", "maco"),
        ),
    ]
    start: Annotated[
        Any,  # a photo's file; for Python also the photo
        Setting(
            None,
            "A photo that the image begins from, in place of noise; distance(LAYER) in the target "
            "keeps it near.",
            optional=True,
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
            "Let gradients pass where ReLU is silent, in the first 16 steps; without it a picture "
            "that begins where the neuron is silent stays grey. Default: on where the network has "
            "ReLU.",
            in_key="always",
            page=PageControl(
                "Redirected ReLU",
                choices=(
                    Choice(
                        "auto",
                        "as the network needs",
                        "On where the network has ReLU: there a picture that begins where the "
                        "neuron is silent would stay grey.",
                    ),
                    Choice(
                        "on",
                        "on",
                        "Gradients pass where ReLU is silent, in the first 16 steps, so that no "
                        "picture stays grey.",
                    ),
                    Choice(
                        "off",
                        "off",
                        "The network's own gradients alone: a picture that begins where the "
                        "neuron is silent stays grey.",
                    ),
                ),
            ),
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
    facets: Annotated[
        int,
        Setting(
            1,
            "So many images that are to differ, side by side under the neuron's own: what else it "
            "answers to. 1: none.",
            low=1,
            high=6,
            in_key="never",
            page=PageControl("Facets", low=1, high=6, step=1),
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
