"""Reading layers of a network: one, or several in one forward pass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from neuron_widget.errors import NeuronWidgetError
from neuron_widget.networks.beyond import WithBeyond
from neuron_widget.networks.known_layers import KnownLayers
from neuron_widget.networks.layers import keeping, layer_outputs, outputs_of
from neuron_widget.networks.memory import is_out_of_memory
from neuron_widget.networks.probing import its_own_failure

__all__ = ["WithReading"]

Read = Callable[[Tensor], dict[str, Tensor]]


class WithReading(WithBeyond):
    """The part of :class:`.VisionModel` that reads activations."""

    input_size: int
    reads_alone: bool
    _layers: KnownLayers

    @abstractmethod
    def preprocess(self, images: Tensor) -> Tensor:
        """Images ``(N, 3, H, W)`` in 0..1 -> what the network takes, on the same device."""

    @abstractmethod
    def private_copy(self) -> AbstractContextManager[nn.Module]:
        """A copy of the network as it is now that nobody else uses meanwhile."""

    @abstractmethod
    def check_size(self, size: int, layer: str | None = None) -> None:
        """Raise if images of this side cannot go through the network, up to ``layer``."""

    def reader(self, layer: str) -> Callable[[Tensor], Tensor]:
        """A function from images ``(N, 3, H, W)`` in 0..1 to the layer's ``(N, C, h, w)``.

        The forward pass ends at the layer; nothing is left behind on the module.
        """
        name = self.layer(layer).name

        def read_once(images: Tensor) -> Tensor:
            with self._reading((name,)) as read:
                return read(images)[name]

        return read_once

    @contextmanager
    def reading(self, layer: str) -> Iterator[Callable[[Tensor], Tensor]]:
        """:meth:`reader` as a block, for backward passes inside it.

        A network may compute again in the backward pass what it did not keep in the forward pass
        (:func:`torch.utils.checkpoint.checkpoint`), and must not have changed until then.
        """
        name = self.layer(layer).name
        with self._reading((name,)) as read:
            yield lambda images: read(images)[name]

    @contextmanager
    def reading_each(self, layers: Sequence[str]) -> Iterator[Read]:
        """As :meth:`reading`, of several layers: from images to ``{layer's own name: map}``.

        One forward pass, which ends at the last of them.
        """
        with self._reading(tuple(dict.fromkeys(self.layer(name).name for name in layers))) as read:
            yield read

    @contextmanager
    def _reading(self, names: tuple[str, ...]) -> Iterator[Read]:
        # What is read of the network itself: a dictionary is made of the layer below it.
        added = {name: self._beyond.added(name) for name in names}
        below = tuple(dict.fromkeys(a.source if a else name for name, a in added.items()))
        with self.private_copy() as network:
            read = self._reading_of(network, below)

            def read_images(images: Tensor) -> dict[str, Tensor]:
                try:
                    if self.reads_alone and len(images) > 1:
                        each = [read(self.preprocess(image)) for image in torch.split(images, 1)]
                        found = {name: torch.cat([one[name] for one in each]) for name in below}
                    else:
                        found = read(self.preprocess(images))
                except NeuronWidgetError:
                    raise
                except Exception as error:
                    if is_out_of_memory(error):
                        raise
                    for name in below:
                        if images.shape[-1] == images.shape[-2] != self.input_size:
                            self.check_size(images.shape[-1], name)
                    raise its_own_failure(self.title, images, ", ".join(below), error) from error
                return {
                    name: a.dictionary.read(found[a.source]) if a else found[name]
                    for name, a in added.items()
                }

            yield read_images

    def _reading_of(self, network: nn.Module, names: tuple[str, ...]) -> Read:
        """From the network's input to layers of its own, and its outputs, as maps."""
        inside = [name for name in names if self.module_of(name) is not None]
        places = {name: self._layers.place(name) for name in inside}
        modules = tuple(dict.fromkeys(module for module, _ in places.values()))
        outputs = [name for name in names if name not in places]

        def maps(seen: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
            size = (x.shape[-2], x.shape[-1])
            return {
                name: layout.read(seen[module], size) for name, (module, layout) in places.items()
            }

        if not outputs:
            read = layer_outputs(network, modules)
            return lambda x: maps(read(x), x)

        def read_all(x: Tensor) -> dict[str, Tensor]:
            with keeping(network, modules, stop=False) as seen:
                rows = self._beyond.read_output(network)(x)
            found = maps(outputs_of(network, modules, seen, x), x)
            return {**found, **dict.fromkeys(outputs, rows)}

        return read_all
