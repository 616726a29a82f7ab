"""Every notebook of the course runs from top to bottom in short mode, and shows what it should."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"
COURSE = sorted(path.stem for path in FOLDER.glob("0*.ipynb"))

# Few steps, small images, few photos: it is the cells that are tested here, not the pictures.
SHORT = {
    "COURSE_STEPS": "8",
    "COURSE_SIZE": "64",
    "COURSE_SAMPLES": "48",
    "COURSE_NEURONS": "2",
    "COURSE_QUESTIONS": "3",
    "COURSE_EPOCHS": "1",
}
WIDGET = "application/vnd.jupyter.widget-view+json"

# What each notebook shows at least: pictures, and views of a widget (progress bars not counted).
SHOWN = {
    "01_what_is_a_neuron": (5, 0),
    "02_activation_maximisation": (8, 0),
    "03_real_photos": (7, 0),
    "04_one_neuron_end_to_end": (6, 1),
    "05_do_pictures_tell_the_truth": (1, 1),
    "06_your_model_your_data": (5, 1),
    "07_beyond_channels": (10, 2),
}


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def execute(name: str, folder: Path) -> list[Any]:
    """All outputs of the notebook, run in an empty folder by a kernel of its own."""
    notebook = read(name)
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()  # raises at the first cell with an error
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def check_outputs(name: str, outputs: list[Any]) -> None:
    assert not [o for o in outputs if o.output_type == "error"]
    pictures = sum("image/png" in o.get("data", {}) for o in outputs)
    views = [
        o for o in outputs if WIDGET in o.get("data", {}) and "neuron_widget" in str(o["data"])
    ]
    wanted, widgets = SHOWN[name]
    assert pictures >= wanted
    assert len(views) == widgets
    said = "".join(o.text for o in outputs if o.output_type == "stream")
    assert "Warning" not in said, said


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name, value in SHORT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NEURON_WIDGET_PHOTOS", raising=False)
    # The test may run where the package is only a folder: the kernel starts elsewhere.
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))
    return tmp_path


def test_the_course_is_what_is_tested() -> None:
    assert list(SHOWN) == COURSE


@pytest.mark.kernel
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", COURSE)
def test_on_the_embedded_network(name: str, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_MODEL", "efficientnet_lite0")
    check_outputs(name, execute(name, short))


@pytest.mark.kernel
@pytest.mark.data
@pytest.mark.timeout(400)
def test_on_inceptionv1(
    short: Path, monkeypatch: pytest.MonkeyPatch, inception_weights: Path, photos: Path
) -> None:
    monkeypatch.delenv("COURSE_MODEL", raising=False)
    monkeypatch.setenv("NEURON_WIDGET_WEIGHTS", str(inception_weights))
    monkeypatch.setenv("NEURON_WIDGET_PHOTOS", str(photos))
    name = "04_one_neuron_end_to_end"
    outputs = execute(name, short)
    check_outputs(name, outputs)
    assert "mixed4a" in str(outputs)
    assert (short / "results" / "neuron_2_analysis_with_activations.png").is_file()


@pytest.mark.parametrize("name", [*COURSE, "quickstart"])
def test_what_is_committed(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        kept = [output.get("data", {}) for output in cell.outputs]
        for data in kept:
            assert list(data) == ["image/jpeg"], "no outputs but small pictures: keep_pictures.py"
            assert len(data["image/jpeg"]) < 200_000
        assert bool(kept) == ("picture" in cell.metadata.get("tags", []))
        assert cell.execution_count is None
        assert len(cell.source.splitlines()) <= 26, f"too much to project:\n{cell.source}"
    assert any(cell.outputs for cell in code), "readers on GitHub see nothing run"
    text = "\n".join(cell.source for cell in notebook.cells)
    assert not re.search(r"(/home|/work|/Users|/root|/tmp|[A-Z]:\\)", text), "a path of a machine"
    head = notebook.cells[0].source
    assert "**Aim.**" in head
    assert "**Time.**" in head
    if name != "quickstart":
        assert text.count("<details><summary><b>Exercise") >= 1
        assert "## Closing question" in notebook.cells[-1].source


@pytest.mark.parametrize("name", [*COURSE, "quickstart"])
def test_links_between_notebooks_lead_somewhere(name: str) -> None:
    for cell in read(name).cells:
        for target in re.findall(r"\]\(([^)#]+\.(?:ipynb|md))\)", cell.source):
            assert (FOLDER / target).is_file(), target
