"""``python -m neuron_widget.cli``: the command without an installed script."""

from neuron_widget.cli import app

app(prog_name="neuron-widget")
