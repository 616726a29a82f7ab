"""What a rendering gives: images, what they activate, and how they were made."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuron_widget.errors import WrongType, WrongValue
from neuron_widget.rendering.files import save_images
from neuron_widget.rendering.movements import moves_of
from neuron_widget.targets import Target

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "RenderResult",
    "RenderState",
    "RenderStep",
    "Spectra",
    "Steps",
    "as_history",
    "relative",
    "settings_of",
    "to_host",
]

History = list[tuple[int, NDArray[np.float32]]]


@dataclass(frozen=True)
class Spectra:
    """What Adam works on and its moments, each ``(N, *shape)`` float32.

    Spectra, or whatever else images are made of: see :class:`.param.Parameterisation`. ``alpha``:
    the sum over the steps of the absolute gradient at each pixel, ``(N, H, W)`` float32, where it
    is noted.
    """

    spectrum: Tensor
    exp_avg: Tensor
    exp_avg_sq: Tensor
    alpha: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> Spectra:
        """The same change (a copy, a choice of rows, a device) of all."""
        return self.joined([self], lambda tensors: change(tensors[0]))

    @staticmethod
    def stack(each: Sequence[Spectra]) -> Spectra:
        """Those of single images, ``(*shape)``, one above the other."""
        import torch

        return Spectra.joined(each, torch.stack)

    @staticmethod
    def joined(each: Sequence[Spectra], how: Callable[[list[Tensor]], Tensor]) -> Spectra:
        """One of several of the same kind."""
        names = [field.name for field in fields(Spectra)]
        found = {name: [getattr(one, name) for one in each] for name in names}
        return Spectra(**{name: how(t) for name, t in found.items() if t[0] is not None})


@dataclass(frozen=True)
class RenderState:
    """What is needed to go on, on the CPU. Opaque to users.

    ``steps[i]`` is how many steps image ``i`` has had, ``history[i]`` its ``{step: value}``.
    """

    spectra: Spectra
    steps: tuple[int, ...]
    history: tuple[dict[int, float], ...]

    @staticmethod
    def join(each: Sequence[RenderState]) -> RenderState:
        """The images of all, in order."""
        import torch

        spectra = Spectra.joined([state.spectra for state in each], torch.cat)
        steps = tuple(step for state in each for step in state.steps)
        return RenderState(spectra, steps, tuple(h for s in each for h in s.history))


@dataclass(frozen=True)
class RenderResult:
    """Rendered images.

    Attributes
    ----------
    images
        ``(N, H, W, 3)`` float32 in 0..1.
    targets
        What each image maximises.
    activation
        ``(N,)`` float32: the objective on the final image itself, without augmentation, one
        forward pass in float32. In units of the layer's activation.
    history
        ``(step, values)`` pairs, ``values`` ``(N,)`` float32: the objective on the augmented
        images, every few steps. It is noisy and usually lower or higher than ``activation``:
        never report it as the activation. NaN where an image has not had that step.
    seconds
        Time spent rendering, without the time a consumer of the generator took for itself.
    settings
        What made the images: model identity, targets, steps, size, lr, seed, objective,
        engine, augmentation, precision, versions.
    steps
        Steps that every image has had: fewer than ``settings["steps"]`` if it was stopped.
    state
        Pass the result as ``resume=`` to continue; ``None`` where that is not possible.
    alpha
        ``(N, H, W)`` float32 in 0..1, of images made with ``param="maco"``: where the gradient
        cared, its mean absolute value over all steps relative to the largest. None for others, and
        for an image that was read from a file.
    packaged
        Whether the images came with the package: nothing was rendered here, and they were stored
        with loss (nothing that the eye sees).

    Examples
    --------
    >>> from neuron_widget import load_model, render
    >>> model = load_model("efficientnet_lite0")
    >>> half = render(model, "blocks.1", 3, steps=4, size=64, progress=False)
    >>> whole = render(model, "blocks.1", 3, steps=8, size=64, resume=half, progress=False)
    >>> whole.steps, whole.to_pil().size
    (8, (64, 64))
    """

    images: NDArray[np.float32]
    targets: tuple[Target, ...]
    activation: NDArray[np.float32]
    history: History
    seconds: float
    settings: dict[str, Any]
    steps: int
    state: RenderState | None = field(default=None, repr=False)
    alpha: NDArray[np.float32] | None = field(default=None, repr=False)
    packaged: bool = False

    def __repr__(self) -> str:
        return (
            f"<RenderResult {', '.join(map(str, self.targets))}: {self.steps} steps, "
            f"activation {np.round(self.activation, 2).tolist()}>"
        )

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def layer(self) -> str:
        """Name of the layer; of several, all of them."""
        return _layers(self.targets) or str(self.settings["layer"])

    @property
    def notes(self) -> tuple[str, ...]:
        """For each image what to know before trusting it; "" where there is nothing."""
        if not self.steps:
            return ("",) * len(self)
        why = (
            "The neuron does not respond to this picture (activation 0): where it began, ReLU let "
            "no gradient through, so it stayed as grey as its noise. Switch redirected ReLU on "
            "(redirect_relu=True), or try another seed."
        )
        if self.settings["redirect_relu"]:
            why = (
                "The neuron does not respond to this picture (activation 0), though gradients "
                "were let past ReLU in the first steps. Try another seed or more steps; it may "
                "be a neuron that nothing fires."
            )
        if self.settings["objective"] == "least":
            why = (
                "The neuron is silent on this picture (activation 0): behind ReLU nothing lowers "
                "it further, so the picture is what it was when the neuron fell silent."
            )
        return tuple(why if value == 0 else "" for value in self.activation)

    @property
    def neurons(self) -> tuple[int, ...]:
        """The neuron (channel) of each image."""
        return tuple(target.neuron for target in self.targets)

    def to_pil(self, i: int = 0) -> Image.Image:
        """Image ``i`` as an RGB PIL image."""
        i = self._place(i)
        return Image.fromarray((self.images[i] * 255).round().clip(0, 255).astype(np.uint8))

    def picture(self, i: int = 0) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Image ``i`` as files hold it: ``(H, W, 3)`` uint8, and plain values that describe it."""
        i = self._place(i)
        steps = self.state.steps[i] if self.state is not None else self.steps
        history = [(step, float(values[i])) for step, values in self.history]
        activation = float(self.activation[i])
        return np.asarray(self.to_pil(i)), {
            "layer": self.targets[i].layer,
            "neuron": self.neurons[i],
            "target": str(self.targets[i]),
            "steps": steps,
            "activation": activation if np.isfinite(activation) else None,
            "history": [pair for pair in history if np.isfinite(pair[1])],
            "seconds": self.seconds / max(1, len(self)),
            "settings": settings_of(self.settings, self.targets[i : i + 1]),
        }

    def _place(self, i: int) -> int:
        """The number of an image; a negative one counts from the end."""
        count = len(self.images)
        if isinstance(i, bool) or not hasattr(i, "__index__"):
            raise WrongType(f"i must be an integer from 0 to {count - 1}, got {i!r:.80}")
        if not -count <= i < count:
            raise WrongValue(
                f"this result has {count} images, 0 to {count - 1}; there is no image {i}"
            )
        return int(i)

    def save(self, path: str | Path) -> list[Path]:
        """Write the images into a folder (or one image to a ``.webp`` or ``.png`` file).

        Lossless, with settings, activation and history embedded as JSON; returns the files. See
        :func:`neuron_widget.rendering.files.save_images`. Raises ``StoreError``.
        """
        return save_images([self.picture(i) for i in range(len(self))], path)


@dataclass(frozen=True)
class RenderStep:
    """Where a rendering is. Making one reads nothing from the device.

    Attributes
    ----------
    step, steps
        Steps of the present batch done, and to be done.
    targets
        What the images of the present batch maximise.
    done, total
        Steps done and to be done over all batches.
    """

    step: int
    steps: int
    targets: tuple[Target, ...]
    done: int
    total: int
    _images: Callable[[], NDArray[np.float32]] = field(repr=False)
    _result: Callable[[], RenderResult] = field(repr=False)
    _values: Callable[[], NDArray[np.float32] | None] = field(repr=False, default=lambda: None)

    @property
    def neurons(self) -> tuple[int, ...]:
        """Neurons (channels) of the present batch."""
        return tuple(target.neuron for target in self.targets)

    def images(self) -> NDArray[np.float32]:
        """The present batch as it is at the time of the call: ``(n, H, W, 3)`` float32 in 0..1."""
        return self._images()

    def values(self) -> NDArray[np.float32] | None:
        """The objective of the present batch on its last augmented images, ``(n,)`` float32.

        As :attr:`RenderResult.history` holds it every few steps. None where the engine does not
        tell. A host read.
        """
        return self._values()

    def result(self) -> RenderResult:
        """All there is at the time of the call: finished batches and the present one."""
        return self._result()


Steps = Generator[RenderStep, None, RenderResult]


def settings_of(settings: Mapping[str, Any], targets: Sequence[Target]) -> dict[str, Any]:
    """Settings of a result as those of one with these targets."""
    texts = tuple(map(str, targets))
    own = {text: name for text, name in settings.get("names", {}).items() if text in texts}
    moved = settings.get("augmentation")  # a file from elsewhere may not say it
    return {
        **{name: value for name, value in settings.items() if name != "names"},
        **({"names": own} if own else {}),
        **({"augmentation": moves_of(moved, texts)} if isinstance(moved, Mapping) else {}),
        "layer": _layers(targets),
        "neurons": tuple(target.neuron for target in targets),
        "targets": texts,
    }


def _layers(targets: Sequence[Target]) -> str:
    return ", ".join(dict.fromkeys(layer for target in targets for layer in target.layers))


def as_history(each: Sequence[dict[int, float]]) -> History:
    """``{step: value}`` of each image -> ``(step, values)`` pairs in order of steps."""
    steps = sorted({step for one in each for step in one})
    return [
        (step, np.array([one.get(step, np.nan) for one in each], dtype=np.float32))
        for step in steps
    ]


def relative(sums: Tensor) -> NDArray[np.float32]:
    """Maps ``(N, H, W)`` of at least 0, each relative to its largest value; a host read."""
    most = sums.amax(dim=(1, 2), keepdim=True).clamp(min=1e-30)
    shares: NDArray[np.float32] = (sums / most).cpu().numpy()
    return shares


def to_host(images: Tensor) -> NDArray[np.float32]:
    """``(N, 3, H, W)`` on the device -> ``(N, H, W, 3)`` float32; a host read.

    What is not finite becomes grey, so that a frame can always be shown.
    """
    import torch

    shown = torch.nan_to_num(images.detach(), nan=0.5, posinf=1.0, neginf=0.0)
    array: NDArray[np.float32] = shown.permute(0, 2, 3, 1).float().cpu().contiguous().numpy()
    return array
