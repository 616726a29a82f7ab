"""The figure of an analysis: what is written in it, where it is saved and shown."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable

from matplotlib.figure import Figure

from neuron_widget.analysis.figures import neuron_figure
from neuron_widget.analysis.results import Analysis
from neuron_widget.scanning import ScanResult

__all__ = ["figure_of", "scan_behind", "show_figure"]


def figure_of(
    analysis: Analysis, network: str, activation: float, scan: ScanResult | None
) -> Figure:
    """Return the figure, with what was measured, and on what, beside the image.

    ``activation`` is the neuron's on the optimised image, ``scan`` the one the photos came from.
    """
    neuron = analysis["neuron_id"]
    return neuron_figure(
        analysis["layer"],
        neuron,
        analysis["optimization_result"],
        analysis["top_activating_images"],
        notes=_notes(analysis, network, activation, scan),
        labels=[example.label for example in scan.top(neuron)] if scan is not None else (),
    )


def _notes(
    analysis: Analysis, network: str, activation: float, scan: ScanResult | None
) -> list[str]:
    colours = analysis["color_analysis"]["optimized_image"]
    triple = " ".join(f"{value:.0f}" for value in colours["mean_rgb"])
    lines = [
        network,
        f"activation of this image: {activation:.4g}",
        f"mean RGB: {triple}   contrast: {analysis['texture_analysis']['optimized_image']:.0f}",
        ", ".join(analysis["patterns_detected"]) or "no pattern label",
    ]
    if scan is not None:
        best = analysis["top_activating_images"][0][1]
        lines.append(f"best of {scan.scanned} photos ({scan.dataset}): {best:.4g}")
        lines.append("\nMaps share one colour scale.")
    return lines


def scan_behind(analysis: Analysis, scans: Iterable[ScanResult]) -> ScanResult | None:
    """Return the scan that the photos came from, known by their scores; None for other photos."""
    scores = [score for _, score, _ in analysis["top_activating_images"]]
    for known in scans if scores else ():
        examples = known.top(analysis["neuron_id"], len(scores))
        if scores == [example.score for example in examples]:
            return known
    return None


def show_figure(figure: Figure) -> None:
    """Show the figure under the cell, small: at 300 dpi eleven of them would fill a notebook."""
    if "IPython" not in sys.modules:
        return
    from IPython.core.getipython import get_ipython
    from IPython.display import Image as Picture
    from IPython.display import display

    if getattr(get_ipython(), "kernel", None) is None:
        return
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=90, format="png")
    display(Picture(data=buffer.getvalue()))  # type: ignore[no-untyped-call]
