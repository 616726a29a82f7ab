"""Rendering what a neuron responds to: a parameterisation, an objective and a loop."""

from neuron_widget.rendering.engine import render, render_steps
from neuron_widget.rendering.result import RenderResult, RenderStep

__all__ = ["RenderResult", "RenderStep", "render", "render_steps"]
