"""A network that can be looked into: module, preprocessing, input size, layers, identity."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from neuron_widget.errors import ModelError, UnknownLayer
from neuron_widget.names import resolve_layer
from neuron_widget.networks.arithmetic import has_fast_bfloat16
from neuron_widget.networks.beyond import Beyond
from neuron_widget.networks.identity import quick_look, weights_hash
from neuron_widget.networks.known_layers import KnownLayers, base_of_token
from neuron_widget.networks.layer_info import LayerInfo
from neuron_widget.networks.layers import layer_reader
from neuron_widget.networks.layouts import MAPS, Layout
from neuron_widget.networks.prepared import PreparedNetworks, PreparedReader
from neuron_widget.networks.private_copy import PrivateCopies
from neuron_widget.networks.probing import (
    Probed,
    explaining,
    mixes_images,
    probe,
    probe_one,
    watching_output,
    why_not,
)
from neuron_widget.networks.reading import WithReading
from neuron_widget.networks.sizes import USUAL_SIZES, Sizes

__all__ = ["LayerInfo", "Preprocess", "VisionModel"]

Preprocess = Callable[[Tensor], Tensor]


class VisionModel(WithReading):
    """A network that is ready to be looked into.

    Made by :func:`neuron_widget.load_model`.

    Attributes
    ----------
    module : torch.nn.Module
        The network itself. It is not run: readings run a :meth:`private_copy`.
    name : str
        ``"inceptionv1"``, ``"torchvision/resnet50"``, or the class name of a given module.
    title : str
        The name as people write it.
    device : torch.device
    input_size : int
        Side of the square image the network was trained on, in pixels.
    loaded_here : bool
        False for a module given by the user.
    redirect_relu : bool
        Whether rendering redirects ReLU gradients by default: where ReLU was seen in a forward
        pass, unless it is set.
    reads_alone : bool
        Whether images are read one at a time, because they would mix (batch statistics); known
        after the layers were asked for.
    labels : tuple of str or None
        Names of the outputs, where known: the first of a class's synonyms.
    layout : dict
        How layers give their activation, where somebody said it: by patterns of their names.
    opened_as : dict or None
        What else than its name and device ``load_model`` was given, for a network that has a name
        to be opened by; None for a module given by the user.
    note : str
        Why this network was chosen, where the user did not name one; what to know of it.

    Examples
    --------
    >>> from neuron_widget import load_model
    >>> model = load_model("efficientnet_lite0", weights="random")
    >>> model.layer("blocks.4")
    LayerInfo(name='blocks.4', channels=112, height=14, width=14)

    A layer's activation as a function of images in 0..1, without anything left on the module:

    >>> import torch
    >>> with torch.no_grad():
    ...     tuple(model.reader("blocks.4")(torch.rand(2, 3, 224, 224)).shape)
    (2, 112, 14, 14)
    """

    def __init__(
        self,
        module: nn.Module,
        preprocess: Preprocess,
        *,
        name: str,
        title: str,
        device: torch.device,
        input_size: int,
        loaded_here: bool,
        labels: Sequence[str] | None = None,
        main_layers: Sequence[str] | None = None,
        default_layer: str | None = None,
        layout: Mapping[str, Layout] | None = None,
    ):
        self.module = module
        self.name = name
        self.title = title
        self._device = device
        self.input_size = input_size
        self.loaded_here = loaded_here
        self._redirect_relu: bool | None = None
        self._beyond = Beyond(title, tuple(labels) if labels is not None else None)
        self.opened_as: dict[str, Any] | None = None
        self.note = ""
        self._preprocess = preprocess
        self._main_layers = main_layers
        self._default_layer = default_layer
        self._structure: tuple[list[nn.Module], list[torch.Size]] = ([], [])
        self.layout = dict(layout or {})
        self._layers = KnownLayers(module, Probed())
        self.reads_alone = False
        self._takes_bfloat16 = True
        # Nobody else has the module, so that looks for changes, some ms each, can be saved.
        self.unchanging = False
        self._sizes = Sizes(input_size)
        self._identity: tuple[object, str] = (None, "")
        self._copies = PrivateCopies(module)
        self._prepared = PreparedNetworks()
        if loaded_here:
            module.eval()
            # Convolutions run three times faster on the CPU in this memory format.
            module.to(memory_format=torch.channels_last)

    def __repr__(self) -> str:
        return f"<VisionModel {self.identity} on {self.device}, input {self.input_size} px>"

    def sibling(self) -> VisionModel:
        """The same network for somebody else: weights are shared, dictionaries are their own."""
        other = copy.copy(self)
        other._beyond = copy.copy(self._beyond)
        return other

    @property
    def identity(self) -> str:
        """The name and a hash of the weights as they are: ``"inceptionv1-23866e7c6088"``."""
        if self.unchanging and self._identity[0] is not None:
            return self._identity[1]
        state = quick_look(self.module)
        if self._identity[0] != state:
            self._identity = (state, f"{self.name.replace('/', '-')}-{weights_hash(self.module)}")
        return self._identity[1]

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        if self.loaded_here:
            return self._device
        first = next(self.module.parameters(), None)
        return first.device if first is not None else self._device

    @property
    def redirect_relu(self) -> bool:
        """Whether rendering redirects ReLU gradients by default (can be set)."""
        if self._redirect_relu is None:
            return self._known_layers.seen.has_relu
        return self._redirect_relu

    @redirect_relu.setter
    def redirect_relu(self, redirect: bool | None) -> None:
        self._redirect_relu = redirect

    @property
    def takes_bfloat16(self) -> bool:
        """Whether the network's own code runs in autocast: not all of torch takes bfloat16."""
        _ = self._known_layers
        return self._takes_bfloat16

    def _runs_low(self, network: nn.Module, images: Tensor) -> bool:
        if not has_fast_bfloat16(self.device):
            return True  # nobody asks
        try:
            with torch.autocast(self.device.type, dtype=torch.bfloat16), torch.no_grad():
                network(self.preprocess(images))
        except Exception:  # noqa: BLE001  # somebody's network
            return False
        return True

    @property
    def grey(self) -> bool:
        """Whether the network takes one channel, so that it cannot see colours."""
        with torch.inference_mode():
            image = torch.zeros(
                (1, 3, self.input_size, self.input_size), dtype=torch.float32, device=self.device
            )
            return self.preprocess(image).shape[1] == 1

    @property
    def _known_layers(self) -> KnownLayers:
        """Every layer with a map, probed again after somebody changed the network's structure."""
        if self.unchanging and self._structure[0]:
            return self._layers
        structure = ([*self.module.modules()], [p.shape for p in self.module.parameters()])
        if self._structure != structure:
            self._layers = KnownLayers(self.module, self._probe_all(), self._main_layers)
            self._structure = structure
            self._sizes = Sizes(self.input_size)
        return self._layers

    def _probe_all(self) -> Probed:
        images = self._noise(2, self.input_size)
        given: list[tuple[Any, int]] = []  # by the network at its end, of so many images
        with self.private_copy() as network, watching_output(network, given):
            try:
                with explaining(self.title, images, self._why_not):
                    seen = probe(network, images, self.preprocess, said=self.layout)
            except ModelError as error:
                # Networks are written that take one image at a time.
                try:
                    seen = probe(network, images, self.preprocess, alone=True, said=self.layout)
                except Exception:  # noqa: BLE001  # the first error says it
                    raise error from error.__cause__
                self.reads_alone = True
            else:
                # Images of the same noise have the same statistics: the second one is dark.
                unlike = torch.cat([images[:1], images[1:] / 8])
                self.reads_alone = not self.loaded_here and mixes_images(
                    network, seen, self.preprocess(unlike), self.preprocess(images[:1])
                )
            whole = given[-1:]
            self._takes_bfloat16 = self._runs_low(network, images[:1])
        if whole:
            self._beyond.see(self.module, *whole[-1])
        if self.reads_alone:
            note = f"{self.title} lets images beside each other mix: each one is read alone."
            self.note = f"{self.note.replace(note, '')} {note}".strip()
        return seen

    def _noise(self, images: int, size: int) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.rand(
            (images, 3, size, size), generator=generator, dtype=torch.float32, device="cpu"
        ).to(self.device)

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        """The layers a person would name, in order of execution; ``layer(name)`` finds others."""
        return self._known_layers.menu

    @property
    def default_layer(self) -> str:
        """A layer in the middle of the network, where neurons see textures and shapes."""
        if self._default_layer is not None:
            return self._default_layer
        if not self.layers:
            raise ModelError(
                f"{self.title} has no layer with activations (N, channels, height, width), so no "
                "neurons to show: expected a convolutional network whose layers are modules "
                "(an exported or compiled program has none: open the module it was made from)"
            )
        return self._known_layers.middle([info.name for info in self.layers])

    def layer(self, name: str) -> LayerInfo:
        """The layer that ``name`` means (``mixed_4a``, ``Mixed4a``, ``layer3_0_conv1``).

        Raises
        ------
        UnknownLayer
            With the nearest names.
        """
        every = self._known_layers.every
        if isinstance(name, str) and (known := every.get(name) or self._beyond.find(name, self)):
            return known
        modules = {n: m for n, m in self.module.named_modules() if n}
        if isinstance(name, nn.Module):
            own = [n for n, m in modules.items() if m is name]
            is_it = f"that module is layer {own[0]!r}" if own else "and that module is not of it"
            raise UnknownLayer(
                f"{self.title} takes the name of a layer, not a {type(name).__name__}: {is_it}"
            )
        # Main names first, so that suggestions are names a person would use.
        main = [info.name for info in self.layers]
        base = base_of_token(name) if isinstance(name, str) else None
        if base is not None and base in modules:
            self.layer(base)  # it may have one
        names = [*main, *(n for n in modules if n not in main), *every]
        found = resolve_layer(name, dict.fromkeys(names), model=self.title)
        return every.get(found) or self._probe(found)

    def _probe(self, name: str) -> LayerInfo:
        """A layer that is not known yet, such as one that passes on what it is given."""
        images, layers = self._noise(2, self.input_size), self._layers
        with self.private_copy() as network, explaining(self.title, images, self._why_not):
            shape, layout = probe_one(
                network,
                name,
                images,
                self.preprocess,
                alone=self.reads_alone,
                plain=layers.seen.plain,
                said=self.layout,
            )
        return layers.learn(name, shape, layout)

    def place(self, layer: str) -> tuple[str, Layout]:
        """The module that a layer is read from, and how that gives it.

        Of a dictionary's layer those of the layer below; of the outputs the network itself.
        """
        base = self.module_of(self.layer(layer).name)
        return ("", MAPS) if base is None else self._layers.place(base)

    def _why_not(self, size: int) -> str:
        """What is wrong with images of this side, as far as trying tells."""
        for other in USUAL_SIZES:
            if other != size and self._sizes.refusal(self._attempt, other, None) is None:
                return f"it runs on {other} px, so open it with input_size={other}"
        return why_not(self.module, self.preprocess, self._noise(1, size))

    # -------------------------------------------------------------- sizes

    def check_size(self, size: int, layer: str | None = None) -> None:
        """Raise if images of this side cannot go through the network, up to ``layer``.

        Without a layer: up to the last of :attr:`layers`.

        Raises
        ------
        ModelError
            Naming the nearest size that works.
        """
        name = self._last_layer if layer is None else self.layer(layer).name
        self._sizes.check(self._attempt, size, name, self.title)

    def image_size(self, wanted: int, layer: str | None = None) -> int:
        """The side nearest to ``wanted`` that can go through the network, up to ``layer``.

        Without a layer: up to the last of :attr:`layers`. Found by trying, once a size.
        """
        name = self._last_layer if layer is None else self.layer(layer).name
        return self._sizes.nearest(self._attempt, wanted, name)

    def size_limits(self, low: int, high: int) -> tuple[int, int]:
        """The smallest and the largest side between ``low`` and ``high`` px to choose from.

        Both are :attr:`input_size` where the network takes nothing else. How large images may be
        is not tried: what is refused above is told when it is asked for.
        """
        return self._sizes.limits(self._attempt, low, high, self._last_layer)

    @property
    def fixed_input_size(self) -> bool:
        """Whether the network takes images of :attr:`input_size` alone."""
        return self._sizes.is_fixed(self._attempt, self._last_layer)

    @property
    def _last_layer(self) -> str | None:
        layers = self.layers
        return layers[-1].name if layers else None  # to its end

    def _attempt(self, size: int, name: str | None) -> None:
        """One image of this side through the network, up to a layer."""
        with self.private_copy() as network, torch.inference_mode(False), torch.no_grad():
            run: Callable[[Tensor], object] = network
            base = None if name is None else self.module_of(name)
            if base is not None:
                module, layout = self._layers.place(base)
                run = layer_reader(network, module, layout=layout)
            run(self.preprocess(self._noise(1, size)))

    # -------------------------------------------------------------- reading

    def preprocess(self, images: Tensor) -> Tensor:
        """Images ``(N, 3, H, W)`` in 0..1 -> what the network takes, on the same device."""
        prepared = self._preprocess(images)
        # A network whose weights are of another type than images are.
        first = next(self.module.parameters(), prepared)
        if prepared.dtype == torch.float32 and first.is_floating_point():
            return prepared.to(first.dtype)
        return prepared

    @contextmanager
    def private_copy(self) -> Iterator[nn.Module]:
        """A copy of the network as it is now, in evaluation mode, that nobody else uses meanwhile.

        Its parameters lie in the same memory and have no gradients; what is done to its modules
        does not touch :attr:`module`. See :mod:`.private_copy`, also for a network that cannot be
        copied.
        """
        with self._copies.borrow() as network:
            yield network

    def prepared(self, layer: str, dtype: torch.dtype) -> PreparedReader | None:
        """A faster way to the same activation and its gradient; see :mod:`.prepared`.

        With the weights as they are now. ``None`` where only the network itself will do.
        """
        name = self.layer(layer).name
        if self.module_of(name) != name:
            return None
        return self._prepared.reader(self, name, dtype)

    @property
    def copy_refusal(self) -> str:
        """Why readings run the network itself instead of a copy; empty where they do not."""
        return self._copies.refusal
