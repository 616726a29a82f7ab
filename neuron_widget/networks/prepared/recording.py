"""What a network computes from its input up to a layer, as a graph of torch's own operations.

One forward pass is watched below the level of modules, so that nothing depends on how a network is
written or what its parts are called. Everything that the input does not reach is a constant.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from neuron_widget.networks.prepared.graph import Node

__all__ = ["CannotPrepare", "record"]

_OTHER_FOR_EVERY_IMAGE = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)


class CannotPrepare(Exception):
    """This network must be run as it is written; says why."""


def record(read: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Node, Node]:
    """The operations of one call of ``read``: the node of the images, and that of the result.

    Constants stand in the arguments as tensors: the network's own, not copies. Operations in place
    are recorded as their ordinary twins.

    Raises
    ------
    CannotPrepare
        For random numbers, numbers read on the way (another input may take another way), and
        writing into constants or views.
    """
    recorder = _Recorder(images)
    with torch.inference_mode(False), torch.no_grad(), recorder:
        found = read(images)
    node = recorder.node_of(found)
    if node is None:
        raise CannotPrepare("the layer does not depend on the image")
    return recorder.images, node


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, images: Tensor):
        super().__init__()  # type: ignore[no-untyped-call]
        # By id; the tensors are kept, so that no id is used twice.
        self._known: dict[int, Node] = {}
        self._kept: list[Tensor] = []
        self.images = self._name(images, Node(None, shape=tuple(images.shape)))

    def node_of(self, tensor: Tensor) -> Node | None:
        return self._known.get(id(tensor))

    def _name(self, tensor: Tensor, node: Node) -> Node:
        self._known[id(tensor)] = node
        self._kept.append(tensor)
        return node

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Do it, and note it where the input reaches it."""
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise CannotPrepare(f"{func} is another one every time")
        reached = any(self.node_of(t) is not None for t in _tensors((args, kwargs)))
        if reached and any(tag in func.tags for tag in _OTHER_FOR_EVERY_IMAGE):
            raise CannotPrepare(f"{func} is another one for every image")
        changes = func._schema.is_mutable
        if changes and (not reached or self.node_of(args[0]) is None):
            raise CannotPrepare(f"{func} changes what the next image meets")
        if changes and self._is_seen_elsewhere(args[0]):
            raise CannotPrepare(f"{func} writes where something else looks")
        found = func(*args, **kwargs)
        if reached:
            self._note(_twin(func) if changes else func, args, kwargs, found)
        else:
            # Their ids are looked up as long as the recording lasts.
            self._kept += _tensors(found)
        return found

    def _note(self, func: Any, args: Any, kwargs: Any, found: Any) -> None:
        def named(value: Any) -> Any:
            node = self.node_of(value) if isinstance(value, Tensor) else None
            return value if node is None else node

        args, kwargs = tree_map(named, (tuple(args), dict(kwargs)))
        if isinstance(found, Tensor):
            self._name(found, Node(func, args, kwargs, tuple(found.shape)))
        elif isinstance(found, (tuple, list)):
            several = Node(func, args, kwargs)
            for i, part in enumerate(found):
                if isinstance(part, Tensor):
                    self._name(part, Node(operator.getitem, (several, i), {}, tuple(part.shape)))
        else:
            raise CannotPrepare(f"{func} gives {type(found).__name__}")

    def _is_seen_elsewhere(self, tensor: Tensor) -> bool:
        memory = tensor.untyped_storage().data_ptr()
        return any(
            other is not tensor and other.untyped_storage().data_ptr() == memory
            for other in self._kept
        )


def _tensors(value: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))


def _twin(func: Any) -> Any:
    """The operation that gives what another one writes into its first argument."""
    space, _, name = func._schema.name.partition("::")
    if name.endswith("_") and not name.startswith("_"):
        packet = getattr(getattr(torch.ops, space), name[:-1], None)
        twin = getattr(packet, func._overloadname, None)
        if twin is not None and not twin._schema.is_mutable:
            return twin
    raise CannotPrepare(f"{func} has no twin that leaves its input alone")
