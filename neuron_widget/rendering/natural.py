"""How strong each frequency is in photos: the magnitudes that MACO keeps.

Taken in decorrelated colours before the sigmoid, so that a photo's own phases with its own
magnitudes are that photo again. It is an amplitude by cycles an image and direction, in polar
steps: a few numbers, and right for images of any size.

The one that comes with the package is of the data set ``"samples"``;
``python -m neuron_widget.analysis.photo_spectrum`` makes it anew. This module imports no torch.
"""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neuron_widget.durable import write_atomically
from neuron_widget.errors import WrongType, WrongValue, first_line, shown
from neuron_widget.names import as_path
from neuron_widget.rendering.colour import COLOUR

__all__ = ["SIDE", "Spectrum", "as_spectrum", "natural_spectrum"]

SIDE = 128
"""Photos are read as squares of so many pixels."""

# Amplitudes at 1, sqrt(2), 2, ... cycles an image, to an octave below what a square can hold (what
# is above was weakened when the photo was made small), in so many directions of half a circle.
_RADII = 2.0 ** (np.arange(11) / 2)
_ANGLES = 8
# Above the last radius amplitudes fall on as they did over so many steps before it.
_FALL = 4

_LARGEST_FILE = 2**16
_FILE = Path(__file__).with_name("natural.npy")


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Amplitudes of the frequencies of photos.

    Attributes
    ----------
    amplitudes
        ``(3, 12, 8)`` float16: by decorrelated colour, radius (the mean colour, then 1, 1.4, 2,
        ... 32 cycles an image) and direction (0 to 180 degrees).

    Examples
    --------
    >>> from neuron_widget.rendering.natural import natural_spectrum
    >>> natural_spectrum().at(64, 64).shape
    (3, 64, 33)
    """

    amplitudes: NDArray[np.float16]

    @property
    def key(self) -> str:
        """What tells it from others."""
        return hashlib.sha256(self.amplitudes.tobytes()).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spectrum) and other.key == self.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"<Spectrum {self.key}>"

    def at(self, height: int, width: int) -> NDArray[np.float32]:
        """Magnitudes for ``irfft2(norm="ortho")``: ``(3, height, width // 2 + 1)`` float32."""
        fy = np.fft.fftfreq(height)[:, None] * max(height, width)
        fx = np.fft.rfftfreq(width)[None, :] * max(height, width)
        radius = np.hypot(fy, fx)
        logs = np.log(self.amplitudes[:, 1:].astype(np.float64))
        places = _places(np.minimum(radius, _RADII[-1]), np.arctan2(fy, fx))
        log = sum(logs[:, r, a] * weight for r, a, weight in places)
        slope = (logs[:, -1] - logs[:, -1 - _FALL]).mean(axis=1)
        slope /= np.log(_RADII[-1] / _RADII[-1 - _FALL])
        beyond = np.log(np.maximum(radius / _RADII[-1], 1))
        amplitude = np.exp(log + slope[:, None, None] * beyond)
        if width % 2 == 0:  # there a wave to the right is one to the left
            last = amplitude[:, 1:, -1]
            amplitude[:, 1:, -1] = (last + last[:, ::-1]) / 2
        amplitude[:, 0, 0] = self.amplitudes[:, 0].mean(axis=1)
        magnitude: NDArray[np.float32] = (amplitude * np.sqrt(height * width)).astype(np.float32)
        return magnitude

    def save(self, file: str | Path) -> None:
        """Write it as a ``.npy`` file."""
        path = as_path(file, "the spectrum's file", WrongValue, example="photos.npy")
        buffer = io.BytesIO()
        np.save(buffer, self.amplitudes, allow_pickle=False)
        write_atomically(path, buffer.getvalue())

    @staticmethod
    def load(file: str | Path) -> Spectrum:
        """Read what :meth:`save` wrote. Raises ValueError."""
        path = as_path(file, "the spectrum's file", WrongValue, example="photos.npy")
        makes = "make one with photo_spectrum(photos).save(file)"
        try:
            if path.stat().st_size > _LARGEST_FILE:
                raise WrongValue(f"{path.name!r} is too large to be a spectrum of photos; {makes}")
            amplitudes = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            if isinstance(error, WrongValue):
                raise
            why = getattr(error, "strerror", None) or first_line(error)
            raise WrongValue(
                f"spectrum: {path.name!r} cannot be read as one of photos ({why}); {makes}"
            ) from error
        shape = (3, len(_RADII) + 1, _ANGLES)
        good = isinstance(amplitudes, np.ndarray) and amplitudes.dtype == np.float16
        if not good or amplitudes.shape != shape or not (amplitudes[:, 1:] > 0).all():
            raise WrongValue(
                f"spectrum: {path.name!r} holds something else than amplitudes of photos "
                f"({' x '.join(map(str, shape))}, float16, above 0); {makes}"
            )
        return Spectrum(amplitudes)

    @staticmethod
    def of(photos: Iterable[Image.Image]) -> Spectrum:
        """The mean of those of photos.

        Raises
        ------
        ValueError
            If there is no photo.

        Examples
        --------
        >>> from PIL import Image
        >>> noise = Image.effect_noise((128, 128), 60).convert("RGB")
        >>> Spectrum.of([noise]).amplitudes.shape
        (3, 12, 8)
        """
        mean, total, count = np.zeros(3), np.zeros((3, 2 * SIDE, SIDE + 1)), 0
        for photo in photos:
            one_mean, magnitude = _measured(photo)
            mean, total, count = mean + np.abs(one_mean), total + magnitude, count + 1
        if not count:
            raise WrongValue("there is no photo to take a spectrum of")
        # In a spectrum of twice the side a cycle an image is two steps.
        fy = np.fft.fftfreq(2 * SIDE)[:, None] * SIDE
        fx = np.fft.rfftfreq(2 * SIDE)[None, :] * SIDE
        radius = np.hypot(fy, fx)
        inside = (radius >= _RADII[0] / 2**0.25) & (radius <= _RADII[-1] * 2**0.25)
        angle = np.broadcast_to(np.arctan2(fy, fx), radius.shape)[inside]
        near = np.clip(radius[inside], _RADII[0], _RADII[-1])
        log = np.log(np.maximum(total[:, inside] / count, 1e-7))
        sums, weights = np.zeros((3, len(_RADII), _ANGLES)), np.zeros((len(_RADII), _ANGLES))
        for r, a, weight in _places(near, angle):
            np.add.at(weights, (r, a), weight)
            for colour in range(3):
                np.add.at(sums[colour], (r, a), weight * log[colour])
        amplitudes = np.empty((3, len(_RADII) + 1, _ANGLES))
        amplitudes[:, 0] = (mean / count)[:, None]
        amplitudes[:, 1:] = np.exp(sums / weights)
        return Spectrum(amplitudes.astype(np.float16))


def _places(
    radius: NDArray[np.float64], angle: NDArray[np.float64]
) -> list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]]:
    """The four neighbours in the polar steps, each with its weight."""
    r = 2 * np.log2(np.maximum(radius, _RADII[0]))
    a = (angle % np.pi) / np.pi * _ANGLES
    low = np.minimum(r.astype(np.intp), len(_RADII) - 2)
    left = a.astype(np.intp)
    up, right = r - low, a - left
    return [
        (low + i, (left + j) % _ANGLES, (up if i else 1 - up) * (right if j else 1 - right))
        for i in (0, 1)
        for j in (0, 1)
    ]


def _measured(photo: Image.Image) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean ``(3,)`` and amplitudes ``(3, 2 * SIDE, SIDE + 1)`` of one photo."""
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    square = photo.convert("RGB").resize(
        (SIDE, SIDE), Image.Resampling.BICUBIC, (left, top, left + side, top + side)
    )
    # Black and white, which a sigmoid never reaches, count as nearly so.
    levels = np.clip(np.asarray(square, np.float64) / 255, 1 / 64, 63 / 64)
    image = np.linalg.inv(COLOUR) @ np.log(levels / (1 - levels)).reshape(-1, 3).T
    image = image.reshape(3, SIDE, SIDE)
    # The edges of a photo are no frequencies of what it shows.
    window = np.hanning(SIDE + 1)[:-1]
    window = window[:, None] * window
    mean = (image * window).sum(axis=(1, 2), keepdims=True) / window.sum()
    waves = np.fft.rfft2((image - mean) * window, s=(2 * SIDE, 2 * SIDE))
    return mean[:, 0, 0], np.abs(waves) / np.sqrt((window**2).sum()) / SIDE


def as_spectrum(given: object) -> Spectrum:
    """The spectrum that a setting names: one, or its file.

    Raises
    ------
    TypeError, ValueError
    """
    if isinstance(given, Spectrum):
        return given
    if isinstance(given, (str, Path)):
        return Spectrum.load(given)
    raise WrongType(
        "spectrum must be what photo_spectrum(photos) returns, or the file that its save() wrote, "
        f"got {shown(given)}"
    )


@functools.cache
def natural_spectrum() -> Spectrum:
    """The one that comes with the package, of the data set ``"samples"``."""
    return Spectrum.load(_FILE)
