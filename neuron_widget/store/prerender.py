"""Making the results that come with the package: ``make prerendered``.

    python -m neuron_widget.store.prerender [--work FOLDER] [--out FOLDER] [--device DEVICE]

Renders and scans into an ordinary store (``--work``), which it goes on from where it was stopped,
and packs what the widget shows of it: the images with loss, so that all of it stays small. The
precision is that of every processor, float32; the same processor makes the same files, but for the
seconds it took.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import zlib
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_widget.durable import size_text
from neuron_widget.names import EMBEDDED
from neuron_widget.networks.known import choose_network
from neuron_widget.protocol.encode import thumb
from neuron_widget.rendering.files import lossy_bytes
from neuron_widget.store.fill import Fill, fill_images, fill_photos
from neuron_widget.store.package import PACKAGED
from neuron_widget.store.store import Store

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel
    from neuron_widget.scanning import ScanResult

__all__ = ["HOW", "pack", "prerender"]

HOW = {"precision": "float32"}
"""How the images are made: the default settings, in the arithmetic that every machine has."""

QUALITY = 80
"""WebP's: a fifth of the lossless picture's size. What is lost is colour noise of single pixels
(29 dB); what the neuron makes of the picture changes by a few percent."""

MOST = 5 * 10**6
"""Bytes that all of it may take in the wheel."""


def prerender(work: Path, out: Path, *, device: str | None = None, **settings: Any) -> int:
    """Render, scan and pack the embedded network's default layer; returns its bytes in the wheel.

    ``settings`` are others than the default ones, for tests. Without a scan nothing is packed.
    """
    from neuron_widget.networks.zoo import load_model

    model = load_model(EMBEDDED, device=device)
    layer, how = model.default_layer, {**HOW, **settings}
    store = Store(work)
    neurons = range(model.layer(layer).channels)
    _follow(fill_images(store, model, layer, neurons, **how))
    scan: ScanResult = _follow(fill_photos(store, model, layer, "samples"))
    return pack(store, model, scan, out, how)


def pack(store: Store, model: VisionModel, scan: ScanResult, out: Path, how: dict[str, Any]) -> int:
    """Write what the widget shows of a layer into ``out``, instead of what is there."""
    layer, fresh = scan.layer, out.with_name(f"{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    packed = Store(fresh)
    tiles = {}
    for neuron in range(model.layer(layer).channels):
        result = store.find_render(model, layer, neuron, **how)
        if result is None:
            raise SystemExit(f"{layer}:{neuron} is not rendered")
        pixels, manifest = result.picture()
        name = store.render_name(model, layer, neuron, **how)
        packed.own.write("images", name, lossy_bytes(pixels, {**manifest, "name": name}, QUALITY))
        tiles[neuron] = thumb(result.to_pil())
    packed.put_gallery(model, layer, tiles, **how)
    name = store.scan_name_of(model, scan)
    for room in ("scans", "maps"):
        packed.own.write(room, name, store.own.path(room, name).read_bytes())
    named = choose_network(EMBEDDED)
    assert named is not None
    packed.put_network(named, model)
    if packed.failure is not None:
        raise packed.failure
    shutil.rmtree(out, ignore_errors=True)
    fresh.rename(out)
    # A wheel is an archive of deflated files.
    files = [entry.path.read_bytes() for entry in Store(out).own.entries()]
    return sum(len(zlib.compress(data)) for data in files)


def _follow(work: Generator[Fill, None, Any]) -> Any:
    with closing(work):
        while True:
            try:
                at = next(work)
            except StopIteration as end:
                print(file=sys.stderr)
                return end.value
            line = f"\r{at.task} {at.done + at.part:.1f} of {at.total} {at.waiting}"
            print(f"{line:<79}", end="", file=sys.stderr, flush=True)


def main() -> None:
    """Make the folder that comes with the package."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/prerendered"))
    parser.add_argument("--out", type=Path, default=PACKAGED)
    parser.add_argument("--device", help="default: the first of cuda, mps, cpu that is there")
    args = parser.parse_args()
    size = prerender(args.work, args.out, device=args.device)
    print(f"{args.out}: {size_text(size)} in the wheel")
    if size > MOST:
        sys.exit(f"that is more than {size_text(MOST)}")


if __name__ == "__main__":
    main()
