"""Pictures and maps as bytes for the page."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

__all__ = ["THUMB_PX", "alpha_png", "jpeg", "map_bytes", "png", "thumb", "to_pil"]

THUMB_PX = 64

OPAQUE_FROM = 80
"""Percentile of an alpha map from which a picture is opaque."""


def to_pil(image: np.ndarray) -> Image.Image:
    """``(H, W, 3)`` float32 in 0..1 -> an 8-bit image."""
    return Image.fromarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))


def jpeg(image: Image.Image, side: int | None = None, quality: int = 85) -> bytes:
    """JPEG, made smaller so that no side is longer than ``side`` pixels."""
    if side is not None and max(image.size) > side:
        image = image.copy()
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def thumb(image: Image.Image) -> bytes:
    """A tile of the gallery as JPEG, at most :data:`THUMB_PX` pixels wide and high."""
    return jpeg(image, THUMB_PX, quality=80)


def png(image: Image.Image) -> bytes:
    """PNG, lossless."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def alpha_png(alpha: np.ndarray) -> bytes:
    """Where a gradient cared, ``(H, W)`` in 0..1, as the transparency of a PNG.

    The fifth of the picture that it cared for most is opaque, as in Horama, an implementation of
    MACO by its authors.
    """
    most = float(np.percentile(alpha, OPAQUE_FROM))
    levels = (np.clip(alpha / max(most, 1e-12), 0, 1) * 255 + 0.5).astype(np.uint8)
    return png(Image.merge("LA", (Image.new("L", levels.shape[::-1]), Image.fromarray(levels))))


def map_bytes(activation: np.ndarray, scale: float, *, signed: bool = False) -> bytes:
    """An activation map ``(h, w)`` as one byte a position, 0 to 255 = ``scale``.

    ``signed``: 128 is 0, 1 is ``-scale``.
    """
    if signed:
        levels = (
            np.clip(activation / scale, -1, 1) * 127 + 128.5 if scale > 0 else activation * 0 + 128
        )
        return levels.astype(np.uint8).tobytes()
    if not scale > 0:
        return bytes(activation.size)
    return (np.clip(activation / scale, 0, 1) * 255 + 0.5).astype(np.uint8).tobytes()
