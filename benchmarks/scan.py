"""How fast a scan is, beside the seed notebook's loop and beside what cannot be avoided.

    python benchmarks/scan.py [--device cpu|cuda] [--quick] [--weights FILE] [--photos FOLDER]

Ours and the peers run in turn, round after round, in one process, on the same photos; the table
shows the median, the spread (least..most) and ratios of medians. Without weights and photos
(``NEURON_WIDGET_TEST_DATA`` holds both) it uses an untrained network and the built-in photos,
which take the same time a photo but say nothing about agreement.

* The seed's loop: batch 1, two full forward passes a photo, another pass for every neuron.
* The floor: the forward pass up to the layer alone, at our batch size and precision, on a batch
  that is there already; and decoding, alone, with all our threads. On a CPU both need the same
  cores, so nothing of the decoding can be hidden; on a GPU the larger of the two is the floor.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from PIL import Image
from torchvision import transforms

from neuron_widget.models import VisionModel
from neuron_widget.rendering.lucent_engine import lucent_module
from neuron_widget.scanning.datasets import ImageDataset, open_dataset
from neuron_widget.scanning.engine import sample, scan
from neuron_widget.scanning.loading import load_batches, to_images
from neuron_widget.scanning.running import ScanPass
from neuron_widget.zoo import load_model

LAYER, NEURON, BATCH = "mixed4a", 68, 32
SEED_PASSES = 3  # the cost of a pass is the same for every neuron: counted 508 times


class Table:
    """Milliseconds a photo of each contestant, round by round."""

    def __init__(self, device: torch.device):
        self.device = device
        self.per_photo: dict[str, list[float]] = {}

    def time(self, name: str, photos: int, work: Callable[[], object]) -> None:
        """Run ``work`` once and note its time."""
        self._wait()
        start = time.perf_counter()
        work()
        self._wait()
        self.per_photo.setdefault(name, []).append((time.perf_counter() - start) / photos * 1e3)

    def median(self, name: str) -> float:
        """Return the median over the rounds."""
        return statistics.median(self.per_photo[name])

    def show(self) -> None:
        """Print a line a contestant."""
        print(f"{'':<44}{'ms a photo':>12}   spread")
        for name, values in self.per_photo.items():
            print(f"{name:<44}{self.median(name):>12.2f}   {min(values):.2f}..{max(values):.2f}")

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def seed_pass(module: torch.nn.Module, layer: str, neuron: int, photos: Iterable[Image.Image]):
    """The seed notebook's loop over the data set for one neuron, its preprocessing put right."""
    prepare = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()]
    )
    device = next(module.parameters()).device
    activations: dict[str, torch.Tensor] = {}
    handle = dict(module.named_modules())[layer].register_forward_hook(
        lambda _module, _args, output: activations.update(layer=output)
    )
    kept = []
    try:
        with torch.no_grad():
            for photo in photos:
                x = prepare(photo)[None].to(device) * 255 - 117
                module(x)
                score = activations["layer"][0, neuron].mean().item()
                module(x)
                kept.append((photo, score, activations["layer"][0, neuron].cpu().numpy()))
    finally:
        handle.remove()
    return sorted(kept, key=lambda entry: entry[1], reverse=True)[:9]


def forward_floor(model: VisionModel, squares: torch.Tensor, precision: str) -> None:
    images = to_images(squares, model.device)
    fast = precision == "fast"
    with (
        torch.inference_mode(),
        torch.autocast(model.device.type, torch.bfloat16, enabled=fast),
        model.reading(LAYER) as read,
    ):
        read(images)


def from_tensors(model: VisionModel, dataset: ImageDataset, squares: torch.Tensor, batches: int):
    """A whole scan but for the files."""
    info = model.layer(LAYER)
    settings = {"top_k": 9, "precision": "fast"}
    scan_pass = ScanPass(model, info.name, info.channels, dataset, settings, len(squares))
    for _ in range(batches):
        scan_pass.take(list(range(len(squares))), squares)


def compare(
    model: VisionModel, peer: torch.nn.Module, dataset: ImageDataset, args: argparse.Namespace
) -> None:
    table = Table(model.device)
    photos = min(len(dataset), 64 if args.quick else 512)
    seed_photos = 6 if args.quick else 32
    order = sample(len(dataset), photos, 0).tolist()
    squares = next(load_batches(dataset, order, model.input_size, args.batch)).squares
    results = {}

    def ours(precision: str) -> None:
        result = scan(
            model,
            LAYER,
            dataset,
            num_samples=photos,
            batch_size=args.batch,
            precision=precision,
            progress=False,
        )
        for example in (*result.top(NEURON), *result.bottom(NEURON)):
            example.activation_map()
        results[precision] = result

    # The seed's loop opened files itself: its decoding is part of its time.
    def seed_photos_of() -> Iterable[Image.Image]:
        return (dataset.load(i) for i in order[:seed_photos])

    forward_floor(model, squares, "exact")  # warm up
    forward_floor(model, squares, "fast")
    seed_pass(peer, LAYER, NEURON, (dataset.load(i) for i in order[:2]))
    for _ in range(1 if args.quick else 5):
        for neuron in range(NEURON, NEURON + (1 if args.quick else SEED_PASSES)):
            table.time(
                "seed's loop, one neuron",
                seed_photos,
                lambda neuron=neuron: seed_pass(peer, LAYER, neuron, seed_photos_of()),
            )
        for precision in ("exact", "fast"):
            table.time(
                f"ours, {precision} (all neurons; one shown)",
                photos,
                lambda precision=precision: ours(precision),
            )
            table.time(
                f"floor: forward, {precision}",
                len(squares),
                lambda precision=precision: forward_floor(model, squares, precision),
            )
        table.time(
            "floor: decode, all threads",
            photos,
            lambda: list(load_batches(dataset, order, model.input_size, args.batch)),
        )
        table.time(
            "ours, fast, from decoded tensors",
            8 * len(squares),
            lambda: from_tensors(model, dataset, squares, 8),
        )
    table.show()
    ratios(table, results, model)


def ratios(table: Table, results: dict, model: VisionModel) -> None:
    channels = model.layer(LAYER).channels
    seed, decode = (
        table.median("seed's loop, one neuron"),
        table.median("floor: decode, all threads"),
    )
    print(f"\n{'ratio':<60}{'exact':>10}{'fast':>10}")
    rows: dict[str, list[float]] = {"one neuron: seed / ours": [], "ours / floor": []}
    all_neurons = []
    for precision in ("exact", "fast"):
        ours = table.median(f"ours, {precision} (all neurons; one shown)")
        forward = table.median(f"floor: forward, {precision}")
        floor = forward + decode if model.device.type == "cpu" else max(forward, decode)
        rows["one neuron: seed / ours"].append(seed / ours)
        rows["ours / floor"].append(ours / floor)
        again = 0.0
        if precision == "fast":
            # Looking at every neuron scores its candidates again in float32: each photo that is
            # a candidate of any neuron, once.
            tables = results["fast"].tables
            candidates = set(tables.top.index.ravel()) | set(tables.bottom.index.ravel())
            share = len(candidates) / results["fast"].scanned
            again = share * (table.median("floor: forward, exact") + decode)
        all_neurons.append(seed * channels / (ours + again))
    rows[f"{channels} neurons: seed ({channels} passes) / ours"] = all_neurons
    for name, (exact, fast) in rows.items():
        print(f"{name:<60}{exact:>10.2f}{fast:>10.2f}")
    print(
        f"\nFast, all neurons: counts scoring {share:.0%} of the photos again; with few photos\n"
        "nearly all are a candidate of some neuron. Over many photos the share falls."
    )
    agreement(results)


def agreement(results: dict) -> None:
    exact, fast = (results[p].tables for p in ("exact", "fast"))
    pairs = [
        set(a) <= set(b)
        for side in ("top", "bottom")
        for a, b in zip(
            getattr(exact, side).index.tolist(), getattr(fast, side).index.tolist(), strict=True
        )
    ]
    print(f"Fast keeps the exact nine: {sum(pairs)} of {len(pairs)} sets")


def memory(model: VisionModel, dataset: ImageDataset) -> None:
    """Peak memory after 1,000 photos, then after 10,000 (the files repeated)."""
    import resource

    files = [dataset.path(i) for i in range(len(dataset))]
    peaks = []
    for photos in (1_000, 10_000):
        repeated = (files * (photos // len(files) + 1))[:photos]
        scan(model, LAYER, repeated, precision="fast", progress=False)
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    print(f"Peak memory, 10,000 photos against 1,000: {peaks[1] / peaks[0] - 1:+.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--quick", action="store_true", help="few photos, one round")
    parser.add_argument("--weights", help="state dict of InceptionV1")
    parser.add_argument("--photos", help="folder of photos")
    parser.add_argument("--batch", type=int, default=0, help="photos in a forward pass")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("No GPU here: the rows of a GPU were not measured.")
        return
    args.batch = args.batch or (BATCH if args.device == "cpu" else 256)
    data = os.environ.get("NEURON_WIDGET_TEST_DATA")
    if data is not None:
        args.photos = args.photos or str(Path(data) / "photos")
        weights = Path(data) / "weights" / "inceptionv1_google2015.pth"
        args.weights = args.weights or str(weights)
    device = torch.device(args.device)
    model = load_model(weights=args.weights or "random", device=device)
    dataset = open_dataset(args.photos or "samples")
    name = torch.cuda.get_device_name(device) if args.device == "cuda" else platform.processor()
    print(f"{args.device} {name}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{LAYER}, batch {args.batch}, {dataset}\n")
    model.layer(LAYER)  # probed before anything is timed
    compare(model, lucent_module(model), dataset, args)
    if not args.quick and args.photos and args.device == "cpu":
        memory(model, dataset)


if __name__ == "__main__":
    main()
