"""An image that begins as a photo, and is held near it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import load_model, render
from neuron_widget.errors import DatasetError
from neuron_widget.networks.model import VisionModel
from neuron_widget.rendering import RenderResult
from neuron_widget.rendering.parameterisations import PARAMETERISATIONS
from neuron_widget.rendering.settings import BEGINS_ANYWHERE
from neuron_widget.rendering.start import as_start
from neuron_widget.store import Store

HOW = {"size": 48, "precision": "float32", "progress": False}


@pytest.fixture(scope="module")
def model() -> VisionModel:
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("first", nn.Conv2d(3, 4, 5, stride=2))
    net.add_module("relu", nn.ReLU())
    net.add_module("second", nn.Conv2d(4, 6, 3))
    return load_model(net, preprocess=((0.5,) * 3, (0.25,) * 3), input_size=48)


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """Wider than high, with black, white and all colours."""
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((96, 72), Image.Resampling.BICUBIC)


def apart(result: RenderResult, photo: Image.Image) -> float:
    """Mean difference to the photo's square, of levels 0..1."""
    return float(np.abs(result.images[0] - as_start(photo).at(48)).mean())


@pytest.mark.parametrize("param", sorted(PARAMETERISATIONS))
@pytest.mark.parametrize("size", [48, 47])
def test_every_form_begins_as_the_photo_or_says_that_it_cannot(
    param: str, size: int, model: VisionModel, photo: Image.Image
) -> None:
    image = PARAMETERISATIONS[param](size, size)
    wanted = torch.from_numpy(as_start(photo).at(size).copy()).permute(2, 0, 1)
    if param in BEGINS_ANYWHERE:
        found = image.decode(image.encode(wanted)[None])[0]
        # Black and white are a little less so: pure ones could not change any more.
        assert (found - wanted.clamp(0.01, 0.99)).abs().max() < 1e-4
        return
    with pytest.raises(NotImplementedError):
        image.encode(wanted)
    with pytest.raises(ValueError, match=rf"param='{param}' cannot begin from a photo.*'fourier'"):
        render(model, "second:1", steps=1, param=param, start=photo, **HOW)


@pytest.mark.parametrize("param", BEGINS_ANYWHERE)
def test_a_distance_keeps_an_image_near_its_photo(
    param: str, model: VisionModel, photo: Image.Image
) -> None:
    begin = render(model, "second:1", steps=1, lr=1e-6, start=photo, param=param, **HOW)
    assert apart(begin, photo) < 0.01
    far, near = (
        render(model, target, steps=24, start=photo, param=param, **HOW)
        for target in ("second:1", "second:1 - 0.3*distance(first)")
    )
    noise = render(model, "second:1", steps=24, param=param, **HOW)
    assert apart(near, photo) < 0.7 * apart(far, photo)
    assert not np.array_equal(noise.images, far.images)
    read = model.reader("second")

    def fires(result: RenderResult) -> float:
        with torch.no_grad():
            maps = read(torch.from_numpy(result.images).permute(0, 3, 1, 2))
        return float(maps[0, 1].mean())

    assert fires(far) > fires(near) > fires(begin)


def test_the_value_is_measured_on_the_clean_image(model: VisionModel, photo: Image.Image) -> None:
    text = "second:1 - 3*distance(first) - 2*distance(image)"
    made = render(model, text, steps=6, start=photo, **HOW)
    image = torch.from_numpy(made.images).permute(0, 3, 1, 2)
    first = torch.from_numpy(as_start(photo).at(48).copy()).permute(2, 0, 1)[None]

    def share(now: torch.Tensor, then: torch.Tensor) -> torch.Tensor:
        return ((now - then).square().mean() / then.square().mean()).sqrt()

    with torch.no_grad():
        early, late = model.reader("first"), model.reader("second")
        wanted = late(image)[0, 1].mean()
        wanted -= 3 * share(early(image), early(first)) + 2 * share(image, first)
    assert made.activation[0] == pytest.approx(float(wanted), rel=1e-3)


def test_what_it_begins_from_is_a_part_of_the_result(
    model: VisionModel, photo: Image.Image, tmp_path: Path
) -> None:
    from neuron_widget.store.reuse import render_steps

    store, file = Store(tmp_path), tmp_path / "photo.png"
    photo.save(file)
    turned = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)

    def made(start: object) -> RenderResult:
        how = {**HOW, "start": start}
        del how["progress"]
        work = render_steps(store, model, "second:1", steps=4, **how)
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value

    results = [made(start) for start in (photo, file, np.asarray(photo), turned, None)]
    # Read back, pictures have 8 bits.
    pixels = [(result.images * 255).round().tobytes() for result in results]
    # Of one photo there is one picture, whatever form it was given in.
    assert pixels[0] == pixels[1] == pixels[2]
    assert len(set(pixels)) == 3
    assert len(list(tmp_path.rglob("*.webp"))) == 3
    more = render(model, "second:1", steps=8, start=file, resume=results[0], **HOW)
    whole = render(model, "second:1", steps=8, start=photo, **HOW)
    assert np.array_equal(more.images, whole.images)
    with pytest.raises(ValueError, match="start"):
        render(model, "second:1", steps=8, start=turned, resume=results[0], **HOW)


@pytest.mark.parametrize(
    ("target", "how", "error", "words"),
    [
        ("second:1 - distance(first)", {}, ValueError, "begins from noise: say start=PHOTO"),
        (
            "second:1 - distance(first) - 9*diversity(first) [2 images]",
            {},
            ValueError,
            "start=PHOTO",
        ),
        ("second:1 - distance(frist)", {"start": "PHOTO"}, ValueError, "first"),
        ("distance(image)", {"start": "PHOTO"}, ValueError, "speaks of the picture alone"),
        ("second:1", {"start": 3}, DatasetError, "a photo is a path"),
        ("second:1", {"start": "nowhere.png"}, DatasetError, "nowhere.png"),
        ("second:1", {"start": b"no photo"}, DatasetError, "photo"),
        ("second:1", {"start": "PHOTO", "engine": "lucent"}, ValueError, "begins from noise only"),
    ],
)
def test_what_cannot_be_is_told_before_work_begins(
    target: str,
    how: dict[str, object],
    error: type[Exception],
    words: str,
    model: VisionModel,
    photo: Image.Image,
) -> None:
    given = {**how, "start": photo} if how.get("start") == "PHOTO" else how
    with pytest.raises(error, match=words):
        render(model, target, steps=1, **{**HOW, **given})
