"""The results that come with the package: an ordinary store folder, looked into last, only read.

It is made by :mod:`neuron_widget.store.prerender`.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["PACKAGED"]

PACKAGED = Path(__file__).parents[1] / "prerendered"
"""The embedded network's default layer at the default settings."""
