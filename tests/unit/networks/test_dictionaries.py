"""Dictionaries: how they are read, added, saved; and what is wrong with some."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import nn

from neuron_widget import Dictionary, load_model, look, render, scan
from neuron_widget.errors import DictionaryError, StoreError, UnknownLayer
from neuron_widget.networks.encoders import SparseAutoencoder
from neuron_widget.scanning import ScanResult
from neuron_widget.store import Store

HALF = ((0.5,) * 3, (0.25,) * 3)
RNG = np.random.default_rng(0)
ROWS = np.abs(RNG.normal(size=(5, 8))).astype(np.float32)
SIGNED = RNG.normal(size=(5, 8)).astype(np.float32)
OFFSET = RNG.normal(size=8).astype(np.float32)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 4),
    )  # fmt: skip


@pytest.fixture
def model():
    return load_model(network(), preprocess=HALF, input_size=32)


def photos(count: int = 12) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(count)]


class TopK(nn.Module):
    """Somebody's top-k autoencoder, which gives what overcomplete's give."""

    def __init__(self, k=2, *, pair=False):
        super().__init__()
        torch.manual_seed(3)
        self.linear, self.k, self.pair = nn.Linear(8, 6), k, pair

    def encode(self, x):
        pre = self.linear(x)
        top, where = pre.relu().topk(self.k, dim=1)
        latents = torch.zeros_like(pre).scatter(1, where, top)
        return (pre, latents) if self.pair else latents

    def forward(self, _x):
        raise AssertionError("encode() is called")


class Plain(nn.Module):
    """Somebody's encoder of one line."""

    def __init__(self, bias=0.0):
        super().__init__()
        torch.manual_seed(3)
        self.linear = nn.Linear(8, 6)
        nn.init.constant_(self.linear.bias, bias)

    def forward(self, x):
        return self.linear(x).relu()


def nnls(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    from scipy.optimize import nnls as solve

    return np.stack([solve(rows.T.astype(float), one.astype(float))[0] for one in wanted])


READINGS = {
    "product": (lambda: Dictionary(SIGNED), lambda a: a @ SIGNED.T),
    "offset": (lambda: Dictionary(SIGNED, offset=OFFSET), lambda a: (a - OFFSET) @ SIGNED.T),
    "non-negative": (lambda: Dictionary(ROWS, non_negative=True), lambda a: nnls(ROWS, a)),
    "encoder": (
        lambda: Dictionary(encoder=TopK(), channels=8),
        lambda a: TopK().encode(torch.from_numpy(a)).detach().numpy(),
    ),
    "pair": (
        lambda: Dictionary(encoder=TopK(pair=True), channels=8),
        lambda a: TopK().encode(torch.from_numpy(a)).detach().numpy(),
    ),
}


@pytest.mark.parametrize("name", READINGS)
def test_how_it_is_read(name: str) -> None:
    make, expected = READINGS[name]
    dictionary = make()
    activation = np.abs(np.random.default_rng(2).normal(size=(3, 8, 4, 5))).astype(np.float32)
    found = dictionary.read(torch.from_numpy(activation))
    assert found.shape == (3, len(dictionary), 4, 5)
    rows = activation.transpose(0, 2, 3, 1).reshape(-1, 8)
    wanted = expected(rows).reshape(3, 4, 5, -1).transpose(0, 3, 1, 2)
    assert np.abs(found.detach().numpy() - wanted).max() < 1e-4 * np.abs(wanted).max()
    each = dictionary.read_each(torch.from_numpy(activation), torch.tensor([2, 0, 2]))
    assert torch.allclose(each[:, 0], found[[0, 1, 2], [2, 0, 2]], atol=1e-4)
    assert dictionary.signed == (name in ("product", "offset"))


def test_the_gradient_of_a_non_negative_feature_is_that_of_the_solution() -> None:
    dictionary = Dictionary(ROWS, non_negative=True)
    base = torch.from_numpy(np.abs(np.random.default_rng(5).normal(size=(1, 8, 2, 2)))).float()
    weights = torch.randn((1, 5, 2, 2), generator=torch.Generator().manual_seed(0)).abs()
    base.requires_grad_()
    f = dictionary.read(base)
    on = (f.detach() > 1e-3).float()  # of features that are open
    (f * weights * on).sum().backward()
    for place in ((0, 0, 0, 0), (0, 3, 1, 1), (0, 7, 0, 1)):
        ends = []
        for step in (1e-3, -1e-3):
            moved = base.detach().double().numpy().copy()
            moved[place] += step
            rows = moved.transpose(0, 2, 3, 1).reshape(-1, 8)
            own = nnls(ROWS, rows).reshape(1, 2, 2, 5).transpose(0, 3, 1, 2)
            ends.append(float((own * weights.numpy() * on.numpy()).sum()))
        assert np.isclose(base.grad[place], (ends[0] - ends[1]) / 2e-3, rtol=0.05, atol=1e-2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Dictionary(encoder=Plain(bias=-100.0), channels=8),
        lambda: Dictionary(encoder=TopK(k=1), channels=8),
        lambda: Dictionary(encoder=TopK(k=1, pair=True), channels=8),
        lambda: Dictionary(np.eye(8)[:2], non_negative=True),
    ],
    ids=["relu", "top-k", "pair", "non-negative"],
)
def test_a_dead_feature_can_wake_up(make) -> None:
    dictionary = make()
    activation = torch.from_numpy(np.broadcast_to(ROWS[0][:, None, None], (1, 8, 2, 2)).copy())
    if dictionary.reading == "non-negative":
        activation = activation - activation[:, :1] - 1
    activation.requires_grad_()
    found = dictionary.read(activation)
    dead = int((found.detach() == 0).all(dim=-1).all(dim=-1)[0].nonzero()[0])
    (gradient,) = torch.autograd.grad(-found[0, dead].sum(), activation)
    assert gradient.abs().max() > 0
    far = activation - 1e4 * gradient / gradient.norm()
    assert dictionary.read(far.detach())[0, dead].sum() > 0, "it climbs until the feature opens"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Dictionary(np.zeros((2, 3, 4))), "directions must be (features, channels)"),
        (lambda: Dictionary(np.zeros((0, 8))), "have no row"),
        (lambda: Dictionary([[1.0, np.nan], [1, 1]]), "NaN or infinity in 1 of its 2 rows"),
        (lambda: Dictionary([[1.0, 1], [0, 0]]), "row 1 is all 0"),
        (lambda: Dictionary(ROWS, offset=[1, 2]), "offset is (2,), expected one number a channel"),
        (lambda: Dictionary(), "needs directions"),
        (lambda: Dictionary(encoder=Plain()), "pass channels="),
        (lambda: Dictionary(encoder=Plain(), channels=9), "fails on activations (7, 9)"),
        (lambda: Dictionary(encoder=Plain(), channels=8, offset=OFFSET), "does that itself"),
        (lambda: Dictionary(ROWS, encoder=Plain()), "expected (6, 8)"),
        (
            lambda: Dictionary(encoder=nn.AvgPool1d(2), channels=8),
            None,  # half as wide is a dictionary, too: 4 features
        ),
        (
            lambda: Dictionary(encoder=Halves(), channels=8),
            "gives 3 rows of latents for 7 positions",
        ),
        (lambda: Dictionary(encoder=Fails(), channels=8), "ZeroDivisionError"),
        (lambda: Dictionary(encoder=Nan(), channels=8), "gives NaN or infinity"),
        (lambda: Dictionary(encoder=nn.Unflatten(1, (2, 4)), channels=8), "(7, 2, 4)"),
    ],
)
def test_what_is_no_dictionary(make, says: str | None) -> None:
    if says is None:
        assert len(make()) == 4
        return
    with pytest.raises(DictionaryError, match=re.escape(says)):
        make()


class Halves(nn.Module):
    def forward(self, x):
        return x[: len(x) // 2]


class Fails(nn.Module):
    def forward(self, x):
        return x / (1 // 0)


class Nan(nn.Module):
    def forward(self, x):
        return x * float("nan")


def test_added_it_is_a_layer(model, tmp_path) -> None:
    info = model.add_dictionary("1", Dictionary(ROWS, non_negative=True), name="nmf5")
    assert str(info) == "LayerInfo(name='1/nmf5', channels=5, height=15, width=15)"
    assert (info.word, info.signed) == ("feature", False)
    assert [x.name for x in model.menu][-2:] == ["1/nmf5", "logits"]
    assert model.add_dictionary("1", Dictionary(ROWS, non_negative=True), name="nmf5") == info
    found = scan(model, "1/nmf5", photos(), top_k=2, progress=False)
    assert len(found.top(3)) == 2
    assert found.top("1/nmf5:3")[0].activation_map().shape == (15, 15)
    assert found.top(3)[0].crop().size[0] < 32, "a feature sees what a unit of its layer sees"
    made = render(model, "1/nmf5", [0, 3], steps=6, size=32, progress=False)
    assert made.activation.shape == (2,)
    alone = render(model, "1/nmf5:3", steps=6, size=32, progress=False)
    assert np.array_equal(made.images[1], alone.images[0])
    # In a store, under its content.
    store = Store(tmp_path)
    store.put_render(model, made)
    store.put_scan(model, found)
    assert store.find_render(model, "1/nmf5:3", steps=6, size=32) is not None
    other = load_model(network(), preprocess=HALF, input_size=32)
    other.add_dictionary("1", Dictionary(ROWS[:, ::-1], non_negative=True), name="nmf5")
    assert store.find_render(other, "1/nmf5:3", steps=6, size=32) is None
    # On disk: another dictionary of that name is told.
    file = found.save(tmp_path / "scan.safetensors")
    assert ScanResult.load(file).dead == found.dead
    with pytest.raises(StoreError, match="dictionary of that name is another"):
        ScanResult.load(file, other)
    # A feature is switched off: what is left of the activation stays as it was.
    seen = look(model, "1/nmf5", photos()[0], scan=found)
    assert not np.allclose(seen.without(seen.strongest(1)[0].neuron).after, seen.without(()).after)


def test_pictures_of_features_grow(model) -> None:
    for name, dictionary in {
        "pca": Dictionary(SIGNED, offset=OFFSET),
        "sae": Dictionary(encoder=TopK(), channels=8),
    }.items():
        model.add_dictionary("1", dictionary, name=name)
        few, many = (
            render(model, f"1/{name}:1", steps=n, size=32, progress=False, seed=1).activation[0]
            for n in (1, 48)
        )
        assert many > few, name


@pytest.mark.parametrize(
    ("add", "error", "says"),
    [
        (lambda m: m.add_dictionary("1", Dictionary(ROWS[:, :7]), name="x"), DictionaryError,
         "reads 7 channels, and layer 1 has 8"),
        (lambda m: m.add_dictionary("1", Dictionary(ROWS, layer="0"), name="x"), DictionaryError,
         "is of layer 0, and was to be added to 1"),
        (lambda m: m.add_dictionary("1", Dictionary(ROWS, model="other-1"), name="x"),
         DictionaryError, "was learnt on other-1"),
        (lambda m: m.add_dictionary("1", Dictionary(ROWS), name="a/b"), DictionaryError,
         "letters, digits"),
        (lambda m: m.add_dictionary("1", Dictionary(SIGNED), name="there"), DictionaryError,
         "'there-2'"),
        (lambda m: m.add_dictionary("1/there", Dictionary(ROWS[:, :5]), name="x"),
         DictionaryError, "is a dictionary itself"),
        (lambda m: m.add_dictionary("1", ROWS, name="x"), TypeError, "expected a Dictionary"),
        (lambda m: m.layer("1/their"), UnknownLayer, "did you mean '1/there'"),
        (lambda _: load_model(network(), preprocess=HALF, input_size=32).layer("1/nmf"),
         UnknownLayer, "model.add_dictionary('1', dictionary, name='nmf')"),
    ],
)  # fmt: skip
def test_what_cannot_be_added(model, add, error: type[Exception], says: str) -> None:
    model.add_dictionary("1", Dictionary(ROWS), name="there")
    with pytest.raises(error, match=re.escape(says)):
        add(model)


def test_the_users_encoder_is_never_touched() -> None:
    encoder = Plain().train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    dictionary = Dictionary(encoder=encoder, channels=8)
    activation = torch.rand(1, 8, 3, 3, requires_grad=True)
    dictionary.read(activation).sum().backward()
    assert encoder.training
    assert all(p.grad is None and p.requires_grad for p in encoder.parameters())
    assert all(torch.equal(before[n], v) for n, v in encoder.state_dict().items())
    first = dictionary.read(activation).detach()
    nn.init.zeros_(encoder.linear.weight)  # trained on, meanwhile
    assert torch.equal(dictionary.read(activation).detach(), first)
    assert dictionary.key != Dictionary(encoder=encoder, channels=8).key


def autoencoder() -> SparseAutoencoder:
    net = SparseAutoencoder(8, 6, 2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    return net


@pytest.mark.parametrize(
    ("make", "encoder"),
    [
        (lambda **how: Dictionary(SIGNED, offset=OFFSET, **how), None),
        (lambda **how: Dictionary(ROWS, non_negative=True, **how), None),
        (lambda **how: Dictionary(encoder=autoencoder(), **how), None),
        (lambda **how: Dictionary(encoder=Plain(), channels=8, **how), Plain),
    ],
    ids=["product", "non-negative", "autoencoder", "own encoder"],
)
def test_saved_and_loaded(make, encoder, tmp_path) -> None:
    own = {"layer": "1", "model": "net-1", "facts": {"method": "x", "l0": 2.5}}
    dictionary = make(**own)
    path = dictionary.save(tmp_path / "d.safetensors")
    if encoder is not None:
        with pytest.raises(DictionaryError, match="holds the weights of an encoder Plain, and no"):
            Dictionary.load(path)
        with pytest.raises(DictionaryError, match="do not fit"):
            Dictionary.load(path, nn.Linear(2, 2))
    found = Dictionary.load(path, encoder() if encoder else None)
    activation = torch.rand(2, 8, 3, 3)
    with torch.no_grad():
        assert torch.equal(found.read(activation), dictionary.read(activation))
    assert (found.layer, found.model, found.facts) == ("1", "net-1", own["facts"])
    assert (found.key, repr(found)) == (dictionary.key, repr(dictionary))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-3]), "torn"),
        (lambda path: path.write_bytes(b"nothing"), "not a safetensors file"),
        (lambda path: path.unlink(), "cannot read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x7f"), "changed"),
    ],
)
def test_a_file_that_is_none(change, says: str, tmp_path) -> None:
    path = Dictionary(ROWS).save(tmp_path / "d.safetensors")
    change(path)
    with pytest.raises(StoreError, match=says):
        Dictionary.load(path)


def test_a_file_of_another_kind(model, tmp_path) -> None:
    with pytest.raises(StoreError, match="saved as safetensors"):
        Dictionary(ROWS).save(tmp_path / "d.npz")
    other = scan(model, "1", photos(), progress=False).save(tmp_path / "scan.safetensors")
    with pytest.raises(StoreError, match="it is a scan"):
        Dictionary.load(other)
