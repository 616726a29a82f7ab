"""A rendering under way: which batches are done, which runs, which wait."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuron_widget.errors import NeuronWidgetError, RenderError
from neuron_widget.networks.arithmetic import full_float32
from neuron_widget.networks.fast import fast_reader
from neuron_widget.networks.memory import is_out_of_memory, keep_blocks
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.pace import Pace
from neuron_widget.rendering.batch import CHECK_EVERY, Batch, Snapshot
from neuron_widget.rendering.composed import began, layers_read, values_of
from neuron_widget.rendering.memory import free_memory
from neuron_widget.rendering.movements import Movements
from neuron_widget.rendering.objective import Objective
from neuron_widget.rendering.parameterisations import parameterisation
from neuron_widget.rendering.result import (
    RenderResult,
    RenderState,
    RenderStep,
    Spectra,
    Steps,
    as_history,
    relative,
    to_host,
)
from neuron_widget.rendering.settings import RenderSettings
from neuron_widget.targets import Target, works

__all__ = ["RenderRun", "clean_activation"]

# Above this the optimiser's state is not kept with the result (a whole layer at 224 px is 0.9 GB).
_MAX_STATE_BYTES = 512 * 2**20

# Finished images that are measured side by side.
_MEASURED = 16


@dataclass(frozen=True)
class _Image:
    """One image with all that a result says of it, on the host."""

    place: int
    pixels: NDArray[np.float32]
    activation: float
    step: int
    history: dict[int, float]
    spectra: Spectra | None
    alpha: NDArray[np.float32] | None


class RenderRun:
    """A rendering: what is finished, what is under way, what is to come.

    Parameters
    ----------
    model, settings
        What is rendered.
    batch_size
        Images side by side, at most.
    resume
        A result to go on from. Its images are found by their target; others begin at step 0.
    """

    def __init__(
        self,
        model: VisionModel,
        settings: RenderSettings,
        batch_size: int,
        resume: RenderResult | None = None,
    ):
        self.model, self.settings = model, settings
        if model.device.type == "cpu":
            keep_blocks()
        self._pace = Pace(model.device)
        with torch.inference_mode(False):
            self._image = parameterisation(settings, model.device, grey=model.grey)
            precision = getattr(torch, str(settings.options["precision"]))
            # Several layers are read of the network itself.
            each = {layers_read(settings.objective, (target,)) for target in settings.targets}
            alone = [layers[0] for layers in each if len(layers) == 1]
            self._fast = {layer: fast_reader(model, layer, precision) for layer in alone}
        state_bytes = 12 * len(settings.targets) * int(np.prod(self._image.shape))
        self._keep_state = state_bytes <= _MAX_STATE_BYTES
        self._seconds = resume.seconds if resume is not None else 0.0
        self._resumed = resume.state if resume is not None else None
        self._rows = self._rows_of(resume)
        self._finished: list[_Image] = []
        # The last one is under way; the others are halves that wait for memory.
        self._open: list[Batch] = []
        self._waiting: deque[tuple[int, tuple[int, ...]]] = deque(self._plan(batch_size))

    def _rows_of(self, resume: RenderResult | None) -> dict[int, int]:
        """For each place its row in the result to go on from."""
        targets = self.settings.targets
        if resume is None:
            return {}
        if self.settings.objective.together:
            return {place: place for place in range(len(targets))}
        row = {target: row for row, target in enumerate(resume.targets)}
        return {place: row[target] for place, target in enumerate(targets) if target in row}

    def _plan(self, batch_size: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """``(first step, places)`` of each batch.

        Images of one batch begin at one step and are moved alike, and one reading of one layer
        serves them all. What is composed is a batch of its own, so that nothing beside it can
        matter to it.
        """
        groups: dict[tuple[int, Any, bool, Movements], list[int]] = {}
        for work in works(self.settings.targets):
            target, first = self.settings.targets[work[0]], self._first_step(work)
            one: Any = work if target.composed else target.layer
            if self.settings.objective.layers:  # the same of every target
                one = ""
            moved = self.settings.augmentations[work[0]]
            groups.setdefault((first, one, target.position is not None, moved), []).extend(work)
        for (first, one, *_), places in groups.items():
            at_once = len(places) if isinstance(one, tuple) else batch_size
            for i in range(0, len(places), at_once):
                yield first, tuple(places[i : i + at_once])

    def _first_step(self, work: tuple[int, ...]) -> int:
        """Where the images of a work go on: the images of a group only together."""
        if self._resumed is None:
            return 0
        steps = {self._resumed.steps[self._rows[p]] if p in self._rows else 0 for p in work}
        if len(steps) == 1:
            return steps.pop()
        for place in work:
            self._rows.pop(place, None)
        return 0

    def run(self) -> Steps:
        """Every step of every batch."""
        steps, done = self.settings.options["steps"], 0
        since = time.perf_counter()
        while self._open or self._waiting:
            if not self._open:
                self._open.append(self._begin(*self._waiting.popleft()))
            batch = self._open[-1]
            if batch.step >= steps:
                batch.let_go()  # measuring needs memory, too
                self._finished += self._images(batch)
                self._open.pop()
            elif self._advance(batch):
                done += 1
                self._pace.keep()
                now = self._now(batch, done)
                self._seconds += time.perf_counter() - since
                yield now
                since = time.perf_counter()
            else:
                self._halve()
        self._seconds += time.perf_counter() - since
        return self.result()

    def _begin(self, first: int, places: tuple[int, ...]) -> Batch:
        start = None
        if first and self._resumed is not None:
            rows = [self._rows[place] for place in places]
            device = self.model.device
            start = Snapshot(first, self._resumed.spectra.each(lambda t: t[rows].to(device)))
        with torch.inference_mode(False):
            target = self.settings.targets[places[0]]
            layers = layers_read(self.settings.objective, (target,))
            fast = self._fast[layers[0]] if len(layers) == 1 else None
            return Batch(self.model, self.settings, self._image, places, start, fast)

    def _now(self, batch: Batch, done: int) -> RenderStep:
        steps = self.settings.options["steps"]
        left = sum(steps - b.step for b in self._open) + sum(steps - s for s, _ in self._waiting)
        return RenderStep(
            step=batch.step,
            steps=steps,
            targets=batch.targets,
            done=done,
            total=done + left,
            _images=lambda: to_host(batch.images()),
            _result=self.result,
            _values=lambda: _on_host(batch.values),
        )

    # -------------------------------------------------------------- what can go wrong

    def _advance(self, batch: Batch) -> bool:
        """One step; False if it does not fit into memory and the batch can be halved."""
        try:
            batch.advance()
            if batch.step % CHECK_EVERY == 0 or batch.step == self.settings.options["steps"]:
                self._stop_if_not_finite(batch)
            return True
        except NeuronWidgetError as error:
            if error.result is None:
                error.result = self._what_is_there()
            raise
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch.places) == 1 or batch.one_work:
                size, count = self.settings.size, len(batch.places)
                what = "a single image" if count == 1 else f"a group of {count} images"
                raise self._error(
                    f"out of memory on {self.model.device} rendering {what} of {size} px "
                    f"up to layer {', '.join(batch.layers)}: choose a smaller size (e.g. "
                    f"size={max(16, size // 2)}) or an earlier layer, or close what else uses "
                    "the memory"
                ) from error
        return False

    def _halve(self) -> None:
        """Go on with half the images, and with no larger batch from now on."""
        # Outside any except block: a traceback keeps the failed step's tensors alive.
        batch = self._open.pop()
        batch.let_go()
        free_memory(self.model.device)
        now, later = batch.split()
        self._open += [later, now]
        limit = len(now.places)
        self._waiting = deque(
            (first, places[i : i + limit])
            for first, places in self._waiting
            for i in range(0, len(places), limit)
        )

    def _stop_if_not_finite(self, batch: Batch) -> None:
        bad = batch.check()
        if bad is None:
            return
        step, target = bad
        raise self._error(
            f"{target}: the objective is not finite (NaN or "
            f"infinity) at step {step}; the images of step {batch.saved.step}, the last known "
            "to be finite, are kept in this error's .result. A smaller lr than "
            f"{self.settings.options['lr']:g} may help; if it is step 1, the network itself "
            "gives NaN"
        )

    def _error(self, message: str) -> RenderError:
        error = RenderError(message)
        error.result = self._what_is_there()
        return error

    def _what_is_there(self) -> RenderResult | None:
        """The result, as far as it can still be measured: the network itself may be what fails."""
        try:
            return self.result()
        except Exception:  # noqa: BLE001  # the first error is the one to be told
            self._open.clear()
            return self.result() if self._finished else None

    # -------------------------------------------------------------- results

    def _images(self, batch: Batch) -> list[_Image]:
        """The images of a batch as they last were finite, measured."""
        batch.check()
        kept = batch.saved
        with torch.inference_mode():
            images = self._image.decode(kept.spectra.spectrum)
            values = clean_activation(
                self.model, self.settings.objective, images, batch.targets, batch.photo
            )
        pixels = to_host(images)
        spectra = kept.spectra.each(Tensor.cpu) if self._keep_state else None
        alpha = relative(kept.spectra.alpha) if kept.spectra.alpha is not None else None
        samples = [(step, v.tolist()) for step, v in batch.samples if step <= kept.step]
        found = []
        for i, place in enumerate(batch.places):
            history: dict[int, float] = {}
            if self._resumed is not None and place in self._rows:
                history.update(self._resumed.history[self._rows[place]])
            history.update((step, v[i]) for step, v in samples)
            one = spectra.each(lambda t, i=i: t[i]) if spectra is not None else None  # type: ignore[misc]
            own = alpha[i] if alpha is not None else None
            found.append(_Image(place, pixels[i], values[i], kept.step, history, one, own))
        return found

    def result(self) -> RenderResult:
        """Everything there is, in the order of the targets asked for."""
        images = [
            *self._finished,
            *(image for batch in self._open for image in self._images(batch)),
        ]
        images.sort(key=lambda image: image.place)
        settings, size = self.settings, self.settings.size
        targets = tuple(settings.targets[image.place] for image in images)
        pixels = [image.pixels for image in images]
        history = tuple(image.history for image in images)
        alphas = [image.alpha for image in images if image.alpha is not None]
        state = None
        kept = [image.spectra for image in images if image.spectra is not None]
        if kept:
            state = RenderState(Spectra.stack(kept), tuple(i.step for i in images), history)
        return RenderResult(
            images=np.stack(pixels) if pixels else np.empty((0, size, size, 3), np.float32),
            targets=targets,
            activation=np.array([image.activation for image in images], np.float32),
            history=as_history(history),
            seconds=self._seconds,
            settings=settings.as_dict_of(targets),
            steps=min((image.step for image in images), default=0),
            state=state,
            alpha=np.stack(alphas) if alphas else None,
        )


def _on_host(values: Tensor | None) -> NDArray[np.float32] | None:
    return values.float().cpu().numpy() if values is not None else None


def clean_activation(
    model: VisionModel,
    objective: Objective,
    images: Tensor,
    targets: tuple[Target, ...],
    photo: Tensor | None = None,
) -> list[float]:
    """The objective on images ``(N, 3, H, W)`` as they are: one forward pass in float32.

    ``targets``: one an image, of one layer, all with a position or none; or composed, those of one
    work. ``photo``: what the images began from, ``(3, H, W)``.
    """
    if objective.together or targets[0].composed:
        return _measured(model, objective, images, targets, photo)
    found: list[float] = []
    # More at once, in float32, may need more memory than the steps that made them.
    most = _MEASURED
    while len(found) < len(images):
        some = slice(len(found), len(found) + most)
        try:
            found += _measured(model, objective, images[some], targets[some], photo)
        except (RuntimeError, MemoryError) as error:
            if most == 1 or not is_out_of_memory(error):
                raise
            most //= 2
            continue
    return found


def _measured(
    model: VisionModel,
    objective: Objective,
    images: Tensor,
    targets: tuple[Target, ...],
    photo: Tensor | None,
) -> list[float]:
    if model.loaded_here:
        images = images.contiguous(memory_format=torch.channels_last)
    off = torch.autocast(images.device.type, enabled=False)
    exact = full_float32(images.device)
    layers = layers_read(objective, targets)
    with torch.inference_mode(), off, exact:
        photos = photo.expand_as(images) if photo is not None else None
        first = began(model, targets[0], photos)
        with model.reading_each(layers) as read:
            channels = torch.tensor([t.neuron for t in targets], device=images.device)
            values = values_of(model, objective, targets, channels, images, read(images), first)
    measured: list[float] = values.tolist()
    return measured
