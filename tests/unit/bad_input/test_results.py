"""Wrong use of what functions return, of files, networks, data sets, and of a closed widget."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import save as save_tensors
from torch import nn
from torch.utils.data import Dataset

from neuron_widget import ScanResult, load_model, render, scan
from neuron_widget.store import Store

NEURON: list[tuple[Any, str]] = [
    (6, "0 to 5; there is no neuron 6"),
    (-1, "there is no neuron -1"),
    (10**9, "there is no neuron 1000000000"),
    (1.5, "got 1.5"),
    (math.nan, "got nan"),
    (None, "got None"),
    (True, "got True"),
    ("1", "cannot read '1' as a target; expected"),
    ("0:1", "another layer; expected a neuron of 2"),
    ("2:1@0,0", "single unit.*neuron is 2:1"),
    (("2", 9), "no neuron 9"),
    ([1], r"got \[1\]"),
]
COUNT: list[tuple[Any, str]] = [
    (-1, "k must be of at least 0, got -1"),
    (1.5, "k must be an integer.*got 1.5"),
    ("3", "k must be an integer.*got '3'"),
    (True, "got True"),
    (math.nan, "got nan"),
]
IMAGE: list[tuple[Any, str]] = [
    (2, "2 images, 0 to 1; there is no image 2"),
    (-3, "there is no image -3"),
    (10**9, "there is no image 1000000000"),
    (1.5, "got 1.5"),
    ("0", "got '0'"),
    (None, "got None"),
    (True, "got True"),
]
PATH: list[tuple[Any, str]] = [
    (None, "must be a path.*got None"),
    (3, "must be a path.*got 3"),
    ("", "must be a path.*got ''"),
    (b"bytes", "must be a path.*got b'bytes'"),
    ("a\0b.safetensors", "null character"),
    ("~nobody-of-this-name/x", "home of nobody"),
    ("x" * 5000, r"5,000 characters.*expected a path"),
]
METHODS: list[tuple[str, Callable[[Any, Any], object], list[tuple[Any, str]]]] = [
    *(
        (f"scan.{name}", lambda t, v, name=name: getattr(t.found, name)(v), NEURON)
        for name in ("top", "bottom", "maps", "histogram", "quantile")
    ),
    ("scan.top k", lambda t, v: t.found.top(0, v), COUNT),
    ("scan.bottom k", lambda t, v: t.found.bottom(0, v), COUNT),
    ("scan.top_labels", lambda t, v: t.found.top_labels(v), COUNT),
    (
        "scan.square",
        lambda t, v: t.found.square(v),
        [(6, "6"), (-1, "-1"), ("0", "'0'"), (1.5, "1.5")],
    ),
    (
        "scan.to_frame",
        lambda t, v: t.found.to_frame(v),
        [("photo", "did you mean 'photos'"), (3, "3")],
    ),
    ("scan.save", lambda t, v: t.found.save(v), [*PATH, ("scan.pkl", r"scan\.safetensors")]),
    (
        "scan.load",
        lambda _t, v: ScanResult.load(v),
        [*PATH, ("no.safetensors", "no.safetensors"), (".", r"\.")],
    ),
    ("render.to_pil", lambda t, v: t.rendered.to_pil(v), IMAGE),
    ("render.picture", lambda t, v: t.rendered.picture(v), IMAGE),
    (
        "render.save",
        lambda t, v: t.rendered.save(v),
        [*PATH, ("x.webp", "x.webp"), ("x.jpg", "x.jpg")],
    ),
    (
        "model.layer",
        lambda t, v: t.model.layer(v),
        [("conv", "no layer 'conv'"), (3, "3"), (None, "None")],
    ),
    ("model.check_neurons", lambda t, v: t.model.check_neurons("2", v), NEURON[:7]),
    ("Store", lambda _t, v: Store(v), PATH),
    (
        "widget.save_figure",
        lambda t, v: t.widget.save_figure(v),
        [*PATH[:5], ("x.xyz", "no format 'xyz'")],
    ),
    ("widget.to_html", lambda t, v: t.widget.to_html(v), [*PATH, ("x.txt", "ending in .html")]),
    (
        "widget.to_html max_bytes",
        lambda t, v: t.widget.to_html(t.file("w.html"), max_bytes=v),
        [("25MB", "max_bytes.*'25MB'"), (0, "got 0"), (True, "got True"), (1.5, "got 1.5")],
    ),
    (
        "widget.to_html neurons",
        lambda t, v: t.widget.to_html(t.file("w.html"), neurons=v),
        [*NEURON[:5], ([], "no neuron"), (["1"], "got '1'")],
    ),
    (
        "widget.to_html title",
        lambda t, v: t.widget.to_html(t.file("w.html"), title=v),
        [(3, "title.*3")],
    ),
    (
        "widget.wait",
        lambda t, v: t.widget.wait(v),
        [("60", "got '60'"), (True, "got True"), ([], r"got \[\]"), (math.nan, "nan"), (-1, "-1")],
    ),
    (
        "widget.scan",
        lambda t, v: t.widget.scan(v, wait=True),
        [
            (3, "3"),
            ("sampels", "did you mean 'samples'"),
            ("/no/such", "'/no/such'"),
            ([], "empty|no photo"),
        ],
    ),
    ("widget.layer", lambda t, v: setattr(t.widget, "layer", v), [("9", "no layer '9'")]),
    (
        "widget.neuron",
        lambda t, v: setattr(t.widget, "neuron", v),
        [(9, "no neuron 9"), (-1, "neuron -1")],
    ),
    (
        "widget.steps",
        lambda t, v: setattr(t.widget, "steps", v),
        [(0, "steps must.*got 0"), (10**6, "1000000")],
    ),
    (
        "widget.target",
        lambda t, v: setattr(t.widget, "target", v),
        [("2:9", "neuron 9"), ("x", "cannot|names")],
    ),
    *(
        (f"closed.{name}", lambda t, _v, call=call: call(t.closed), [(None, "closed")])
        for name, call in {
            "render": lambda w: w.render(),
            "render wait": lambda w: w.render(wait=True),
            "scan": lambda w: w.scan(),
            "scan wait": lambda w: w.scan(wait=True),
            "wait": lambda w: w.wait(),
            "snapshot": lambda w: w.snapshot(),
            "save_figure": lambda w: w.save_figure("x.png"),
            "to_html": lambda w: w.to_html("x.html"),
        }.items()
    ),
]


@pytest.mark.parametrize(
    ("call", "value", "said"),
    [
        pytest.param(call, value, said, id=re.sub(r" at 0x.*", "", f"{name} {value!r:.30}"))
        for name, call, values in METHODS
        for value, said in values
    ],
)
def test_a_method_tells_what_is_wrong(
    call: Callable[[Any, Any], object],
    value: Any,
    said: str,
    things: Any,
    refused: Callable[..., None],
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(lambda: call(things, value), said)
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------ files of weights


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def traced() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(nn.ReLU(), torch.zeros(1)), buffer)
    return buffer.getvalue()


TENSORS = {"weight": torch.zeros(40, 40)}
WEIGHTS: list[tuple[str, Callable[[], bytes], str]] = [
    ("empty.pth", lambda: b"", "0 bytes.*empty"),
    ("text.pth", lambda: b"no weights at all", "other than tensors"),
    ("page.pth", lambda: b"<!doctype html><p>Sign in", "web page"),
    ("pointer.pth", lambda: b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ("keras.h5", lambda: b"\x89HDF\r\n", "HDF5"),
    ("packed.pth", lambda: b"\x1f\x8b\x08", "gzip"),
    ("program.pth", traced, "TorchScript"),
    ("cut.pth", lambda: saved(TENSORS)[:900], "truncated or damaged"),
    ("cut.safetensors", lambda: save_tensors(TENSORS)[:300], "truncated or damaged"),
    ("huge.safetensors", lambda: b"\xff" * 8 + b"{}", "truncated or damaged"),
    ("number.pth", lambda: saved(3), "holds a int"),
    ("names.pth", lambda: saved({"a": 1}), "holds a dict"),
    ("code.pth", lambda: saved(nn.ReLU()), "could run code"),
    ("other.pth", lambda: saved(TENSORS), "weights of another network"),
    ("other.safetensors", lambda: save_tensors(TENSORS), "weights of another network"),
]


@pytest.mark.parametrize(("file", "content", "said"), WEIGHTS, ids=[w[0] for w in WEIGHTS])
def test_a_file_that_is_no_weights_is_told(
    file: str,
    content: Callable[[], bytes],
    said: str,
    tmp_path: Any,
    refused: Callable[..., None],
) -> None:
    (tmp_path / file).write_bytes(content())
    refused(lambda: load_model("inceptionv1", weights=tmp_path / file), file, said)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/no/such.pth", "/no/such.pth"),
        (".", r"'\.'"),
        ("", "got ''"),
        ("~nobody-of-this/x", "nobody"),
        ("a\0b", "null"),
        (3, "got 3"),
        (["x"], r"got \['x'\]"),
    ],
)
@pytest.mark.parametrize("name", ["efficientnet_lite0", "inceptionv1"])
def test_a_path_that_is_no_file_of_weights(
    name: str, path: Any, said: str, refused: Callable[..., None]
) -> None:
    refused(lambda: load_model(name, weights=path), said)


# ------------------------------------------------------------------ networks and data sets


class Raising(nn.Module):
    """A layer whose pass raises what torch raises."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ torch.zeros(3, 5)


class Photos(Dataset):
    """A data set of one kind of item."""

    def __init__(self, item: Any):
        self.item = item

    def __len__(self) -> int:
        return 3

    def __getitem__(self, i: int) -> Any:
        if isinstance(self.item, Exception):
            raise self.item
        return self.item


ITEMS: list[tuple[Any, str]] = [
    (None, "None|NoneType"),
    (3, "int"),
    ("photo", "str"),
    ({}, "dict"),
    (torch.zeros(3), r"shape|\(3,\)"),
    (torch.zeros(7, 8, 8), r"\(7, 8, 8\)"),
    (torch.full((3, 8, 8), 200.0), "200.*255"),
    (torch.full((3, 8, 8), -1.0), "Normalize"),
    (torch.full((3, 8, 8), math.nan), "nan|finite"),
    (torch.zeros(3, 8, 8, dtype=torch.complex64), "complex"),
    (torch.zeros(3, 0, 8), r"\(3, 0, 8\)"),
    (KeyError("image"), "image"),
    (RuntimeError("mat"), "own code.*expected a photo"),
]


@pytest.mark.parametrize(("item", "said"), ITEMS, ids=[f"{i!r:.40}" for i, _ in ITEMS])
def test_an_item_that_is_no_photo(
    item: Any, said: str, things: Any, refused: Callable[..., None]
) -> None:
    refused(lambda: scan(things.model, "2", Photos(item), progress=False), said)


NETWORKS: list[tuple[nn.Module, str]] = [
    (nn.Sequential(nn.Linear(4, 4)), "cannot be run on images.*input_size="),
    (nn.Sequential(nn.Conv2d(5, 4, 3)), "5"),
    (nn.Sequential(nn.Conv2d(3, 4, 3), Raising()), "cannot be run on images.*input_size="),
    (nn.Sequential(nn.Conv2d(3, 4, 64)), "64|32"),
    (nn.Identity(), "no layer|convolution"),
]


@pytest.mark.parametrize(("module", "said"), NETWORKS, ids=str)
def test_a_network_that_cannot_be_read(
    module: nn.Module, said: str, refused: Callable[..., None]
) -> None:
    def read() -> object:
        model = load_model(module, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
        return render(model, model.default_layer, 0, steps=1, size=32, progress=False)

    refused(read, said)
