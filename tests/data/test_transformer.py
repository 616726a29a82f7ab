"""A real vision transformer: what a scan finds in its tokens is what timm's own reading gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision import transforms

from neuron_widget import load_model, render, scan
from neuron_widget.networks.model import VisionModel
from neuron_widget.scanning import ScanResult

pytestmark = pytest.mark.data
NAME, LAYER = "vit_small_patch14_dinov2", 8


@pytest.fixture(scope="module")
def weights(test_data: Path) -> Path:
    path = test_data / "weights" / f"{NAME}.safetensors"
    if not path.is_file():
        pytest.skip(f"{path} is not there: no weights of a transformer")
    return path


@pytest.fixture(scope="module")
def model(weights: Path) -> VisionModel:
    return load_model(f"timm/{NAME}", weights=weights, device="cpu")


@pytest.fixture(scope="module")
def found(model: VisionModel, photos: Path) -> ScanResult:
    return scan(model, f"blocks.{LAYER}", photos, split="val", progress=False)


@pytest.fixture(scope="module")
def reference(weights: Path, photos: Path) -> tuple[np.ndarray, np.ndarray]:
    """Means of the patches ``(140, 384)`` and class tokens, by timm and torchvision alone."""
    module = timm.create_model(NAME, pretrained=False, dynamic_img_size=True).eval()
    module.load_state_dict({name: value.float() for name, value in load_file(weights).items()})
    prepare = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    means, tokens = [], []
    for path in sorted((photos / "val").glob("*/*.JPEG")):
        image = prepare(Image.open(path).convert("RGB"))[None]
        with torch.inference_mode():
            ((maps, prefix),) = module.forward_intermediates(
                image, indices=[LAYER], intermediates_only=True, return_prefix_tokens=True
            )
        means.append(maps[0].mean(dim=(1, 2)).numpy())
        tokens.append(prefix[0, 0].numpy())
    return np.stack(means), np.stack(tokens)


def test_it_is_known_how_it_gives_its_tokens(model: VisionModel) -> None:
    info = model.layer(f"blocks.{LAYER}")
    assert (info.channels, info.height, info.width, info.kind) == (384, 16, 16, "tokens")
    assert model.image_size(80, info.name) == 84
    assert model.layer(f"blocks.{LAYER}.cls").kind == "token"


def test_means_agree(found: ScanResult, reference: tuple[np.ndarray, np.ndarray]) -> None:
    expected = reference[0]
    assert len(expected) == found.scanned == 140
    spread = expected.std(0)
    assert (np.abs(found.mean - expected.mean(0)) / spread).max() < 1e-3
    np.testing.assert_allclose(found.std, spread, rtol=1e-3)


@pytest.mark.parametrize("side", ["top", "bottom"])
def test_top_nine_agree(
    found: ScanResult, reference: tuple[np.ndarray, np.ndarray], side: str
) -> None:
    sign = -1 if side == "top" else 1
    expected = np.argsort(sign * reference[0], axis=0, kind="stable")[:9].T
    index = getattr(found.tables, side).index[:, :9]
    assert np.array_equal(np.sort(index, axis=1), np.sort(expected, axis=1))


def test_class_tokens_agree(
    model: VisionModel, photos: Path, reference: tuple[np.ndarray, np.ndarray]
) -> None:
    tokens = scan(model, f"blocks.{LAYER}.cls", photos, split="val", top_k=9, progress=False)
    expected = reference[1]
    assert (np.abs(tokens.mean - expected.mean(0)) / expected.std(0)).max() < 1e-3
    best = np.sort(np.argsort(-expected, axis=0, kind="stable")[:9].T, axis=1)
    assert np.array_equal(np.sort(tokens.tables.top.index[:, :9], axis=1), best)


def test_a_picture_is_seen_where_it_was_made_for(model: VisionModel) -> None:
    result = render(model, f"blocks.{LAYER}", [3, 40], steps=48, size=112, progress=False)
    image = torch.from_numpy(result.images).movedim(-1, 1)
    with torch.no_grad():
        seen = model.reader(f"blocks.{LAYER}")(image).mean(dim=(2, 3))
    assert np.allclose(seen[[0, 1], [3, 40]], result.activation, atol=1e-2)
    strange = seen[0].argsort(descending=True)[:5]
    assert 3 in strange.tolist()
