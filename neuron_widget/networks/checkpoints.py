"""Files of weights: what is read of them, and what is refused.

Files from outside are untrusted: they are opened with ``weights_only=True``, and compared with
what the network expects before anything is loaded. People save the same weights in many forms
(inside of a training state, with ``module.`` before every name): the tensors are looked for by
their names' ends, and have to fit all together.
"""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neuron_widget.errors import WeightsRefused, WeightsUnavailable, first_line
from neuron_widget.names import as_path

__all__ = ["fit", "holds", "read_checkpoint"]

_EXPECTED = "expected a state dict of tensors saved by torch.save, or a .safetensors file"

# What files that are no weights begin with.
_FOREIGN = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself: run 'git lfs pull'"),
    (
        b"\x89HDF",
        "an HDF5 file (Keras?), no PyTorch weights: expected .pth or .safetensors",
    ),
    (b"\x1f\x8b", "compressed with gzip: unpack it first"),
)

# What torch.compile and sharded training put into the middle of names.
_WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})

# Where training states keep the weights, in the order in which they are tried.
_CONTAINERS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights")


def read_checkpoint(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """What a ``.pth``/``.pt`` or ``.safetensors`` file holds, on the CPU: tensors, or more.

    Raises
    ------
    WeightsUnavailable
        If there is no such file.
    WeightsRefused
        If it is truncated, no file of weights, or would run code when opened.
    """
    file = as_path(path, "weights", WeightsUnavailable, example="weights.pth")
    if not file.is_file():
        raise WeightsUnavailable(f"there is no weights file at {str(file)!r}")
    _refuse_foreign(file)
    try:
        if _is_safetensors(file):
            from safetensors.torch import load_file

            content: Any = load_file(file)
        else:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsRefused(
            f"{file} was not opened: it holds something other than tensors, which could run code "
            f"on this machine; {_EXPECTED}. Save the weights again with "
            f"torch.save(model.state_dict(), ...) ({first_line(error)})"
        ) from error
    except Exception as error:  # a broken file can fail anywhere in the readers
        kind = (
            "truncated or damaged" if zipfile.is_zipfile(file) or file.stat().st_size else "empty"
        )
        raise WeightsRefused(
            f"{file} ({file.stat().st_size:,} bytes) could not be read, it looks {kind}; "
            f"{_EXPECTED}. Fetch or copy it again ({first_line(error)})"
        ) from error
    if not isinstance(content, Mapping) or not any(_state_dicts(content)):
        raise WeightsRefused(f"{file} holds a {type(content).__name__}; {_EXPECTED}")
    return content


def _refuse_foreign(file: Path) -> None:
    with file.open("rb") as opened:
        start = opened.read(512)
    for magic, what in _FOREIGN:
        if start.startswith(magic):
            raise WeightsRefused(f"{file} is {what}")
    if start.lstrip()[:15].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise WeightsRefused(
            f"{file} is a web page, not weights (a sign-in or error page that was saved instead "
            "of the download?): fetch it again"
        )
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
        if any("/code/" in name for name in names):
            raise WeightsRefused(
                f"{file} is a TorchScript program, which would run code when opened; if you trust "
                "it, save its weights: torch.save(torch.jit.load(file).state_dict(), ...)"
            )


def _is_safetensors(file: Path) -> bool:
    """Told by the content: a length, then a JSON object of that length."""
    if file.suffix == ".safetensors":
        return True
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if not 2 <= length <= min(100_000_000, file.stat().st_size - 8):
            return False
        try:
            return isinstance(json.loads(opened.read(length)), dict)
        except ValueError:
            return False


def _state_dicts(content: Mapping[Any, Any], depth: int = 0) -> Iterator[dict[str, Tensor]]:
    """Every mapping with named tensors in a file's content, likely ones first."""
    tensors = {
        ".".join(part for part in name.split(".") if part not in _WRAPPERS): value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if tensors:
        yield tensors
    if depth < 3:
        names = [name for name in _CONTAINERS if name in content]
        for name in [*names, *(name for name in content if name not in names)]:
            if isinstance(content[name], Mapping):
                yield from _state_dicts(content[name], depth + 1)


def holds(content: Mapping[str, Any], name: str) -> bool:
    """Whether a tensor of this name is in it, with whatever before its name."""
    return any(
        key == name or key.endswith(f".{name}") for state in _state_dicts(content) for key in state
    )


def fit(
    content: Mapping[str, Any], expected: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """The tensors of ``content`` under the names of ``expected``.

    They may stand in a training state, and share a prefix (``module.``, ``model.backbone.``);
    then what does not begin with it is somebody else's.

    Raises
    ------
    WeightsRefused
        If none of the state dicts has all names with the right shapes, or the numbers cannot be
        weights: complex, of another kind, or not finite.
    """
    best: dict[str, Tensor] = {}
    for state in _state_dicts(content):
        for prefix in _prefixes(state, expected):
            found = {
                name.removeprefix(prefix): value
                for name, value in state.items()
                if name.startswith(prefix)
            }
            for name, value in expected.items():
                # Counts batches in training; not in files of PyTorch before 0.4.1.
                if name.endswith(".num_batches_tracked"):
                    found.setdefault(name, value)
            if not _misfits(found, expected):
                _refuse_numbers(found, expected, source)
                return found
            if not best or _common(found, expected) > _common(best, expected):
                best = found
    raise WeightsRefused(
        f"{source} are the weights of another network: of {len(expected)} tensors expected, "
        f"{'; '.join(_misfits(best, expected))}. Give weights of this architecture, or name the "
        "right model"
    )


def _prefixes(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """What may stand before every name; nothing first."""
    found = {""}
    for name in list(expected)[:1]:
        found |= {key.removesuffix(name) for key in state if key.endswith(f".{name}")}
    return sorted(found, key=len)


def _common(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> int:
    return sum(name in expected for name in found)


def _misfits(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    wrong = [
        f"{k} is {tuple(found[k].shape)}, not {tuple(expected[k].shape)}"
        for k in expected
        if k in found and found[k].shape != expected[k].shape
    ]
    return [
        f"{len(items)} {what} ({', '.join(items[:3])}{', ...' if len(items) > 3 else ''})"
        for what, items in (
            ("missing", [k for k in expected if k not in found]),
            ("unknown", [k for k in found if k not in expected]),
            ("of another shape", wrong),
        )
        if items
    ]


def _refuse_numbers(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str
) -> None:
    for name, value in found.items():
        if value.layout != torch.strided or value.is_quantized:
            raise WeightsRefused(
                f"{source}: {name} is a sparse or quantised tensor, expected a plain one: save "
                "the weights again with .to_dense() or .dequantize() of each"
            )
        for kind in (torch.Tensor.is_complex, torch.Tensor.is_floating_point):
            if kind(value) != kind(expected[name]):
                raise WeightsRefused(
                    f"{source}: {name} holds numbers of type {value.dtype}, expected "
                    f"{expected[name].dtype}: these are not the weights as they were trained"
                )
        small = value.is_floating_point() and value.element_size() == 1  # float8 lacks isfinite
        bad = int((~(value.float() if small else value).isfinite()).sum())
        if bad:
            raise WeightsRefused(
                f"{source}: {bad} of the {value.numel()} numbers of {name} are not finite (NaN or "
                "infinity), so the network would see nothing: its training went wrong, or the "
                "file is damaged"
            )
