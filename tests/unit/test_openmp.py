"""How PyTorch's threads wait is set before it is imported, and nothing else is changed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import os, sys
from neuron_widget.openmp import short_look_out
assert "torch" not in sys.modules
before = dict(os.environ)
{first}
with short_look_out():
    import torch
torch.ones(10).sum()
assert dict(os.environ) == before
"""


@pytest.mark.skipif(sys.platform != "linux", reason="GNU OpenMP is what PyTorch has on Linux")
@pytest.mark.parametrize(
    ("first", "given", "turns"),
    [
        ("", {}, "GOMP_SPINCOUNT = '1000'"),
        ("", {"GOMP_SPINCOUNT": "77"}, "GOMP_SPINCOUNT = '77'"),
        ("", {"OMP_WAIT_POLICY": "PASSIVE"}, "GOMP_SPINCOUNT = '0'"),
        ("import torch", {}, "GOMP_SPINCOUNT = '300000'"),
        ("from neuron_widget import render", {}, "GOMP_SPINCOUNT = '1000'"),
    ],
    ids=["ours", "the user's", "the user's policy", "torch is there", "the package is first"],
)
def test_helpers_look_out_for_a_moment_only(first: str, given: dict[str, str], turns: str) -> None:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(first=first)],
        env={**plain, "OMP_DISPLAY_ENV": "VERBOSE", **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert turns in done.stderr
