"""What is known of a layer, also before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["LayerInfo"]


@dataclass(frozen=True)
class LayerInfo:
    """A layer: its name and the shape of its activation at the model's input size.

    Attributes
    ----------
    name
        The module's name; with the token's behind it for a prefix token (``blocks.8.cls``).
    channels
        Number of neurons.
    height, width
        Size of the map.
    kind
        ``"maps"``; ``"tokens"`` for the patches of a transformer, ``"token"`` for one of its prefix
        tokens; ``"vector"`` for a layer without places.
    group
        Where it stands in the menu: ``"stem"``, the name of its stage or of the list of blocks,
        ``"head"``; empty for what is not in the menu.
    """

    name: str
    channels: int
    height: int
    width: int
    kind: str = field(default="maps", repr=False, compare=False)
    group: str = field(default="", repr=False, compare=False)
