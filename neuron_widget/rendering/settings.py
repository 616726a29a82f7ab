"""What is rendered and how, checked before any work begins."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from neuron_widget.errors import WrongType, WrongValue
from neuron_widget.objectives import canonical_objective
from neuron_widget.rendering.movements import movements, moves, moves_of
from neuron_widget.settings import RENDER, RenderOptions, check_settings
from neuron_widget.targets import Target, check_alone, held_near

if TYPE_CHECKING:
    from neuron_widget.networks.known import KnownNetwork, Network
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.rendering.augment import Augmentation
    from neuron_widget.rendering.movements import Movements
    from neuron_widget.rendering.natural import Spectrum
    from neuron_widget.rendering.objective import Objective
    from neuron_widget.rendering.start import Start

__all__ = [
    "ALGORITHM",
    "BEGINS_ANYWHERE",
    "REDIRECT_STEPS",
    "RenderSettings",
    "check_composed",
    "check_near",
    "default_precision",
    "default_size",
    "known_settings",
    "render_settings",
]

_log = logging.getLogger("neuron_widget.rendering")

ALGORITHM = 5
"""Counts up when the same settings begin to give another picture: part of every result's key."""

BEGINS_ANYWHERE = ("fourier", "pixel")
"""Parameterisations whose images may begin as any photo."""

REDIRECT_STEPS = 16
"""ReLU gradients are redirected in the first steps only, as lucid does: to leave a dead start."""


@dataclass(frozen=True)
class RenderSettings:
    """What is rendered and how; equal settings give equal pictures on one machine.

    Attributes
    ----------
    model
        Identity of the network.
    targets
        What is maximised, one image each.
    options
        Every setting of :class:`neuron_widget.settings.RenderOptions`, with its value.
    objective
        What of a target is maximised.
    device
        Kind of device.
    augmentations
        Random movements of each target's image.
    dictionary
        What tells the dictionaries from others whose features the targets are; "" for none.
    spectrum
        Magnitudes of photos that somebody gave.
    start
        The photo that the images begin from; None: noise.
    names
        Names of targets that have one, by their text.
    """

    model: str
    targets: tuple[Target, ...]
    options: RenderOptions
    objective: Objective
    device: str
    augmentations: tuple[Augmentation, ...]
    dictionary: str = ""
    spectrum: Spectrum | None = None
    start: Start | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are read, each once."""
        return tuple(dict.fromkeys(layer for t in self.targets for layer in t.layers))

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        size = self.options["size"]
        assert size is not None  # filled in with the other defaults
        return size

    @property
    def neurons(self) -> tuple[int, ...]:
        """The channel of each target."""
        return tuple(target.neuron for target in self.targets)

    def as_dict_of(self, targets: tuple[Target, ...]) -> dict[str, Any]:
        """Plain values, for a result that has these of the targets."""
        own = {"neurons": tuple(t.neuron for t in targets), "targets": tuple(map(str, targets))}
        return {**self.as_dict(), **own}

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for results and keys."""
        import torch

        return {
            "model": self.model,
            "layer": ", ".join(self.layers),
            "neurons": self.neurons,
            "targets": tuple(map(str, self.targets)),
            **self.options,
            **({"dictionary": self.dictionary} if self.dictionary else {}),
            **({"names": dict(self.names)} if self.names else {}),
            "objective": self.objective.name,
            "device": self.device,
            "augmentation": moves(
                dict(zip(map(str, self.targets), self.augmentations, strict=True))
            ),
            "algorithm": ALGORITHM,
            "torch": str(torch.__version__),
        }

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """What keeps a rendering with settings ``other`` from being continued with these."""
        # What movements= comes to is told by the augmentation, of the targets that both have.
        free = ("layer", "neurons", "targets", "names", "steps", "torch", "movements")
        ours, own = self.as_dict(), tuple(map(str, self.targets))
        both = [text for text in other.get("targets", own) if text in own]
        theirs = {**other}
        if both:
            ours["augmentation"] = moves_of(ours["augmentation"], both)
            theirs["augmentation"] = moves_of(other.get("augmentation", {}), both)
        else:
            del ours["augmentation"]
        return [
            f"{key} {theirs.get(key)!r} -> {value!r}"
            for key, value in ours.items()
            # A setting that came later had its default before.
            if key not in free and theirs.get(key, _default(key)) != value
        ]


def _default(key: str) -> Any:
    return RENDER[key].default if key in RENDER else None


def render_settings(
    model: VisionModel, targets: tuple[Target, ...], given: Mapping[str, Any]
) -> RenderSettings:
    """The settings, with defaults that depend on the model filled in.

    Raises
    ------
    TypeError, ValueError
        Naming the value, its range and the nearest right one.
    UnknownLayer, NeuronOutOfRange, ModelError
        From the model; a size that it does not take, with one that it does.
    """
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.rendering.augment import Augmentation
    from neuron_widget.rendering.objective import as_objective
    from neuron_widget.rendering.several import settle

    if not isinstance(model, VisionModel):
        raise WrongType(
            f"model must be what load_model() returns, got {type(model).__name__}; "
            "pass load_model(model)"
        )
    checked = tuple(target.check(model) for target in targets)
    objective = as_objective(given.get("objective", RENDER["objective"].default), checked[0].layer)
    check_composed(checked, objective.name, given.get("engine"))
    layers = {layer for target in checked for layer in target.layers}
    if len(layers) > 1 and not (objective.of_one_neuron or objective.layers):
        raise WrongValue(
            f"an objective of your own reads one layer, and the targets are of "
            f"{', '.join(sorted(layers))}: render each layer by itself, or name the layers that it "
            "reads: neuron_widget.objectives.each(objective, layers=[...])"
        )
    plain = {name: value for name, value in given.items() if name != "objective"}
    options = check_settings(RENDER, plain, what="render()")
    options["objective"] = objective.name
    spectrum, start = _check_param(options)
    check_near(checked, start)
    if options["redirect_relu"] is None:
        options["redirect_relu"] = model.redirect_relu
    if options["size"] is None:
        options["size"] = default_size(model, *sorted({*layers, *objective.layers}))
    for layer in sorted(layers):
        model.check_size(options["size"], layer)
    objective = settle(objective, model, checked, options["size"])
    if objective.together and options["engine"] == "lucent":
        raise WrongValue(
            f"objective {objective.name} speaks of several images together, and engine 'lucent' "
            "makes one at a time: use engine='fast'"
        )
    if objective.layers and options["engine"] == "lucent":
        raise WrongValue(
            f"objective {objective.name} reads {', '.join(objective.layers)}, and engine 'lucent' "
            "reads one layer: use engine='fast'"
        )
    options["precision"] = _precision(model, options["engine"], options["precision"])
    dictionaries = [model.dictionary(layer) for layer in sorted(layers)]
    return RenderSettings(
        model=model.identity,
        targets=checked,
        options=cast(RenderOptions, options),
        objective=objective,
        device=model.device.type,
        augmentations=tuple(
            Augmentation.of(_movements(options, model, target)) for target in checked
        ),
        dictionary=" ".join(added.dictionary.key for added in dictionaries if added),
        names={
            str(t): names[t.neuron]
            for t in checked
            if not t.composed and (names := model.layer(t.layer).names)
        },
        spectrum=spectrum,
        start=start,
    )


def check_composed(targets: tuple[Target, ...], objective: object, engine: object) -> None:
    """Raise for what does not go with a composed target; ``objective`` is its name."""
    composed = [target for target in targets if target.composed]
    for target in composed:
        check_alone(target)
    if composed and objective != RENDER["objective"].default:
        raise WrongValue(
            f"{composed[0].title} says by itself what is maximised: leave objective="
            f"{objective!r} out (a unit of a neuron is {composed[0].channel}@centre)"
        )
    if composed and engine == "lucent":
        raise WrongValue(
            f"{composed[0].title}: engine 'lucent' renders neurons and units only: use "
            "engine='fast'"
        )


def known_settings(
    network: KnownNetwork, target: Target, given: Mapping[str, Any]
) -> dict[str, Any]:
    """What :meth:`RenderSettings.as_dict` says, as far as it is in keys; torch is not imported.

    ``precision`` is None where none is named: that depends on the device.
    """
    options = check_settings(RENDER, given, what="render()")
    if options["redirect_relu"] is None:
        options["redirect_relu"] = network.redirect_relu
    if options["size"] is None:
        options["size"] = network.usual_size
    _check_param(options)
    return {
        "model": network.identity,
        "layer": target.layer,
        **options,
        "objective": canonical_objective(options["objective"]),
        "augmentation": _movements(options, network, target).as_dict(),
        "algorithm": ALGORITHM,
    }


def _movements(options: Mapping[str, Any], network: Network, target: Target) -> Movements:
    outputs = network.outputs
    of_class = outputs is not None and outputs.name in target.layers
    # torch-lucent's engine has its own.
    wanted = "small" if options["engine"] == "lucent" else options["movements"]
    return movements(options["param"], wanted, of_class=of_class)


def check_near(targets: tuple[Target, ...], start: object) -> None:
    """Raise for what is to be held near a photo, where there is none."""
    for target in targets:
        if start is None and held_near(target) is not None:
            raise WrongValue(
                f"{target.title} speaks of the photo that the image begins from, and it begins "
                "from noise: say start=PHOTO"
            )


def _check_param(options: dict[str, Any]) -> tuple[Spectrum | None, Start | None]:
    """Check what depends on the parameterisation; spectrum and start, by their keys from now on."""
    param, fourier = options["param"], RENDER["param"].default
    spectrum = None
    if options["spectrum"] is not None:
        from neuron_widget.rendering.natural import as_spectrum

        spectrum = as_spectrum(options["spectrum"])
        options["spectrum"] = spectrum.key
    start = None
    if options["start"] is not None:
        from neuron_widget.rendering.start import as_start

        if param not in BEGINS_ANYWHERE:
            raise WrongValue(
                f"start: images with param={param!r} cannot begin from a photo (their waves are "
                f"as strong as those of many); use {' or '.join(map(repr, BEGINS_ANYWHERE))}"
            )
        start = as_start(options["start"])
        options["start"] = start.key
    if options["engine"] == "lucent" and options["movements"] == "wide":
        raise WrongValue(
            "movements 'wide': engine 'lucent' has movements of its own; use engine='fast', or "
            "leave movements out"
        )
    if options["engine"] == "lucent" and start is not None:
        raise WrongValue("start: engine 'lucent' begins from noise only; use engine='fast'")
    if options["engine"] == "lucent" and param != fourier:
        raise WrongValue(
            f"param {param!r}: engine 'lucent' makes Fourier images only; use engine='fast', or "
            f"param={fourier!r}"
        )
    for name, setting in RENDER.items():
        if setting.only_with is None or options[name] == setting.default:
            continue
        other, value = setting.only_with
        if options[other] != value:
            raise WrongValue(
                f"{name} is a setting of images with {other}={value!r}, and these have "
                f"{other}={options[other]!r}; leave {name} out"
            )
    return spectrum, start


def _precision(model: VisionModel, engine: str, wanted: str | None) -> str:
    if engine == "lucent":
        if wanted not in (None, "float32"):
            raise WrongValue(f"precision {wanted!r}: engine 'lucent' renders in 'float32' only")
        return "float32"
    from neuron_widget.networks.arithmetic import computes_bfloat16

    if wanted is None:
        return default_precision(model)
    if wanted == "bfloat16" and not computes_bfloat16(model.device):
        _log.info("%s computes no bfloat16: rendering in float32", model.device)
        return "float32"
    return wanted


def default_size(model: VisionModel, *layers: str) -> int:
    """The side of an image where nobody names one: 224 px, or the nearest that goes.

    Up to the last layer of the menu, and to these: a head of fixed size may take less than what is
    before it.
    """
    size = model.image_size(RENDER["size"].usual)
    for layer in layers:
        size = model.image_size(size, layer)
    return size


def default_precision(model: VisionModel) -> str:
    """The precision of the network while an image forms; activations are measured in float32.

    bfloat16 where the device multiplies it in hardware: pictures as clear, clean activations within
    1 % of float32's, faster (several times on a CPU). Elsewhere float32, and for a network of
    another type than float32, which autocast would mix with its own.
    """
    import torch

    from neuron_widget.networks.arithmetic import has_fast_bfloat16

    plain = all(p.dtype == torch.float32 for p in model.module.parameters())
    fast = plain and has_fast_bfloat16(model.device) and model.takes_bfloat16
    return "bfloat16" if fast else "float32"
