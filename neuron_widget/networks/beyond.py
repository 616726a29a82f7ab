"""Layers of a network that are no modules: its outputs, and dictionaries of its layers."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from neuron_widget.errors import (
    DictionaryError,
    ModelError,
    NeuronOutOfRange,
    UnknownLayer,
    WrongType,
)
from neuron_widget.names import OUTPUT, check_neuron, resolve_layer
from neuron_widget.networks.classes import check_labels, display_names
from neuron_widget.networks.dictionaries import Dictionary
from neuron_widget.networks.layer_info import LayerInfo, outputs_layer
from neuron_widget.networks.outputs import output_rows

__all__ = ["AddedDictionary", "Beyond", "WithBeyond"]


@dataclass(frozen=True)
class AddedDictionary:
    """A dictionary, the layer that it reads, and the name of the layer that it makes."""

    name: str
    source: str
    dictionary: Dictionary


class Beyond:
    """What one network has besides its modules' maps.

    Parameters
    ----------
    title
        What the network is called.
    labels
        Names of its outputs, where known; ``synonyms`` if commas part several names of one class.
    """

    def __init__(self, title: str, labels: tuple[str, ...] | None, *, synonyms: bool = True):
        self._title = title
        self.labels = display_names(labels) if labels and synonyms else labels
        self.outputs: LayerInfo | None = None
        self._why_none = ""
        self._added: dict[str, AddedDictionary] = {}

    def see(self, module: nn.Module, given: Any, images: int) -> None:
        """Note what a network made of some images, in a forward pass to its end."""
        self.outputs, self._why_none = None, ""
        if any(name == OUTPUT for name, _ in module.named_children()):
            return  # its own layer of that name is it
        try:
            count = output_rows(given, self._title, images).shape[1]
        except ModelError as error:
            self._why_none = str(error)  # not the error: its traceback holds frames
            return
        names = self.labels if self.labels and len(self.labels) == count else ()
        self.outputs = outputs_layer(count, names)

    def name(self, labels: tuple[str, ...]) -> None:
        """Call the outputs so."""
        self.labels = labels
        if self.outputs is not None:
            self.outputs = replace(self.outputs, names=labels)

    def find(self, name: str, model: WithBeyond) -> LayerInfo | None:
        """The layer of that name, if it is one of these; a dictionary's by any spelling.

        Raises
        ------
        UnknownLayer
            A dictionary that was not added, with those that were.
        ModelError
            The outputs of a network that has none.
        """
        if name.casefold() == OUTPUT:
            if self._why_none:
                raise ModelError(f"there is no layer {OUTPUT!r}: {self._why_none}")
            return self.outputs
        if "/" not in name:
            return None
        if not self._added:
            base, _, own = name.partition("/")
            raise UnknownLayer(
                f"{self._title} has no layer {name!r}: a dictionary is added before it is named, "
                f"model.add_dictionary({base!r}, dictionary, name={own!r})"
            )
        added = self._added[resolve_layer(name, self._added, model=self._title)]
        return _info(added, model.layer(added.source))

    def added(self, name: str) -> AddedDictionary | None:
        """The dictionary that makes a layer, by its own name."""
        return self._added.get(name)

    def layers(self, model: WithBeyond) -> tuple[LayerInfo, ...]:
        """Dictionaries in the order in which they were added, and the outputs."""
        own = [_info(added, model.layer(added.source)) for added in self._added.values()]
        return (*own, *((self.outputs,) if self.outputs is not None else ()))

    def add(self, layer: LayerInfo, dictionary: Dictionary, name: str, identity: str) -> LayerInfo:
        """Make a dictionary of a layer a layer; see :meth:`.VisionModel.add_dictionary`."""
        if not isinstance(dictionary, Dictionary):
            raise WrongType(
                f"expected a Dictionary, got {type(dictionary).__name__}; "
                "Dictionary(array) makes one of rows (features, channels)"
            )
        if not isinstance(name, str) or not re.fullmatch(r"[\w.+-]+", name):
            raise DictionaryError(
                f"a dictionary's name is made of letters, digits and . + - _, such as 'nmf32'; "
                f"got {name!r}"
            )
        if "/" in layer.name:
            raise DictionaryError(
                f"{layer.name} is a dictionary itself, and none is read through another: add it "
                f"to {layer.name.partition('/')[0]}"
            )
        if dictionary.layer not in ("", layer.name):
            raise DictionaryError(
                f"this dictionary is of layer {dictionary.layer}, and was to be added to "
                f"{layer.name}; expected model.add_dictionary({dictionary.layer!r}, ...)"
            )
        if dictionary.model not in ("", identity):
            raise DictionaryError(
                f"this dictionary was learnt on {dictionary.model}, and the network is {identity}: "
                "its features mean nothing here; learn one on this network"
            )
        if dictionary.channels != layer.channels:
            raise DictionaryError(
                f"this dictionary reads {dictionary.channels} channels, and layer {layer.name} "
                f"has {layer.channels}"
            )
        added = AddedDictionary(f"{layer.name}/{name}", layer.name, dictionary)
        there = self._added.get(added.name)
        if there is not None and there.dictionary.key != dictionary.key:
            raise DictionaryError(
                f"{added.name} is another dictionary, of which results may be at hand: choose "
                f"another name, such as {name + '-2'!r}"
            )
        if there is None:
            self._added = {**self._added, added.name: added}  # others may read it just now
        return _info(added, layer)

    def read_output(self, network: nn.Module) -> Callable[[Tensor], Tensor]:
        """From the network's input to its outputs as a map of one position, ``(N, K, 1, 1)``."""

        def read(x: Tensor) -> Tensor:
            return output_rows(network(x), self._title, len(x))[:, :, None, None]

        return read


class WithBeyond(ABC):
    """The part of :class:`.VisionModel` that knows of layers which are no modules."""

    _beyond: Beyond
    title: str

    @property
    @abstractmethod
    def identity(self) -> str:
        """The name and a hash of the weights as they are."""

    @property
    @abstractmethod
    def layers(self) -> tuple[LayerInfo, ...]:
        """The layers a person would name."""

    @abstractmethod
    def layer(self, name: str) -> LayerInfo:
        """The layer that a name means."""

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the outputs, where known: the first of a class's synonyms."""
        return self._beyond.labels

    def name_classes(self, labels: Any) -> None:
        """Name the network's outputs; see ``labels`` of :func:`neuron_widget.load_model`.

        Raises
        ------
        TypeError, ValueError
            For another number of names, or what is no text.
        """
        outputs = self.layer(OUTPUT)
        self._beyond.name(check_labels(labels, outputs.channels, self.title))

    @property
    def outputs(self) -> LayerInfo | None:
        """The layer of its outputs; None where it gives no number for each class."""
        _ = self.layers
        return self._beyond.outputs

    @property
    def menu(self) -> tuple[LayerInfo, ...]:
        """All there is to choose from: :attr:`layers`, dictionaries, and the outputs."""
        return (*self.layers, *self._beyond.layers(self))

    def add_dictionary(self, layer: str, dictionary: Dictionary, *, name: str) -> LayerInfo:
        """Make the features of a dictionary the neurons of a layer, ``"mixed4a/nmf32"``.

        It can be scanned, rendered and shown as any other. The network is not changed. Adding the
        same again does nothing.

        Parameters
        ----------
        layer
            The layer whose activation it reads.
        dictionary
            See :class:`neuron_widget.Dictionary`.
        name
            The new layer's name behind the slash: letters, digits and ``. + - _``.

        Raises
        ------
        UnknownLayer
            With the nearest names.
        DictionaryError
            If it is of another layer, network or width, or the name stands for another one.
        """
        return self._beyond.add(self.layer(layer), dictionary, name, self.identity)

    def dictionary(self, layer: str) -> AddedDictionary | None:
        """The dictionary that makes a layer (by its own name), and the layer it reads, if any."""
        return self._beyond.added(layer)

    def is_output(self, layer: str) -> bool:
        """Whether a layer (by its own name) is the network's outputs, and no module."""
        return self.module_of(layer) is None

    def module_of(self, name: str) -> str | None:
        """The module whose activation a layer is read from; None for the network's outputs."""
        added = self._beyond.added(name)
        name = added.source if added is not None else name
        outputs = self._beyond.outputs
        return None if outputs is not None and name == outputs.name else name

    def check_neurons(self, layer: str, neurons: int | Sequence[int]) -> tuple[int, ...]:
        """The neurons as a tuple of ints.

        Raises
        ------
        NeuronOutOfRange
            With the valid range.
        """
        info = self.layer(layer)
        many = neurons if isinstance(neurons, Iterable) else [neurons]
        checked = tuple(check_neuron(neuron, info.channels, info.name) for neuron in many)
        if not checked:
            raise NeuronOutOfRange(
                f"no neuron given; expected some of 0 to {info.channels - 1} of layer {info.name}"
            )
        return checked


def _info(added: AddedDictionary, layer: LayerInfo) -> LayerInfo:
    own = added.dictionary
    return LayerInfo(added.name, own.features, layer.height, layer.width, "feature", own.signed)
