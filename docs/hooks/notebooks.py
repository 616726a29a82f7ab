"""The notebooks as pages of the tutorial, with the outputs they were saved with; none is run."""

from __future__ import annotations

import re
from typing import Any

import nbformat
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter
from repository import ROOT, lead_links

_NOTE = """
!!! note "A notebook to run"
    [Download it]({name}.ipynb), or open it in a clone with `make demo`. Here it is shown as it was
    saved, with some of its pictures; the sizes and times you see depend on your machine.

"""


def on_files(files: Files, *, config: Any, **_: Any) -> Files:
    """Add a page, its pictures and the notebook itself for each notebook."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        text, resources = MarkdownExporter().from_notebook_node(
            notebook, resources={"unique_key": path.stem, "output_files_dir": path.stem}
        )
        page = f"tutorial/{path.stem}.md"
        files.append(File.generated(config, page, content=as_page(text, path.stem, page)))
        for name, data in resources["outputs"].items():
            files.append(File.generated(config, f"tutorial/{name}", content=data))
        files.append(File.generated(config, f"tutorial/{path.name}", abs_src_path=str(path)))
    return files


def as_page(text: str, name: str, page: str) -> str:
    """What nbconvert writes, as Markdown of this site."""
    title, _, rest = text.lstrip().partition("\n")
    # Markdown inside folded hints is read only where it is asked for.
    rest = rest.replace("<details>", '<details markdown="1" class="question">')
    rest = re.sub(r"!\[(?:jpe?g|png)\]", "![What the cell above shows]", rest)
    rest = lead_links(rest, f"notebooks/{name}.ipynb", page)
    return title + "\n" + _NOTE.format(name=name) + rest
