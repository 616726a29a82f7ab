"""Learning a dictionary: :func:`learn_steps` is the work, :func:`learn_dictionary` drains it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from neuron_widget.errors import DatasetError, DictionaryError, WrongValue, nearest
from neuron_widget.learning.fit import figures_of_fit
from neuron_widget.learning.methods import METHODS
from neuron_widget.networks.arithmetic import full_float32
from neuron_widget.networks.dictionaries import Dictionary
from neuron_widget.networks.fast import scan_reader
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.pace import Pace
from neuron_widget.progress import drain
from neuron_widget.scanning.datasets import open_dataset
from neuron_widget.scanning.image_dataset import ImageDataset
from neuron_widget.scanning.loading import load_batches, read_in_chunks, to_images
from neuron_widget.scanning.order import sample
from neuron_widget.setting import check_int

__all__ = ["LearnProgress", "learn_dictionary", "learn_steps"]

_log = logging.getLogger("neuron_widget.learning")

_POSITIONS = 256  # of a photo's map that are learnt from, at most, where a sample will do
_HELD_OUT = 32  # photos at most that a fit is measured on, and a tenth of all


@dataclass(frozen=True)
class LearnProgress:
    """How far it is.

    Attributes
    ----------
    done, total
        Photos looked at (skipped ones included) and to look at.
    rate
        Photos a second so far; 0 before the first batch.
    """

    done: int
    total: int
    rate: float
    _result: Callable[[], Dictionary] = field(repr=False)

    def result(self) -> Dictionary:
        """Return what was learnt up to now; DictionaryError before the first batch."""
        return self._result()


class _Learning:
    """What is learnt so far, and from what; it goes on from there."""

    def __init__(self, model: VisionModel, layer: str, photos: ImageDataset, how: dict[str, Any]):
        info = model.layer(layer)
        self.model, self.layer, self.photos, self.how = model, info.name, photos, how
        self.identity = model.identity
        self.learner = METHODS[how["method"]](
            info.channels, how["features"], how["seed"], info.name
        )
        wanted = how["num_samples"]
        self.total = len(photos) if wanted is None else min(wanted, len(photos))
        self.held_out = min(_HELD_OUT, max(self.total // 10, int(self.total > 1)))
        self.done = self.taken = self.skipped = 0
        self._random = torch.Generator().manual_seed(how["seed"])
        self._aside: list[Tensor] = []
        self._sum, self._count = torch.zeros(info.channels, dtype=torch.float64), 0

    def take(self, index: int, activation: Tensor) -> None:
        """Learn from activations ``(n, C, h, w)``; ``index`` is the place of the first photo."""
        channels = activation.shape[1]
        each = activation.flatten(2).transpose(1, 2)  # (n, positions, C)
        some = each
        if each.shape[1] > _POSITIONS:
            picks = torch.randperm(each.shape[1], generator=self._random)[:_POSITIONS]
            some = each[:, picks.to(each.device)]
        aside = max(0, min(len(each), self.held_out - index))
        if aside:
            self._aside.append(some[:aside].reshape(-1, channels).cpu())
        rows = (each if self.learner.every_position else some[aside:]).reshape(-1, channels)
        if not bool(rows.isfinite().all()):
            raise DictionaryError(
                f"layer {self.layer} gives NaN or infinity on some photos: nothing can be learnt"
            )
        own = some[aside:].reshape(-1, channels)
        self._sum += own.sum(dim=0, dtype=torch.float64).cpu()
        self._count += len(own)
        if len(rows):
            self.learner.take(rows)
            self.taken += len(each)

    def result(self) -> Dictionary:
        """The dictionary as it is now, with figures of fit."""
        if not self.taken:
            raise DictionaryError("nothing was learnt yet: no photo was read")
        parts = self.learner.parts()
        facts = {
            **{name: self.how[name] for name in ("method", "seed")},
            "dataset": self.photos.name,
            "photos": self.done - self.skipped,
            "of": self.total,
            **parts.pop("facts"),
        }
        found = Dictionary(**parts, layer=self.layer, model=self.identity, facts=facts)
        if self._aside:
            mean = (self._sum / max(1, self._count)).float()
            found.facts |= figures_of_fit(found, torch.cat(self._aside), mean)
        found.learning = self
        return found


def learn_dictionary(
    model: VisionModel,
    layer: str,
    dataset: Any,
    *,
    method: str = "pca",
    features: int = 64,
    num_samples: int | None = None,
    seed: int = 0,
    batch_size: int = 32,
    workers: int | None = None,
    resume: Dictionary | None = None,
    progress: bool = True,
) -> Dictionary:
    """Learn a dictionary of a layer, in one pass over photos.

    Memory stays the same however many photos there are. Interrupted (Ctrl-C), it returns what was
    learnt until then; with that as ``resume`` it goes on where it was, in the same process.

    Parameters
    ----------
    model
        A network from :func:`neuron_widget.load_model`.
    layer
        Name of the layer.
    dataset
        What :func:`neuron_widget.open_dataset` takes.
    method
        ``"pca"``: principal components, exact (covariance in float64); features are signed.
        ``"nmf"``: non-negative matrix factorisation with scikit-learn, for layers that are never
        below 0. ``"sae"``: a sparse autoencoder of the top-k kind, for any layer.
    features
        How many, K.
    num_samples, seed
        Look at this many photos, drawn with ``seed``; default all.
    batch_size, workers
        As in :func:`neuron_widget.scan`.
    resume
        An unfinished result of this call, with the same arguments.
    progress
        Show a progress bar.

    Returns
    -------
    Dictionary
        Its ``facts`` hold the figures of fit: ``variance_explained`` (1 is perfect, 0 no better
        than the mean activation), ``l0`` (features that are not 0 at a position), ``dead``
        (features that are 0 at all ``positions``). They are measured on a tenth of the photos, at
        most 32, from which NMF and autoencoder learn nothing.

    Raises
    ------
    DictionaryError
        For activations below 0 (NMF), more features than channels (PCA), NaN.
    UnknownLayer, DatasetError, TypeError, ValueError

    Examples
    --------
    >>> from neuron_widget import learn_dictionary, load_model
    >>> model = load_model("efficientnet_lite0")
    >>> found = learn_dictionary(
    ...     model, "blocks.2", "samples", method="pca", features=8, num_samples=20, progress=False
    ... )
    >>> found.directions.shape, 0 < found.facts["variance_explained"] < 1
    ((8, 40), True)
    >>> model.add_dictionary("blocks.2", found, name="pca8").name
    'blocks.2/pca8'
    """
    work = learn_steps(
        model,
        layer,
        dataset,
        method=method,
        features=features,
        num_samples=num_samples,
        seed=seed,
        batch_size=batch_size,
        workers=workers,
        resume=resume,
    )
    last: LearnProgress | None = None

    def watched() -> Generator[LearnProgress, None, Dictionary]:
        nonlocal last
        while True:
            try:
                last = next(work)
            except StopIteration as end:
                found: Dictionary = end.value
                return found
            yield last

    try:
        with closing(work):
            return drain(watched(), progress=progress, title=f"Learning {layer}", unit=" photos")
    except KeyboardInterrupt:
        if last is None or not last.done:
            raise
        found = last.result()
        _log.warning(
            "stopped after %d of %d photos; learn_dictionary(..., resume=that) goes on",
            last.done,
            last.total,
        )
        return found


def learn_steps(
    model: VisionModel,
    layer: str,
    dataset: Any,
    *,
    method: str = "pca",
    features: int = 64,
    num_samples: int | None = None,
    seed: int = 0,
    batch_size: int = 32,
    workers: int | None = None,
    resume: Dictionary | None = None,
) -> Generator[LearnProgress, None, Dictionary]:
    """As :func:`learn_dictionary`, batch by batch; the generator returns the dictionary.

    Close it to stop: ``progress.result()`` keeps what was learnt. Arguments are checked in the
    call itself.
    """
    if method not in METHODS:
        hint = nearest(str(method), METHODS) or f"expected {', '.join(map(repr, METHODS))}"
        raise WrongValue(f"unknown method {method!r}; {hint}")
    how: dict[str, Any] = {
        "method": method,
        "features": check_int("features", features, 1, 65536),
        "seed": check_int("seed", seed, 0),
        "num_samples": (None if num_samples is None else check_int("num_samples", num_samples, 1)),
        "batch_size": check_int("batch_size", batch_size, 1),
    }
    photos = open_dataset(dataset)
    if resume is None:
        return _steps(_Learning(model, layer, photos, how), workers)
    state = resume.learning
    if not isinstance(state, _Learning):
        raise WrongValue(
            "resume: this dictionary cannot be gone on from: it was loaded from a file, or not "
            "learnt in this process"
        )
    asked = (model.layer(layer).name, model.identity, photos.fingerprint, how)
    if asked != (state.layer, state.identity, state.photos.fingerprint, state.how):
        raise WrongValue(
            "resume: this dictionary was learnt from another layer, network, data set, or with "
            "other settings; expected those of the first call"
        )
    return _steps(state, workers)


def _steps(state: _Learning, workers: int | None) -> Generator[LearnProgress, None, Dictionary]:
    model, how = state.model, state.how
    order = sample(len(state.photos), how["num_samples"], how["seed"])
    first, begin = state.done, time.monotonic()
    yield LearnProgress(first, state.total, 0.0, state.result)
    loaded = load_batches(
        state.photos,
        order[first:].tolist(),
        model.input_size,
        how["batch_size"],
        workers,
        overlap=model.device.type != "cpu",
        device=model.device,
    )
    reader = scan_reader(model, state.layer, torch.float32)
    pace = Pace(model.device)
    with closing(loaded):
        for batch in loaded:
            if batch.index:
                off = torch.autocast(model.device.type, enabled=False)
                reading = nullcontext(reader) if reader else model.reading(state.layer)
                with torch.inference_mode(), off, full_float32(model.device), reading as read:
                    images = to_images(batch.squares, model.device)
                    activation = (read(images) if reader else read_in_chunks(read, images)).float()
                    state.take(state.done - state.skipped, activation)
            state.skipped += len(batch.skipped)
            state.done += len(batch.index) + len(batch.skipped)
            pace.keep()
            rate = (state.done - first) / max(time.monotonic() - begin, 1e-9)
            yield LearnProgress(state.done, state.total, rate, state.result)
    if state.done == state.skipped:
        raise DatasetError(f"none of the {state.total} photos of {state.photos.name!r} can be read")
    return state.result()
