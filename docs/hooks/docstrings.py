"""Docstrings as the site shows them. A griffe extension, named in mkdocs.yml.

Roles of reStructuredText (``:func:`render```) become links; a name that has no place in the
reference stays code. Parameters that are described together stay together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`[~.]*(?P<name>[\w.]+)`")


class Docstrings(griffe.Extension):
    """Rewrites all docstrings of a package when it is collected."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Rewrite each docstring, then what its sections say."""
        for obj in objects(pkg):
            if obj.docstring is None:
                continue
            obj.docstring.value = _ROLE.sub(
                lambda role, obj=obj: _link(obj, role["name"]), obj.docstring.value
            )
            sections = obj.docstring.parsed
            for section in sections:
                if section.kind.value in ("parameters", "attributes"):
                    section.value = list(_together(section.value))
            if obj.is_class and any(str(base) == "TypedDict" for base in obj.bases):
                sections.append(_fields(obj))


def objects(obj: griffe.Object) -> Iterator[griffe.Object]:
    """An object and all that is defined in it."""
    yield obj
    for member in obj.members.values():
        if not member.is_alias:
            yield from objects(member)


def _link(obj: griffe.Object, name: str) -> str:
    try:
        target = name if name.startswith("neuron_widget.") else obj.resolve(name)
    except griffe.NameResolutionError:
        target = name
    shown = name.rpartition(".")[2] if name.startswith("neuron_widget.") else name
    return f'<autoref identifier="{target}" optional><code>{shown}</code></autoref>'


def _together(named: list[Any]) -> Iterator[Any]:
    """``layer, neuron`` with one text are one entry, without a type that would be one's alone."""
    for _, group in groupby(named, key=lambda entry: entry.description):
        first, *others = group
        if others:
            first.name = ", ".join(entry.name for entry in (first, *others))
            first.annotation = first.value = None
        yield first


def _fields(record: griffe.Class) -> griffe.DocstringSectionText:
    """The fields of a ``TypedDict``, which its docstring speaks of without their types."""
    fields = [
        f"{name}: {field.annotation}"
        for name, field in record.members.items()
        if field.is_attribute
    ]
    return griffe.DocstringSectionText("\n".join(["```python", *fields, "```"]))
