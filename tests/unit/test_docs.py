"""What the pages say is real: links, names, arguments, options. And the site asks no other host."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

import neuron_widget
from neuron_widget import errors
from neuron_widget.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    file
    for where in (".", "docs", "notebooks", "benchmarks")
    for file in (ROOT / where).glob("*.md")
) + sorted((ROOT / "docs").glob("*/*.md"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BUILDERS = ("mkdocs", "material", "mkdocstrings_handlers.python", "nbconvert")

LINK = re.compile(r"\]\((?P<target>[^)\s]+)[^)]*\)")
FENCE = re.compile(r"^( *)```(?P<language>\w*)\n(?P<text>.*?)^\1```", re.MULTILINE | re.DOTALL)


def prose(file: Path) -> str:
    """The Markdown of a page, or of a notebook's cells."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return text


def fences(file: Path, *languages: str) -> Iterator[str]:
    """The blocks of code of a page in these languages."""
    for match in FENCE.finditer(prose(file)):
        if match["language"] in languages:
            yield match["text"]


def named(files: list[Path]) -> list[object]:
    return [pytest.param(file, id=str(file.relative_to(ROOT))) for file in files]


# ------------------------------------------------------------------ in the files


@pytest.mark.parametrize("file", named(PAGES + NOTEBOOKS))
def test_links_lead_to_files_that_exist(file: Path) -> None:
    targets = [m["target"] for m in LINK.finditer(FENCE.sub("", prose(file)))]
    here = [t.partition("#")[0] for t in targets if "://" not in t and not t.startswith("#")]
    missing = [t for t in here if not (file.parent / t).exists()]
    assert not missing


def test_there_is_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    newest = re.search(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation is not None
    assert newest is not None
    assert {project, citation[1], newest[1]} == {neuron_widget.__version__}


def calls(block: str, public: set[str]) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(block)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in public
        ):
            yield node.func.id, node


@pytest.mark.parametrize("file", named([f for f in PAGES if any(fences(f, "python"))]))
def test_python_in_pages_imports_what_exists_and_passes_arguments_that_exist(file: Path) -> None:
    for block in fences(file, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("neuron_widget"):
                module = importlib.import_module(str(node.module))
                absent = [a.name for a in node.names if not hasattr(module, a.name)]
                assert not absent, f"{node.module} has no {absent}"
        for name, call in calls(block, set(neuron_widget.__all__)):
            known = inspect.signature(getattr(neuron_widget, name)).parameters
            unknown = {str(k.arg) for k in call.keywords} - set(known)
            assert not unknown, f"{name} takes no {unknown}"


def commands(file: Path) -> Iterator[list[str]]:
    """The words of every line of a page that runs the command line."""
    for block in fences(file, "", "sh", "console"):
        for line in block.splitlines():
            match = re.match(r"\s*(?:\$ )?(?:\S*/)?neuron-widget (?P<words>[a-z-].*)", line)
            if match:
                yield match["words"].partition("  #")[0].split()


@pytest.mark.parametrize("file", named([f for f in PAGES if any(commands(f))]))
def test_commands_in_pages_have_options_that_exist(file: Path) -> None:
    for words in commands(file):
        command = typer.main.get_command(app)
        rest = list(words)
        while isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
            assert rest[0] in command.commands, f"no command {rest[0]!r}: {' '.join(words)}"
            command = command.commands[rest.pop(0)]
        known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | {
            "--help"
        }
        unknown = {word for word in rest if re.match(r"--?[a-z]", word)} - known
        assert not unknown, f"neuron-widget {' '.join(words)}: no option {unknown}"


# ------------------------------------------------------------------ in the site


class Assets(HTMLParser):
    """What a browser fetches to show a page, and the anchors of the page."""

    FETCHED = ("img", "script", "source", "iframe", "video", "audio", "embed", "object", "use")

    def __init__(self, file: Path):
        super().__init__()
        self.assets: list[str] = []
        self.anchors: set[str] = set()
        self.parts: set[str] = set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors.add(values.get("id", ""))
        self.parts.add(values.get("data-md-component", ""))
        if tag in self.FETCHED:
            self.assets += [values.get(a, "") for a in ("src", "srcset", "data", "poster")]
            self.assets.append(values.get("href", "") if tag == "use" else "")
        if tag == "link" and not {"prev", "next", "canonical"} & set(values["rel"].split()):
            self.assets.append(values.get("href", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly by a process that can reach no host."""
    absent = [
        b.split(".")[0] for b in BUILDERS if importlib.util.find_spec(b.split(".")[0]) is None
    ]
    if absent:
        assert not os.environ.get("CI"), f"CI must build the site; {absent} is missing"
        pytest.skip(f"{', '.join(absent)} not installed: `make docs` installs what builds the site")
    folder = tmp_path_factory.mktemp("docs") / "site"
    offline = (
        "import socket\n"
        "def refuse(*_): raise SystemExit('the build asked for a network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from mkdocs.__main__ import cli\n"
        f"cli(['build', '--strict', '--site-dir', {str(folder)!r}])"
    )
    built = subprocess.run(
        [sys.executable, "-c", offline],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Assets]:
    return {str(file.relative_to(site)): Assets(file) for file in site.rglob("*.html")}


def test_every_notebook_is_a_page_with_its_pictures(site: Path, pages: dict[str, Assets]) -> None:
    for notebook in NOTEBOOKS:
        cells = json.loads(notebook.read_text())["cells"]
        saved = [
            o for c in cells for o in c.get("outputs", []) if "image/jpeg" in o.get("data", {})
        ]
        page = f"tutorial/{notebook.stem}.html"
        shown = [a for a in pages[page].assets if a.startswith(f"{notebook.stem}/")]
        assert len(shown) == len(saved) > 0
        assert all((site / "tutorial" / picture).is_file() for picture in shown)


def test_the_site_fetches_nothing_from_elsewhere(site: Path, pages: dict[str, Assets]) -> None:
    assert len(pages) > 20
    foreign = {
        page: found
        for page, seen in pages.items()
        if (found := [a for a in seen.assets if re.match(r"(https?:)?//", a)])
    }
    # Styles name what they fetch, too.
    for style in site.rglob("*.css"):
        if found := re.findall(
            r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\"']+", style.read_text()
        ):
            foreign[style.name] = found
    assert not foreign
    # The theme's script asks GitHub for the stars of a repository that the pages name this way.
    assert not any("source" in seen.parts for seen in pages.values())


def test_the_search_works_from_a_disk(site: Path) -> None:
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    assert "receptive field" in index
    assert "iframe-worker.js" in (site / "index.html").read_text(encoding="utf-8")


def test_every_public_name_and_every_error_is_in_the_reference(pages: dict[str, Assets]) -> None:
    anchors = {
        a for page, seen in pages.items() if page.startswith("reference/") for a in seen.anchors
    }
    kinds = [name for name in errors.__all__ if isinstance(getattr(errors, name), type)]
    wanted = {f"neuron_widget.{name}" for name in neuron_widget.__all__}
    wanted |= {f"neuron_widget.errors.{name}" for name in kinds}
    assert len(kinds) > 5
    assert not wanted - anchors


def test_every_command_is_in_the_reference(pages: dict[str, Assets]) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    wanted = {f"neuron-widget-{name}" for name in group.commands}
    assert not wanted - pages["reference/command_line.html"].anchors


def test_no_markup_of_docstrings_or_lists_is_left_over(site: Path) -> None:
    # reStructuredText's roles, and lists that Markdown reads as a part of the paragraph before.
    left = re.compile(
        r":(?:func|class|attr|meth|mod|data):|<p>[^<]*\n(?:[-*]|\d+\.) |<p>(?:!!!|:::)"
    )
    found = {
        str(file.relative_to(site)): match[0]
        for file in site.rglob("*.html")
        if (match := left.search(file.read_text(encoding="utf-8")))
    }
    assert not found
