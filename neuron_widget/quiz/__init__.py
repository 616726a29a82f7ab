"""NeuronQuiz: which of two new photos fires the neuron more?"""

from neuron_widget.quiz.widget import NeuronQuiz

__all__ = ["NeuronQuiz"]
