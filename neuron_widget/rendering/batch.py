"""One batch of images and one step of their optimisation. Nothing here reads from the device."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from neuron_widget.errors import ModelError, RenderError, first_line
from neuron_widget.networks.fast import Reader
from neuron_widget.networks.layers import RedirectedReLU
from neuron_widget.networks.memory import is_out_of_memory
from neuron_widget.networks.model import VisionModel
from neuron_widget.rendering.augment import AugmentationStream, warp
from neuron_widget.rendering.batch_invariant import BatchInvariantConvolutions
from neuron_widget.rendering.captured import Captured
from neuron_widget.rendering.composed import began, layers_read, values_of
from neuron_widget.rendering.param import Parameterisation
from neuron_widget.rendering.result import Spectra
from neuron_widget.rendering.settings import REDIRECT_STEPS, RenderSettings
from neuron_widget.targets import Target

__all__ = ["Batch", "Snapshot"]

# Every so many steps the objective is kept for the history, the batch is looked at for NaN (one
# host read), and a copy is kept to go back to.
SAMPLE_EVERY = 8
CHECK_EVERY = 16

# So many images of 224 px go through a network itself at once on the CPU; see :class:`.Reader`.
_AT_ONCE = 4


@dataclass(frozen=True)
class Snapshot:
    """A batch at one step: copies on the device."""

    step: int
    spectra: Spectra


class Batch:
    """Images that are optimised side by side, each as if it were alone.

    Where the objective speaks of several images, they are one group, and nothing of it is apart.
    So it is with a composed target: its images are a batch of their own.

    Parameters
    ----------
    model, settings
        What is rendered.
    places
        For each image its index in ``settings.targets``. All of one layer, moved alike, and all
        with a position or none.
    start
        The state to begin from: a snapshot, or ``None`` for fresh noise.
    fast
        A faster way to the same activation and gradient, taken at each step at which it serves.

    Notes
    -----
    The samples stay independent: each has its own random numbers, the loss is the sum of the
    values, and Adam works on each image apart.
    """

    def __init__(
        self,
        model: VisionModel,
        settings: RenderSettings,
        image: Parameterisation,
        places: tuple[int, ...],
        start: Snapshot | None = None,
        fast: Reader | None = None,
    ):
        self.model, self.settings, self.image = model, settings, image
        self._fast = fast
        self.places = places
        self.targets = tuple(settings.targets[i] for i in places)
        self.neurons = tuple(target.neuron for target in self.targets)
        self.layer = self.targets[0].layer
        self._composed = self.targets[0].composed
        self.layers = layers_read(settings.objective, self.targets)
        self.one_work = self._composed or settings.objective.together
        options, device = settings.options, model.device
        self.photo: Tensor | None = None
        if settings.start is not None:
            pixels = torch.from_numpy(settings.start.at(settings.size).copy())
            self.photo = pixels.permute(2, 0, 1).contiguous().to(device)
        if start is None:
            first = torch.stack([self._first(*who) for who in self._who()])
            zero = torch.zeros_like(first)
            alpha = None
            if image.marks_alpha:
                alpha = torch.zeros(
                    (len(places), image.height, image.width), dtype=torch.float32, device=device
                )
            start = Snapshot(0, Spectra(first, zero, zero, alpha))
        self.step = start.step
        self.saved = start
        self._spectra = start.spectra.each(torch.clone)
        # Where each image's neuron is in the activation that is read.
        self._channels = torch.tensor(self.neurons, device=device)
        self._augmentation = AugmentationStream(
            settings.augmentations[places[0]],
            options["seed"],
            self.targets,
            image.height,
            image.width,
            device,
        )
        self._adam = self._optimiser()
        self._exact_on_cpu = device.type == "cpu" and options["precision"] == "float32"
        most = len(places)
        if device.type == "cpu" and not self.one_work:
            at_once = _AT_ONCE if fast is None else fast.at_once
            most = max(1, at_once * 224**2 // (image.height * image.width))
        parts = math.ceil(len(places) / most)
        ends = [len(places) * i // parts for i in range(parts + 1)]
        self._parts = [slice(*pair) for pair in itertools.pairwise(ends)]
        # The first step at which an image's objective was not finite; 0 while all is well.
        self._bad_step = torch.zeros(len(places), dtype=torch.float32, device=device)
        self.samples: list[tuple[int, Tensor]] = []
        # What a step reads and leaves lies where it lay in the step before: see Captured.
        self._matrices = torch.zeros((len(places), 2, 3), dtype=torch.float32, device=device)
        self._noise: Tensor | None = None
        self._steps_made = torch.full((), float(start.step), dtype=torch.float32, device=device)
        self._values = torch.zeros(len(places), dtype=torch.float32, device=device)
        self._captured = Captured(model.module, device)

    def _who(self) -> Iterator[tuple[Target, int]]:
        """Each target, and which of its images in a group: they must not begin as the same."""
        for i, target in enumerate(self.targets):
            again = self.targets[:i].count(target) if self.settings.objective.together else 0
            yield target, again

    def _first(self, target: Target, part: int) -> Tensor:
        """The array that an image begins as."""
        seed = self.settings.options["seed"]
        noise = self.image.start(seed, target, part)
        # Images of a group that begin as the same photo must not stay the same.
        return noise if self.photo is None else self.image.encode(self.photo) + noise

    @property
    def values(self) -> Tensor:
        """The objective of the last step, on the device; 0 before the first. A copy."""
        return self._values.clone()

    def _optimiser(self) -> torch.optim.Adam:
        """Adam, going on from the spectra's state."""
        spectra, device = self._spectra, self.model.device
        one_kernel = device.type in ("cpu", "cuda", "mps")
        # Each image is a parameter of its own, a view of the batch: on the CPU the last bit of an
        # element depends on the size of the tensor it is updated in, see Parameterisation.decode.
        all_three = (spectra.spectrum, spectra.exp_avg, spectra.exp_avg_sq)
        apart = device.type != "cuda"
        parts = list(zip(*(t.unbind() if apart else (t,) for t in all_three), strict=True))
        self._parameters = [spectrum for spectrum, *_ in parts]
        adam = torch.optim.Adam(
            self._parameters,
            lr=self.settings.options["lr"],
            fused=one_kernel,
            capturable=device.type == "cuda",
        )
        adam._warned_capturable_if_run_uncaptured = True  # on purpose
        for parameter, average, of_squares in parts:
            adam.state[parameter] = {
                "step": torch.tensor(
                    float(self.step), dtype=torch.float32, device=device if one_kernel else "cpu"
                ),
                "exp_avg": average,
                "exp_avg_sq": of_squares,
            }
        return adam

    def advance(self) -> None:
        """One step of gradient ascent. Enqueues work; waits for nothing."""
        settings, step = self.settings, self.step
        with ExitStack() as scope:
            # The caller's modes (inference_mode, no_grad, autocast) are not ours.
            scope.enter_context(torch.inference_mode(False))
            scope.enter_context(torch.enable_grad())
            scope.enter_context(torch.autocast(self.model.device.type, enabled=False))
            redirect = bool(settings.options["redirect_relu"]) and step < REDIRECT_STEPS
            self._matrices.copy_(self._augmentation.matrices(step))
            self._draw_noise(step)
            if redirect or not self._is_ours():
                self._work(redirect)
            else:
                self._captured(lambda: self._work(redirect=False))
        self.step = step + 1
        if self.step == 1 or self.step % SAMPLE_EVERY == 0:
            self.samples.append((self.step, self.values))

    def _draw_noise(self, step: int) -> None:
        noise = self._augmentation.noise(step)
        if self._noise is None or noise is None:
            self._noise = noise
        else:
            self._noise.copy_(noise)

    def _is_ours(self) -> bool:
        """Whether a step runs no code of a user's, which may be another one every time."""
        added = self.model.dictionary(self.layer)
        encodes = added is not None and added.dictionary.encoder is not None
        plain = self.settings.objective.given is None and not (encodes or self._composed)
        return plain and (self._serving(len(self.places)) is not None or self.model.loaded_here)

    def _work(self, redirect: bool) -> None:
        """All of a step that is done on the device; nothing in it depends on which step it is."""
        found = [self._ascend(part, redirect) for part in self._parts]
        self._adam.step()
        self._steps_made.add_(1)
        torch.cat(found, out=self._values)
        first_bad = (self._bad_step == 0) & ~torch.isfinite(self._values)
        self._bad_step.copy_(torch.where(first_bad, self._steps_made, self._bad_step))

    def _serving(self, images: int) -> Reader | None:
        """The faster way, if it serves now."""
        fast = self._fast
        return fast if fast is not None and fast.serves(images, self.image.width) else None

    def _ascend(self, part: slice, redirect: bool) -> Tensor:
        """Gradients of some of the images; their values."""
        spectrum = self._spectra.spectrum[part].detach().requires_grad_()
        pictures = self.image.decode(spectrum)
        images = self._moved(pictures, part)
        # The backward pass too runs where the forward pass did: a network that checkpoints its
        # activations computes them again there, and they must come out the same.
        fast = self._serving(len(images))
        # On a GPU the layer's last few operations cost less than going image by image.
        on_cpu = images.device.type == "cpu"
        of_one = self.settings.objective.of_one_neuron and not self._composed
        only_neurons = fast is not None and on_cpu and of_one
        marks = self._spectra.alpha is not None
        photo = self.photo.expand_as(pictures) if self.photo is not None else None
        moved = self._moved(photo, part) if photo is not None else None
        alone = len(images) == 1 or self.model.reads_alone
        with self._reading(part, redirect, fast, only_neurons) as read:
            with self._modes(redirect, fast, alone):
                found = read(images)
            channels = self._channels[part]
            values = values_of(
                self.model,
                self.settings.objective,
                self.targets[part],
                channels * 0 if only_neurons else channels,
                pictures,
                found,
                began(self.model, self.targets[0], photo, moved),
            )
            with self._modes(redirect, fast, alone):
                gradient, *cared = _gradient(-values.sum(), spectrum, *([pictures] * marks))
        if self._spectra.alpha is not None:
            red, green, blue = cared[0].abs().unbind(1)
            self._spectra.alpha[part].add_(red + green + blue)
        if self._parameters[0].ndim == gradient.ndim:
            self._parameters[0].grad = gradient
            return values.detach()
        for parameter, own in zip(self._parameters[part], gradient.unbind(), strict=True):
            parameter.grad = own
        return values.detach()

    def _moved(self, pictures: Tensor, part: slice) -> Tensor:
        """Pictures as the network is shown them in this step."""
        moved = warp(pictures, self._matrices[part])
        return moved if self._noise is None else moved + self._noise[part]

    @contextmanager
    def _reading(
        self, part: slice, redirect: bool, fast: Reader | None, only_neurons: bool
    ) -> Iterator[Callable[[Tensor], Mapping[str, Tensor]]]:
        """From some of the images to the layers' activations, inside a block."""
        if fast is not None:
            neurons = self.neurons[part] if only_neurons else None
            yield lambda images: {self.layers[0]: fast(images, redirect, neurons)}
            return
        low = self.settings.options["precision"] == "bfloat16"
        with self.model.reading_each(self.layers) as read:

            def read_in_precision(images: Tensor) -> Mapping[str, Tensor]:
                if self.model.loaded_here:
                    images = images.contiguous(memory_format=torch.channels_last)
                with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=low):
                    return read(images)

            yield read_in_precision

    @contextmanager
    def _modes(self, redirect: bool, fast: Reader | None, alone: bool) -> Iterator[None]:
        """What is done otherwise inside the network, forwards and backwards."""
        plain = fast is not None
        with (
            RedirectedReLU() if redirect and not plain else nullcontext(),
            BatchInvariantConvolutions()
            if alone and self._exact_on_cpu and not plain
            else nullcontext(),
        ):
            yield

    def images(self) -> Tensor:
        """The images as they are now, ``(n, 3, H, W)`` in 0..1, on the device."""
        with torch.inference_mode():
            return self.image.decode(self._spectra.spectrum)

    def snapshot(self) -> Snapshot:
        """A copy of the present state."""
        return Snapshot(self.step, self._spectra.each(torch.clone))

    def check(self) -> tuple[int, Target] | None:
        """``(step, target)`` where the objective first was not finite, or ``None``. A host read.

        While all is well, the present state becomes the one to go back to (:attr:`saved`).
        """
        finite = torch.isfinite(self._spectra.spectrum).flatten(1).all(dim=1)
        # A gradient that is not finite shows in the spectrum now, in the objective a step later.
        late = torch.where(finite, self._bad_step, float(self.step))
        bad = torch.where(self._bad_step > 0, self._bad_step, late).tolist()
        if not any(bad):
            self.saved = self.snapshot()
            return None
        step, place = min((int(s), i) for i, s in enumerate(bad) if s)
        return step, self.targets[place]

    def let_go(self) -> None:
        """Give up memory that another step would need, but not the state."""
        self._captured.leave("its memory is needed")
        for parameter in self._parameters:
            parameter.grad = None

    def split(self) -> tuple[Batch, Batch]:
        """Two halves that go on from the present state."""
        half = (len(self.places) + 1) // 2
        parts = []
        for part in (slice(0, half), slice(half, None)):
            # No copy: a batch makes its own.
            start = Snapshot(self.step, self._spectra.each(lambda t, part=part: t[part]))  # type: ignore[misc]
            batch = Batch(
                self.model, self.settings, self.image, self.places[part], start, self._fast
            )
            batch.samples = [(step, values[part]) for step, values in self.samples]
            # What went wrong, and the state to go back to, as far as it was looked at.
            batch._bad_step = self._bad_step[part].clone()
            batch.saved = Snapshot(
                self.saved.step,
                self.saved.spectra.each(lambda t, part=part: t[part].clone()),  # type: ignore[misc]
            )
            parts.append(batch)
        return parts[0], parts[1]


def _gradient(value: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    """Only these gradients: none for the weights, whatever their flags say.

    As ``torch.autograd.grad``, which is itself a function that a mode may replace, and therefore
    runs outside of the modes it is called in.
    """
    engine = torch.autograd.Variable._execution_engine
    try:
        found = engine.run_backward(
            (value,), (torch.ones_like(value),), False, False, of, False, accumulate_grad=False
        )
    except Exception as error:
        if is_out_of_memory(error):
            raise
        if "use_reentrant=True" not in str(error):
            raise RenderError(
                "no gradient leads from the objective back to the image: the objective, or the "
                f"network's backward pass, fails ({first_line(error)}). An objective only "
                "computes a value from the activation: it must not call backward itself"
            ) from error
        raise ModelError(
            "this network checkpoints its activations with use_reentrant=True, which gives no "
            "gradient of an image: pass use_reentrant=False to torch.utils.checkpoint.checkpoint, "
            "or leave checkpoints out in evaluation mode (if self.training: ...)"
        ) from error
    return tuple(found)
