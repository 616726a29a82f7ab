"""The rules of the house: the public surface, who imports what, sizes of files."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import neuron_widget

PACKAGE = Path(neuron_widget.__file__).parent
COMPUTE = [
    "durable",
    "networks",
    "rendering",
    "scanning",
    "store",
    "analysis",
    "cluster",
    "protocol",
    "session",
    "page",
    "remote",
    "cli",
]
JUPYTER = {"anywidget", "ipywidgets", "traitlets", "ipykernel", "jupyter_client", "comm"}


def test_every_public_name_is_there_and_documented() -> None:
    for name in neuron_widget.__all__:
        assert getattr(neuron_widget, name).__doc__, name
    assert set(neuron_widget.__all__) <= set(dir(neuron_widget))
    assert neuron_widget.__all__ == sorted(neuron_widget.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'NeuronWigdet'"):
        _ = neuron_widget.NeuronWigdet  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import neuron_widget", ["torch", "numpy", "anywidget", "matplotlib", "PIL"]),
        ("import neuron_widget.cluster", ["torch", "ray", "numpy"]),
        ("import neuron_widget.remote.far", ["torch", "ray", "matplotlib", "anywidget"]),
        (
            "import neuron_widget.widget",
            ["torch", "ray", "torchvision", "timm", "lucent", "matplotlib"],
        ),
        (
            "import neuron_widget as n; n.NeuronWidget('mixed4a', auto=False, dataset='samples')",
            ["lucent", "matplotlib", "timm"],
        ),
        (
            "import neuron_widget.scanning, neuron_widget.rendering",
            ["anywidget", "ipywidgets", "lucent"],
        ),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(statement: str, absent: list[str]) -> None:
    code = (
        "import os; os.environ['NEURON_WIDGET_WEIGHTS'] = '/none'\n"
        f"{statement}\nimport sys\nprint([m for m in {absent!r} if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert answer.stdout.strip().splitlines()[-1] == "[]", answer.stdout


def modules(of: str) -> list[Path]:
    return (
        [PACKAGE / f"{of}.py"]
        if (PACKAGE / f"{of}.py").exists()
        else sorted((PACKAGE / of).glob("*.py"))
    )


@pytest.mark.parametrize("room", COMPUTE)
def test_the_compute_half_knows_no_notebook(room: str) -> None:
    files = modules(room)
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            used = {name.split(".")[0] for name in names} & JUPYTER
            assert not used, f"{file.name} imports {used}"


def test_files_fit_on_a_few_screens() -> None:
    long = {
        str(file.relative_to(PACKAGE)): lines
        for file in PACKAGE.rglob("*.py")
        if (lines := len(file.read_text().splitlines())) > 420 and file.name != "messages.py"
    }
    assert not long, f"a room is missing: {long}"
