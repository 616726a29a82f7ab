"""A dictionary of the selected layer: learnt from the data set, or opened from a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import DatasetError, WrongValue
from neuron_widget.names import path_as_typed
from neuron_widget.session import messages
from neuron_widget.session.jobs import Job
from neuron_widget.session.pace import Throttle
from neuron_widget.session.state import State

if TYPE_CHECKING:
    from neuron_widget.learning import LearnProgress
    from neuron_widget.networks import Dictionary
    from neuron_widget.scanning import ImageDataset

__all__ = ["Dictionaries", "read_wish"]

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


class Dictionaries:
    """The job that makes a dictionary, and with it a layer.

    Parameters
    ----------
    state
        The session's.
    dataset
        Returns the data set that is scanned; None while there is none.
    select
        Called with the new layer's name.
    """

    def __init__(
        self,
        state: State,
        dataset: Callable[[], ImageDataset | None],
        select: Callable[[str], None],
    ):
        self._state, self._dataset, self._select = state, dataset, select

    def make(self, text: str) -> Job:
        """Learn a dictionary, or open a file; the layer it makes is selected then.

        Learning can be stopped as a scan is; what was learnt until then is kept.

        Raises
        ------
        WrongValue, DatasetError
            Nothing was asked for; no photos to learn from.
        """
        state, wish = self._state, read_wish(text)
        model = state.model
        assert model is not None
        state.check_open()
        added = model.dictionary(state.layer)
        layer = added.source if added is not None else state.layer
        state.no_error("scan")
        if isinstance(wish, str):
            return state.submit("dictionary", self._open(wish), self._add(layer), priority=1,
                                on_error=self._failed)  # fmt: skip
        photos = self._dataset()
        if photos is None:
            raise DatasetError("there are no photos to learn from yet: give a data set first")
        last: list[LearnProgress] = []
        throttle = Throttle(0.2)
        note = f"for a dictionary of {wish[1]} features"

        def step(now: LearnProgress) -> None:
            last[:] = [now]
            if throttle.due():
                left = (now.total - now.done) / now.rate if now.rate else 0.0
                state.show_progress(
                    "scan", layer, None, now.done, now.total, now.rate, left, note=note
                )

        def stopped() -> None:
            total = last[0].total if last else 0
            state.show_progress("scan", layer, None, 0, total, state="done")
            if last and last[0].done and not state.running("dictionary"):
                done((last[0].result(), f"{wish[0]}{wish[1]}-{last[0].done}"))

        done = self._add(layer)
        state.stop("scan")  # both report how far they are; a scan goes on when it is asked for
        return state.submit(
            "dictionary",
            self._learn(layer, photos, *wish),
            done,
            priority=2,
            on_step=step,
            on_stop=stopped,
            on_error=self._failed,
        )

    def _learn(
        self, layer: str, photos: ImageDataset, method: str, features: int
    ) -> Generator[Any, None, tuple[Dictionary, str]]:
        from neuron_widget.learning import learn_steps

        model = self._state.model
        assert model is not None
        work = learn_steps(
            model,
            layer,
            photos,
            method=method,
            features=features,
            batch_size=8 if model.device.type == "cpu" else 64,
        )
        return (yield from work), f"{method}{features}"

    def _open(self, path: str) -> Generator[None, None, tuple[Dictionary, str]]:
        from neuron_widget.networks import Dictionary

        yield
        name = re.sub(r"[^\w.+-]+", "-", Path(path).stem)
        return Dictionary.load(path), name

    def _add(self, layer: str) -> Callable[[tuple[Dictionary, str]], None]:
        def add(made: tuple[Dictionary, str]) -> None:
            dictionary, name = made
            state, model = self._state, self._state.model
            if model is None:
                return
            there = model.dictionary(f"{layer}/{name}")
            if there is not None and there.dictionary.key != dictionary.key:
                name = f"{name}-{dictionary.key[:4]}"  # learnt from other photos, perhaps
            info = model.add_dictionary(layer, dictionary, name=name)
            photos = dictionary.facts.get("photos", 0)
            state.show_progress("scan", layer, None, photos, photos, state="done")
            state.show("network", messages.opened(model, info))
            self._select(info.name)

        return add

    def _failed(self, error: BaseException) -> None:
        state = self._state
        if state.shows_active("scan"):
            state.show_progress("scan", state.layer, None, 0, 0, state="failed")
        state.fail("scan", "No dictionary was made", error)
