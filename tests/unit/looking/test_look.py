"""A photo and its neurons: the numbers against the network's own, and what would change."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import Look, ScanResult, load_model, look, scan
from neuron_widget.errors import (
    DatasetError,
    ModelError,
    NeuronOutOfRange,
    NeuronWidgetError,
    UnknownLayer,
)
from neuron_widget.looking.unusual import percentiles
from neuron_widget.networks.model import VisionModel

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class Tiny(nn.Module):
    """Three layers and a classifier; the skip connection holds what ``kept`` passes on as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 5, stride=2, padding=2), nn.ReLU())
        self.kept = nn.Identity()
        self.late = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU())
        self.drop = nn.Dropout(0.5)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = self.stem(x)
        x = self.norm(self.late(self.kept(before)) + before)
        return self.head(self.drop(x).mean((2, 3)))


@pytest.fixture
def tiny() -> Tiny:
    torch.manual_seed(3)
    return Tiny().train()


@pytest.fixture
def model(tiny: Tiny) -> VisionModel:
    return load_model(tiny, preprocess=HALF, input_size=32)


def photos(n: int = 24) -> list[Image.Image]:
    noise = np.random.default_rng(0).integers(0, 256, (n, 4, 4, 3), np.uint8)
    return [Image.fromarray(x).resize((48, 40), Image.Resampling.BICUBIC) for x in noise]


@pytest.fixture
def scanned(model: VisionModel) -> ScanResult:
    return scan(model, "late", photos(), top_k=3, progress=False)


def by_hand(
    tiny: Tiny, image: Image.Image, layer: str, change: Callable[[Any], Any] | None = None
) -> tuple[Any, Any]:
    """The layer's activation, and the logits with it changed, by a hook as anybody writes it."""
    network = copy.deepcopy(tiny).eval()
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    seen = []

    def hook(_module: nn.Module, _args: Any, output: torch.Tensor) -> torch.Tensor | None:
        seen.append(output.clone())
        return None if change is None else change(output.clone())

    network.get_submodule(layer).register_forward_hook(hook)
    with torch.no_grad():
        logits = network((x - 0.5) / 0.5)
    return seen[0][0].numpy(), logits[0].numpy()


@pytest.mark.parametrize("layer", ["stem", "kept", "late", "norm", "drop"])
def test_maps_scores_and_logits_are_those_of_a_hand_written_hook(
    layer: str, tiny: Tiny, model: VisionModel
) -> None:
    found = scan(model, layer, photos(), top_k=3, progress=False)
    seen = look(model, layer, photos()[0], scan=found)
    maps, before = by_hand(tiny, seen.image, layer)
    np.testing.assert_allclose(seen.maps, maps, rtol=0, atol=1e-5)
    np.testing.assert_allclose(seen.scores, maps.mean((1, 2)), rtol=0, atol=1e-5)
    np.testing.assert_allclose(seen.map(2), maps[2], rtol=0, atol=1e-5)

    def to(level: Any) -> Callable[[Any], Any]:
        def change(output: torch.Tensor) -> torch.Tensor:
            output[:, [1, 4]] = level(output)
            return output

        return change

    mean = torch.tensor(found.mean[[1, 4]])[None, :, None, None]
    for changed, level in (
        (seen.without([1, 4]), lambda _: 0),
        (seen.without((4, 1), to="mean"), lambda _: mean),
        (seen.times([1, 4], 3), lambda output: output[:, [1, 4]] * 3),
    ):
        _, after = by_hand(tiny, seen.image, layer, to(level))
        np.testing.assert_allclose(changed.before, before, rtol=0, atol=1e-5)
        np.testing.assert_allclose(changed.after, after, rtol=0, atol=1e-5)
        assert np.abs(changed.after - changed.before).max() > 1e-3


def test_the_users_network_is_as_it_was(tiny: Tiny, model: VisionModel) -> None:
    state = {name: tensor.clone() for name, tensor in tiny.state_dict().items()}
    versions = [p._version for p in tiny.parameters()]
    seen = look(model, "late", photos()[0])
    seen.without([0])
    seen.times(1, 2)
    assert tiny.training
    assert all(not m._forward_hooks and m.training for m in tiny.modules())
    assert [p._version for p in tiny.parameters()] == versions
    assert all(torch.equal(tensor, state[name]) for name, tensor in tiny.state_dict().items())
    assert all(p.grad is None for p in tiny.parameters())
    with torch.no_grad():
        tiny.head.bias += 1
    with pytest.raises(ModelError, match=r"look is of .* changed since"):
        seen.without([0])


def test_percentiles_are_the_share_of_photos_below(model: VisionModel) -> None:
    found = scan(model, "late", photos(60), top_k=5, progress=False)
    every = np.stack([look(model, "late", photo).scores for photo in photos(60)])
    fractions = []
    for photo in (photos(60)[7], photos(60)[30], Image.new("RGB", (40, 40), "red")):
        seen = look(model, "late", photo, scan=found)
        below = (every < seen.scores - 1e-5 * np.abs(seen.scores)).mean(axis=0) * 100
        # Between the extremes within a bar of the histogram.
        bars = found.tables.edges[:, 1] - found.tables.edges[:, 0]
        beside = [(np.abs(every[:, i] - seen.scores[i]) <= bars[i]).mean() * 100 for i in range(6)]
        assert seen.percentile is not None
        fractions += (np.abs(seen.percentile - below) - beside).tolist()
    assert max(fractions) <= 1e-3
    best = look(model, "late", found.top(2)[0], scan=found)
    assert best.percentile is not None
    # 59 of 60 photos are below the best one: exact, though its score comes from another batch.
    assert best.percentile[2] == pytest.approx(100 * 59 / 60, abs=1e-3)
    assert best.strongest(1)[0].percentile == pytest.approx(best.percentile.max())


def test_what_beats_every_photo_is_ordered_by_how_far(scanned: ScanResult) -> None:
    scores = (scanned.best + np.arange(1, 7) * scanned.std).astype(np.float32)
    assert percentiles(scanned.tables, scores).tolist() == [100.0] * 6


def test_positions_are_against_what_is_usual(model: VisionModel, scanned: ScanResult) -> None:
    seen = look(model, "late", photos()[2], scan=scanned)
    firing = seen.at(3, 5, 6)
    usual = scanned.tables.quantile
    ratios = [seen.maps[f.neuron, 3, 5] / usual[f.neuron] for f in firing if f.usual]
    assert ratios == sorted(ratios, reverse=True)
    assert [f.ratio for f in firing if f.usual] == pytest.approx(ratios)
    assert {f.neuron for f in firing} == set(np.flatnonzero(seen.maps[:, 3, 5] > 0).tolist())
    raw = look(model, "late", photos()[2])
    assert raw.percentile is None
    assert [f.neuron for f in raw.at(3, 5, 6)] == np.argsort(-raw.maps[:, 3, 5])[
        : len(firing)
    ].tolist()
    assert [f.neuron for f in raw.strongest(6)] == np.argsort(-raw.scores).tolist()
    assert "raw scores" in raw.measure
    assert "24 photos of 'list'" in seen.measure


def test_five_best_classes_and_those_that_come_in(model: VisionModel) -> None:
    seen = look(model, "late", photos()[0])
    changed = seen.times(range(6), 50)
    best = changed.best(3)
    assert [c.rank_before for c in best[:3]] == [0, 1, 2]
    assert all(c.rank_before > 2 and c.rank_after < 3 for c in best[3:])
    assert {c.rank_after for c in best} >= {0, 1, 2}
    assert sum(c.before for c in changed.best(7)) == pytest.approx(1)
    assert best[0].name == f"output {best[0].output}"
    assert best[0].change == pytest.approx(best[0].after - best[0].before)
    assert seen.without([]).best(2)[0].change == 0
    assert "set to 50 times" in repr(changed)


def photo(tmp_path: Path, form: str) -> Any:
    image = photos()[0]
    image.save(tmp_path / "a.png")
    array = np.array(image)
    return {
        "path": tmp_path / "a.png",
        "text": str(tmp_path / "a.png"),
        "quoted": f"'{tmp_path / 'a.png'}'",
        "image": image,
        "bytes": (tmp_path / "a.png").read_bytes(),
        "array": array,
        "tensor": torch.from_numpy(array).permute(2, 0, 1),
        "floats": torch.from_numpy(array).permute(2, 0, 1) / 255,
    }[form]


@pytest.mark.parametrize(
    "form", ["path", "text", "quoted", "image", "bytes", "array", "tensor", "floats"]
)
def test_a_photo_comes_in_any_form(form: str, tmp_path: Path, model: VisionModel) -> None:
    seen = look(model, "late", photo(tmp_path, form))
    assert isinstance(seen, Look)
    np.testing.assert_array_equal(seen.maps, look(model, "late", photos()[0]).maps)
    assert seen.image.size == (32, 32)
    assert seen.name == ("a.png" if form in ("path", "text") else seen.name)


@pytest.mark.parametrize(
    ("asks", "kind", "text"),
    [
        (lambda m, _: look(m, "lat", photos()[0]), UnknownLayer, "did you mean 'late'"),
        (lambda m, _: look(m, "late", "/no/such.jpg"), DatasetError, "cannot be read .*a path"),
        (lambda m, _: look(m, "late", None), DatasetError, "a photo is a path.*got NoneType"),
        (lambda m, _: look(m, "late", 3), DatasetError, "got int"),
        (lambda m, _: look(m, "late", b""), DatasetError, "is empty"),
        (lambda m, _: look(m, "late", np.zeros((2, 5))), DatasetError, None),
        (lambda m, _: look(m, "late", np.full((3, 9, 9), 7.0)), DatasetError, "the photo has val"),
        (lambda m, _: look(m, "late", np.zeros((0, 9, 3))), DatasetError, "no pixels"),
        (lambda m, s: look(m, "stem", photos()[0], scan=s), ModelError, "scan is of layer late"),
        (lambda m, _: look(m, "late", photos()[0]).at(16, 0), NeuronOutOfRange, "16 rows, 0 to 15"),
        (lambda m, _: look(m, "late", photos()[0]).at(0, -1), NeuronOutOfRange, "no column -1"),
        (lambda m, _: look(m, "late", photos()[0]).map(6), NeuronOutOfRange, "0 to 5"),
        (lambda m, _: look(m, "late", photos()[0]).without(9), NeuronOutOfRange, "0 to 5"),
        (lambda m, _: look(m, "late", photos()[0]).without(1, "men"), ValueError, "'zero' or"),
        (lambda m, _: look(m, "late", photos()[0]).without(1, "mean"), ValueError, "after a scan"),
        (lambda m, _: look(m, "late", photos()[0]).times(1, np.inf), ValueError, "finite number"),
        (lambda m, _: look(m, "late", photos()[0]).strongest(0), ValueError, "n must be"),
    ],
)
def test_what_cannot_be_says_why(
    asks: Any, kind: type[Exception], text: str | None, model: VisionModel, scanned: ScanResult
) -> None:
    if text is None:
        assert asks(model, scanned).image.size == (32, 32)  # a grey picture of 2 x 5 is a photo
        return
    with pytest.raises(kind, match=text):
        asks(model, scanned)


class NoClasses(Tiny):
    def forward(self, x: torch.Tensor) -> Any:
        return {"maps": self.late(self.stem(x))}


class Many(Tiny):
    def forward(self, x: torch.Tensor) -> Any:
        return (super().forward(x), None)


def test_outputs_are_found_or_their_absence_told() -> None:
    many = load_model(Many().eval(), preprocess=HALF, input_size=32)
    assert look(many, "late", photos()[0]).without(1).before.shape == (7,)
    none = load_model(NoClasses().eval(), preprocess=HALF, input_size=32)
    with pytest.raises(NeuronWidgetError, match=r"gives a dict for 1 image.*no number for each"):
        look(none, "late", photos()[0]).without(1)
