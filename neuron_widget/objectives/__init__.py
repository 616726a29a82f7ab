"""What is maximised: neurons, and what is composed of them.

Each function here gives a :class:`~neuron_widget.targets.Target`, which can be added, subtracted
and multiplied by numbers, and rendered:

>>> from neuron_widget.objectives import channel, diversity, images
>>> both = channel("mixed4a", 68) + 0.5 * channel("mixed4b", 3)
>>> str(both)
'mixed4a:68 + 0.5*mixed4b:3'
>>> facets = images(channel("mixed4a", 68) - 100 * diversity("mixed4a"), 4)
>>> str(facets[0])
'mixed4a:68 - 100*diversity(mixed4a) [image 0 of 4]'

The text means the same as the object, everywhere: ``render(model, str(both))``. Of a single
neuron, ``render(objective=...)`` says what of it is maximised (:mod:`.named`).

Names and values are torch-lucent's (``lucent.optvis.objectives``), but:

* Values are maximised; lucent's are losses, so that a number that is added counts the other way.
* A value belongs to each image. What lucent makes of a batch is their mean; its
  ``channel_interpolate``, ``alignment``, ``blur_input_each_step`` and ``batch=`` add images up
  instead, so that there what a term weighs depends on the size of the batch.
* Rows and columns are in this order. Lucent takes its default ``x`` from the height of the map and
  its ``y`` from the width, and reads another unit than the centre of a map that is not square.
* Lucent's ``localgroup_weight`` fails where no ``x`` and ``y`` are given, and its
  ``channel_interpolate`` gives NaN for one image. Ours has the whole map then, and is refused.

None of these modules imports torch.
"""

from __future__ import annotations

from neuron_widget.objectives.compose import (
    alignment,
    blur,
    channel,
    direction,
    distance,
    diversity,
    images,
    interpolate,
    l1,
    l2,
    layer,
    logit,
    mean,
    only,
    total_variation,
    unit,
    weights,
)
from neuron_widget.objectives.named import (
    OBJECTIVES,
    ImagesObjective,
    NamedObjective,
    canonical_objective,
    each,
    objective,
    together,
)

__all__ = [
    "OBJECTIVES",
    "ImagesObjective",
    "NamedObjective",
    "alignment",
    "blur",
    "canonical_objective",
    "channel",
    "direction",
    "distance",
    "diversity",
    "each",
    "images",
    "interpolate",
    "l1",
    "l2",
    "layer",
    "logit",
    "mean",
    "objective",
    "only",
    "together",
    "total_variation",
    "unit",
    "weights",
]
