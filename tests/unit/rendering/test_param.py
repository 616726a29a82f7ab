"""The Fourier parameterisation: lucent's images, and starts that depend on nothing else."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest
import torch

from neuron_widget.rendering.param import START_SD, FourierImage, generator_for
from neuron_widget.targets import Channel, Unit


def lucents_image(shape, spectrum):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lucent.optvis.param.color import to_valid_rgb
        from lucent.optvis.param.spatial import fft_image
    params, image_f = fft_image(shape)
    with torch.no_grad():
        # Odd widths: lucent keeps one column more, which its inverse transform never uses.
        params[0][..., : spectrum.shape[-2], :] = spectrum
    return to_valid_rgb(image_f, decorrelate=True)()


@pytest.mark.parametrize("size", [(32, 32), (33, 33), (31, 48), (48, 31), (224, 224)])
def test_images_are_lucents(size):
    image = FourierImage(*size)
    spectrum = torch.stack([image.start(0, Channel("layer", n)) for n in range(2)]) * 30
    theirs = lucents_image((2, 3, *size), spectrum)
    ours = image.decode(spectrum)
    assert ours.shape == (2, 3, *size)
    assert ours.std() > 0.05
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=0)


def test_gradients_reach_the_spectrum_of_the_same_image_only():
    image = FourierImage(16, 17)
    spectrum = torch.stack([image.start(0, Channel("a", n)) for n in range(3)]).requires_grad_()
    (gradient,) = torch.autograd.grad(image.decode(spectrum)[1].square().sum(), spectrum)
    assert gradient[1].abs().max() > 0
    assert gradient[0].abs().max() == gradient[2].abs().max() == 0


def test_start_is_small_noise():
    start = FourierImage(64, 64).start(0, Channel("mixed4a", 5))
    assert start.shape == (3, 64, 33, 2)
    assert start.std().item() == pytest.approx(START_SD, rel=0.03)


@pytest.mark.parametrize(
    "other",
    [
        ("augment", 0, Channel("mixed4a", 5), 0),
        ("start", 1, Channel("mixed4a", 5), 0),
        ("start", 0, Channel("mixed4b", 5), 0),
        ("start", 0, Channel("mixed4a", 6), 0),
        ("start", 0, Unit("mixed4a", 5, 0, 0), 0),
        ("start", 0, Channel("mixed4a", 5), 1),
    ],
)
def test_each_image_and_purpose_has_its_own_numbers(other):
    one = torch.rand(4, generator=generator_for("start", 0, Channel("mixed4a", 5)))
    again = torch.rand(4, generator=generator_for("start", 0, Channel("mixed4a", 5)))
    assert torch.equal(one, again)
    assert not torch.equal(one, torch.rand(4, generator=generator_for(*other)))


def test_numbers_are_the_same_in_another_process():
    code = (
        "from neuron_widget.rendering.param import generator_for;"
        "from neuron_widget.targets import parse;"
        "print(generator_for('start', 3, parse('mixed4a:68')).initial_seed())"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert int(out) == generator_for("start", 3, Channel("mixed4a", 68)).initial_seed()
    assert int(out) == 3473205589627332879


def test_global_generator_is_not_touched():
    before = torch.get_rng_state()
    FourierImage(16, 16).start(0, Channel("a", 0))
    assert torch.equal(before, torch.get_rng_state())
