"""The registry of kinds of data sets, and the imports of this room."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import neuron_widget.scanning
from neuron_widget.errors import DatasetError
from neuron_widget.scanning import ImageDataset, kinds, open_dataset

ROOM = Path(neuron_widget.scanning.__file__).parent
NEW_KIND = """
from neuron_widget.scanning.kinds import DatasetKind
from neuron_widget.scanning.kinds.images import ListDataset
from PIL import Image

KIND = DatasetKind(
    name="grey levels",
    takes="a range of grey levels",
    order=5,
    recognises=lambda x: isinstance(x, range),
    open=lambda x, split, download: ListDataset([Image.new("L", (9, 9), i) for i in x], "greys"),
)
"""


def imports() -> dict[str, set[str]]:
    """Module -> modules of this room that it imports, wherever in the file."""
    files = {
        ".".join(("neuron_widget.scanning", *file.relative_to(ROOM).with_suffix("").parts)): file
        for file in ROOM.rglob("*.py")
    }
    files = {name.removesuffix(".__init__"): file for name, file in files.items()}
    graph = {}
    for name, file in files.items():
        found: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        graph[name] = (found & set(files)) - {name}
    return graph


def cycles(graph: dict[str, set[str]]) -> Iterator[list[str]]:
    seen: set[str] = set()

    def walk(name: str, path: list[str]) -> Iterator[list[str]]:
        if name in path:
            yield [*path[path.index(name) :], name]
        elif name not in seen:
            for below in sorted(graph[name]):
                yield from walk(below, [*path, name])
            seen.add(name)

    for name in graph:
        yield from walk(name, [])


def test_no_files_import_each_other() -> None:
    graph = imports()
    assert len(graph) > 15
    assert list(cycles(graph)) == []
    assert list(cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == [["b", "c", "b"]]


def test_a_new_kind_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "greys.py").write_text(NEW_KIND)
    with pytest.raises(DatasetError, match="cannot read"):
        open_dataset(object())
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(tmp_path)])
    kinds.all_kinds.cache_clear()
    try:
        assert len(open_dataset(range(7))) == 7
        with pytest.raises(DatasetError, match="a range of grey levels"):
            open_dataset(object())
    finally:
        monkeypatch.undo()
        kinds.all_kinds.cache_clear()
        sys.modules.pop("neuron_widget.scanning.kinds.greys", None)


def test_the_error_lists_what_all_kinds_take() -> None:
    with pytest.raises(DatasetError) as caught:
        open_dataset(object())
    assert len(kinds.all_kinds()) >= 6
    for kind in kinds.all_kinds():
        assert kind.takes in str(caught.value)


def test_listing_the_kinds_imports_nothing_heavy() -> None:
    heavy = ["torchvision", "datasets", "skimage", "timm", "pandas"]
    code = (
        "import sys, neuron_widget.scanning.kinds as kinds\n"
        f"print([k.name for k in kinds.all_kinds()], [m for m in {heavy!r} if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip().endswith(" []"), answer.stdout


def test_a_subclass_of_image_dataset_needs_no_kind() -> None:
    class Plain(ImageDataset):
        name = "plain"
        fingerprint = "1"

        def __len__(self) -> int:
            return 3

        def load(self, i: int) -> Image.Image:
            return Image.new("RGB", (9, 9), (i, i, i))

        def label(self, i: int) -> str:
            return str(i)

        def path(self, i: int) -> str:
            return f"plain[{i}]"

    photos: Any = Plain()
    assert open_dataset(photos) is photos
