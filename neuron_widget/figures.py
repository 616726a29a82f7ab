"""The figure of one neuron, for a paper or a handout: matplotlib objects, no pyplot state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

__all__ = ["MOST_ROWS", "neuron_figure", "save_figure"]

MOST_ROWS = 10
_WIDTH, _HEAD, _ROW = 6.4, 3.0, 2.7  # inches
_MAP = "viridis"
_GREY = "0.35"

Row = tuple[Any, float, NDArray[np.float32]]


def neuron_figure(
    layer: str,
    neuron: int,
    optimized_image: NDArray[np.float32],
    rows: Sequence[Row],
    *,
    notes: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> Figure:
    """Draw the optimised image, then up to ten rows of a photo and its activation map.

    All maps share one colour scale, from the lowest to the largest value in any of them, 0
    included: a weak map looks weak. The numbers above a map are its real mean (the
    score that photos are ranked by) and maximum; a ring marks the maximum.

    Parameters
    ----------
    layer, neuron
        What is shown.
    optimized_image
        ``(H, W, 3)`` floats in 0..1.
    rows
        ``(image, score, map)``: a PIL image or ``(H, W, 3)``, the map's mean, the map ``(h, w)``.
    notes
        Lines of text beside the optimised image.
    labels
        Class names of the photos.
    """
    rows = list(rows)[:MOST_ROWS]
    height = _HEAD + _ROW * len(rows)
    figure = Figure(figsize=(_WIDTH, height))
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        1 + len(rows),
        2,
        height_ratios=[_HEAD, *[_ROW] * len(rows)],
        left=0.05,
        right=0.87,
        bottom=0.2 / height,
        top=1 - 0.45 / height,
        wspace=0.08,
        hspace=0.2,
    )
    head = _bare(figure.add_subplot(grid[0, 0]))
    head.imshow(np.clip(optimized_image, 0, 1), interpolation="lanczos")
    head.set_title(f"{layer} neuron {neuron}", fontsize=13, fontweight="bold", loc="left")
    text = _bare(figure.add_subplot(grid[0, 1]))
    text.text(0.0, 1.0, "\n".join(notes), va="top", fontsize=9, linespacing=1.6, color=_GREY)
    if rows:
        scale = _scale([activation for _, _, activation in rows])
        for i, (image, score, activation) in enumerate(rows):
            photo = _bare(figure.add_subplot(grid[i + 1, 0]))
            photo.imshow(image)
            label = f"  {labels[i]}" if i < len(labels) else ""
            photo.set_title(f"{i + 1}{label}", fontsize=9, loc="left")
            _draw_map(_bare(figure.add_subplot(grid[i + 1, 1])), activation, score, scale)
        first = figure.axes[3].get_position()
        bar = figure.add_axes((0.885, first.y0, 0.022, first.height))
        figure.colorbar(ScalarMappable(scale, _MAP), cax=bar)
        bar.tick_params(labelsize=8)
        bar.set_title("activation", fontsize=8, loc="left")
    return figure


def save_figure(figure: Figure, path: str | Path, dpi: int = 300) -> Path:
    """Write the figure as its suffix says (``.png``, ``.pdf``), making the folder if need be."""
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi)
    return path


def _scale(maps: Sequence[NDArray[np.float32]]) -> Normalize:
    low = min(0.0, *(float(activation.min()) for activation in maps))
    high = max(0.0, *(float(activation.max()) for activation in maps))
    return Normalize(low, high if high > low else low + 1)


def _draw_map(axes: Axes, activation: NDArray[np.float32], score: float, scale: Normalize) -> None:
    axes.imshow(activation, cmap=_MAP, norm=scale, interpolation="nearest")
    row, column = np.unravel_index(int(activation.argmax()), activation.shape)
    axes.plot(column, row, "o", markersize=9, fillstyle="none", color="white", markeredgewidth=1.2)
    axes.set_title(f"mean {score:.4g}   max {activation.max():.4g}", fontsize=9, loc="left")


def _bare(axes: Axes) -> Axes:
    axes.set_axis_off()
    axes.set_anchor("NW")
    return axes
