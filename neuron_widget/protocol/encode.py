"""Pictures and maps as bytes for the page."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

__all__ = ["THUMB_PX", "jpeg", "map_bytes", "png", "thumb", "to_pil"]

THUMB_PX = 64


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


def map_bytes(activation: np.ndarray, scale: float) -> bytes:
    """An activation map ``(h, w)`` as one byte a position, 255 = ``scale``."""
    if not scale > 0:
        return bytes(activation.size)
    return (np.clip(activation / scale, 0, 1) * 255 + 0.5).astype(np.uint8).tobytes()
