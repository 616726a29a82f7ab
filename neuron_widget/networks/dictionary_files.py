"""Dictionaries as files: safetensors with a JSON manifest in its header, and nothing that runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from neuron_widget.durable import (
    MALFORMED,
    Damaged,
    open_record,
    pack_arrays,
    whole,
    write_atomically,
)
from neuron_widget.errors import StoreError
from neuron_widget.names import as_path

__all__ = ["read_dictionary", "save_dictionary"]

_EXPECTED = "expected a file that Dictionary.save() wrote"

Manifest = dict[str, Any]


def save_dictionary(
    path: str | Path, arrays: Mapping[str, NDArray[Any]], manifest: Mapping[str, Any]
) -> Path:
    """Write a dictionary, and return its path; StoreError for another ending or a disk error."""
    path = as_path(path, "the dictionary's file", StoreError, example="nmf32.safetensors")
    if path.suffix.lower() != ".safetensors":
        raise StoreError(
            f"a dictionary is saved as safetensors; got the name {path.name!r}, "
            f"expected one such as {path.stem + '.safetensors'!r}"
        )
    write_atomically(path, pack_arrays(arrays, {"kind": "dictionary", **manifest}))
    return path


def read_dictionary(path: str | Path) -> tuple[Manifest, dict[str, NDArray[Any]]]:
    """Return manifest and arrays; StoreError for what is no dictionary."""
    path = as_path(path, "the dictionary's file", StoreError, example="nmf32.safetensors")
    try:
        with open_record(path) as record:
            return _checked(record.facts), record.arrays()
    except OSError as error:
        raise StoreError(
            f"cannot read {str(path)!r}: {error.strerror or error}; {_EXPECTED}"
        ) from error
    except (Damaged, *MALFORMED) as error:
        raise StoreError(
            f"{path} cannot be loaded as a dictionary: {error}; {_EXPECTED}"
        ) from error


def _checked(facts: Mapping[str, Any]) -> Manifest:
    if facts.get("kind") != "dictionary":
        raise Damaged(f"it is a {facts.get('kind', 'file of another kind')}")
    if facts["reading"] not in ("product", "non-negative", "encoder"):
        raise Damaged(f"how it is read is unknown: {facts['reading']!r}")
    for name in ("features", "channels"):
        whole(facts[name], 1)
    if "k" in facts:
        whole(facts["k"])
    texts = {name: str(facts[name]) for name in ("layer", "network", "key")}
    return {**facts, **texts, "facts": dict(facts["facts"])}
