"""The command line's help as a page, from the commands themselves: ``<!-- commands -->``."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

from repository import ROOT

_MARK = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the mark by what ``typer ... utils docs`` writes."""
    return markdown.replace(_MARK, help_text()) if _MARK in markdown else markdown


def help_text() -> str:
    """One section a command, with usage, arguments and options."""
    command = [sys.executable, "-m", "typer", "neuron_widget.cli.app", "utils", "docs"]
    text = subprocess.run(
        [*command, "--name", "neuron-widget"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    # The title is the page's; the lists of commands are cut in mid-sentence, and the table of
    # contents has them whole.
    text = text.partition("\n")[2]
    text = re.sub(r"\*\*Commands\*\*:\n\n(?:\* .*\n)+\n?", "", text)
    text = re.sub(r"^\* `--help`: .*\n", "", text, flags=re.M)
    return re.sub(r"\*\*Options\*\*:\n+(?=#|\Z)", "", text)
