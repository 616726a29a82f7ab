"""Dictionaries that are learnt: one pass over photos, by PCA, NMF or a sparse autoencoder."""

from neuron_widget.learning.engine import LearnProgress, learn_dictionary, learn_steps

__all__ = ["LearnProgress", "learn_dictionary", "learn_steps"]
