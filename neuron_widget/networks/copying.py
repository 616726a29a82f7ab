"""What a network is made of, and how it is copied; see :mod:`.private_copy`."""

from __future__ import annotations

import enum
import functools
import sys
import types
from collections import OrderedDict, UserDict, UserList, defaultdict, deque
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn

__all__ = ["Copying", "State"]

_VALUES = frozenset({int, float, bool, str, bytes, complex, type(None), torch.dtype, torch.device})
_CONTAINERS = frozenset({dict, OrderedDict, defaultdict, list, tuple, set, deque})
_KINDS = (dict, list, tuple, set, deque)  # and kinds of them, such as a named tuple
# timm's and transformers' switches for computing activations again in the backward pass: the
# numbers are the same without, but torch's older checkpoints have no gradients inside.
_SAVES_MEMORY = ("grad_checkpointing", "gradient_checkpointing")
_LARGE = 10_000  # items: no container of modules or settings, but somebody's data


# ------------------------------------------------------------------ what a network is


class State:
    """All that a network is made of, but for the numbers in its tensors.

    Attributes
    ----------
    marks
        Compared by :meth:`has`.
    parts
        By id: what belongs to the network, and is copied with it.
    """

    def __init__(self, module: nn.Module):
        self.marks: list[object] = []
        self.parts: dict[int, object] = {}
        self._look(module, 0)

    def has(self, marks: list[object]) -> bool:
        """Whether another state's marks are this one's: the same objects, equal numbers."""
        return len(marks) == len(self.marks) and all(
            a is b or (type(a) is type(b) and type(a) in _VALUES and a == b)
            for a, b in zip(marks, self.marks, strict=True)
        )

    def _look(self, value: Any, depth: int) -> None:
        kind = type(value)
        if kind in _VALUES:
            self.marks.append(value)
        elif isinstance(value, Tensor):
            self.parts[id(value)] = value
            # Not kept alive: it may be an activation that hangs on a whole graph.
            self.marks.append(ref(value))
        elif id(value) in self.parts:
            self.marks.append(kind)
        elif isinstance(value, _KINDS):
            self._look_at_items(value, depth)
        elif isinstance(value, nn.Module):
            self.parts[id(value)] = value
            self.marks.append(value)
            self._look_at_attributes(vars(value), depth)
        elif depth < 3 and _is_helper(value):
            self.parts[id(value)] = value
            self.marks.append(value)
            self._look_at_attributes(vars(value), depth + 1)
        else:
            self.marks.append(value)

    def _look_at_items(self, value: Any, depth: int) -> None:
        self.marks.append(type(value))
        self.marks.append(len(value))
        if len(value) > _LARGE:
            return
        self.parts[id(value)] = value
        if isinstance(value, dict):
            for key, item in list(value.items()):
                self.marks.append(key)
                self._look(item, depth)
        else:
            for item in list(value):
                self._look(item, depth)

    def _look_at_attributes(self, attributes: dict[str, Any], depth: int) -> None:
        marks = self.marks
        for name, value in list(attributes.items()):
            if name == "training":
                continue
            if type(value) in _CONTAINERS and not value:
                self.parts[id(value)] = value
                continue
            marks.append(name)
            if type(value) in _VALUES:
                marks.append(value)
            elif name.endswith("_hooks"):
                # What hooks hold is the user's own affair.
                marks.extend(list(value))
                marks.extend(list(value.values()) if isinstance(value, dict) else ())
            elif isinstance(value, Tensor):
                self.parts[id(value)] = value
                marks.append(Tensor)  # kept up to date, whichever it is
            else:
                self._look(value, depth)


def _is_helper(value: object) -> bool:
    """An object of a class that the network's author wrote, such as a configuration."""
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    if isinstance(value, (types.SimpleNamespace, UserDict, UserList)):
        return True
    return (
        hasattr(value, "__dict__")
        and package not in sys.stdlib_module_names
        and package not in ("torch", "numpy", "builtins")
        and kind.__new__ is object.__new__  # not a kind of list, number or array
        # What cleans up when it goes, and what is compared by identity, there is one of.
        and not hasattr(kind, "__del__")
        and not isinstance(value, (type, types.ModuleType, enum.Enum))
    )


# ------------------------------------------------------------------ copying


class Copying:
    """One copying of a network: each of its parts once."""

    def __init__(self, state: State):
        self._parts = state.parts
        self._copies: dict[int, Any] = {}
        self._originals: list[Any] = []  # alive while their ids are in use
        self.parameters: list[tuple[Tensor, Tensor]] = []
        self.tensors: list[tuple[Tensor, Tensor]] = []
        self.attributes: list[tuple[dict[str, Any], dict[str, Any], str]] = []

    def of(self, value: Any) -> Any:
        """The copy of what an attribute of the network is; what is not copied is shared."""
        kind = type(value)
        if kind in _VALUES:
            return value
        if id(value) in self._copies:
            return self._copies[id(value)]
        if isinstance(value, Tensor):
            return self._known(value, self._tensor(value))
        if isinstance(value, nn.Module):
            return self._object(value)
        if isinstance(value, torch.Generator):
            return self._known(value, value.clone_state())
        if isinstance(value, (types.FunctionType, types.MethodType, functools.partial)):
            return self._callable(value)
        if id(value) not in self._parts:
            return value
        return self._container(value) if isinstance(value, _KINDS) else self._object(value)

    def _held(self, value: Any) -> Any:
        """The copy of what a function or a hook holds, if it belongs to the network."""
        if id(value) in self._parts:
            return self.of(value)
        if isinstance(value, (types.FunctionType, types.MethodType, functools.partial)):
            return self._callable(value)
        if type(value) in (list, tuple, dict) and len(value) <= _LARGE:
            return self._held_items(value)
        return value

    def _held_items(self, value: Any) -> Any:
        """As :meth:`_held`, of what a container holds that is no attribute of the network."""
        if id(value) in self._copies:
            return self._copies[id(value)]
        self._known(value, value)  # it may hold itself
        theirs = list(value.values()) if isinstance(value, dict) else list(value)
        own = list(map(self._held, theirs))
        if all(a is b for a, b in zip(own, theirs, strict=True)):
            return value
        copy = dict(zip(value, own, strict=True)) if isinstance(value, dict) else type(value)(own)
        return self._known(value, copy)

    def _known(self, original: Any, copy: Any) -> Any:
        self._originals.append(original)
        self._copies[id(original)] = copy
        return copy

    def _tensor(self, theirs: Tensor) -> Tensor:
        if isinstance(theirs, nn.Parameter) and not theirs.is_inference():
            if type(theirs.data) is not Tensor:
                return theirs  # of a kind with rules of its own
            own: Tensor = nn.Parameter(theirs.data, requires_grad=False)
            self.parameters.append((theirs, own))
            return own
        # What was made in inference_mode lets no gradient pass: its clone does.
        own = theirs.detach().clone()
        if isinstance(theirs, nn.Parameter):
            own = nn.Parameter(own, requires_grad=False)
        self.tensors.append((theirs, own))
        return own

    def _container(self, value: Any) -> Any:
        kind: Any = type(value)
        if isinstance(value, tuple):
            items = tuple(map(self.of, value))
            if all(a is b for a, b in zip(items, value, strict=True)):
                return value  # also of a kind of its own, such as torch.Size
            return self._known(value, getattr(kind, "_make", kind)(items))
        if kind is defaultdict:
            copy: Any = self._known(value, defaultdict(value.default_factory))
        elif kind is deque:
            copy = self._known(value, deque(maxlen=value.maxlen))
        elif kind in _CONTAINERS:
            copy = self._known(value, kind())
        else:
            self._known(value, value)  # it may hold itself
            theirs = list(value.values()) if isinstance(value, dict) else list(value)
            if all(self.of(item) is item for item in theirs):
                return value  # such as a Counter: shared
            copy = self._known(value, kind.__new__(kind))
            vars(copy).update(getattr(value, "__dict__", {}))
        if isinstance(value, dict):
            for key, item in list(value.items()):
                dict.__setitem__(copy, key, self.of(item))
        elif isinstance(value, set):
            copy.update(map(self.of, list(value)))
        else:
            copy.extend(map(self.of, list(value)))
        return copy

    def _object(self, value: Any) -> Any:
        if isinstance(value, torch.jit.ScriptModule):
            raise TypeError(f"it holds a TorchScript module ({value.original_name})")
        kind: Any = type(value)
        new = kind.__new__ if isinstance(value, types.SimpleNamespace) else object.__new__
        copy = self._known(value, new(kind))
        theirs, own = vars(value), vars(copy)
        for name, item in list(theirs.items()):
            if name == "_compiled_call_impl":
                continue  # it runs the original
            if name in _SAVES_MEMORY and item is True:
                own[name] = False
                continue
            if name.endswith("_hooks") and isinstance(item, dict):
                hooks = type(item)()
                hooks.update((key, self._held(hook)) for key, hook in list(item.items()))
                own[name] = hooks
            elif isinstance(item, Tensor) and not isinstance(item, nn.Parameter):
                own[name] = self._known(item, item.detach().clone())
                self.attributes.append((theirs, own, name))
            else:
                own[name] = self.of(item)
        return copy

    def _callable(self, value: Any) -> Any:
        """The function itself, or one that holds copies where it holds parts of the network."""
        if id(value) in self._copies:
            return self._copies[id(value)]
        self._known(value, value)  # a function may hold itself
        copy: Any
        if isinstance(value, types.MethodType):
            copy = types.MethodType(self._held(value.__func__), self._held(value.__self__))
            changed = copy.__self__ is not value.__self__ or copy.__func__ is not value.__func__
        elif isinstance(value, functools.partial):
            theirs = [value.func, *value.args, *value.keywords.values()]
            own = list(map(self._held, theirs))
            split = 1 + len(value.args)
            keywords = dict(zip(value.keywords, own[split:], strict=True))
            copy = functools.partial(own[0], *own[1:split], **keywords)
            changed = any(a is not b for a, b in zip(own, theirs, strict=True))
        else:
            copy, changed = self._function(value)
        return self._known(value, copy) if changed else value

    def _function(self, function: types.FunctionType) -> tuple[types.FunctionType, bool]:
        """The function over copies of its closure and defaults; whether these differ."""
        theirs = [
            *(cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)),
            *(function.__defaults__ or ()),
            *(function.__kwdefaults__ or {}).values(),
        ]
        if all(self._held(held) is held for held in theirs):
            return function, False
        closure = tuple(
            types.CellType(self._held(cell.cell_contents)) if _is_filled(cell) else cell
            for cell in function.__closure__ or ()
        )
        defaults = function.__defaults__ and tuple(map(self._held, function.__defaults__))
        copy = types.FunctionType(
            function.__code__, function.__globals__, function.__name__, defaults, closure
        )
        if function.__kwdefaults__:
            copy.__kwdefaults__ = {k: self._held(v) for k, v in function.__kwdefaults__.items()}
        copy.__qualname__, copy.__module__ = function.__qualname__, function.__module__
        vars(copy).update(vars(function))
        return copy, True


def _is_filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
