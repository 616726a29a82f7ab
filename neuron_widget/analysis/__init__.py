"""What is made of results: statistics, figures, a measure of trust, the course notebook's class."""

from neuron_widget.analysis.analyzer import Analyzer
from neuron_widget.analysis.predicting import Predictability, predictability
from neuron_widget.analysis.stable import Stability, stability

__all__ = ["Analyzer", "Predictability", "Stability", "predictability", "stability"]
