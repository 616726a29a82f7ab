"""Writing a page, step by step."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import StoreError, WrongType
from neuron_widget.names import as_path
from neuron_widget.page.contents import Contents, from_results
from neuron_widget.page.html import page_html
from neuron_widget.page.pack import pack_page
from neuron_widget.page.plan import DEFAULT_LIMIT, Plan, plan_page
from neuron_widget.setting import check_int

if TYPE_CHECKING:
    from neuron_widget.analysis.predicting import Predictability
    from neuron_widget.rendering import RenderResult
    from neuron_widget.scanning import ScanResult

__all__ = ["Export", "check_path", "check_wishes", "export_html", "write_page"]

# Below this the maps of single neurons are looked up one by one; above, in one pass for all.
_FEW = 4


@dataclass(frozen=True)
class Export:
    """How far an export is: ``task`` ``"reading"``, ``"images"``, ``"maps"`` or ``"photos"``."""

    task: str
    done: int
    total: int


def check_path(path: str | os.PathLike[str]) -> Path:
    """The file to write; StoreError for a folder or a name that is no page's."""
    path = as_path(path, "the page", StoreError, example="page.html")
    if path.is_dir() or path.suffix.lower() not in (".html", ".htm"):
        raise StoreError(f"{str(path)!r}: expected the name of a file ending in .html")
    return path


def check_wishes(title: object, max_bytes: int | None) -> int | None:
    """The largest size of a page; WrongType or WrongValue for what is none, or for no title."""
    if not isinstance(title, str):
        raise WrongType(f"title must be a text, got {title!r:.80}")
    return None if max_bytes is None else check_int("max_bytes", max_bytes, 1)


def write_page(
    contents: Contents, plan: Plan, path: str | Path, title: str = ""
) -> Generator[Export, None, Path]:
    """Write a page as planned, whole or not at all, and return its path.

    Raises
    ------
    StoreError
        Full disk, folder that cannot be written to, photos that are gone.
    """
    from neuron_widget.durable import write_atomically

    path = check_path(path)
    yield from _maps_at_hand(contents)
    data: dict[str, Any]
    packing = pack_page(contents, plan)
    try:
        while True:
            try:
                yield Export(*next(packing))
            except StopIteration as end:
                data = end.value
                break
    finally:
        packing.close()
    text = page_html(
        title or f"The {contents.layer.words} of {contents.layer.name}",
        _intro(contents),
        _notes(contents, plan),
        data,
        [
            *(["no-scan"] if contents.scan is None else []),
            *(["no-photos"] if plan.photos and not plan.photo_px else []),
        ],
    )
    # A file name that is no Unicode has lone surrogates: JSON escapes them, a title may not.
    write_atomically(path, text.encode("utf-8", "replace"), "name another file")
    return path


def export_html(
    path: str | Path,
    model: Any,
    layer: str,
    *,
    images: RenderResult | Iterable[RenderResult] | None = None,
    scan: ScanResult | None = None,
    neurons: Sequence[int] | None = None,
    photos: bool = True,
    max_bytes: int | None = DEFAULT_LIMIT,
    title: str = "",
    report: Callable[[str], object] = print,
    predicted: Predictability | None = None,
) -> Path:
    """Write results as one HTML file that shows them as the widget does, without a kernel.

    Parameters
    ----------
    path
        A name that ends in ``.html``.
    model, layer
        The network (what :func:`neuron_widget.load_model` takes) and its layer.
    images, scan
        What :func:`neuron_widget.render` and :func:`neuron_widget.scan` returned.
    neurons
        Those to show; default all that there is something of.
    photos
        False leaves the photos out, where their licence forbids passing them on; scores, classes
        and activation maps stay.
    max_bytes
        Pictures are made as small as that needs, down to 64 px. None for no limit.
    title
        Heading of the page.
    report
        Called with the estimate of the size before anything is written.
    predicted
        What :func:`neuron_widget.predictability` returned: a line beside each neuron's image, and
        an order of the gallery.

    Raises
    ------
    PageTooLarge, StoreError, UnknownLayer, NeuronOutOfRange, ValueError

    Examples
    --------
    >>> from neuron_widget import export_html, load_model, render
    >>> model = load_model("efficientnet_lite0")
    >>> result = render(model, "blocks.4", [0, 1], steps=2, size=32, progress=False)
    >>> export_html("page.html", model, "blocks.4", images=result).name
    page.html: about ... kB: 2 neurons, 2 images of 32 px
    'page.html'
    """
    from neuron_widget.networks.zoo import load_model

    path = check_path(path)
    max_bytes = check_wishes(title, max_bytes)
    contents = from_results(load_model(model), layer, images, scan, neurons, predicted)
    plan = plan_page(contents, photos=photos, limit=max_bytes)
    report(f"{path.name}: {plan}")
    for _ in write_page(contents, plan, path, title):
        pass
    return path


def _maps_at_hand(contents: Contents) -> Generator[Export, None, None]:
    """Read the layer once for all photos, instead of once for every neuron."""
    from neuron_widget.store.maps import LARGEST_MAPS, make_maps, maps_size

    scan = contents.scan
    if scan is None or scan.stored_maps is not None or len(contents.neurons) <= _FEW:
        return
    if maps_size(scan) > LARGEST_MAPS:
        return
    making = make_maps(scan)
    try:
        while True:
            try:
                yield Export("reading", *next(making))
            except StopIteration as end:
                scan.stored_maps = end.value
                return
    finally:
        making.close()


def _intro(contents: Contents) -> str:
    scan, layer = contents.scan, contents.layer
    words = "neurons (channels)" if layer.word == "neuron" else layer.words
    text = (
        f"What the {words} of the layer {layer.name} of "
        f"{contents.model.title} respond to: images made to fire each of them"
    )
    if scan is None:
        return f"{text}."
    return f"{text}, beside those of {scan.scanned:,} photos that fire it most and least."


def _notes(contents: Contents, plan: Plan) -> list[str]:
    from neuron_widget.version import __version__

    notes = [
        f"Choose a {contents.layer.word} in the gallery, with the slider or with the arrow keys. "
        "This page is one file that works by itself; it asks nothing of any server."
    ]
    scan = contents.scan
    if scan is not None:
        left = "" if plan.photo_px else " The photos themselves are left out."
        notes.append(f"Photos: {scan.dataset}.{left}")
    small = f"Images are copies of {plan.image_px} px" if plan.images else ""
    if small and plan.photo_px:
        small += f", photos of {plan.photo_px} px"
    made = f"Made with neuron-widget {__version__} from {contents.model.identity}."
    notes.append(f"{small}. {made}" if small else made)
    return notes
