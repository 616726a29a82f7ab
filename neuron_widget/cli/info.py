"""``neuron-widget info`` and ``layers``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_widget.cli.output import open_model, show, table
from neuron_widget.cli.store import describe_store
from neuron_widget.durable import size_text
from neuron_widget.names import EMBEDDED, INCEPTION

if TYPE_CHECKING:
    from neuron_widget.networks.layer_info import LayerInfo

__all__ = ["show_info", "show_layers"]


def show_info(stores: Sequence[Path] | None, as_json: bool) -> None:
    """What is there: devices, networks, weights, store."""
    import torch

    from neuron_widget.store import open_store
    from neuron_widget.version import __version__

    devices = _devices()
    store = open_store(stores or None)
    folders = describe_store(store) if store is not None else []
    models = _models()
    found = {
        "versions": {"neuron_widget": __version__, "torch": str(torch.__version__)},
        "devices": devices,
        "models": models,
        "store": folders,
    }
    lines = [f"neuron-widget {__version__}, torch {torch.__version__}", ""]
    lines += ["Devices", *(f"  {d['name']}: {d['description']}" for d in devices), "", "Networks"]
    lines += [f"  {model['name']}: {model['weights']}" for model in models]
    lines += ["", "Store"]
    lines += [
        f"  {f['folder']}{' (read only)' if f['read_only'] else ''}: {f['files']} files, "
        f"{size_text(f['bytes'])}"
        for f in folders
    ] or ["  switched off"]
    show(found, as_json, lines)


def _devices() -> list[dict[str, str]]:
    import torch

    found = []
    for i in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(i)
        memory = size_text(properties.total_memory)
        found.append({"name": f"cuda:{i}", "description": f"{properties.name}, {memory}"})
    if torch.backends.mps.is_available():
        found.append({"name": "mps", "description": "Apple GPU"})
    threads = torch.get_num_threads()
    return [*found, {"name": "cpu", "description": f"{threads} threads"}]


def _models() -> list[dict[str, str]]:
    import torch

    from neuron_widget.networks.weights import ENVIRONMENT_VARIABLE, INCEPTION_FILE

    named = os.environ.get(ENVIRONMENT_VARIABLE)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE
    if named:
        there = "" if Path(named).expanduser().is_file() else " (not there)"
        inception = f"{named}{there}, named by {ENVIRONMENT_VARIABLE}"
    elif cached.is_file():
        inception = str(cached)
    else:
        inception = "not found; downloaded when they are first needed (28 MB)"
    return [
        {"name": INCEPTION, "weights": inception},
        {"name": EMBEDDED, "weights": "come with this package"},
        {"name": "torchvision/NAME, timm/NAME", "weights": "fetched by those packages"},
    ]


# What is not told of layers where it is as of most.
_USUAL: dict[str, Any] = {"word": "neuron", "signed": False, "names": ()}


def _counted(info: LayerInfo) -> str:
    return f"{info.channels} classes" if info.word == "class" else str(info.channels)


def show_layers(model: str, weights: str | None, device: str | None, as_json: bool) -> None:
    """The layers of a network."""
    opened = open_model(model, weights, device)
    rows = [
        (
            *(i.name, _counted(i), f"{i.height} x {i.width}" if i.height * i.width > 1 else ""),
            *(i.kind, i.group),
        )
        for i in opened.menu
    ]
    found: dict[str, Any] = {
        "model": opened.identity,
        "title": opened.title,
        "input_size": opened.input_size,
        "layers": [
            {n: v for n, v in vars(info).items() if n not in _USUAL or v != _USUAL[n]}
            for info in opened.menu
        ],
    }
    show(found, as_json, [opened.title, *table(["layer", "neurons", "map", "kind", "group"], rows)])
