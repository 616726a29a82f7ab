"""Asking what an object is without importing torch: who has one of torch's has imported it."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["is_torchs"]


def is_torchs(x: Any, *names: str) -> bool:
    """Whether ``x`` is one of torch's: ``"Tensor"``, ``"utils.data.DataLoader"``."""
    return any(isinstance(x, _class(name)) for name in names)


def _class(name: str) -> type | tuple[()]:
    """The class of this name; none where torch is not imported, or is just being imported."""
    *module, last = name.split(".")
    found: type | tuple[()] = getattr(sys.modules.get(".".join(["torch", *module])), last, ())
    return found
