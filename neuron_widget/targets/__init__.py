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

Targets are also composed: added, subtracted, multiplied by numbers (:mod:`.target`), written with
words such as ``direction(...)`` (:mod:`.terms`) and ``diversity(...)`` (:mod:`.comparing`), and
rendered as a group of images (:mod:`.groups`). What is composed is a target, with one canonical
text (:mod:`.grammar`); :mod:`neuron_widget.objectives` has a function for each part.
"""

from __future__ import annotations

from neuron_widget.targets.comparing import inside
from neuron_widget.targets.grammar import TERMS, looks_composed
from neuron_widget.targets.groups import GroupImage, check_alone, group, held_near, works
from neuron_widget.targets.kinds import KINDS, Centre, Channel, Named, Unit
from neuron_widget.targets.reading import (
    TargetLike,
    as_neuron,
    as_shown,
    as_target,
    as_targets,
    from_dict,
    parse,
    parse_targets,
)
from neuron_widget.targets.target import Activations, Sum, Target, combine
from neuron_widget.targets.term import Term

__all__ = [
    "KINDS",
    "TERMS",
    "Activations",
    "Centre",
    "Channel",
    "GroupImage",
    "Named",
    "Sum",
    "Target",
    "TargetLike",
    "Term",
    "Unit",
    "as_neuron",
    "as_shown",
    "as_target",
    "as_targets",
    "check_alone",
    "combine",
    "from_dict",
    "group",
    "held_near",
    "inside",
    "looks_composed",
    "parse",
    "parse_targets",
    "works",
]
