"""Weights in the forms in which people save them, and what is refused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from neuron_widget import load_model
from neuron_widget.errors import WeightsRefused
from neuron_widget.networks.checkpoints import fit
from neuron_widget.networks.inception import InceptionV1, lucent_name

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(5)
    return dict(timm.create_model("resnet10t").state_dict())


def prefixed(state: State, prefix: str) -> State:
    return OrderedDict((f"{prefix}{name}", value) for name, value in state.items())


def other_tensors(state: State) -> State:
    return {"criterion.weight": torch.zeros(3), "n_averaged": torch.tensor(4)}


FORMS: dict[str, Callable[[State], Any]] = {
    "plain": dict,
    "data parallel": lambda s: prefixed(s, "module."),
    "compiled": lambda s: prefixed(s, "_orig_mod."),
    "compiled in parallel": lambda s: prefixed(s, "module._orig_mod."),
    "compiled inside": lambda s: {
        name.replace("layer1.", "layer1._orig_mod."): value for name, value in s.items()
    },
    "averaged": lambda s: {"n_averaged": torch.tensor(3), **prefixed(s, "module.")},
    "state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "model_state_dict": lambda s: {"model_state_dict": s, "optimizer_state_dict": {"state": {}}},
    "model": lambda s: {"model": s, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}},
    "ema": lambda s: {"ema": prefixed(s, "module."), "epoch": 3},
    "model and ema": lambda s: {"ema": {k: v * 2 for k, v in s.items()}, "model": s},
    "lightning": lambda s: {
        "state_dict": {**prefixed(s, "model."), **other_tensors(s)},
        "pytorch-lightning_version": "2.5",
        "hyper_parameters": {"lr": 0.1},
    },
    "backbone of another": lambda s: {
        **prefixed(s, "backbone."), "head.fc.weight": torch.zeros(3, 3),
    },
    "deep": lambda s: {"state": {"model": prefixed(s, "net.backbone.")}},
    "before counters": lambda s: {
        name: value for name, value in s.items() if "num_batches_tracked" not in name
    },
    "half": lambda s: {k: v.half() if v.is_floating_point() else v for k, v in s.items()},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_found_in_every_form(form: str, state: State, tmp_path: Path) -> None:
    torch.save(FORMS[form](state), tmp_path / "weights.pth")
    model = load_model("timm/resnet10t", weights=tmp_path / "weights.pth", device="cpu")
    for name, value in model.module.state_dict().items():
        assert torch.equal(
            value, state[name].half().to(value.dtype) if form == "half" else state[name]
        )


@pytest.mark.parametrize("ending", ["safetensors", "bin", "pth"])
def test_safetensors_are_known_by_their_content(ending: str, state: State, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(prefixed(state, "module."), tmp_path / f"weights.{ending}")
    model = load_model("timm/resnet10t", weights=tmp_path / f"weights.{ending}", device="cpu")
    assert torch.equal(model.module.conv1[0].weight, state["conv1.0.weight"])


@pytest.mark.parametrize("prefix", ["", "module."])
def test_lucents_names_in_another_form(prefix: str, tmp_path: Path) -> None:
    own = InceptionV1().state_dict()
    lucents = {f"{prefix}{lucent_name(name)}": value for name, value in own.items()}
    torch.save({"state_dict": lucents}, tmp_path / "weights.pth")
    model = load_model("inceptionv1", weights=tmp_path / "weights.pth", device="cpu")
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, own[name]), name


def one(state: State, **changes: Tensor) -> State:
    return {**state, **{name.replace("__", "."): value for name, value in changes.items()}}


def with_nan(state: State) -> State:
    weight = state["fc.weight"].clone()
    weight[3, :2] = torch.nan
    return one(state, fc__weight=weight)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (with_nan, "2 of the 512000 numbers of fc.weight are not finite"),
        (
            lambda s: one(s, fc__bias=torch.full((1000,), torch.inf)),
            "1000 of the 1000 numbers of fc.bias",
        ),
        (
            lambda s: one(s, fc__weight=s["fc.weight"].to(torch.complex64)),
            "fc.weight holds numbers of type torch.complex64, expected torch.float32",
        ),
        (
            lambda s: one(s, fc__weight=(s["fc.weight"] * 100).to(torch.int8)),
            "type torch.int8, expected torch.float32",
        ),
        (lambda s: {k: v for k, v in s.items() if k != "fc.bias"}, "1 missing (fc.bias)"),
        (lambda s: prefixed(s, "module.") | {"module.extra": torch.ones(1)}, "1 unknown (extra)"),
        (
            lambda s: {"state_dict": one(prefixed(s, "a."), **{"a__fc__bias": torch.ones(7)})},
            "fc.bias is (7,), not (1000,)",
        ),
        (lambda _: {"epoch": 3, "model": "resnet"}, "holds a dict; expected a state dict"),
    ],
)
def test_wrong_weights_are_refused(
    change: Callable[[State], Any], says: str, state: State, tmp_path: Path
) -> None:
    torch.save(change(state), tmp_path / "weights.pth")
    with pytest.raises(WeightsRefused) as raised:
        load_model("timm/resnet10t", weights=tmp_path / "weights.pth", device="cpu")
    assert says in str(raised.value)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (LFS, "git lfs pull"),
        (b"<!DOCTYPE html><title>Sign in</title>", "web page"),
        (b"\n  <html lang='en'>", "web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "HDF5"),
        (b"\x1f\x8b\x08" + bytes(99), "gzip"),
    ],
)
def test_files_that_are_no_weights_are_told_as_what_they_are(
    content: bytes, says: str, ending: str, tmp_path: Path
) -> None:
    path = tmp_path / f"weights.{ending}"
    path.write_bytes(content)
    with pytest.raises(WeightsRefused, match=says) as raised:
        load_model("timm/resnet10t", weights=path, device="cpu")
    assert "run code" not in str(raised.value)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_a_torchscript_archive_is_told_as_one(tmp_path: Path) -> None:
    program = torch.jit.trace(nn.Conv2d(3, 4, 3), torch.rand(1, 3, 8, 8))
    torch.jit.save(program, tmp_path / "net.pt")
    with pytest.raises(WeightsRefused, match=r"TorchScript program.*state_dict\(\)"):
        load_model("timm/resnet10t", weights=tmp_path / "net.pt", device="cpu")


def test_sparse_weights_are_refused() -> None:
    plain = {"fc.weight": torch.eye(3)}
    with pytest.raises(WeightsRefused, match=r"w\.pt: fc\.weight is a sparse .*\.to_dense\(\)"):
        fit({"fc.weight": plain["fc.weight"].to_sparse()}, plain, "w.pt")
