"""A network that can be looked into: module, preprocessing, input size, layers, identity."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neuron_widget.errors import ModelError, NeuronOutOfRange, NeuronWidgetError
from neuron_widget.names import check_neuron, resolve_layer
from neuron_widget.networks.layers import layer_reader, probe_layers
from neuron_widget.networks.private_copy import PrivateCopies

__all__ = ["LayerInfo", "Preprocess", "VisionModel", "weights_version"]

Preprocess = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LayerInfo:
    """A layer: its name and the shape of its activation at the model's input size."""

    name: str
    channels: int
    height: int
    width: int


class VisionModel:
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
        Whether rendering redirects ReLU gradients by default.
    labels : tuple of str or None
        Names of the outputs, where known.
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
        redirect_relu: bool = False,
        labels: Sequence[str] | None = None,
        main_layers: Sequence[str] | None = None,
        default_layer: str | None = None,
    ):
        self.module = module
        self.name = name
        self.title = title
        self.device = device
        self.input_size = input_size
        self.loaded_here = loaded_here
        self.redirect_relu = redirect_relu
        self.labels = tuple(labels) if labels is not None else None
        self.note = ""
        self._preprocess = preprocess
        self._main_layers = main_layers
        self._default_layer = default_layer
        self._structure: tuple[list[nn.Module], list[torch.Size]] = ([], [])
        self._every: dict[str, LayerInfo] = {}
        self._probed: dict[str, LayerInfo] = {}
        self._identity: tuple[object, str] = (None, "")
        self._copies = PrivateCopies(module)
        if loaded_here:
            module.eval()
            # Convolutions run three times faster on the CPU in this memory format.
            module.to(memory_format=torch.channels_last)

    def __repr__(self) -> str:
        return f"<VisionModel {self.identity} on {self.device}, input {self.input_size} px>"

    @property
    def identity(self) -> str:
        """The name and a hash of the weights as they are: ``"inceptionv1-23866e7c6088"``."""
        state = _quick_look(self.module)
        if self._identity[0] != state:
            self._identity = (state, self._hash())
        return self._identity[1]

    def _hash(self) -> str:
        digest = hashlib.sha256()
        for key, value in self.module.state_dict().items():
            if isinstance(value, Tensor):
                digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
                array = value.detach().cpu().contiguous().view(-1).view(torch.uint8)
                digest.update(array.numpy().tobytes())
        return f"{self.name.replace('/', '-')}-{digest.hexdigest()[:12]}"

    @property
    def _named_layers(self) -> dict[str, LayerInfo]:
        """Every layer with a map, probed again after somebody changed the network's structure."""
        structure = ([*self.module.modules()], [p.shape for p in self.module.parameters()])
        if self._structure != structure:
            self._every = self._probe_all()
            self._structure, self._probed = structure, {}
        return self._every

    def _probe_all(self) -> dict[str, LayerInfo]:
        size = (1, 3, self.input_size, self.input_size)
        with self.private_copy() as network, self._explaining(size):
            example = self.preprocess(torch.zeros(size, device=self.device))
            shapes = probe_layers(network, example)
        return {name: LayerInfo(name, *shape) for name, shape in shapes.items()}

    @property
    def layers(self) -> tuple[LayerInfo, ...]:
        """The layers a person would name, in order of execution, probed with one forward pass.

        Deeper ones (``layer(name)`` finds them) are left out where the network has blocks.
        """
        every = self._named_layers
        if self._main_layers is not None:
            return tuple(every.get(name) or self._probe(name) for name in self._main_layers)
        blocks = tuple(info for info in every.values() if info.name.count(".") <= 1)
        return blocks or tuple(every.values())

    @property
    def default_layer(self) -> str:
        """A layer in the middle of the network, where neurons see textures and shapes."""
        if self._default_layer is not None:
            return self._default_layer
        if not self.layers:
            raise ModelError(
                f"{self.title} has no layer with activations (N, channels, height, width), so no "
                "neurons to show: expected a convolutional network"
            )
        return self.layers[(len(self.layers) * 3) // 5].name

    def layer(self, name: str) -> LayerInfo:
        """The layer that ``name`` means (``mixed_4a``, ``Mixed4a``, ``layer3_0_conv1``).

        Raises
        ------
        UnknownLayer
            With the nearest names.
        """
        every = self._named_layers
        if name in every:
            return every[name]
        modules = [n for n, _ in self.module.named_modules() if n]
        # Main names first, so that suggestions are names a person would use.
        main = [info.name for info in self.layers]
        found = resolve_layer(
            name, [*main, *(n for n in modules if n not in main)], model=self.title
        )
        return every.get(found) or self._probe(found)

    def _probe(self, name: str) -> LayerInfo:
        """A layer that shares its output with an enclosing block, or has no 4-d output."""
        if name not in self._probed:
            size = (1, 3, self.input_size, self.input_size)
            with self._reading(name) as read, self._explaining(size), torch.inference_mode():
                activation = read(torch.zeros(size, device=self.device))
            if activation.ndim != 4:
                raise ModelError(
                    f"layer {name!r} gives activations of shape {tuple(activation.shape)}, "
                    "expected (N, channels, height, width): choose a convolutional layer"
                )
            self._probed[name] = LayerInfo(name, *activation.shape[1:])
        return self._probed[name]

    @contextmanager
    def _explaining(self, size: tuple[int, ...]) -> Iterator[None]:
        """What goes wrong in somebody's forward pass, with what it was given."""
        try:
            yield
        except NeuronWidgetError:
            raise
        except Exception as error:
            raise ModelError(
                f"{self.title} cannot be run on an image of shape {size}: {error}. Is this the "
                "size it wants (input_size=), and does preprocess= give what it takes?"
            ) from error

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
                f"no neuron given; layer {info.name} has 0 to {info.channels - 1}"
            )
        return checked

    def preprocess(self, images: Tensor) -> Tensor:
        """Images ``(N, 3, H, W)`` in 0..1 -> what the network takes, on the same device."""
        prepared = self._preprocess(images)
        # A network whose weights are of another type than images are.
        first = next(self.module.parameters(), prepared)
        if prepared.dtype == torch.float32 and first.is_floating_point():
            return prepared.to(first.dtype)
        return prepared

    def reader(self, layer: str) -> Callable[[Tensor], Tensor]:
        """A function from images ``(N, 3, H, W)`` in 0..1 to the layer's ``(N, C, h, w)``.

        The forward pass ends at the layer; nothing is left behind on the module.
        """
        name = self.layer(layer).name

        def read_once(images: Tensor) -> Tensor:
            with self._reading(name) as read:
                return read(images)

        return read_once

    @contextmanager
    def reading(self, layer: str) -> Iterator[Callable[[Tensor], Tensor]]:
        """:meth:`reader` as a block, for backward passes inside it.

        A network may compute again in the backward pass what it did not keep in the forward pass
        (:func:`torch.utils.checkpoint.checkpoint`), and must not have changed until then.
        """
        with self._reading(self.layer(layer).name) as read:
            yield read

    @contextmanager
    def _reading(self, name: str) -> Iterator[Callable[[Tensor], Tensor]]:
        with self.private_copy() as network:
            read = layer_reader(network, name)
            yield lambda images: read(self.preprocess(images))

    @contextmanager
    def private_copy(self) -> Iterator[nn.Module]:
        """A copy of the network as it is now, in evaluation mode, that nobody else uses meanwhile.

        Its parameters lie in the same memory and have no gradients; what is done to its modules
        does not touch :attr:`module`. See :mod:`.private_copy`, also for a network that cannot be
        copied.
        """
        with self._copies.borrow() as network:
            yield network

    @property
    def copy_refusal(self) -> str:
        """Why readings run the network itself instead of a copy; empty where they do not."""
        return self._copies.refusal


def weights_version(module: nn.Module) -> tuple[int, list[int]]:
    """Another one after weights were changed in place or replaced: counted by torch, at no cost."""
    tensors = (*module.parameters(), *module.buffers())
    return (
        sum(t._version for t in tensors if not t.is_inference()),
        [t.data_ptr() for t in tensors if t.numel()],
    )


def _quick_look(module: nn.Module) -> object:
    """Another one also after a change behind torch's back (``weight.data``).

    Takes a few ms, where a hash takes tenths of a second.
    """
    tensors = [t.detach() for t in (*module.parameters(), *module.buffers()) if t.numel()]
    with torch.inference_mode():
        sums = [t.sum().float() for t in tensors]
        total = torch.stack(sums).tolist() if sums else []
    return weights_version(module), str(total)
