"""The commands and their options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from neuron_widget.cli.arguments import (
    AsJson,
    Batch,
    CpusPerWorker,
    Data,
    Device,
    Dictionaries,
    Layer,
    MaybeData,
    Model,
    Neurons,
    NoStore,
    Observer,
    Ray,
    Samples,
    Shard,
    Stores,
    Targets,
    TopK,
    Verbose,
    Weights,
)
from neuron_widget.cli.options import apart, given, number, whole, with_settings
from neuron_widget.cli.output import EXIT_CODES, Commands, reporting
from neuron_widget.cli.serve_command import serve
from neuron_widget.errors import WrongValue
from neuron_widget.settings import RENDER, SCAN

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
@with_settings(RENDER)
def render(
    targets: Targets,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the images (WebP).")],
    neurons: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--neurons", "-n", help="Neurons of the layer: 1-10,68 or all."),
    ] = None,
    batch_size: Batch = None,
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    dictionaries: Dictionaries = None,
    stores: Stores = None,
    no_store: NoStore = False,
    as_json: AsJson = False,
    **settings: Any,
) -> None:
    """Render the images that neurons respond to most, into a folder.

    Images that the store has are not rendered again. Ctrl-C keeps the unfinished ones too, and the
    same command goes on from them.
    """
    from neuron_widget.cli.jobs import Opened, layer_of, render_images

    with reporting(as_json):
        opened = Opened(
            layer_of(targets[0]), model, weights, device, dictionaries, stores, no_store
        )
        chosen = opened.targets(targets, neurons)
        render_images(opened, chosen, out, batch_size, given(settings), as_json)


@app.command()
@with_settings(SCAN)
def scan(
    layer: Layer,
    data: Data,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--out",
            "-o",
            help="Write the scan here: .safetensors, or .csv of photos; a folder with --shard.",
        ),
    ] = None,
    shard: Shard = None,
    ray: Ray = None,
    cpus_per_worker: CpusPerWorker = None,
    verbose: Verbose = False,
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    dictionaries: Dictionaries = None,
    stores: Stores = None,
    no_store: NoStore = False,
    predict: Annotated[
        bool,
        typer.Option("--predict", help="Ask a machine how far photos predict each neuron, too."),
    ] = False,
    observer: Observer = None,
    as_json: AsJson = False,
    **settings: Any,
) -> None:
    """Find the photos that fire every neuron of a layer most and least.

    Goes on where it was interrupted: with Ctrl-C, or killed (a checkpoint every 30 s).
    """
    from neuron_widget.cli.clusters import cluster_of
    from neuron_widget.cli.jobs import Opened
    from neuron_widget.cli.scans import scan_photos
    from neuron_widget.cli.shards import as_shard, scan_shard

    with reporting(as_json):
        own = as_shard(shard)
        opened = Opened(layer, model, weights, device, dictionaries, stores, no_store)
        where = cluster_of(opened, ray, cpus_per_worker, device, shard, verbose=verbose)
        if own is not None:
            if predict or observer is not None:
                raise WrongValue("--predict needs the whole scan; leave it out with --shard")
            scan_shard(opened, data, out, own, settings, as_json)
            return
        how: dict[str, Any] = {"predict": predict, "observer": observer, "where": where}
        scan_photos(opened, data, out, settings, as_json, verbose=verbose, **how)


@app.command()
def merge(
    out: Annotated[Path, typer.Argument(help="The scan: .safetensors, or .csv of photos.")],
    parts: Annotated[list[Path], typer.Argument(help="Folder of the parts, or their files.")],
    as_json: AsJson = False,
) -> None:
    """Make one scan of the parts that scan --shard wrote.

    It equals an undivided one in every bit. Parts of different scans, missing ones and those that
    are there twice are refused by name.
    """
    from neuron_widget.cli.shards import merge_parts

    with reporting(as_json):
        merge_parts(out, parts, as_json)


@app.command()
@with_settings(RENDER, SCAN)
def prerender(
    layer: Layer,
    neurons: Neurons = "all",
    data: MaybeData = None,
    shard: Shard = None,
    ray: Ray = None,
    cpus_per_worker: CpusPerWorker = None,
    verbose: Verbose = False,
    batch_size: Batch = None,
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    dictionaries: Dictionaries = None,
    stores: Stores = None,
    as_json: AsJson = False,
    **settings: Any,
) -> None:
    """Fill the store with a layer: images and, with --data, its scan and activation maps.

    A widget on a prerendered layer shows everything at once. Resumable: Ctrl-C keeps what is
    finished, and the same command goes on. Several processes may fill one store together, also
    each its --shard; the same command without it, after all of them, merges what they made.
    """
    from neuron_widget.cli.clusters import cluster_of
    from neuron_widget.cli.jobs import Opened
    from neuron_widget.cli.scans import fill_store
    from neuron_widget.cli.shards import as_shard

    with reporting(as_json):
        own = as_shard(shard)
        opened = Opened(layer, model, weights, device, dictionaries, stores, no_store=False)
        images, photos = apart(settings)
        where = cluster_of(opened, ray, cpus_per_worker, device, shard, verbose=verbose)
        work = (opened, neurons, data, batch_size, images, photos, as_json, own)
        fill_store(*work, where=where, verbose=verbose)


@app.command()
def analyze(
    layer: Layer,
    data: Data,
    neuron: Annotated[
        int, typer.Option("--neuron", "-n", help="The neuron.", **whole("neuron", 0))
    ] = 0,
    num_samples: Samples = 1000,
    top_k: TopK = 10,
    steps: Annotated[
        int, typer.Option("--steps", help=RENDER["steps"].help, **number(RENDER["steps"]))
    ] = 512,
    split: Annotated[str, typer.Option("--split", help=SCAN["split"].help)] = "train",
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of image and sample.", **number(RENDER["seed"]))
    ] = 0,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the figure.")] = Path(
        "results"
    ),
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    dictionaries: Dictionaries = None,
    stores: Stores = None,
    no_store: NoStore = False,
    as_json: AsJson = False,
) -> None:
    """Analyse one neuron: image, best photos with maps, colours, contrast, and the figure."""
    from neuron_widget.cli.jobs import Opened, analyze_neuron

    with reporting(as_json):
        opened = Opened(layer, model, weights, device, dictionaries, stores, no_store)
        how = {"num_samples": num_samples, "top_k": top_k, "optim_steps": steps, "save_dir": out}
        analyze_neuron(opened, neuron, data, split, seed, how, as_json)


@app.command()
@with_settings(SCAN, but=("precision",))
def look(
    photo: Annotated[Path, typer.Argument(help="The photo, of any usual format.")],
    layer: Layer,
    data: MaybeData = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Neurons to show.")] = 12,
    at: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--at", help="Ask one position of the map: ROW,COLUMN."),
    ] = None,
    without: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--without", help="Switch these neurons off (1,5,70-80): the answer's change."
        ),
    ] = None,
    to: Annotated[
        str, typer.Option("--to", help="Off is zero, or their mean over the data set: zero, mean.")
    ] = "zero",
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", "-o", help="The sheet (.png). Default: results/PHOTO_LAYER.png."),
    ] = None,
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    dictionaries: Dictionaries = None,
    stores: Stores = None,
    no_store: NoStore = False,
    as_json: AsJson = False,
    **settings: Any,
) -> None:
    """Show a photo of yours to a layer: which neurons fire on it, and where.

    With --data against what is usual for each neuron in that data set; without it by raw score.
    The photo itself is put into no store.
    """
    from neuron_widget.cli.jobs import Opened
    from neuron_widget.cli.look import look_at_photo

    with reporting(as_json):
        opened = Opened(layer, model, weights, device, dictionaries, stores, no_store)
        look_at_photo(
            opened,
            photo,
            data,
            out,
            count=count,
            at=at,
            without=without,
            to=to,
            scanning=settings,
            as_json=as_json,
        )


@app.command()
@with_settings(RENDER, SCAN)
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
    model: Model = None,
    weights: Weights = None,
    device: Device = None,
    dictionaries: Dictionaries = None,
    stores: Stores = None,
    as_json: AsJson = False,
    **settings: Any,
) -> None:
    """Write what the store has of a layer as one HTML page that needs no kernel and no network.

    Gallery, slider, photos, maps and histogram work in it. Nothing is rendered or scanned:
    prerender does that, and the options say what was prerendered.
    """
    from neuron_widget.cli.jobs import Opened
    from neuron_widget.cli.page import export_page

    with reporting(as_json):
        opened = Opened(layer, model, weights, device, dictionaries, stores, no_store=False)
        images, photos = apart(settings)
        export_page(
            opened,
            neurons,
            data,
            out,
            images,
            photos,
            no_photos=no_photos,
            max_size=max_size,
            title=title,
            as_json=as_json,
        )


app.command()(serve)


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
        typer.Option(
            "--port", help="Port of JupyterLab.", **whole("port", 1, 65535, optional=True)
        ),
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
