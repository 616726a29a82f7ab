"""What an image can be made of: the registry, entry by entry."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from neuron_widget.networks.zoo import load_model
from neuron_widget.rendering import render
from neuron_widget.rendering.augment import Augmentation, AugmentationStream
from neuron_widget.rendering.maco import MacoImage
from neuron_widget.rendering.movements import MOVEMENTS, Movements
from neuron_widget.rendering.natural import Spectrum, natural_spectrum
from neuron_widget.rendering.param import FourierImage
from neuron_widget.rendering.parameterisations import PARAMETERISATIONS, state_shapes
from neuron_widget.rendering.settings import render_settings
from neuron_widget.settings import RENDER
from neuron_widget.store import Store
from neuron_widget.targets import Channel, as_targets

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
FORMS = tuple(PARAMETERISATIONS)
every_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1)
    )
    return load_model(network, preprocess=HALF, input_size=32)


def test_the_registry_is_what_the_setting_names():
    names = [choice.name for choice in RENDER["param"].choices]
    assert names == list(PARAMETERISATIONS) == list(MOVEMENTS)


# ------------------------------------------------------------------ arrays and images


@every_form
@pytest.mark.parametrize("size", [(32, 32), (33, 33), (31, 48), (48, 31)])
@pytest.mark.parametrize("grey", [False, True])
def test_arrays_become_images(form, size, grey):
    image = PARAMETERISATIONS[form](*size, grey=grey)
    arrays = torch.stack([image.start(0, Channel("layer", n)) for n in range(3)])
    assert arrays.shape[1:] == image.shape == image.shape_for(*size)
    images = image.decode(arrays)
    assert images.shape == (3, 3, *size)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert images.std() > 1e-4
    assert (images[:, 0] == images[:, 2]).all() == grey


@every_form
def test_gradients_reach_the_array_of_the_same_image_only(form):
    image = PARAMETERISATIONS[form](16, 17)
    arrays = torch.stack([image.start(0, Channel("a", n)) for n in range(3)]).requires_grad_()
    (gradient,) = torch.autograd.grad(image.decode(arrays)[1].square().sum(), arrays)
    assert gradient[1].abs().max() > 0
    assert gradient[0].abs().max() == gradient[2].abs().max() == 0


@every_form
def test_an_image_does_not_depend_on_its_neighbours_by_a_bit(form):
    image = PARAMETERISATIONS[form](37, 37)
    arrays = torch.stack([image.start(0, Channel("a", n)) for n in range(5)])
    together = image.decode(arrays)
    for n in range(5):
        assert torch.equal(image.decode(arrays[n : n + 1])[0], together[n])


@every_form
def test_a_start_is_the_targets_and_the_seeds_own(form):
    image, who = PARAMETERISATIONS[form](16, 16), Channel("mixed4a", 5)
    before = torch.get_rng_state()
    one = image.start(0, who)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one, image.start(0, who))
    for other in ((1, who, 0), (0, Channel("mixed4a", 6), 0), (0, who, 1)):
        assert not torch.equal(one, image.start(*other))


# ------------------------------------------------------------------ renderings


@every_form
def test_a_rendering_climbs(model, form):
    how = {"size": 32, "param": form, "progress": False}
    start = render(model, "2", range(4), steps=1, **how)
    end = render(model, "2", range(4), steps=40, **how)
    assert (end.activation > start.activation).all()
    assert end.settings["param"] == form
    assert (end.alpha is not None) == PARAMETERISATIONS[form].marks_alpha


@every_form
def test_a_picture_does_not_depend_on_its_company(model, form):
    neurons, how = (3, 1, 0, 7, 9), {"size": 33, "steps": 24, "param": form, "progress": False}
    together = render(model, "2", neurons, **how)
    for order, batch_size in ((neurons[::-1], 8), (neurons, 2), (neurons[2:4], 1)):
        other = render(model, "2", order, batch_size=batch_size, **how)
        for i, neuron in enumerate(order):
            where = neurons.index(neuron)
            np.testing.assert_allclose(other.images[i], together.images[where], atol=1e-4)
            if together.alpha is not None:
                np.testing.assert_allclose(other.alpha[i], together.alpha[where], atol=1e-3)


@every_form
def test_resumed_is_as_uninterrupted(model, form):
    how = {"size": 32, "param": form, "progress": False}
    whole = render(model, "2", [3, 5], steps=20, **how)
    half = render(model, "2", [3, 5], steps=7, **how)
    resumed = render(model, "2", [3, 5], steps=20, resume=half, **how)
    np.testing.assert_array_equal(resumed.images, whole.images)
    if whole.alpha is not None:
        np.testing.assert_array_equal(resumed.alpha, whole.alpha)


@every_form
def test_a_store_finds_and_continues_it(model, form, tmp_path):
    how = {"size": 32, "param": form}
    store = Store(tmp_path)
    half = render(model, "2", 3, steps=6, progress=False, **how)
    store.put_render(model, half, keep_state=True)
    assert store.find_render(model, "2", 3, steps=6, **how) is not None
    others = [other for other in FORMS if other != form]
    for other in others:
        assert store.find_render(model, "2", 3, steps=6, size=32, param=other) is None
    begun = store.find_resumable(model, "2", 3, steps=12, **how)
    arrays = state_shapes(render_settings(model, as_targets("2", 3), how))
    for name, shape in arrays.items():
        assert getattr(begun.state.spectra, name).shape == (1, *shape)
    resumed = render(model, "2", 3, steps=12, resume=begun, progress=False, **how)
    whole = render(model, "2", 3, steps=12, progress=False, **how)
    np.testing.assert_array_equal(resumed.images, whole.images)


def test_images_of_before_are_what_they_were(model):
    """Neither their keys nor what is said of their movements changed."""
    store_free = render(model, "2", 3, steps=2, size=32, progress=False).settings
    assert store_free["augmentation"] == {
        "pad": "reflect",
        "jitter": 8,
        "scale": (0.9, 1.1),
        "rotate": 5.0,
        "jitter_after": 2,
    }
    earlier = {k: v for k, v in store_free.items() if k not in ("param", "decay", "spectrum")}
    chosen = render_settings(model, as_targets("2", 3), {"size": 32, "steps": 2})
    assert chosen.differences(earlier) == []


def test_decay_makes_coarse_waves_grow_faster():
    spectrum = torch.ones(1, 3, 32, 17, 2)
    flat, usual, steep = (
        FourierImage(32, 32, decay=decay).decode(spectrum) for decay in (0.0, 1.0, 2.0)
    )
    assert torch.equal(usual, FourierImage(32, 32).decode(spectrum))
    assert flat.std() < usual.std() < steep.std()


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"param": "furrier"}, ValueError, "unknown param 'furrier'; did you mean 'fourier'"),
        ({"param": 3}, TypeError, "param must be one of 'fourier', 'maco', 'pixel', got 3"),
        (
            {"param": "maco", "engine": "lucent"},
            ValueError,
            "use engine='fast', or param='fourier'",
        ),
        ({"param": "maco", "decay": 2}, ValueError, "decay is a setting of images with param='fou"),
        ({"decay": -1}, ValueError, "decay must be at least 0 and at most 4, such as 1; got -1"),
        ({"spectrum": natural_spectrum()}, ValueError, "leave spectrum out"),
        ({"param": "maco", "spectrum": 3}, TypeError, "spectrum must be what photo_spectrum(photo"),
        ({"param": "maco", "spectrum": "/none.npy"}, ValueError, "photo_spectrum(photos).save(fil"),
    ],
)
def test_what_is_wrong_is_told(model, given, error, says):
    with pytest.raises(error, match=re.escape(says)):
        render(model, "2", 3, size=32, steps=1, progress=False, **given)


# ------------------------------------------------------------------ MACO


@pytest.mark.parametrize("size", [32, 33])
def test_magnitudes_stay_those_of_photos(size):
    image = MacoImage(size, size)
    start = image.start(0, Channel("a", 0))[None]
    wanted = torch.from_numpy(natural_spectrum().at(size, size))
    other = torch.randn_like(start) * 3
    alone = torch.zeros(size, size // 2 + 1, dtype=torch.bool)  # frequencies without a phase
    alone[[[0], [size // 2]] if size % 2 == 0 else [[0]], [0, -1] if size % 2 == 0 else [0]] = True
    for arrays in (start, other):
        waves = image._waves(arrays)
        torch.testing.assert_close(waves.abs()[0][:, ~alone], wanted[:, ~alone])
        assert (waves.abs()[0][:, alone] <= wanted[:, alone] * (1 + 1e-6)).all()
        # They are the spectrum of a real image, so nothing is lost on the way.
        plane = torch.fft.irfft2(waves, s=(size, size), norm="ortho")
        torch.testing.assert_close(torch.fft.rfft2(plane, norm="ortho"), waves, atol=1e-4, rtol=0)


def test_the_network_sees_crops_with_noise(model):
    who = as_targets("2", [3, 4])
    moved = AugmentationStream(Augmentation.of(MOVEMENTS["maco"]), 0, who, 64, 64)
    low, high = MOVEMENTS["maco"].crop
    shares = torch.stack([m[:, :, :2].det().sqrt() for m in map(moved.matrices, range(200))])
    assert shares.min() >= low - 1e-6
    assert shares.max() <= high + 1e-6
    assert shares.max() - shares.min() > 0.9 * (high - low)
    noise = moved.noise(7)
    assert noise.shape == (2, 3, 64, 64)
    assert noise.abs().max() <= MOVEMENTS["maco"].noise
    other = AugmentationStream(Augmentation.of(MOVEMENTS["maco"]), 0, who[::-1], 64, 64)
    assert torch.equal(other.noise(7), noise.flip(0))
    assert not torch.equal(moved.noise(8), noise)
    assert AugmentationStream(Augmentation(), 0, who, 64, 64).noise(7) is None


@pytest.mark.parametrize("crop", [(0.25, 0.25), (0.5, 0.5)])
def test_a_crop_is_within_the_image_and_anywhere_in_it(crop):
    still = Augmentation(jitter=0, rotate=0.0, jitter_after=0, crop=crop)
    corners = torch.tensor([[0.0] * 6, [1.0] * 6])
    matrices = still.matrices(corners, 65, 65)
    edge = torch.tensor([[-1.0, -1.0, 1.0], [1.0, 1.0, 1.0]]).T
    seen = matrices @ edge  # where the outermost pixels are taken from
    assert seen.abs().max() <= 1 + 2 / 64
    assert seen.max() > 0.95
    assert seen.min() < -0.95


def test_alpha_says_where_the_gradient_cared(model):
    """Of a unit in the middle: nothing beyond what it can see, at any step."""
    result = render(model, "2:3@8,8", steps=8, size=32, param="maco", progress=False)
    assert result.alpha.shape == (1, 32, 32)
    assert result.alpha.max() == 1
    assert result.alpha.min() == 0
    centre, corner = result.alpha[0, 8:24, 8:24].mean(), result.alpha[0, :6, :6].mean()
    assert centre > 4 * corner


def test_movements_of_old_keys():
    assert Movements().as_dict().keys().isdisjoint({"crop", "noise", "shift"})
    assert MOVEMENTS["maco"].as_dict()["crop"] == MOVEMENTS["maco"].crop


# ------------------------------------------------------------------ spectra


def test_a_spectrum_of_photos_is_one_for_any_size():
    """A wave of so many cycles an image is as strong in a large image as in a small one."""
    small, large = natural_spectrum().at(64, 64), natural_spectrum().at(128, 128)
    np.testing.assert_allclose(large[:, 1:30, 1:30], 2 * small[:, 1:30, 1:30], rtol=1e-4)
    assert np.isfinite(large).all()
    assert (large >= 0).all()
    falls = natural_spectrum().at(224, 224)[0]
    assert falls[1, 1] > 4 * falls[8, 8] > 16 * falls[64, 64]


def test_a_picture_has_the_spectrum_that_is_given(model, tmp_path):
    flat = Spectrum(np.full((3, 12, 8), 0.02, np.float16))
    flat.save(tmp_path / "flat.npy")
    assert Spectrum.load(tmp_path / "flat.npy") == flat != natural_spectrum()
    how = {"size": 32, "steps": 4, "param": "maco", "progress": False}
    own = render(model, "2", 3, spectrum=flat, **how)
    from_file = render(model, "2", 3, spectrum=str(tmp_path / "flat.npy"), **how)
    np.testing.assert_array_equal(own.images, from_file.images)
    assert own.settings["spectrum"] == flat.key
    usual = render(model, "2", 3, **how)
    assert usual.settings["spectrum"] is None
    assert np.abs(own.images - usual.images).max() > 0.1
    store = Store(tmp_path / "store")
    store.put_render(model, own)
    asked = {name: value for name, value in how.items() if name != "progress"}
    assert store.find_render(model, "2", 3, **asked) is None
    assert store.find_render(model, "2", 3, spectrum=flat, **asked) is not None


@pytest.mark.parametrize(
    "array",
    [
        np.ones((3, 12, 8), np.float32),
        np.ones((3, 12), np.float16),
        np.zeros((3, 12, 8), np.float16),
        np.full((3, 12, 8), np.nan, np.float16),
    ],
)
def test_a_file_that_is_no_spectrum_is_refused(array, tmp_path):
    np.save(tmp_path / "other.npy", array)
    with pytest.raises(ValueError, match="holds something else than amplitudes of photos"):
        Spectrum.load(tmp_path / "other.npy")


def test_a_file_that_is_no_array_is_refused(tmp_path):
    (tmp_path / "other.npy").write_text("hello")
    with pytest.raises(ValueError, match="cannot be read"):
        Spectrum.load(tmp_path / "other.npy")
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot be read"):
        Spectrum.load(tmp_path / "pickled.npy")


COMPANY = """
import torch
from neuron_widget.rendering.parameterisations import PARAMETERISATIONS
def seen(image, arrays, towards):
    arrays = arrays.clone().requires_grad_()
    made = image.decode(arrays)
    made.backward(towards)
    return made.detach(), arrays.grad
for form, kind in PARAMETERISATIONS.items():
    image = kind(112, 112)
    arrays = torch.randn(5, *image.shape, generator=torch.Generator().manual_seed(0))
    towards = torch.randn(5, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    together = seen(image, arrays, towards)
    for few in (slice(2, 3), slice(1, 4)):
        alone = seen(image, arrays[few].contiguous(), towards[few].contiguous())
        for a, b in zip(alone, together):
            assert torch.equal(a, b[few]), (form, few, (a - b[few]).abs().max())
"""


@pytest.mark.parametrize("processor", ["AVX2", "own"])
def test_an_image_and_its_gradient_do_not_depend_on_their_company(processor: str) -> None:
    """Nor do they on a processor without AVX-512, where a single matrix has its own arithmetic."""
    smaller = {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
    }
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", COMPANY],
        env=os.environ | (smaller if processor == "AVX2" else {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
