"""Activation maximisation: many targets side by side, step by step.

:func:`render_steps` is the work, as a generator; :func:`render` drains it. Between two steps
nothing of ours is on the model or in torch's global state, so the generator can be left or closed
at any step.

The method is lucid's and torch-lucent's (Olah, Mordvintsev, Schubert, *Feature Visualization*,
Distill 2017): a Fourier spectrum in decorrelated colour, random movements, Adam, redirected ReLU.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Unpack

from neuron_widget.errors import WrongType, WrongValue
from neuron_widget.networks.model import VisionModel
from neuron_widget.progress import drain
from neuron_widget.rendering.memory import default_batch_size
from neuron_widget.rendering.result import RenderResult, Steps
from neuron_widget.rendering.run import RenderRun
from neuron_widget.rendering.settings import RenderSettings, render_settings
from neuron_widget.setting import check_int
from neuron_widget.settings import RenderOptions, documented_options
from neuron_widget.targets import TargetLike, as_targets, works

__all__ = ["render", "render_steps"]

_log = logging.getLogger("neuron_widget.rendering")


@documented_options(RenderOptions)
def render(
    model: VisionModel,
    target: TargetLike,
    neurons: int | Sequence[int] | None = None,
    *,
    batch_size: int | None = None,
    resume: RenderResult | None = None,
    progress: bool = True,
    **settings: Unpack[RenderOptions],
) -> RenderResult:
    """Render the images that neurons respond to most.

    Parameters
    ----------
    model
        A network from :func:`neuron_widget.load_model`.
    target, neurons
        A layer's name and one or many of its channels; or, without ``neurons``, one or many
        targets: ``"mixed4a:68"``, ``"mixed4a:70-80"``, ``["mixed4a:68", "mixed4b:3"]``, or
        :class:`neuron_widget.targets.Target`. Targets may be of several layers, and composed:
        ``"mixed4a:68 - 0.5*mixed4b:3"``; see :mod:`neuron_widget.objectives`.
    steps, size, lr, seed
        Optimisation steps (1 to 100,000), side of the image in pixels (16 to 4096; default 224,
        or the nearest that the network takes), Adam's step size (above 0), random seed (0 or
        more).
    objective
        A name in :data:`neuron_widget.objectives.OBJECTIVES` (``"channel"``, the mean of the map;
        ``"unit"``, its centre position), an objective of torch-lucent, or a function of the
        activation; see :mod:`neuron_widget.rendering.objective`. One that compares images
        (torch-lucent's ``diversity``; :func:`neuron_widget.objectives.together`) makes those of
        the call as one group.
    param
        What an image is made of: ``"fourier"``, its spectrum; ``"maco"``, the phases of a spectrum
        whose magnitudes are those of photos (Fel et al., NeurIPS 2023), seen in random crops with
        noise where movements are small; ``"pixel"``, its pixels, for teaching.
    movements
        How far the image is moved, turned and scaled before every step: ``"small"``, by a few
        pixels, 5 degrees and a tenth; ``"wide"``, by 7 % of its side, 15 degrees and two fifths, so
        that only what holds as a whole is left (see :data:`.movements.WIDE`); ``"auto"``, wide for
        a class of the network's outputs.
    decay
        Of Fourier images: the power of the frequency by which fine waves grow slower.
    spectrum
        Of MACO images: a :class:`.natural.Spectrum`, or its file, as
        :func:`neuron_widget.analysis.photo_spectrum.photo_spectrum` makes it of photos of yours.
        Default: one of the photos that come with the package.
    start
        A photo that the images begin from, in place of noise: a path, a PIL image, an array or
        tensor ``(3, H, W)`` or ``(H, W, 3)`` in 0..1 or uint8. Of it they begin as the square that
        the network sees. A target with ``distance(LAYER)`` keeps them near it. Not for MACO images.
    engine
        ``"fast"``, or ``"lucent"``: torch-lucent's own ``render_vis``, to compare with.
    batch_size
        Images side by side; default: what fits. The pictures do not depend on it. A group is
        never parted.
    redirect_relu
        Lucid's redirected ReLU in the first 16 steps; default: the model's.
    precision
        ``"float32"`` or ``"bfloat16"`` (convolutions only) while the image forms. The reported
        activation is always measured in float32.
    resume
        An earlier result with the same settings and fewer steps, to continue.
    progress
        Show a progress bar.

    Returns
    -------
    RenderResult

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or out of range.
    TargetError, UnknownLayer, NeuronOutOfRange
        With the nearest names or the valid range.
    DatasetError
        If ``start`` is no photo.
    ModelError
        For a size that the network does not take, with one that it does.
    RenderError
        Out of memory with a single image, or NaN; ``error.result`` holds what there is.

    Notes
    -----
    Activation maximisation as in Olah, Mordvintsev, Schubert, *Feature Visualization*, Distill
    2017: an image with a Fourier spectrum and decorrelated colours climbs the objective's gradient
    while it is padded, jittered, scaled and rotated at random.

    Examples
    --------
    >>> from neuron_widget import load_model, render
    >>> model = load_model("efficientnet_lite0")
    >>> result = render(model, "blocks.1", [3, 11], steps=8, size=64, progress=False)
    >>> result.images.shape, result.activation.shape
    ((2, 64, 64, 3), (2,))
    >>> render(model, "blocks.1:3@5,5", steps=2, size=64, progress=False).targets
    (Unit(layer='blocks.1', neuron=3, row=5, column=5),)
    """
    work = render_steps(model, target, neurons, batch_size=batch_size, resume=resume, **settings)
    title = f"Rendering {target if isinstance(target, str) else ''}"
    result = drain(work, progress=progress, title=title, unit="step")
    for text in dict.fromkeys(filter(None, result.notes)):
        those = [str(t) for t, note in zip(result.targets, result.notes, strict=True) if note]
        names = ", ".join(those[:8]) + (", ..." if len(those) > 8 else "")
        _log.warning("%d of %d images (%s): %s", len(those), len(result), names, text)
    return result


@documented_options(RenderOptions)
def render_steps(
    model: VisionModel,
    target: TargetLike,
    neurons: int | Sequence[int] | None = None,
    *,
    batch_size: int | None = None,
    resume: RenderResult | None = None,
    **settings: Unpack[RenderOptions],
) -> Steps:
    """As :func:`render`, one :class:`RenderStep` at a time; the generator returns the result.

    Arguments are checked in the call itself, not at the first step. Close the generator to stop;
    the last step's ``result()`` still works then.

    Examples
    --------
    >>> from neuron_widget import load_model, render_steps
    >>> model = load_model("efficientnet_lite0")
    >>> for now in render_steps(model, "blocks.1", 3, steps=500, size=64):
    ...     if now.step == 4:
    ...         break
    >>> now.images().shape, now.result().steps
    ((1, 64, 64, 3), 4)
    """
    chosen = render_settings(model, as_targets(target, neurons), settings)
    if batch_size is not None:
        batch_size = check_int("batch_size", batch_size, 1, 4096)
    if chosen.options["engine"] == "lucent":
        from neuron_widget.rendering.lucent_engine import lucent_steps

        if resume is not None:
            raise WrongValue("resume: engine 'lucent' cannot continue an earlier result")
        return lucent_steps(model, chosen)
    works(chosen.targets)  # groups are whole
    _check_resume(chosen, resume)
    if chosen.objective.together:
        batch_size = _group_size(chosen, batch_size, resume)
    if batch_size is None:
        batch_size = min(default_batch_size(model, layer, chosen.size) for layer in chosen.layers)
    return RenderRun(model, chosen, batch_size, resume).run()


def _group_size(
    settings: RenderSettings, batch_size: int | None, resume: RenderResult | None
) -> int:
    """All images at once: they depend on each other."""
    count, name = len(settings.targets), settings.objective.name
    if batch_size is not None and batch_size < count:
        raise WrongValue(
            f"batch_size must be at least {count}, got {batch_size}: objective {name} speaks of "
            f"all {count} images together"
        )
    if resume is not None and resume.targets != settings.targets:
        raise WrongValue(
            f"resume: objective {name} speaks of all images together, so the targets must be "
            f"those of the result: {', '.join(map(str, resume.targets))}"
        )
    return count


def _check_resume(settings: RenderSettings, resume: object) -> None:
    if resume is None:
        return
    if not isinstance(resume, RenderResult):
        raise WrongType(f"resume must be a RenderResult, got {type(resume).__name__}")
    if resume.state is None:
        raise WrongValue("resume: this result cannot be continued (it carries no state)")
    if different := settings.differences(resume.settings):
        raise WrongValue(
            "resume: this result was rendered with other settings, "
            f"so it cannot be continued: {'; '.join(different)}"
        )
    if (had := max(resume.state.steps)) > settings.options["steps"]:
        raise WrongValue(
            f"resume: this result has had {had} steps already; steps must be at least that, "
            f"got {settings.options['steps']}"
        )
