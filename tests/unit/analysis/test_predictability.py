"""A machine plays the quiz: fair questions, words where there are none, nothing done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import load_model, predictability, render, scan, stability
from neuron_widget.analysis import predicting
from neuron_widget.analysis.embedding import Embedding
from neuron_widget.analysis.judging import Judge, Standard
from neuron_widget.analysis.observers import open_observer
from neuron_widget.analysis.predicting import predictability_steps
from neuron_widget.errors import DatasetError, ModelError
from neuron_widget.networks.model import VisionModel
from neuron_widget.scanning import ImageDataset, ScanResult
from neuron_widget.scanning.tables import Ranks
from neuron_widget.store import Store

PHOTOS, NEURONS, CLASSES = 160, 12, 8
HOW: dict[str, Any] = {"references": 3, "questions": 20, "progress": False}


class Coloured(ImageDataset):
    """Photos of one colour each, with a little noise, of as many classes as asked for."""

    name = "colours"
    fingerprint = "colours"

    def __init__(self, photos: int = PHOTOS, classes: int = CLASSES, copies: bool = False):
        self._photos, self._classes, self._copies = photos, classes, copies
        self.fingerprint = f"colours {photos} {classes} {copies}"
        self.loaded: list[int] = []

    def __len__(self) -> int:
        return self._photos

    def load(self, i: int) -> Image.Image:
        self.loaded.append(i)
        numbers = np.random.default_rng(0 if self._copies else i)
        noise = numbers.normal(0, 8, (48, 48, 3))
        return Image.fromarray((numbers.uniform(20, 230, 3) + noise).clip(0, 255).astype(np.uint8))

    def label(self, i: int) -> str:
        return f"class {i % self._classes}"


@pytest.fixture(scope="module")
def model() -> VisionModel:
    """Each neuron is a colour; neuron 0 is dead."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, NEURONS, 3), nn.ReLU())
    with torch.no_grad():
        net[0].weight -= net[0].weight.mean(dim=(2, 3), keepdim=True)
        net[0].weight += torch.randn(NEURONS, 3, 1, 1)
        net[0].bias += 3
        net[0].weight[0], net[0].bias[0] = 0, -1
    return load_model(net, preprocess=((0.5,) * 3, (0.25,) * 3), input_size=32)


def colour(images: torch.Tensor) -> torch.Tensor:
    """An observer that sees colours."""
    return images.mean(dim=(2, 3))


@pytest.fixture(scope="module")
def found(model: VisionModel) -> ScanResult:
    return scan(model, "1", Coloured(), progress=False)


def test_colours_are_predicted_and_a_dead_neuron_is_told(found: ScanResult) -> None:
    told = predictability(found, observer=colour, store=False, **HOW)
    share = told.share()
    assert np.isnan(share[0])
    assert told.reason_of(0) == "it never fires on these photos"
    assert np.nanmin(share[1:]) > 0.8
    assert (told.pairs()[1:] == 20 * 20).all()
    assert 0 <= np.nanmin(told.error()) <= np.nanmax(told.error()) < 0.2
    assert np.nanmean(told.share("photo")) > 0.8
    assert np.isnan(told.share("image")).all()
    assert told.reason == told.note == ""


def test_each_question_is_the_quizs_own(found: ScanResult) -> None:
    """Only photos of the first and last ranks are looked at, references before the others."""
    ranks = {side: found.tables.ranked(side).index for side in ("top", "bottom")}
    assert ranks["top"].shape == (NEURONS, 59)
    assert np.array_equal(ranks["top"][:, :9], found.tables.top.index)
    looked: list[int] = []
    photos = found._photos
    assert isinstance(photos, Coloured)
    photos.loaded.clear()
    predictability(found, observer=colour, store=False, **HOW)
    looked = sorted(set(photos.loaded))
    asked = np.unique(np.concatenate([side[:, :23] for side in ranks.values()], axis=None))
    assert looked == asked.tolist()


def _ranks(scores: np.ndarray, k: int) -> tuple[Ranks, Ranks]:
    up = np.argsort(scores, axis=1, kind="stable")
    down = np.argsort(-scores, axis=1, kind="stable")
    sides = [Ranks(o[:, :k], np.take_along_axis(scores, o, 1)[:, :k]) for o in (down, up)]
    return sides[0], sides[1]


@pytest.mark.parametrize("what", ["random vectors", "shuffled scores"])
def test_who_knows_nothing_is_right_in_half_of_the_pairs(what: str) -> None:
    numbers = np.random.default_rng(0)
    photos, neurons = 560, 400
    vectors = numbers.normal(size=(photos, 32)).astype(np.float32)
    scores = (vectors @ numbers.normal(size=(32, neurons)).astype(np.float32)).T
    if what == "random vectors":
        vectors = numbers.normal(size=(photos, 32)).astype(np.float32)
    else:
        scores = numbers.permuted(scores, axis=1)
    judge = Judge(
        Embedding(np.arange(photos), vectors),
        *_ranks(scores, 29),
        lambda i: i,
        photos=photos,
        references=9,
        questions=20,
    )
    image = numbers.normal(size=32).astype(np.float32)
    answers = [judge.answers(n, image) for n in range(neurons)]
    for condition in ("photos", "photo", "both"):
        share = np.mean([a.shares[condition].share for a in answers])
        assert share == pytest.approx(0.5, abs=0.01)


def test_the_standard_error_is_what_repetitions_show() -> None:
    numbers = np.random.default_rng(0)
    shares, errors = [], []
    for _ in range(200):
        scores = numbers.normal(size=(1, 100))
        seen = scores[0] + numbers.normal(0, 2.5, 100)
        vectors = np.stack([np.cos(seen), np.sin(seen)], 1).astype(np.float32)
        judge = Judge(
            Embedding(np.arange(100), vectors),
            *_ranks(scores, 25),
            lambda i: i,
            photos=100,
            references=5,
            questions=20,
        )
        one = judge.answers(0).shares["photos"]
        shares.append(one.share)
        errors.append(one.error)
    # The references differ from repetition to repetition too: the error is of the questions.
    assert 0.5 < np.sqrt(np.mean(np.square(errors))) / np.std(shares) < 1.1


@pytest.mark.parametrize(
    ("photos", "says"),
    [
        (Coloured(40), "40 photos are too few for fair questions.*116 would do"),
        (Coloured(classes=1), "of one class, 'class 0'"),
        (Coloured(copies=True), "copies of one another"),
    ],
    ids=["forty", "one class", "copies"],
)
def test_there_are_words_where_no_question_is_fair(
    model: VisionModel, photos: ImageDataset, says: str
) -> None:
    told = predictability(
        scan(model, "1", photos, progress=False), observer=colour, store=False, progress=False
    )
    if told.reason:
        assert np.isnan(told.share()).all()
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(told.reason)
    assert told.reason_of(3) == told.reason
    assert told.rows()[3]["reason"] == told.reason


def test_copies_are_no_references() -> None:
    """Ten photos, ten times each: who knows the copies alone is asked nothing about them."""
    numbers = np.random.default_rng(0)
    vectors = np.repeat(numbers.normal(size=(10, 16)), 10, axis=0).astype(np.float32)
    scores = np.repeat(numbers.normal(size=(1, 10)), 10, axis=1) + numbers.normal(0, 1e-6, (1, 100))
    judge = Judge(
        Embedding(np.arange(100), vectors),
        *_ranks(scores, 25),
        lambda i: i,
        photos=100,
        references=9,
        questions=5,
    )
    assert "copies" in judge.answers(0).reason


def test_scores_that_are_no_numbers_are_told(found: ScanResult) -> None:
    numbers = np.random.default_rng(0)
    scores = numbers.normal(size=(1, 60))
    top, bottom = _ranks(scores, 25)
    top.score[0, 20:] = -np.inf
    judge = Judge(
        Embedding(np.arange(60), numbers.normal(size=(60, 4)).astype(np.float32)),
        top,
        bottom,
        lambda i: i,
        photos=60,
        references=5,
        questions=20,
    )
    assert judge.answers(0).reason == "its scores are not numbers"


def test_every_photo_is_looked_at_once_and_a_stop_keeps_what_was_seen(
    model: VisionModel, tmp_path: Path
) -> None:
    """The embedded network, a store, a generator closed half way, and one that goes on."""
    photos = Coloured()
    found = scan(model, "1", photos, progress=False)
    store = Store(tmp_path)
    how = {"references": 3, "questions": 20, "store": store}
    steps = predictability_steps(found, **how)
    photos.loaded.clear()
    for now in steps:
        if now.done:
            steps.close()
    seen = set(photos.loaded)
    assert seen
    photos.loaded.clear()
    steps = predictability_steps(found, **how)
    totals = [now.total for now in steps]
    assert not seen & set(photos.loaded)
    photos.loaded.clear()
    again = predictability(found, progress=False, **how)
    assert photos.loaded == []
    assert totals[-1] > 0
    assert again.observer == "EfficientNet-Lite0"
    # A torn file is no vectors.
    (file,) = (tmp_path / "v1" / "vectors").rglob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[-5] ^= 255
    file.write_bytes(data)
    third = predictability(found, progress=False, **how)
    assert np.allclose(third.share(), again.share(), equal_nan=True)
    assert photos.loaded


def test_rendered_images_are_references_too(model: VisionModel, found: ScanResult) -> None:
    images = render(model, "1", [1, 2], steps=16, size=32, progress=False)
    told = predictability(found, observer=colour, rendered=images, store=False, **HOW)
    assert np.flatnonzero(np.isfinite(told.share("image"))).tolist() == [1, 2]
    plain = predictability(found, observer=colour, store=False, **HOW)
    later = plain.with_images({1: images.images[0], 2: images.images[1]})
    assert np.allclose(later.share("both"), told.share("both"), equal_nan=True)
    assert np.allclose(later.share(), plain.share(), equal_nan=True)
    other = render(model, "0", [1], steps=1, size=32, progress=False)
    with pytest.raises(ValueError, match="rendered= is of 0"):
        predictability(found, rendered=other, store=False, progress=False)


def test_a_scan_that_kept_too_few_photos_is_made_once_more(
    model: VisionModel, tmp_path: Path
) -> None:
    photos = Coloured()
    found = scan(model, "1", photos, progress=False)
    bare = {n: a for n, a in found.tables.arrays().items() if not n.startswith("further")}
    old = ScanResult.from_manifest((found.manifest(), bare), model, photos)
    assert old.tables.further_top is None
    tasks = {now.task for now in predictability_steps(old, observer=colour, store=tmp_path)}
    assert tasks == {"scan", "look"}
    told = predictability(old, observer=colour, store=tmp_path, progress=False)
    same = predictability(found, observer=colour, store=False, progress=False)
    assert np.allclose(told.share(), same.share(), equal_nan=True)
    saved = found.save(tmp_path / "found.safetensors")
    again = ScanResult.load(saved, model)
    assert np.array_equal(again.tables.ranked("bottom").index, found.tables.ranked("bottom").index)
    with pytest.raises(DatasetError, match=r"dataset= to ScanResult.load"):
        predictability(again, store=False, progress=False)


def test_a_network_is_not_judged_by_itself_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = load_model("efficientnet_lite0")
    monkeypatch.setenv("NEURON_WIDGET_WEIGHTS", "/nowhere")
    own, note = open_observer(None, shown)
    assert own.name in note
    assert "judges itself" in note
    assert "judges itself" in open_observer("efficientnet_lite0", shown)[1]
    other = load_model(nn.Sequential(nn.Conv2d(3, 4, 3)), preprocess=((0,) * 3, (1,) * 3))
    observer, note = open_observer(None, other)
    assert (observer.name, note) == ("EfficientNet-Lite0", "")
    assert observer(torch.rand(2, 3, 64, 64)).shape == (2, sum(observer.parts))


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({"observer": "dreamsin"}, ModelError, "did you mean 'dreamsim'"),
        ({"observer": 3}, TypeError, "got 3"),
        ({"observer": lambda x: x.mean()}, ModelError, "expected one vector for each"),
        ({"references": 0}, ValueError, "references"),
        ({"questions": "many"}, (TypeError, ValueError), "questions"),
    ],
)
def test_bad_arguments(
    found: ScanResult, arguments: dict[str, Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        predictability(found, store=False, progress=False, **arguments)


def test_the_words_for_a_layer(found: ScanResult) -> None:
    told = predictability(found, observer=colour, store=False, **HOW)
    assert "11 neurons, right in" in repr(told)
    assert "chance is 50%" in told.summary()
    assert told.rows()[0]["reason"]
    assert -1 <= told.reliability() <= 1
    with pytest.raises(ValueError, match="expected photos, most, photo, image, both"):
        told.share("picture")
    assert predicting.NEAR_CHANCE == 0.6
    assert told.near_chance(1) is False  # unknown is not near chance
    pandas = pytest.importorskip("pandas")
    assert isinstance(told.to_frame(), pandas.DataFrame)
    both = told.to_frame(found)
    assert {"best", "dead", "photos", "photos_error", "image", "pairs"} <= set(both.columns)


def test_vectors_that_differ_by_rounding_alone_are_alike() -> None:
    one = np.ones((9, 4), np.float32) * 3
    assert Standard(one + np.float32(1e-6) * np.arange(9, dtype=np.float32)[:, None]).alike
    assert not Standard(one + np.arange(9, dtype=np.float32)[:, None]).alike


def test_pictures_of_one_neuron_are_alike_and_noise_is_not(model: VisionModel) -> None:
    def colour_of(images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))

    how: dict[str, Any] = {"steps": 32, "size": 32, "store": False, "progress": False}
    told = stability(model, "1", range(1, 8), observer=colour_of, **how)
    assert told.neurons == tuple(range(1, 8))
    assert told.seeds == (0, 1, 2)
    assert told.share.mean() > 0.9
    numbers = torch.Generator().manual_seed(0)

    def noise(images: torch.Tensor) -> torch.Tensor:
        return torch.randn((len(images), 64), generator=numbers)

    many = stability(model, "1", range(NEURONS), observer=noise, seeds=range(6), **how)
    assert many.share.mean() == pytest.approx(0.5, abs=0.05)
    with pytest.raises(ValueError, match="two seeds at least"):
        stability(model, "1", [1, 2], seeds=(3, 3))
