"""One picture of what :func:`neuron_widget.look` found: the photo and its most unusual neurons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from neuron_widget.looking import Changed, Firing, Look

__all__ = ["look_sheet", "with_map"]

_SIDE, _TILE, _GAP, _LINE, _COLUMNS = 348, 168, 12, 22, 4
_INK, _QUIET, _PAPER = "#1f2328", "#57606a", "#ffffff"
_OPACITY = 0.85


def with_map(
    image: Image.Image, activation: NDArray[np.float32], scale: float, *, signed: bool = False
) -> Image.Image:
    """The photo with an activation map ``(h, w)`` over it, 0 (or ``-scale``) to ``scale``."""
    least = -1 if signed else 0
    levels = np.clip(activation / scale, least, 1) if scale > 0 else np.zeros_like(activation)
    small = Image.fromarray(((levels - least) / (1 - least) * 255).astype(np.uint8))
    smooth = np.asarray(small.resize(image.size, Image.Resampling.BICUBIC), np.float32) / 255
    colours = colormaps["RdBu_r" if signed else "viridis"](smooth)[:, :, :3] * 255
    far = np.abs(2 * smooth - 1) if signed else smooth
    weight = far[:, :, None] * _OPACITY
    mixed = np.asarray(image, np.float32) * (1 - weight) + colours * weight
    return Image.fromarray(mixed.clip(0, 255).astype(np.uint8))


def look_sheet(seen: Look, firing: Sequence[Firing], changed: Changed | None = None) -> Image.Image:
    """The photo as the network sees it, and beside it the neurons with their maps on it.

    Parameters
    ----------
    seen
        The look.
    firing
        The neurons to show.
    changed
        What the network answers without some of them: its best classes stand below the photo.
    """
    heading, plain = ImageFont.load_default(18), ImageFont.load_default(13)
    rows = -(-len(firing) // _COLUMNS) or 1
    answers = [f"{seen.layer} without {_neurons(changed)}", *_answers(changed)] if changed else []
    left = _SIDE + 2 * _GAP
    top = _GAP + 3 * _LINE
    height = max(_SIDE + _LINE * (len(answers) + 1), rows * (_TILE + 2 * _LINE))
    size = (left + _COLUMNS * (_TILE + _GAP), top + height + _GAP)
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), f"{seen.name}: who fires in {seen.layer}", fill=_INK, font=heading)
    draw.text((_GAP, _GAP + _LINE + 4), seen.measure, fill=_QUIET, font=plain)
    sheet.paste(seen.image.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), (_GAP, top))
    for i, line in enumerate(answers):
        where = (_GAP, top + _SIDE + 8 + i * _LINE)
        draw.text(where, line, fill=_QUIET if i else _INK, font=plain)
    for i, one in enumerate(firing):
        x = left + i % _COLUMNS * (_TILE + _GAP)
        y = top + i // _COLUMNS * (_TILE + 2 * _LINE)
        tile = with_map(
            seen.image, seen.map(one.neuron), seen.scale(one.neuron), signed=seen.signed
        )
        sheet.paste(tile.resize((_TILE, _TILE), Image.Resampling.LANCZOS), (x, y))
        text = one.name if not one.name.isdecimal() else f"neuron {one.neuron}"
        worth = f"score {one.score:.3g}"
        if one.percentile is not None:
            worth = f"percentile {one.percentile:.1f}, {worth}"
        draw.text((x, y + _TILE + 3), text, fill=_INK, font=plain)
        draw.text((x, y + _TILE + 19), worth, fill=_QUIET, font=plain)
    return sheet


def _neurons(changed: Changed) -> str:
    return ", ".join(map(str, changed.neurons)) + f" (set to {changed.how})"


def _answers(changed: Changed) -> list[str]:
    return [f"{c.before:6.1%} to {c.after:6.1%}   {c.name[:34]}" for c in changed.best()]
