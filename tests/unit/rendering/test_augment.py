"""The random movements: the right geometry, one for each image, the same in any company."""

from __future__ import annotations

import pytest
import torch

from neuron_widget.rendering.augment import Augmentation, AugmentationStream, warp
from neuron_widget.targets import as_targets

STILL = (0.5, 0.5, 0.5, 0.5, 0.5, 0.5)  # the middle of every range


def move(draws, height=9, width=9, **ranges):
    settings = {"jitter": 1, "scale": (1.0, 1.0), "rotate": 0.0, "jitter_after": 1, **ranges}
    return Augmentation(**settings).matrices(torch.tensor([draws]), height, width)


def picture(height=9, width=9):
    return torch.arange(float(height * width)).view(1, 1, height, width)


def test_middle_of_every_range_changes_nothing():
    matrices = Augmentation().matrices(torch.tensor([STILL]), 12, 20)
    image = torch.rand(1, 3, 12, 20)
    torch.testing.assert_close(warp(image, matrices), image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("key", ["jitter", "jitter_after"])
def test_jitter_moves_whole_pixels_and_reflects(key):
    # A window of 5 positions is 2 pixels either way.
    place = 0 if key == "jitter" else 4
    draws = list(STILL)
    draws[place] = 1.0
    image = picture()
    moved = warp(image, move(tuple(draws), **{key: 5}))
    torch.testing.assert_close(moved[..., 2:], image[..., :-2], atol=1e-4, rtol=0)
    reflected = image[..., [2, 1]]
    torch.testing.assert_close(moved[..., :2], reflected, atol=1e-4, rtol=0)


def test_scale_is_about_the_centre():
    image = picture()
    larger = warp(image, move((0.5, 0.5, 1.0, 0.5, 0.5, 0.5), scale=(0.5, 2.0)))
    assert larger[0, 0, 4, 4] == pytest.approx(image[0, 0, 4, 4].item(), abs=1e-4)
    # Twice as large: one pixel from the centre shows what was half a pixel from it.
    assert larger[0, 0, 4, 5] == pytest.approx(image[0, 0, 4, 4].item() + 0.5, abs=1e-4)


@pytest.mark.parametrize(("height", "width"), [(9, 9), (9, 13)])
def test_rotation_keeps_angles_in_images_that_are_not_square(height, width):
    image = picture(height, width)
    turned = warp(image, move((0.5, 0.5, 0.5, 1.0, 0.5, 0.5), height, width, rotate=90.0))
    y, x = height // 2, width // 2
    # Clockwise: what was left of the centre is now above it, what was above is right of it.
    assert turned[0, 0, y - 1, x] == pytest.approx(image[0, 0, y, x - 1].item(), abs=1e-3)
    assert turned[0, 0, y, x + 1] == pytest.approx(image[0, 0, y - 1, x].item(), abs=1e-3)


def test_ranges_are_the_seeds():
    stream = AugmentationStream(Augmentation(), 0, as_targets("mixed4a", range(200)), 224, 224)
    matrices = torch.cat([stream.matrices(step) for step in range(20)])
    scale = 1 / matrices[:, :, :2].det().sqrt()
    angle = torch.rad2deg(torch.atan2(matrices[:, 0, 1], matrices[:, 0, 0]))
    shift = matrices[:, :, 2] * 223 / 2
    assert 0.9 <= scale.min() < 0.905
    assert 1.095 < scale.max() <= 1.1001
    assert -5.001 <= angle.min() < -4.9
    assert 4.9 < angle.max() <= 5.001
    # Half of 7 pixels before, half of 1 after (enlarged by at most 1 / 0.9).
    assert 3.4 < shift.abs().max() <= 3.5 + 0.5 * 1.1 / 0.9
    assert scale.mean().item() == pytest.approx(1.0, abs=0.01)


def test_movements_do_not_depend_on_the_batch_or_on_the_way_there():
    def stream(neurons):
        return AugmentationStream(Augmentation(), 7, as_targets("layer", neurons), 64, 64)

    alone, together, back = stream([5]), stream([3, 5, 9]), stream([9, 5])
    for step in (0, 1, 63, 64, 200):
        expected = alone.matrices(step)[0]
        assert torch.equal(together.matrices(step)[1], expected)
        assert torch.equal(back.matrices(step)[1], expected)
        assert torch.equal(stream([5]).matrices(step)[0], expected)
    assert not torch.equal(together.matrices(0)[0], together.matrices(0)[1])
    assert not torch.equal(alone.matrices(0), alone.matrices(64))


def test_gradient_flows_and_shape_stays():
    stream = AugmentationStream(Augmentation(), 0, as_targets("layer", [0, 1]), 15, 22)
    image = torch.rand(2, 3, 15, 22, requires_grad=True)
    moved = warp(image, stream.matrices(0))
    assert moved.shape == image.shape
    (gradient,) = torch.autograd.grad(moved.sum(), image)
    assert gradient.sum().item() == pytest.approx(2 * 3 * 15 * 22, rel=1e-4)
