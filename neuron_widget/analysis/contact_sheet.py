"""One picture of what a widget shows, for pages that have no kernel (GitHub, nbviewer)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from neuron_widget.scanning import Example

__all__ = ["contact_sheet"]

_SIDE, _TILE, _GAP, _LINE = 320, 96, 6, 24
_INK, _QUIET, _PAPER, _EMPTY = "#1f2328", "#57606a", "#ffffff", "#eceff2"


def contact_sheet(
    title: str,
    image: Image.Image | None,
    most: Sequence[Example],
    least: Sequence[Example],
    notes: Sequence[str] = (),
) -> Image.Image:
    """The rendered image, the photos that fire the neuron most and least, and what they are.

    Parameters
    ----------
    title
        Layer and neuron.
    image
        The rendering, or None where there is none yet.
    most, least
        Photos; the score stands below each.
    notes
        Lines below the title: the network, the data set and its size, the activation.
    """
    heading, small = ImageFont.load_default(18), ImageFont.load_default(12)
    columns = max(3, len(most), len(least))
    left = _SIDE + 3 * _GAP
    row = _LINE + _TILE + _LINE
    width = left + columns * (_TILE + _GAP) + _GAP
    top = _LINE * (2 + len(notes))
    height = top + max(_SIDE, 2 * row) + _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), title, fill=_INK, font=heading)
    for i, note in enumerate(notes):
        draw.text((_GAP, _LINE * (i + 1) + 2 * _GAP), note, fill=_QUIET, font=small)
    if image is not None:
        sheet.paste(image.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), (_GAP, top))
    else:
        draw.rectangle((_GAP, top, _GAP + _SIDE, top + _SIDE), fill=_EMPTY)
        draw.text((3 * _GAP, top + 2 * _GAP), "not rendered yet", fill=_QUIET, font=small)
    for i, (name, examples) in enumerate((("Most activating", most), ("Least activating", least))):
        y = top + i * row
        label = name if examples else f"{name}: no data set scanned yet"
        draw.text((left, y), label, fill=_INK, font=small)
        for j, example in enumerate(examples):
            x = left + j * (_TILE + _GAP)
            tile = example.image().resize((_TILE, _TILE), Image.Resampling.LANCZOS)
            sheet.paste(tile, (x, y + _LINE))
            score = f"{example.score:.3g}"
            draw.text((x, y + _LINE + _TILE + 3), score, fill=_QUIET, font=small)
    return sheet
