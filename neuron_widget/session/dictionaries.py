"""A dictionary of the selected layer: learnt from the data set, or opened from a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import DatasetError, WidgetError, WrongValue
from neuron_widget.names import path_as_typed
from neuron_widget.session import messages
from neuron_widget.session.jobs import Job
from neuron_widget.session.pace import Throttle
from neuron_widget.session.state import State

if TYPE_CHECKING:
    from neuron_widget.learning import LearnProgress
    from neuron_widget.networks import Dictionary, VisionModel
    from neuron_widget.scanning import ImageDataset

__all__ = ["make_dictionary", "read_wish"]

FEATURES = 64
METHODS = ("pca", "nmf", "sae")


def read_wish(text: str) -> tuple[str, int] | str:
    """What a person typed: a method with a number of features (``nmf 64``), or a path.

    Raises
    ------
    WrongValue
        For nothing, or a number of features that cannot be.
    """
    found = re.fullmatch(rf"\s*({'|'.join(METHODS)})\W*(\d*)\s*", text, re.IGNORECASE)
    if found:
        features = int(found[2] or FEATURES) if len(found[2]) < 7 else 0
        if not 1 <= features <= 4096:
            raise WrongValue(f"a dictionary learnt here has 1 to 4096 features, got {found[2]}")
        return found[1].lower(), features
    if not text.strip():
        raise WrongValue(
            "type how to learn a dictionary, such as 'nmf 64', 'pca 32' or 'sae 64', or the path "
            "of a file that Dictionary.save() wrote"
        )
    return path_as_typed(text)


def make_dictionary(
    state: State, photos: ImageDataset | None, select: Callable[..., None], text: str
) -> Job:
    """Learn a dictionary of the selected layer, or open one; its layer is selected then.

    Learning can be stopped as a scan is; what was learnt until then is kept.

    Parameters
    ----------
    state
        A session's.
    photos
        The data set that is scanned; None while there is none.
    select
        The session's.
    text
        What a person typed, see :func:`read_wish`.

    Raises
    ------
    WrongValue, DatasetError, WidgetError
        Nothing was asked for; no photos to learn from; the network is not open.
    """
    wish, model = read_wish(text), state.model
    state.check_open()
    if model is None:
        raise WidgetError("the network is not open yet: ask again when it is")
    added = model.dictionary(state.layer)
    layer = added.source if added is not None else state.layer
    making = _Making(state, model, layer, select)
    state.no_error("scan")
    if isinstance(wish, str):
        return state.submit("learn", making.open(wish), making.add, priority=1,
                            on_error=making.failed)  # fmt: skip
    if photos is None:
        raise DatasetError("there are no photos to learn from yet: give a data set first")
    state.stop("scan")  # both report how far they are; a scan goes on when it is asked for
    return state.submit(
        "learn",
        making.learn(photos, *wish),
        making.add,
        priority=2,
        on_step=making.step,
        on_stop=making.stopped,
        on_error=making.failed,
    )


class _Making:
    """One request."""

    def __init__(self, state: State, model: VisionModel, layer: str, select: Callable[..., None]):
        self._state, self._model, self._layer, self._select = state, model, layer, select
        self._throttle = Throttle(0.2)
        self._last: LearnProgress | None = None
        self._name = ""

    def learn(
        self, photos: ImageDataset, method: str, features: int
    ) -> Generator[Any, None, tuple[Dictionary, str]]:
        """Learn one from photos, batch by batch."""
        from neuron_widget.learning import learn_steps

        self._name = f"{method}{features}"
        # Small batches on a CPU: the image that forms beside this must keep moving.
        size = 8 if self._model.device.type == "cpu" else 64
        how: dict[str, Any] = {"method": method, "features": features, "batch_size": size}
        return (yield from learn_steps(self._model, self._layer, photos, **how)), self._name

    def open(self, path: str) -> Generator[None, None, tuple[Dictionary, str]]:
        """Read one from a file, whose name it has."""
        from neuron_widget.networks import Dictionary

        yield
        return Dictionary.load(path), re.sub(r"[^\w.+-]+", "-", Path(path).stem)

    def step(self, now: LearnProgress) -> None:
        """Say how far it is."""
        self._last = now
        if self._throttle.due():
            left = (now.total - now.done) / now.rate if now.rate else 0.0
            numbers = now.done, now.total, now.rate, left
            note = f"for the dictionary {self._name}"
            self._state.show_progress("scan", self._layer, None, *numbers, note=note)

    def stopped(self) -> None:
        """Keep what was learnt."""
        state, last = self._state, self._last
        self._ended(last.done if last else 0)
        if last is not None and last.done and not state.running("learn"):
            self.add((last.result(), f"{self._name}-{last.done}"))

    def add(self, made: tuple[Dictionary, str]) -> None:
        """Make it a layer, and select that."""
        dictionary, name = made
        there = self._model.dictionary(f"{self._layer}/{name}")
        if there is not None and there.dictionary.key != dictionary.key:
            name = f"{name}-{dictionary.key[:4]}"  # learnt from other photos, perhaps
        info = self._model.add_dictionary(self._layer, dictionary, name=name)
        self._ended(dictionary.facts.get("photos", 0))
        if self._state.model is self._model:
            self._state.show("network", messages.opened(self._model, info))
            self._select(layer=info.name, neuron=0)

    def failed(self, error: BaseException) -> None:
        """Say why there is none."""
        self._ended(0, "failed")
        self._state.fail("scan", "No dictionary was made", error)

    def _ended(self, photos: int, how: str = "done") -> None:
        if self._state.shows_active("scan"):
            self._state.show_progress("scan", self._layer, None, photos, photos, state=how)
