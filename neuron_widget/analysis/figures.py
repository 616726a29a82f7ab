"""The figure of one neuron, for a paper or a handout: matplotlib objects, no pyplot state."""

from __future__ import annotations

import io
import textwrap
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

from neuron_widget.durable import write_atomically
from neuron_widget.errors import StoreError, WrongValue, nearest
from neuron_widget.names import as_path

__all__ = ["MOST_ROWS", "neuron_figure", "save_figure"]

MOST_ROWS = 10
# Inches. Wide, as a screen and a slide are: at most five photos side by side, maps below them.
_COLUMNS = 5
_MARGIN, _GAP, _TITLE, _HEAD, _SIDE, _BAR = 0.2, 0.2, 0.3, 2.8, 1.75, 0.75
_BAND = 2 * (_TITLE + _SIDE) + 0.2
_MAP, _SIGNED_MAP = "viridis", "RdBu_r"
_GREY = "0.35"
# Names of layers and classes are no formulas, whatever signs are in them.
_LITERAL: dict[str, Any] = {"parse_math": False, "usetex": False}

Row = tuple[Any, float, NDArray[np.float32]]


def neuron_figure(
    layer: str,
    neuron: int,
    optimized_image: NDArray[np.float32],
    rows: Sequence[Row],
    *,
    notes: Sequence[str] = (),
    labels: Sequence[str] = (),
    title: str = "",
    signed: bool = False,
) -> Figure:
    """Draw the optimised image, and beside it up to ten photos with their activation maps below.

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
        Lines of text below the optimised image.
    labels
        Class names of the photos.
    title
        What the neuron is called; default by its number.
    signed
        Whether values below 0 are answers too: 0 is white then, and in the middle of the scale.
    """
    rows = list(rows)[:MOST_ROWS]
    columns = min(len(rows), _COLUMNS)
    bands = max(1, -(-len(rows) // _COLUMNS))
    width = 2 * _MARGIN + _HEAD + (columns * (_SIDE + _GAP) + _BAR if rows else 0.0)
    height = 2 * _MARGIN + bands * _BAND
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)

    def axes_at(left: float, top: float, w: float, h: float) -> Axes:
        """Axes in inches from the upper left corner."""
        return figure.add_axes((left / width, 1 - (top + h) / height, w / width, h / height))

    head = _bare(axes_at(_MARGIN, _MARGIN + _TITLE, _HEAD, _HEAD))
    head.imshow(np.clip(optimized_image, 0, 1), interpolation="lanczos")
    title = title or f"{layer} neuron {neuron}"
    # Layers of deep networks have names of fifty letters; 25 fill the image's width.
    fontsize = 13 * min(1.0, 25 / len(title))
    head.set_title(title, fontsize=fontsize, fontweight="bold", loc="left", **_LITERAL)
    below = _MARGIN + _TITLE + _HEAD + 0.1
    text = _bare(axes_at(_MARGIN, below, _HEAD, height - below))
    lines = "\n".join(textwrap.fill(line, 46) for note in notes for line in note.split("\n"))
    text.text(0.0, 1.0, lines, va="top", fontsize=8.5, linespacing=1.5, color=_GREY, **_LITERAL)
    if rows:
        scale = _scale([activation for _, _, activation in rows], signed=signed)
        colours = _SIGNED_MAP if signed else _MAP
        for i, (image, score, activation) in enumerate(rows):
            band, column = divmod(i, _COLUMNS)
            left = _MARGIN + _HEAD + _GAP + column * (_SIDE + _GAP)
            top = _MARGIN + band * _BAND + _TITLE
            photo = _bare(axes_at(left, top, _SIDE, _SIDE))
            photo.imshow(image)
            label = _short(labels[i]) if i < len(labels) else ""
            fontsize = 9 if len(label) <= 19 else 7
            photo.set_title(f"{i + 1}  {label}", fontsize=fontsize, loc="left", **_LITERAL)
            place = axes_at(left, top + _SIDE + _TITLE, _SIDE, _SIDE)
            _draw_map(_bare(place), activation, score, scale, colours)
        right = width - _MARGIN - _BAR + _GAP
        bar = axes_at(right, _MARGIN + 2 * _TITLE + _SIDE, 0.14, _SIDE)
        figure.colorbar(ScalarMappable(scale, colours), cax=bar)
        bar.tick_params(labelsize=8)
        bar.set_title("activation", fontsize=8, loc="left")
    return figure


def save_figure(figure: Figure, path: str | Path, dpi: int = 300) -> Path:
    """Write the figure as its suffix says, making the folder if need be, and return its path.

    Parameters
    ----------
    figure
        What :func:`neuron_figure` drew.
    path
        A name ending in ``.png``, ``.pdf``, ``.svg`` or another of matplotlib's formats; without
        an ending it becomes a ``.png``.
    dpi
        Dots an inch, for formats made of pixels.

    Raises
    ------
    ValueError
        For an ending that matplotlib does not write.
    StoreError
        For a full disk or a folder that cannot be written to; no file is left then.
    """
    path = as_path(path, "the figure", StoreError, example="figure.png")
    if not path.suffix:
        path = path.with_name(f"{path.name}.png")
    kind = path.suffix[1:].lower()
    formats = sorted(figure.canvas.get_supported_filetypes())
    if kind not in formats:
        hint = nearest(kind, formats) or f"expected one of {', '.join(formats)}"
        raise WrongValue(f"a figure cannot be saved as {path.name!r}: no format {kind!r}; {hint}")
    data = io.BytesIO()
    figure.savefig(data, dpi=dpi, format=kind)
    write_atomically(path, data.getvalue(), "name another folder")
    return path


def _scale(maps: Sequence[NDArray[np.float32]], *, signed: bool = False) -> Normalize:
    if signed:
        most = max(float(np.abs(activation).max()) for activation in maps) or 1.0
        return Normalize(-most, most)
    low = min(0.0, *(float(activation.min()) for activation in maps))
    high = max(0.0, *(float(activation.max()) for activation in maps))
    return Normalize(low, high if high > low else low + 1)


def _draw_map(
    axes: Axes, activation: NDArray[np.float32], score: float, scale: Normalize, colours: str
) -> None:
    axes.imshow(activation, cmap=colours, norm=scale, interpolation="nearest")
    row, column = np.unravel_index(int(activation.argmax()), activation.shape)
    axes.plot(column, row, "o", markersize=9, fillstyle="none", color="white", markeredgewidth=1.2)
    axes.set_title(f"mean {score:.4g}   max {activation.max():.4g}", fontsize=9, loc="left")


def _short(label: str, most: int = 26) -> str:
    """A class name on one line, no wider than its photo."""
    line = " ".join(label.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def _bare(axes: Axes) -> Axes:
    axes.set_axis_off()
    axes.set_anchor("NW")
    return axes
