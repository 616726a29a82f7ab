"""A copy of a network for our own use, up to one layer: the same numbers, sooner.

What a rendering's step needs of a network is one activation and the gradient of the image. Knowing
that, and that the weights stand still:

* Batch normalisation, sums and ReLU are merged into the convolution before them, padding into the
  one behind it: one pass. On the way back gradients are masked and summed up in place.
* The weights are laid out once as oneDNN reads them, forwards and backwards, and have no gradient.
* Nothing behind the layer is run, and of the last operations only what the target needs.

How: :mod:`.recording` watches one forward pass, :mod:`.merging` makes fewer operations of it,
:mod:`.channels` narrows its end, :mod:`.program` runs it, :mod:`.network` makes it one function for
autograd, and :mod:`.reader` checks it against the network and keeps it as long as that stands.
"""

from neuron_widget.networks.prepared.reader import PreparedNetworks, PreparedReader

__all__ = ["PreparedNetworks", "PreparedReader"]
