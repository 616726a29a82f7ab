"""Real photos for every neuron of a layer."""
