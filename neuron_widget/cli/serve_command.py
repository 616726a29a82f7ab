"""The options of ``neuron-widget serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from neuron_widget.cli.arguments import (
    AsJson,
    Device,
    Layer,
    MaybeData,
    Model,
    Ray,
    Stores,
    Weights,
)
from neuron_widget.cli.options import whole
from neuron_widget.cli.output import reporting

__all__ = ["serve"]


def serve(
    layer: Layer,
    ray: Ray = "auto",
    neurons: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--neurons", "-n", help="Prerender these first: 1-10,68 or all."),
    ] = None,
    data: MaybeData = None,
    allow: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option("--allow", help="A folder of photos that students may scan besides."),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Listen there; beyond this machine only with a token.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", help="Port of the class.", **whole("port", 1, 65535))
    ] = 10001,
    steps: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--most-steps",
            help="Steps of an image, at most.",
            **whole("most_steps", 1, 100_000, optional=True),
        ),
    ] = None,
    size: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--most-size",
            help="Side of an image in pixels, at most.",
            **whole("most_size", 16, 1024, optional=True),
        ),
    ] = None,
    widgets: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(
            "--widgets",
            help="Widgets of one student at work at a time.",
            **whole("widgets", 1, optional=True),
        ),
    ] = 3,
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    stores: Stores = None,
    as_json: AsJson = False,
) -> None:
    """Let a class look into one network that this machine, or a Ray cluster, keeps.

    Students' kernels need neither a GPU nor PyTorch. Prints the line that they type, then shows
    who waits for what, until Ctrl-C.
    """
    from neuron_widget.cli.jobs import Opened
    from neuron_widget.cli.serve import serve_class

    with reporting(as_json):
        opened = Opened(layer, model, weights, device, None, stores, no_store=False)
        limits = {"steps": steps, "size": size, "views": widgets}
        where = (ray or "auto", host, port)
        serve_class(opened, neurons, data, allow or [], *where, limits, device, as_json)
