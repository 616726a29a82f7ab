"""Several layers over the same photos: of each what a scan of it alone finds, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from neuron_widget import load_model, scan
from neuron_widget.errors import DatasetError, UnknownLayer
from neuron_widget.networks.inception import InceptionV1, preprocess
from neuron_widget.scanning import ImageDataset
from neuron_widget.scanning.several import scan_layers_steps

HOW = {"top_k": 3, "batch_size": 8, "progress": False}


def photos(count: int = 21, side: int = 40) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (side, side, 3), dtype=np.uint8) for _ in range(count)]


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5),
    )  # fmt: skip
    return load_model(module, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)


@pytest.fixture(scope="module")
def inception():
    torch.manual_seed(0)
    return load_model(InceptionV1(), preprocess=preprocess, input_size=64)


@pytest.mark.parametrize(
    ("network", "layers"),
    [
        ("tiny", ["3", "0"]),
        ("tiny", ["2", "logits", "0"]),
        ("tiny", ["4"]),
        ("inception", ["mixed4a", "mixed3a", "mixed4c"]),
        ("inception", ["conv2d1", "mixed3b"]),  # one of them has a way of its own
        ("inception", ["mixed3a", "logits"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_each_is_what_it_is_alone(request, network, layers, precision):
    model = request.getfixturevalue(network)
    some = photos()
    found = scan(model, layers, some, precision=precision, **HOW)
    assert list(found) == layers
    for layer, together in found.items():
        alone = scan(model, layer, some, precision=precision, **HOW)
        assert together.manifest() == alone.manifest()
        ours, theirs = together.tables.arrays(), alone.tables.arrays()
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            np.testing.assert_array_equal(array, theirs[name], err_msg=f"{layer} {name}")
        assert [e.path for e in together.top(1)] == [e.path for e in alone.top(1)]


def test_one_forward_pass_serves_them_all(tiny, monkeypatch):
    passes = []
    first = nn.Conv2d.forward

    def counted(self, x):
        passes.append(tuple(self.weight.shape))
        return first(self, x)

    monkeypatch.setattr(nn.Conv2d, "forward", counted)
    scan(tiny, ["0", "2", "3"], photos(8), **HOW)
    assert len(passes) == 2  # each convolution once


def test_each_photo_is_decoded_once(tiny):
    class Counted(ImageDataset):
        name, fingerprint = "counted", "x"
        read = 0

        def __len__(self) -> int:
            return 12

        def load(self, i: int):
            Counted.read += 1
            return super().load(i)

        def load_square(self, _i: int, input_size: int):
            from PIL import Image

            Counted.read += 1
            return Image.new("RGB", (input_size, input_size))

    scan(tiny, ["0", "3", "logits"], Counted(), workers=0, **HOW)
    assert Counted.read == 12


def test_stopped_it_keeps_what_it_has(tiny):
    steps = scan_layers_steps(tiny, ["0", "3"], photos(), batch_size=8)
    for now in steps:
        if now.done >= 16:
            steps.close()
    assert (now.done, now.total) == (16, 21)
    assert [one.scanned for one in now.results().values()] == [16, 16]


def test_a_layer_that_is_named_twice_is_scanned_once(tiny):
    assert list(scan(tiny, ["3", "0", "3"], photos(4), **HOW)) == ["3", "0"]


@pytest.mark.parametrize(
    ("layers", "given", "error", "told"),
    [
        ([], {}, ValueError, "there is none to scan"),
        (["0", "9"], {}, UnknownLayer, "'9'"),
        ({"0": 1}, {}, TypeError, "layers must be names of layers"),
        (["0"], {"shard": (0, 2)}, ValueError, "shard= is for a scan of one layer"),
        (["0"], {"cluster": "auto", "store": "x"}, ValueError, "a cluster scans one layer"),
        (["0"], {"batch_size": 0}, ValueError, "batch_size"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(tiny, layers, given, error, told):
    with pytest.raises(error, match=told):
        scan(tiny, layers, photos(4), **{**HOW, **given})


def test_photos_none_of_which_can_be_read(tiny, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    with pytest.raises(DatasetError, match="none of the 1 photos"):
        scan(tiny, ["0", "3"], tmp_path, **HOW)
