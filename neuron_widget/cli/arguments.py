"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from neuron_widget.cli.options import number, whole
from neuron_widget.settings import SCAN

__all__ = [
    "AsJson",
    "Batch",
    "CpusPerWorker",
    "Data",
    "Device",
    "Dictionaries",
    "Layer",
    "MaybeData",
    "Model",
    "Neurons",
    "NoStore",
    "Observer",
    "Ray",
    "Samples",
    "Shard",
    "Stores",
    "Targets",
    "TopK",
    "Verbose",
    "Weights",
]

Targets = Annotated[
    list[str],
    typer.Argument(
        help="What to maximise: mixed4a:68, mixed4a:70-80, one unit mixed4a:68@7,7, a class "
        "'logits:golden retriever', an expression 'mixed4a:68 - 0.5*mixed4b:3'; or a layer, with "
        "--neurons."
    ),
]
Layer = Annotated[
    str, typer.Argument(help="Layer, such as mixed4a (mixed_4a works too), or logits: classes.")
]
Model = Annotated[
    Optional[str],  # noqa: UP045  (typer reads the annotation at run time)
    typer.Option(
        "--model",
        "-m",
        help="inceptionv1, efficientnet_lite0, torchvision/NAME or timm/NAME. Default: the "
        "built-in network that has the layer.",
    ),
]
Weights = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--weights",
        help="State dict of the network (.pth or .safetensors), or random for an untrained one.",
    ),
]
Device = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--device", help="cuda, mps or cpu. Default: the first of these there is."),
]
Dictionaries = Annotated[
    Optional[list[Path]],  # noqa: UP045
    typer.Option(
        "--dictionary",
        help="File of a dictionary, which makes a layer: mixed4a/nmf32 out of nmf32.safetensors.",
    ),
]
Stores = Annotated[
    Optional[list[Path]],  # noqa: UP045
    typer.Option(
        "--store",
        help="Folder of results; given several times, all but the last are only read. Default: "
        "NEURON_WIDGET_STORE, else the platform's cache folder.",
    ),
]
NoStore = Annotated[bool, typer.Option("--no-store", help="Neither read nor keep results.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, no progress.")]
Neurons = Annotated[str, typer.Option("--neurons", "-n", help="Neurons: 1-10,68 or all.")]
Batch = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "--batch-size",
        help="Images side by side. Default: what fits.",
        **whole("batch_size", 1, 4096, optional=True),
    ),
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        "-d",
        help="Folder of photos or tars, photos-{000..099}.tar, samples (built in) or imagenette.",
    ),
]
MaybeData = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--data",
        "-d",
        help="Folder of photos or tars, photos-{000..099}.tar, samples (built in) or imagenette.",
    ),
]
TopK = Annotated[int, typer.Option("--top-k", help=SCAN["top_k"].help, **number(SCAN["top_k"]))]
Samples = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--num-samples", help=SCAN["num_samples"].help, **number(SCAN["num_samples"])),
]
Observer = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--observer", help="Who is asked: efficientnet_lite0, inceptionv1, dreamsim."),
]
Shard = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--shard", help="Do the I-th of N parts alone: I/N, I from 0. Then merge."),
]
Ray = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Divide the work among a Ray cluster: its host:port; without one the cluster that "
        "RAY_ADDRESS or `ray start` names, else this machine's processors or GPUs.",
    ),
]
CpusPerWorker = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option(
        "--cpus-per-worker",
        help="With --ray: processors of each worker. Default: 1; with GPUs an equal share.",
        **whole("cpus_per_worker", 1, optional=True),
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="With --ray: a bar a worker.")]
