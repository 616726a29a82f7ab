"""InceptionV1, the network of the field's papers, and a way through it that is made by hand."""

from neuron_widget.networks.inception.network import (
    INPUT_SIZE,
    InceptionV1,
    LocalResponseNorm,
    lucent_name,
    preprocess,
)

__all__ = ["INPUT_SIZE", "InceptionV1", "LocalResponseNorm", "lucent_name", "preprocess"]
