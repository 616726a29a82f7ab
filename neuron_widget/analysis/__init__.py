"""What is made of results: statistics, figures, and the course notebook's class."""

from neuron_widget.analysis.analyzer import Analyzer

__all__ = ["Analyzer"]
