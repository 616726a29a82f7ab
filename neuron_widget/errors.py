"""The errors a user can meet. Each says what was wrong, what was expected, and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ClusterError",
    "DatasetError",
    "DictionaryError",
    "DownloadNeeded",
    "ModelError",
    "NeuronOutOfRange",
    "NeuronWidgetError",
    "PageTooLarge",
    "RenderError",
    "StoreError",
    "TargetError",
    "UnknownLayer",
    "WeightsRefused",
    "WeightsUnavailable",
    "WidgetError",
    "WrongType",
    "WrongValue",
    "first_line",
    "nearest",
    "shown",
]


class NeuronWidgetError(Exception):
    """Base of every error this package raises on purpose.

    ``result`` is what a rendering that fails has made until then (a ``RenderResult``), else None.
    """

    result: object = None


class WrongType(NeuronWidgetError, TypeError):
    """An argument of a type that is not taken, or one that there is not."""


class WrongValue(NeuronWidgetError, ValueError):
    """An argument out of its range, or one that does not fit the others."""


class ModelError(NeuronWidgetError, ValueError):
    """A model that cannot be opened or used as asked."""


class WeightsUnavailable(ModelError):
    """The weights of a network are not at hand and could not be fetched."""


class WeightsRefused(ModelError):
    """A weights file that is truncated, of another network, or unsafe to open."""


class UnknownLayer(NeuronWidgetError, ValueError):
    """A layer name the model does not have."""


class DictionaryError(NeuronWidgetError, ValueError):
    """A dictionary that does not fit its layer, or a file that holds none."""


class NeuronOutOfRange(NeuronWidgetError, ValueError):
    """A neuron (channel) number the layer does not have."""


class TargetError(NeuronWidgetError, ValueError):
    """A text or value that names no target."""


class DatasetError(NeuronWidgetError, ValueError):
    """Something that cannot be read as a data set of images."""


class DownloadNeeded(DatasetError):
    """A data set that has to be fetched first, which nobody asked for yet.

    ``question`` asks a person for it, with its size and where it goes.
    """

    question: str = ""


class RenderError(NeuronWidgetError, RuntimeError):
    """A rendering that cannot go on (out of memory at batch 1, NaN, a faulty objective)."""


class StoreError(NeuronWidgetError, RuntimeError):
    """A result that could not be written to the store or read from a file."""


class ClusterError(NeuronWidgetError, RuntimeError):
    """A cluster that cannot be reached, has no room, or whose workers do not live."""


class WidgetError(NeuronWidgetError, RuntimeError):
    """A widget that cannot do what it is asked: it is closed, or it would wait for itself."""


class PageTooLarge(NeuronWidgetError, ValueError):
    """A page that would be larger than its limit."""


def nearest(word: str, known: Iterable[str], n: int = 3) -> str:
    """A phrase ``did you mean 'a', 'b'?`` for the known words nearest to ``word``, or ``""``."""
    close = difflib.get_close_matches(word, list(known), n=n, cutoff=0.5)
    return f"did you mean {', '.join(repr(c) for c in close)}?" if close else ""


def first_line(error: BaseException) -> str:
    """What another library says, cut to be quoted."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def shown(value: object, most: int = 80) -> str:
    """A wrong value as messages quote it: cut where it is long, its kind where it has no text."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  (a number of 5,000 digits, somebody's own class)
        return f"{type(value).__name__} without a text"
    return text if len(text) <= most else f"{type(value).__name__} {text[: most - 20]}..."
