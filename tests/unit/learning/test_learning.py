"""Dictionaries that are learnt from photos, in one pass."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import Dictionary, learn_dictionary, load_model, open_dataset
from neuron_widget.errors import DatasetError, DictionaryError
from neuron_widget.learning import learn_steps, methods

HALF = ((0.5,) * 3, (0.25,) * 3)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 10, 5, stride=4), nn.ReLU(), nn.Conv2d(10, 6, 1))
    return load_model(net, preprocess=HALF, input_size=32)


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    smooth = [rng.integers(0, 255, (3, 3, 3), dtype=np.uint8) for _ in range(60)]
    return open_dataset([np.kron(a, np.ones((16, 16, 1), np.uint8)) for a in smooth])


def activations(model, photos, layer: str) -> np.ndarray:
    """Of all photos, ``(positions, C)`` float64."""
    with torch.no_grad():
        squares = np.stack([np.array(photos.load_square(i, 32)) for i in range(len(photos))])
        images = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255
        found = model.reader(layer)(images)
    return found.permute(0, 2, 3, 1).reshape(-1, found.shape[1]).double().numpy()


def test_principal_components_are_exact(model, photos) -> None:
    found = learn_dictionary(model, "2", photos, method="pca", features=4, batch_size=7,
                             progress=False)  # fmt: skip
    rows = activations(model, photos, "2")
    values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
    assert np.allclose(found.offset, rows.mean(axis=0), atol=1e-5)
    for i in range(4):
        assert abs(found.directions[i] @ vectors[:, -1 - i]) > 1 - 1e-6
    share = values[::-1][:4] / values.sum()
    assert np.allclose(found.facts["variance_of"], share, atol=1e-6)
    assert found.signed
    assert (found.layer, found.model) == ("2", model.identity)


def test_factors_are_those_of_scikit_learn(model, photos) -> None:
    found = learn_dictionary(model, "1", photos, method="nmf", features=4, progress=False)
    assert found.directions.min() >= 0
    assert found.facts["variance_explained"] > 0.5
    rows = activations(model, photos, "1").astype(np.float32)
    decomposition = import_module("sklearn.decomposition")
    expected, *_ = decomposition.non_negative_factorization(
        rows, H=found.directions, n_components=len(found), init="custom", update_H=False,
        solver="cd", tol=0, max_iter=3000,
    )  # fmt: skip
    activation = torch.from_numpy(rows.T[None, :, :, None].copy())
    ours = found.read(activation)[0, :, :, 0].numpy().T
    assert np.abs(ours - expected).max() <= 1e-3 * expected.max()


def test_an_autoencoder_explains_what_is_sparse() -> None:
    """Known directions are found again."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(24, 16)).astype(np.float32)
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    learner = methods.METHODS["sae"](16, 24, 0, "x")
    for _ in range(32):
        codes = (rng.random((2048, 24)) < 0.08) * rng.uniform(1, 2, (2048, 24))
        learner.take(torch.from_numpy((codes @ truth).astype(np.float32)))
    rows = Dictionary(**learner.parts()).directions
    best = np.abs(rows @ truth.T).max(axis=0)
    assert np.mean(best > 0.9) > 0.7, best


@pytest.mark.parametrize("method", ["pca", "nmf", "sae"])
def test_stopped_and_gone_on_from_it_is_the_same(model, photos, method: str) -> None:
    how = {"method": method, "features": 4, "batch_size": 8}
    whole = learn_dictionary(model, "1", photos, **how, progress=False)
    steps = learn_steps(model, "1", photos, **how)
    for now in steps:
        if now.done >= 24:
            break
    steps.close()
    half = now.result()
    assert half.facts["photos"] == 24
    assert half.facts["of"] == 60
    again = learn_dictionary(model, "1", photos, **how, resume=half, progress=False)
    assert again.key == whole.key
    assert again.facts == whole.facts


def test_interrupted_it_returns_what_is_there(model, photos, monkeypatch) -> None:
    calls = []

    def interrupt(self, rows):
        calls.append(len(rows))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return take(self, rows)

    take = methods.Pca.take
    monkeypatch.setattr(methods.Pca, "take", interrupt)
    found = learn_dictionary(model, "1", photos, features=3, batch_size=8, progress=False)
    assert found.facts["photos"] == 16


@pytest.mark.parametrize("method", ["pca", "nmf", "sae"])
def test_figures_of_fit(model, photos, method: str) -> None:
    facts = learn_dictionary(model, "1", photos, method=method, features=8, progress=False).facts
    assert 0.3 < facts["variance_explained"] <= 1
    assert 0 < facts["l0"] <= 8
    assert 0 <= facts["dead"] <= 8
    assert facts["positions"] > 0
    assert (facts["photos"], facts["of"], facts["method"]) == (60, 60, method)


@pytest.mark.parametrize(
    ("layer", "how", "error", "says"),
    [
        ("2", {"method": "nmf"}, DictionaryError, "has activations below 0"),
        ("1", {"features": 11}, DictionaryError, "features must be at most 10"),
        ("1", {"features": 0}, ValueError, "features"),
        ("1", {"method": "ncf"}, ValueError, "did you mean 'nmf'"),
        ("1", {"num_samples": 0}, ValueError, "num_samples"),
        ("11", {}, ValueError, "no layer '11'"),
    ],
)
def test_what_cannot_be_learnt(model, photos, layer, how, error, says: str) -> None:
    with pytest.raises(error, match=re.escape(says)):
        learn_dictionary(model, layer, photos, **{"features": 4, **how}, progress=False)


def test_without_photos_or_scikit_learn(model, photos, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    with pytest.raises(DatasetError):
        learn_dictionary(model, "1", tmp_path, features=3, progress=False)

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(methods, "import_module", missing)
    with pytest.raises(methods.LearningNeeds, match="pip install scikit-learn"):
        learn_dictionary(model, "1", photos, method="nmf", features=3, progress=False)


def test_activations_that_do_not_vary_make_a_dictionary_too(model, tmp_path: Path) -> None:
    """Of copies of one grey: no direction explains anything."""
    copies = [Image.new("RGB", (24, 24), "grey")] * 6
    found = learn_dictionary(model, "1", copies, method="pca", features=2, progress=False)
    assert max(found.facts["variance_of"]) < 1.0 + 1e-6
    assert found.save(tmp_path / "grey.safetensors").is_file()


def test_a_result_goes_on_with_its_own_arguments_alone(model, photos) -> None:
    found = learn_dictionary(model, "1", photos, features=3, progress=False)
    with pytest.raises(ValueError, match="another layer, network, data set"):
        learn_dictionary(model, "1", photos, features=4, resume=found, progress=False)
    with pytest.raises(ValueError, match="cannot be gone on from"):
        learn_dictionary(model, "1", photos, resume=Dictionary(np.eye(10)), progress=False)
