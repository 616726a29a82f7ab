"""Roles of reStructuredText in docstrings (``:func:`render```) as links of the site.

A griffe extension, named in mkdocs.yml. A name that has no place in the reference stays code.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`(?P<short>[~.]?)(?P<name>[\w.]+)`")


class Roles(griffe.Extension):
    """Rewrites the docstrings of all objects as they are collected."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring is not None:
            text = _ROLE.sub(lambda role: _link(obj, role["name"]), obj.docstring.value)
            obj.docstring.value = text


def _link(obj: griffe.Object, name: str) -> str:
    name = name.lstrip("~.")
    try:
        target = name if name.startswith("neuron_widget.") else obj.resolve(name)
    except griffe.NameResolutionError:
        target = name
    shown = name.rpartition(".")[2] if name.startswith("neuron_widget.") else name
    return f'<autoref identifier="{target}" optional><code>{shown}</code></autoref>'
