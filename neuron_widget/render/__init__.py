"""Rendering what a neuron responds to: a parameterisation, an objective and a loop."""

from neuron_widget.render.engine import render, render_steps
from neuron_widget.render.preview import PREVIEW
from neuron_widget.render.result import RenderResult, RenderStep

__all__ = ["PREVIEW", "RenderResult", "RenderStep", "render", "render_steps"]
