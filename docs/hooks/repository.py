"""Pages link to files of the repository, and show parts of them: written once, read in both places.

A page that holds the line ``<!-- README.md: Where it works -->`` shows that section of the file,
without its heading; ``<!-- CONTRIBUTING.md -->`` shows the whole file. Links, of pages and of what
they show, are those of the repository: they lead to the site's page of their target where there is
one, else to the file on GitHub.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://github.com/neuron-widget/neuron-widget/blob/main/"

# Files of the repository that are pages here.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "notebooks/TEACHING.md": "tutorial/teaching.md",
}

_INCLUDE = re.compile(r"^<!-- (?P<file>[\w/]+\.md)(?:: (?P<section>.+?))? -->$", re.MULTILINE)
_LINK = re.compile(r"(?P<before>\]\()(?P<target>[^)\s#]+)(?P<after>[^)]*\))")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Put the parts that a page asks for in their places, and lead the links."""
    if page.file.generated_by is None:
        markdown = lead_links(markdown, f"docs/{page.file.src_uri}", page.file.src_uri)

    def included(match: re.Match[str]) -> str:
        file, section = match["file"], match["section"]
        text = (ROOT / file).read_text(encoding="utf-8")
        if section:
            text = section_of(text, section, file)
        return lead_links(text, file, page.file.src_uri)

    return _INCLUDE.sub(included, markdown)


def section_of(text: str, title: str, file: str) -> str:
    """The body of the section of this title, up to the next heading of its level."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^\1 |\Z)", text, re.M | re.S)
    if found is None:
        titles = ", ".join(re.findall(r"^#+ (.+)$", text, re.M))
        raise PluginError(f"{file} has no section {title!r}; it has {titles}")
    return found[2].strip()


def lead_links(text: str, source: str, page: str) -> str:
    """Relative links of a file of the repository, as links of a page of the site."""

    def led(match: re.Match[str]) -> str:
        target = match["target"]
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        to = page_of(path)
        if to is None:
            return match["before"] + REPOSITORY + path + match["after"]
        return match["before"] + relative(to, page) + match["after"]

    return _LINK.sub(led, text)


def page_of(path: str) -> str | None:
    """The site's own file for a path of the repository, if there is one."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path.startswith("notebooks/"):  # the notebooks, and the pictures of their outputs
        return re.sub(r"\.ipynb$", ".md", path.replace("notebooks/", "tutorial/", 1))
    return None


def relative(to: str, page: str) -> str:
    """The way from one file of the site to another."""
    return posixpath.relpath(to, posixpath.dirname(page) or ".")
