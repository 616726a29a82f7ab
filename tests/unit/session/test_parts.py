"""How the session is put together: its parts know what they share, not each other."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

from neuron_widget import session

ROOM = Path(session.__file__).parent
NAMES = {file.stem for file in ROOM.glob("*.py")} - {"__init__"}


def imports(file: Path) -> set[str]:
    """The files of this room that a file imports, for type checking too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "neuron_widget.session"
        ):
            inner = (node.module or "").removeprefix("neuron_widget.session").strip(".")
            found |= {inner} if inner else {alias.name for alias in node.names}
    return found


def test_no_file_imports_itself_by_way_of_others() -> None:
    graph = {name: imports(ROOM / f"{name}.py") for name in NAMES}
    assert all(found <= NAMES for found in graph.values()), graph
    order = list(TopologicalSorter(graph).static_order())  # CycleError names the circle
    assert order.index("state") < order.index("rendering") < order.index("session")


def test_no_part_knows_the_session() -> None:
    who = {name for name in NAMES if "session" in imports(ROOM / f"{name}.py")}
    assert who == {"handle"}  # it stands above it
