"""Settings for the small pictures of a gallery."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["PREVIEW"]

PREVIEW: Mapping[str, Any] = MappingProxyType({"size": 96, "steps": 64, "batch_size": 16})
"""Keyword arguments of :func:`neuron_widget.render.render` for a tile of 64 px."""
