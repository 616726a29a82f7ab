"""The spectrum of photos: the one that comes with the package, and one's own."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from neuron_widget.analysis.photo_spectrum import photo_spectrum
from neuron_widget.rendering.natural import SIDE, Spectrum, natural_spectrum


def test_the_one_that_comes_with_the_package_is_that_of_the_samples():
    made = photo_spectrum("samples")
    # Photos may be decoded and resized a little otherwise by other versions.
    np.testing.assert_allclose(
        made.amplitudes.astype(float), natural_spectrum().amplitudes.astype(float), rtol=0.02
    )


def test_waves_are_found_where_they_are():
    """8 cycles a photo from left to right, in grey."""
    x = np.arange(SIDE) / SIDE
    wave = np.broadcast_to(np.sin(2 * np.pi * 8 * x), (SIDE, SIDE))
    photo = Image.fromarray((127.5 + 80 * wave).astype(np.uint8))
    found = Spectrum.of([photo]).amplitudes.astype(float)
    colour, radius, angle = np.unravel_index(found[:, 1:].argmax(), found[:, 1:].shape)
    assert (colour, radius, angle) == (0, 6, 0)  # 2 ** (6 / 2) cycles
    magnitudes = Spectrum.of([photo]).at(SIDE, SIDE)[0]
    assert np.unravel_index(magnitudes[:, 1:].argmax(), magnitudes[:, 1:].shape) == (0, 7)


def test_no_photo_is_an_error():
    with pytest.raises(ValueError, match="no photo"):
        Spectrum.of([])


def test_photos_that_cannot_be_read_are_left_out(tmp_path):
    Image.effect_noise((64, 64), 60).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no photo")
    one = photo_spectrum(tmp_path)
    (tmp_path / "b.png").unlink()
    assert one == photo_spectrum(tmp_path)
    (tmp_path / "a.png").write_bytes(b"no photo")
    with pytest.raises(ValueError, match="none of the 1 photos can be read"):
        photo_spectrum(tmp_path)
