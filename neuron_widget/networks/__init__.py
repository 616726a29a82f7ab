"""A network that can be read, layer by layer."""

from neuron_widget.networks.model import LayerInfo, VisionModel
from neuron_widget.networks.zoo import load_model

__all__ = ["LayerInfo", "VisionModel", "load_model"]
