"""Which neurons of a layer fire on a photo, where, and what would change without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from neuron_widget.errors import ModelError, NeuronOutOfRange, WrongValue
from neuron_widget.looking.photo import square_of
from neuron_widget.looking.silence import Changed
from neuron_widget.looking.unusual import percentiles, z_scores
from neuron_widget.networks.answers import answers
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.photos.given import name_of
from neuron_widget.scanning.loading import to_images
from neuron_widget.scanning.result import ScanResult

__all__ = ["Firing", "Look", "look", "look_at"]

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class Firing:
    """How one neuron fires on the photo.

    Attributes
    ----------
    neuron
        The neuron (channel of the layer).
    score
        Spatial mean of its map.
    percentile
        Percentage of the data set's photos with a lower score, 0..100; None without a scan.
    activation, position
        Its activation at the (row, column) asked for; the largest one, where none was.
    usual
        What 99 % of its positions over the data set lie below; None without a scan.
    name
        The neuron's name; its number where it has none.
    """

    neuron: int
    score: float
    percentile: float | None
    activation: float
    position: tuple[int, int]
    usual: float | None
    name: str = ""

    @property
    def ratio(self) -> float | None:
        """:attr:`activation` in units of :attr:`usual`; infinite where it never fired so far."""
        if self.usual is None:
            return None
        return self.activation / self.usual if self.usual > 0 else np.inf * (self.activation > 0)


class Look:
    """A photo as the neurons of a layer see it. Made by :func:`look`.

    Attributes
    ----------
    name : str
        What the photo is called.
    layer : str
        The layer.
    image : PIL.Image.Image
        The square that the network sees, RGB.
    maps : numpy.ndarray
        The layer's activation, ``(C, h, w)`` float32.
    scores : numpy.ndarray
        Spatial means, ``(C,)`` float32.
    scan : ScanResult or None
        What is usual is taken from it.

    Examples
    --------
    >>> from neuron_widget import look, open_dataset, scan
    >>> photos = open_dataset("samples")
    >>> found = scan("efficientnet_lite0", "blocks.4", photos, num_samples=16, progress=False)
    >>> seen = look("efficientnet_lite0", "blocks.4", photos.load(3), scan=found)
    >>> first = seen.strongest(1)[0]
    >>> first.percentile > 90, seen.map(first.neuron).shape
    (True, (14, 14))
    >>> here = seen.at(7, 7, 5)[0]
    >>> here.position, here.ratio > 0
    ((7, 7), True)
    >>> seen.without(first.neuron, to="mean").best(5)[0].rank_before
    0
    """

    def __init__(
        self,
        model: VisionModel,
        layer: str,
        image: Image.Image,
        name: str,
        maps: Numbers,
        scan: ScanResult | None,
    ):
        self._model = model
        self._identity = model.identity
        self.layer = layer
        self.image = image
        self.name = name
        self.maps = maps
        self.scores: Numbers = maps.mean(axis=(1, 2))
        self.scan = scan

    def __repr__(self) -> str:
        channels, height, width = self.maps.shape
        return (
            f"<Look at {self.name!r}: {channels} neurons of {self.layer} of {self._model.name}, "
            f"maps {height} x {width}, {self.measure}>"
        )

    def against(self, scan: ScanResult | None) -> Look:
        """The same look, against the photos of another scan of the layer (None: of none)."""
        if scan is not None:
            _check_scan(scan, self._model, self.layer)
        other = Look(self._model, self.layer, self.image, self.name, self.maps, scan)
        other._identity = self._identity
        return other

    def is_of(self, model: VisionModel | None, layer: str) -> bool:
        """Whether this is of that layer of that network."""
        return model is not None and model is self._model and layer == self.layer

    @property
    def is_current(self) -> bool:
        """Whether the network is what it was when it was shown the photo."""
        return self._model.identity == self._identity

    @property
    def measure(self) -> str:
        """What neurons are compared by, in words."""
        if self.scan is None:
            return "raw scores: without a scan it is unknown what is usual"
        return f"percentiles among {self.scan.scanned:,} photos of {self.scan.dataset!r}"

    @cached_property
    def percentile(self) -> Numbers | None:
        """Percentage of the data set's photos that each neuron scores lower, ``(C,)`` in 0..100.

        Exact among a neuron's best and worst photos, read off a histogram between them. None
        without a scan.
        """
        return percentiles(self.scan.tables, self.scores) if self.scan is not None else None

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """All neurons, ``(C,)``: those whose score is most unusual first.

        By percentile, and where a photo passes all others by standard deviations above the mean;
        without a scan by score.
        """
        if self.scan is None or self.percentile is None:
            return np.argsort(-self.scores, kind="stable")
        return np.lexsort((-z_scores(self.scan.tables, self.scores), -self.percentile))

    def strongest(self, n: int = 10) -> list[Firing]:
        """The ``n`` neurons whose score is most unusual, see :attr:`order`."""
        places = self.maps.reshape(len(self.maps), -1).argmax(axis=1)
        width = self.maps.shape[2]
        found = self.order[: _count(n)].tolist()
        return [self._firing(i, divmod(int(places[i]), width)) for i in found]

    def at(self, row: int, column: int, n: int = 10) -> list[Firing]:
        """The ``n`` neurons that fire most at a position of the map, against what is usual there.

        That is their activation in units of what 99 % of their positions over the data set lie
        below; without a scan the activation itself. Neurons that do not fire there are left out.

        Raises ``NeuronOutOfRange`` for a position outside of the map.
        """
        for what, value, most in zip(
            ("row", "column"), (row, column), self.maps.shape[1:], strict=True
        ):
            if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= value < most:
                raise NeuronOutOfRange(
                    f"the map of layer {self.layer} has {most} {what}s, 0 to {most - 1}; there is "
                    f"no {what} {value!r}"
                )
        values = self.maps[:, row, column]
        worth = values
        if self.scan is not None:
            usual = self.scan.tables.quantile
            # A neuron that fires more rarely than at one position in a hundred: the most unusual.
            rare = np.where(values > 0, 1e6 + values, 0)
            worth = np.where(usual > 0, values / np.where(usual > 0, usual, 1), rare)
        order = np.argsort(-worth, kind="stable")
        found = [i for i in order[: _count(n)].tolist() if values[i] > 0]
        return [self._firing(i, (int(row), int(column))) for i in found]

    def _firing(self, neuron: int, position: tuple[int, int]) -> Firing:
        percentile, scan = self.percentile, self.scan
        return Firing(
            neuron=neuron,
            score=float(self.scores[neuron]),
            percentile=float(percentile[neuron]) if percentile is not None else None,
            activation=float(self.maps[neuron, position[0], position[1]]),
            position=position,
            usual=float(scan.tables.quantile[neuron]) if scan is not None else None,
            name=self._model.layer(self.layer).called(neuron),
        )

    def map(self, neuron: int) -> Numbers:
        """The neuron's activation ``(h, w)``, float32, not normalised.

        Raises ``NeuronOutOfRange`` with the valid range.
        """
        found: Numbers = self.maps[self._model.check_neurons(self.layer, neuron)[0]]
        return found

    def scale(self, neuron: int) -> float:
        """What maps of the neuron are drawn up to: its largest activation in the data set.

        Without a scan the layer's largest on this photo, so that a weak map looks weak.
        """
        largest = float(np.abs(self.maps[neuron] if self.scan else self.maps).max(initial=0))
        if self.signed:
            return max(largest, abs(float(self.scan.peak[neuron]))) if self.scan else largest
        if self.scan is not None:
            return float(self.scan.peak[neuron])
        return float(self.maps.max(initial=0))

    @property
    def signed(self) -> bool:
        """Whether a value below 0 is an answer as one above it."""
        return self._model.layer(self.layer).signed

    # -------------------------------------------------------------- what would change

    def without(self, neurons: int | Sequence[int], to: str = "zero") -> Changed:
        """What the network answers for the photo with these neurons switched off.

        Parameters
        ----------
        neurons
            One or several of the layer; none for the network as it is.
        to
            ``"zero"``, or ``"mean"``: at every position the neuron's mean over the data set, which
            is how much it fires on any photo.

        Raises
        ------
        NeuronOutOfRange
            With the valid range.
        ValueError
            For another word; for the mean where there is no scan.
        ModelError
            If the network fails, or gives no number for each class.
        """
        if to not in ("zero", "mean"):
            raise WrongValue(f"to must be 'zero' or 'mean', got {to!r}; see also times()")
        if to == "zero":
            return self._change(neurons, 0.0, None, "zero")
        if self.scan is None:
            raise WrongValue(
                "the mean over the data set is known after a scan: look(..., scan=scan(model, "
                "layer, photos)), or without(..., to='zero')"
            )
        return self._change(neurons, 0.0, self.scan.mean, "their mean over the data set")

    def times(self, neurons: int | Sequence[int], factor: float) -> Changed:
        """What the network answers with these neurons turned up (or down): ``factor`` times.

        Raises as :meth:`without`.
        """
        if isinstance(factor, bool) or not np.isfinite(factor):
            raise WrongValue(f"factor must be a finite number such as 2, got {factor!r}")
        return self._change(neurons, float(factor), None, f"{factor:g} times")

    def _change(
        self, neurons: int | Sequence[int], factor: float, to: Numbers | None, how: str
    ) -> Changed:
        several = () if isinstance(neurons, Sequence) and not neurons else neurons
        chosen = self._model.check_neurons(self.layer, several) if several != () else ()
        after = self._answer
        if chosen:
            index = torch.tensor(chosen, device=self._model.device)
            level = (
                torch.as_tensor(to[list(chosen)], device=self._model.device)
                if to is not None
                else None
            )

            def change(activation: Tensor) -> Tensor:
                changed = activation.clone()
                if level is None:
                    changed[:, index] = activation[:, index] * factor
                else:
                    changed[:, index] = level.to(changed.dtype)[None, :, None, None]
                return changed

            after = self._run(change)
        return Changed(self.layer, chosen, how, self._answer, after, self._model.labels)

    @cached_property
    def _answer(self) -> Numbers:
        return self._run(None)

    def _run(self, change: Callable[[Tensor], Tensor] | None) -> Numbers:
        if not self.is_current:
            raise ModelError(
                f"this look is of {self._identity}, and the network has been changed since (it is "
                f"{self._model.identity} now): look again"
            )
        images = _as_batch(self.image, self._model)
        layer = self.layer if change is not None else ""
        found: Numbers = answers(self._model, images, layer, change)[0].cpu().numpy()
        return found


def look(
    model: VisionModel | nn.Module | str | None,
    layer: str,
    photo: Any,
    *,
    scan: ScanResult | None = None,
    name: str = "",
) -> Look:
    """Show a photo to a network, and ask the neurons of a layer.

    A scan asks a neuron for its photos; this asks a photo for its neurons. Nothing is written
    anywhere, and the network is not changed: a private copy of it is run.

    Parameters
    ----------
    model
        A :class:`~neuron_widget.networks.model.VisionModel`, or what ``load_model`` takes.
    layer
        Name of the layer.
    photo
        A path, a PIL image, an array or tensor ``(3, H, W)`` or ``(H, W, 3)`` (floats in 0..1 or
        uint8), the bytes of an image file, or a photo that a scan found. It is prepared as photos
        of a scan are: shorter side 256 for an input of 224, centre crop.
    scan
        A scan of the layer (:func:`neuron_widget.scan`): what is usual for each neuron is taken
        from it. Without one, neurons are ordered by raw score, which favours those that always
        fire.
    name
        What to call the photo; default its file's name.

    Raises
    ------
    DatasetError
        For what is no photo, damaged, or too large to decode.
    UnknownLayer
        With the nearest names.
    ModelError
        If the scan is of another network or layer.

    Returns
    -------
    Look

    Examples
    --------
    >>> from neuron_widget import look, open_dataset
    >>> seen = look("efficientnet_lite0", "blocks.0", open_dataset("samples").load(0))
    >>> [firing.neuron for firing in seen.strongest(3)], seen.map(5).shape
    ([2, 7, 12], (112, 112))
    >>> len(seen.without(seen.strongest(1)[0].neuron).best(5)) >= 5
    True
    """
    vision = load_model(model)
    info = vision.layer(layer)
    if scan is not None:
        _check_scan(scan, vision, info.name)
    name = name or name_of(photo)
    return look_at(vision, info.name, square_of(photo, vision.input_size, name), name, scan)


def look_at(
    vision: VisionModel, layer: str, image: Image.Image, name: str, scan: ScanResult | None
) -> Look:
    """The look at a square that is cut already; see :func:`look`."""
    off = torch.autocast(vision.device.type, enabled=False)
    with torch.inference_mode(), off:
        found = vision.reader(layer)(_as_batch(image, vision)).float()
    return Look(vision, layer, image, name, np.ascontiguousarray(found[0].cpu().numpy()), scan)


def _as_batch(image: Image.Image, model: VisionModel) -> Tensor:
    return to_images(torch.from_numpy(np.array(image)[None]), model.device)


def _check_scan(scan: ScanResult, model: VisionModel, layer: str) -> None:
    if scan.layer != layer:
        raise ModelError(f"the scan is of layer {scan.layer}, and the look is at {layer}")
    if scan.model_identity != model.identity:
        raise ModelError(
            f"the scan is of {scan.model_identity}, and the network is {model.identity}: scan again"
        )


def _count(n: int) -> int:
    if isinstance(n, bool) or not hasattr(n, "__index__") or n < 1:
        raise WrongValue(f"n must be a whole number of at least 1, got {n!r}")
    return n
