"""Arithmetic that a processor lacks is never asked of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from neuron_widget.networks.arithmetic import (
    computes_bfloat16,
    has_fast_bfloat16,
    onednn_takes,
    scan_precision,
)

WORK = """
import json, torch
from neuron_widget import load_model, render, scan
from neuron_widget.networks.arithmetic import has_fast_bfloat16, onednn_takes
from neuron_widget.networks.inception.fused import fused_reader

cpu = torch.device("cpu")
model = load_model("inceptionv1", weights="random", device="cpu")
small = dict(size=32, steps=2, progress=False)
made = {p: render(model, "mixed3a", [0, 200], precision=p, **small) for p in ("bfloat16", None)}
found = scan(model, "mixed3a", "samples", num_samples=4, precision="fast", progress=False)
exact = scan(model, "mixed3a", "samples", num_samples=4, progress=False)
print(json.dumps({
    "fast": has_fast_bfloat16(cpu),
    "onednn": onednn_takes(torch.bfloat16),
    "fused": tuple(fused_reader(model, "mixed3a", torch.bfloat16)(torch.rand(1, 3, 64, 64)).shape),
    "precisions": {str(p): result.settings["precision"] for p, result in made.items()},
    "finite": all(bool((r.activation == r.activation).all()) for r in made.values()),
    "scan": found.settings["precision"],
    "same": bool((found.mean == exact.mean).all()),
}))
"""


@pytest.fixture(scope="module", params=["AVX2", "AVX512_CORE", "DEFAULT"])
def elsewhere(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """What a process says for which oneDNN is held to a smaller processor, before torch starts."""
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", WORK],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": request.param},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    return request.param, json.loads(answer.stdout.splitlines()[-1])


def test_every_precision_works_on_every_processor(elsewhere) -> None:
    isa, told = elsewhere
    assert told["finite"]
    assert told["fused"] == [1, 256, 8, 8]
    assert told["precisions"]["bfloat16"] == "bfloat16"
    if isa != "DEFAULT":
        assert told["fast"] is False


def test_the_default_and_a_fast_scan_use_what_is_fast(elsewhere) -> None:
    _, told = elsewhere
    assert told["precisions"]["None"] == ("bfloat16" if told["fast"] else "float32")
    assert told["scan"] == ("fast" if told["fast"] else "exact")
    assert told["fast"] or told["same"]


def test_what_is_not_computed_in_bfloat16_is_rendered_in_float32(monkeypatch) -> None:
    from neuron_widget import load_model, render

    monkeypatch.setattr("neuron_widget.networks.arithmetic.computes_bfloat16", lambda _: False)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    model = load_model(module, preprocess=((0.5,) * 3, (0.25,) * 3), input_size=32)
    result = render(model, "1", 0, steps=1, size=32, precision="bfloat16", progress=False)
    assert result.settings["precision"] == "float32"


def test_operations_that_refuse_are_known(monkeypatch) -> None:
    def refuse(*_args: object) -> None:
        raise RuntimeError("bf16 path needs the cpu support avx512bw, avx512vl and avx512dq")

    cpu = torch.device("cpu")
    for probe in (computes_bfloat16, onednn_takes):
        probe.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(torch, "conv2d", refuse)
            patch.setattr(torch.Tensor, "to_mkldnn", refuse)
            assert not computes_bfloat16(cpu)
            assert not onednn_takes(torch.bfloat16)
            assert not has_fast_bfloat16(cpu)
            assert scan_precision("fast", cpu) == "exact"
    finally:
        for probe in (computes_bfloat16, onednn_takes):
            probe.cache_clear()
