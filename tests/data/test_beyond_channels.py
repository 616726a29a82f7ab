"""Classes and dictionaries of a really trained network, on real photos."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from neuron_widget import learn_dictionary, load_model, open_dataset, scan
from neuron_widget.networks.answers import answers

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def model(inception_weights: Path):
    return load_model("inceptionv1", weights=inception_weights, device="cpu")


def test_names_are_those_of_the_outputs(model, test_data: Path) -> None:
    lines = (test_data / "weights" / "labels_1008.txt").read_text().splitlines()[:1008]
    ours = model.layer("logits").names
    for output in range(1, 1001):
        words = [word.strip() for word in lines[output].split(" ", 1)[1].split(",")]
        assert ours[output].split(",")[0] in words, output
    assert ours[0] == ours[1001] == ""


def test_the_strongest_class_is_the_networks_own_answer(model, photos: Path, test_data) -> None:
    dataset = open_dataset(photos / "val")
    found = scan(model, "logits", dataset, top_k=140, progress=False)
    scores = np.full((140, 1008), -np.inf)
    for output in range(1008):
        for example in found.top(output):
            scores[example.index, output] = example.score
    expected = np.load(test_data / "reference" / "val_activations.npz")["softmax_argmax"]
    assert np.array_equal(scores.argmax(axis=1), expected), "140 of 140"
    image = torch.from_numpy(np.array(dataset.load_square(0, 224))[None]).permute(0, 3, 1, 2)
    own = answers(model, image.float() / 255)[0].numpy()
    assert np.allclose(scores[0], own, atol=1e-3)
    hits = sum(
        found._photos.label(i).lower() == model.labels[best].lower()
        for i, best in enumerate(scores.argmax(axis=1))
    )
    assert hits >= 110, "88.6 % top-1: names and photos speak of the same classes"


def test_factors_of_mixed4a_are_read_as_scikit_learn_reads_them(model, photos: Path) -> None:
    learnt = learn_dictionary(model, "mixed4a", photos / "train", method="nmf", features=64,
                              num_samples=96, progress=False)  # fmt: skip
    assert learnt.facts["variance_explained"] > 0.4
    model.add_dictionary("mixed4a", learnt, name="nmf64")
    dataset = open_dataset(photos / "val")
    squares = np.stack([np.array(dataset.load_square(i, 224)) for i in range(6)])
    images = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        below, ours = (model.reader(name)(images) for name in ("mixed4a", "mixed4a/nmf64"))
    rows = below.permute(0, 2, 3, 1).reshape(-1, 508).numpy()
    decomposition = import_module("sklearn.decomposition")
    expected, *_ = decomposition.non_negative_factorization(
        rows, H=learnt.directions, n_components=len(learnt), init="custom", update_H=False,
        solver="cd", tol=0, max_iter=3000,
    )  # fmt: skip
    found = ours.permute(0, 2, 3, 1).reshape(len(rows), -1).numpy()
    assert np.abs(found - expected).max() <= 1e-3 * expected.max()
