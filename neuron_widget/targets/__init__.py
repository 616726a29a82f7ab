"""What is read and maximised: a target.

A target is a value of the network that can be named: a neuron (a channel of a layer's map; a class
of the network's outputs, a feature of a dictionary), or one unit of it (a single position). Each
has a canonical text, which is its name in the store, on the page, on the command line and in
Python:

================== ==========================================================
``mixed4a:68``     channel 68 of layer mixed4a
``mixed4a:68@7,7`` its unit at row 7, column 7 of the map
``logits:tabby``   a neuron that has a name; checked, it is a channel
================== ==========================================================

``(layer, neuron)`` is the short form of the commonest kind. Further kinds are subclasses of
:class:`Target`, listed in :data:`.kinds.KINDS`.

This module imports no torch.
"""

from __future__ import annotations

from neuron_widget.targets.kinds import KINDS, Channel, Named, Target, Unit, from_dict
from neuron_widget.targets.reading import (
    TargetLike,
    as_target,
    as_targets,
    parse,
    parse_targets,
)

__all__ = [
    "KINDS",
    "Channel",
    "Named",
    "Target",
    "TargetLike",
    "Unit",
    "as_target",
    "as_targets",
    "from_dict",
    "parse",
    "parse_targets",
]
