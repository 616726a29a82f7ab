"""What all tests share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neuron_widget.openmp import short_look_out

# Tests run beside other programs: threads that wait for each other must not take their cores.
with short_look_out():
    import torch

# Tests render and scan for themselves, and leave nothing in the home of who runs them.
os.environ.setdefault("NEURON_WIDGET_STORE", "off")

# Tests run beside each other's processes on few cores; two threads are enough for tiny networks,
# and one where two tests run side by side.
_SIDE_BY_SIDE = "PYTEST_XDIST_WORKER" in os.environ
torch.set_num_threads(min(1 if _SIDE_BY_SIDE else 2, torch.get_num_threads()))


def pytest_sessionstart() -> None:
    """Kernels and commands of the tests must run this tree, not another copy of it."""
    ask = "from importlib.util import find_spec as f; s = f('neuron_widget'); print(s and s.origin)"
    answer = subprocess.run(
        [sys.executable, "-c", ask], cwd=os.sep, capture_output=True, text=True, check=False
    )
    found = answer.stdout.strip().removesuffix("None")
    here = Path(__file__).parents[1] / "neuron_widget/__init__.py"
    if not (found and Path(found).is_file() and here.samefile(found)):
        pytest.exit(
            f"outside of the tests neuron_widget is {found or 'not installed'}, not {here}: "
            f"{sys.executable} -m pip install --no-deps --editable .",
            returncode=4,
        )


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder with real weights and photos."""
    folder = os.environ.get("NEURON_WIDGET_TEST_DATA")
    if not folder:
        pytest.skip("NEURON_WIDGET_TEST_DATA is not set: no real weights and photos here")
    path = Path(folder)
    assert (path / "weights").is_dir(), f"NEURON_WIDGET_TEST_DATA={folder} holds no weights/"
    return path


@pytest.fixture(scope="session")
def inception_weights(test_data: Path) -> Path:
    """A real training of InceptionV1."""
    return test_data / "weights" / "inceptionv1_google2015.pth"


@pytest.fixture(scope="session")
def photos(test_data: Path) -> Path:
    """Real photos in ImageFolder layout with splits."""
    return test_data / "photos"
