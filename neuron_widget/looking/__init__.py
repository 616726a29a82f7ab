"""One photo, seen by the neurons of a layer: who fires, where, and what would change without them.

The other way round than a scan, which asks a neuron for its photos.
"""

from neuron_widget.looking.engine import Firing, Look, look
from neuron_widget.looking.silence import Changed, ClassScore

__all__ = ["Changed", "ClassScore", "Firing", "Look", "look"]
