"""The commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from neuron_widget.cli.output import EXIT_CODES, Commands, reporting

__all__ = ["app"]

app = typer.Typer(
    name="neuron-widget",
    cls=Commands,
    help="See what the neurons of a CNN want to see, and whether the world contains it."
    f"\n\n{EXIT_CODES}",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    add_completion=False,
)
store_app = typer.Typer(help="Look at, check and tidy the store of results.", no_args_is_help=True)
app.add_typer(store_app, name="store")

Layer = Annotated[str, typer.Argument(help="Layer, such as mixed4a (mixed_4a works too).")]
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
Steps = Annotated[int, typer.Option("--steps", min=1, help="Steps of activation maximisation.")]
Size = Annotated[int, typer.Option("--size", min=16, max=4096, help="Side in pixels.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of images and of samples.")]
Rate = Annotated[float, typer.Option("--lr", help="Step size of Adam.")]
Batch = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--batch-size", min=1, help="Images side by side. Default: what fits."),
]
Data = Annotated[
    str,
    typer.Option("--data", "-d", help="Folder of photos, samples (built in) or imagenette."),
]
MaybeData = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--data", "-d", help="Folder of photos, samples (built in) or imagenette."),
]
TopK = Annotated[int, typer.Option("--top-k", min=1, help="Photos to keep at either end.")]
Samples = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--num-samples", min=1, help="Look at so many photos. Default: all."),
]
Split = Annotated[str, typer.Option("--split", help="train or val, where there are splits.")]


@app.command()
def info(stores: Stores = None, as_json: AsJson = False) -> None:
    """Show devices, networks, weights found, and the store."""
    from neuron_widget.cli.info import show_info

    with reporting(as_json):
        show_info(stores, as_json)


@app.command()
def layers(
    model: Annotated[str, typer.Argument(help="Network, such as inceptionv1.")],
    weights: Weights = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """List the layers of a network: name, neurons, size of the activation map."""
    from neuron_widget.cli.info import show_layers

    with reporting(as_json):
        show_layers(model, weights, device, as_json)


@app.command()
def render(
    layer: Layer,
    neurons: Neurons,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the images (WebP).")],
    steps: Steps = 512,
    size: Size = 224,
    seed: Seed = 0,
    lr: Rate = 0.05,
    batch_size: Batch = None,
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    stores: Stores = None,
    no_store: NoStore = False,
    as_json: AsJson = False,
) -> None:
    """Render the images that neurons respond to most, into a folder.

    Images that the store has are not rendered again. Ctrl-C keeps the unfinished ones too, and the
    same command goes on from them.
    """
    from neuron_widget.cli.jobs import Opened, render_images

    with reporting(as_json):
        opened = Opened(layer, model, weights, device, stores, no_store)
        how = {"steps": steps, "size": size, "seed": seed, "lr": lr}
        render_images(opened, neurons, out, batch_size, how, as_json)


@app.command()
def scan(
    layer: Layer,
    data: Data,
    top_k: TopK = 9,
    num_samples: Samples = None,
    split: Split = "train",
    seed: Seed = 0,
    precision: Annotated[str, typer.Option("--precision", help="exact or fast.")] = "exact",
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", "-o", help="Write the scan here: .safetensors, or .csv of photos."),
    ] = None,
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    stores: Stores = None,
    no_store: NoStore = False,
    as_json: AsJson = False,
) -> None:
    """Find the photos that fire every neuron of a layer most and least.

    Goes on where it was interrupted: with Ctrl-C, or killed (a checkpoint every 30 s).
    """
    from neuron_widget.cli.jobs import Opened, scan_photos

    with reporting(as_json):
        opened = Opened(layer, model, weights, device, stores, no_store)
        how = {
            "top_k": top_k,
            "num_samples": num_samples,
            "split": split,
            "seed": seed,
            "precision": precision,
        }
        scan_photos(opened, data, out, how, as_json)


@app.command()
def prerender(
    layer: Layer,
    neurons: Neurons = "all",
    data: MaybeData = None,
    steps: Steps = 512,
    size: Size = 224,
    seed: Seed = 0,
    lr: Rate = 0.05,
    batch_size: Batch = None,
    top_k: TopK = 9,
    num_samples: Samples = None,
    split: Split = "train",
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    stores: Stores = None,
    as_json: AsJson = False,
) -> None:
    """Fill the store with a layer: images and, with --data, its scan and activation maps.

    A widget on a prerendered layer shows everything at once. Resumable: Ctrl-C keeps what is
    finished, and the same command goes on. Several processes may fill one store together.
    """
    from neuron_widget.cli.jobs import Opened, fill_store

    with reporting(as_json):
        opened = Opened(layer, model, weights, device, stores, no_store=False)
        images = {"steps": steps, "size": size, "seed": seed, "lr": lr}
        photos = {"top_k": top_k, "num_samples": num_samples, "split": split, "seed": seed}
        fill_store(opened, neurons, data, batch_size, images, photos, as_json)


@app.command()
def analyze(
    layer: Layer,
    data: Data,
    neuron: Annotated[int, typer.Option("--neuron", "-n", min=0, help="The neuron.")] = 0,
    num_samples: Samples = 1000,
    top_k: TopK = 10,
    steps: Steps = 512,
    split: Split = "train",
    seed: Seed = 0,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the figure.")] = Path(
        "results"
    ),
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    stores: Stores = None,
    no_store: NoStore = False,
    as_json: AsJson = False,
) -> None:
    """Analyse one neuron: image, best photos with maps, colours, contrast, and the figure."""
    from neuron_widget.cli.jobs import Opened, analyze_neuron

    with reporting(as_json):
        opened = Opened(layer, model, weights, device, stores, no_store)
        how = {"num_samples": num_samples, "top_k": top_k, "optim_steps": steps, "save_dir": out}
        analyze_neuron(opened, neuron, data, split, seed, how, as_json)


@app.command()
def export(
    layer: Layer,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page: a name ending in .html.")],
    neurons: Neurons = "all",
    data: MaybeData = None,
    no_photos: Annotated[
        bool,
        typer.Option("--no-photos", help="Leave the photos out (licence); maps and scores stay."),
    ] = False,
    max_size: Annotated[
        str, typer.Option("--max-size", help="Pictures become as small as this needs.")
    ] = "25MB",
    title: Annotated[str, typer.Option("--title", help="Heading of the page.")] = "",
    steps: Steps = 512,
    size: Size = 224,
    seed: Seed = 0,
    lr: Rate = 0.05,
    top_k: TopK = 9,
    num_samples: Samples = None,
    split: Split = "train",
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    stores: Stores = None,
    as_json: AsJson = False,
) -> None:
    """Write what the store has of a layer as one HTML page that needs no kernel and no network.

    Gallery, slider, photos, maps and histogram work in it. Nothing is rendered or scanned:
    prerender does that, and the options say what was prerendered.
    """
    from neuron_widget.cli.jobs import Opened
    from neuron_widget.cli.page import export_page

    with reporting(as_json):
        opened = Opened(layer, model, weights, device, stores, no_store=False)
        export_page(
            opened,
            neurons,
            data,
            out,
            {"steps": steps, "size": size, "seed": seed, "lr": lr},
            {"top_k": top_k, "num_samples": num_samples, "split": split, "seed": seed},
            no_photos=no_photos,
            max_size=max_size,
            title=title,
            as_json=as_json,
        )


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--dir", help="Folder the notebook is put into.")] = Path(
        "neuron-widget-demo"
    ),
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address instead of opening it.")
    ] = False,
    port: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--port", min=1, max=65535, help="Port of JupyterLab."),
    ] = None,
) -> None:
    """Open the quickstart notebook in JupyterLab. It needs no download."""
    from neuron_widget.cli.demo import start_demo

    with reporting(as_json=False):
        start_demo(folder, no_browser=no_browser, port=port)


@store_app.command("info")
def store_info(stores: Stores = None, as_json: AsJson = False) -> None:
    """Show where results are, how many, and how large."""
    from neuron_widget.cli.store import show_store

    with reporting(as_json):
        show_store(stores, as_json)


@store_app.command("verify")
def store_verify(stores: Stores = None, as_json: AsJson = False) -> None:
    """Read every file whole; list torn, changed and foreign ones (exit code 5 if there are any).

    Nothing is changed or removed.
    """
    from neuron_widget.cli.store import verify_store

    with reporting(as_json):
        verify_store(stores, as_json)


@store_app.command("prune")
def store_prune(
    limit: Annotated[str, typer.Option("--limit", help="Size to keep, such as 500MB or 2GB.")],
    stores: Stores = None,
    as_json: AsJson = False,
) -> None:
    """Remove what was used least recently until the store has the given size.

    Torn, foreign and read-only files stay.
    """
    from neuron_widget.cli.store import prune_store

    with reporting(as_json):
        prune_store(limit, stores, as_json)
