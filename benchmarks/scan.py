"""How fast a scan is, beside the seed notebook's loop and beside what cannot be avoided.

    python benchmarks/scan.py [--device cpu|cuda] [--quick] [--network NAME] [--layer LAYER]
                              [--weights FILE] [--photos FOLDER] [--results FILE]

Ours and the peers run in turn, round after round, in one process, on the same photos; the table
shows the median, the spread (least..most) and ratios of medians. Without weights and photos
(``NEURON_WIDGET_TEST_DATA`` holds both) it uses an untrained network and the built-in photos,
which take the same time a photo but say nothing about agreement.

* The seed's loop: batch 1, two full forward passes a photo, another pass for every neuron.
* A fast scan scores the candidates of a neuron again when it is looked at. All candidates of all
  neurons at once are measured too: on the photos, where nearly every photo is one, and on many
  thousand different squares cut from them, where a scan is worth being fast.
* The floor: the forward pass up to the layer alone, at our batch size and precision, on a batch
  that is there already; and decoding, alone, with all our threads. On a CPU both need the same
  cores, so nothing of the decoding can be hidden; on a GPU the larger of the two is the floor.
* Where the processor has no fast arithmetic a fast scan is the exact one, and its floor, too.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from PIL import Image, ImageOps
from report import (
    LAYERS,
    Goal,
    Times,
    kind_of_processor,
    machine,
    open_network,
    results,
    show_goals,
    test_data,
)
from torchvision import transforms

from neuron_widget.networks.arithmetic import scan_precision
from neuron_widget.networks.model import VisionModel
from neuron_widget.rendering.lucent_engine import lucent_module
from neuron_widget.scanning import ImageDataset, open_dataset
from neuron_widget.scanning.engine import scan
from neuron_widget.scanning.loading import load_batches, to_images
from neuron_widget.scanning.order import sample
from neuron_widget.scanning.result import ScanResult
from neuron_widget.scanning.running import ScanPass
from neuron_widget.store.maps import make_maps

SEED, PRECISIONS = "seed's loop, one neuron", ("exact", "fast")
ALL_AGAIN = "ours, fast: candidates of all neurons again"
NEURON, BATCH = 68, 32
SEED_PASSES = 3  # the cost of a pass is the same for every neuron: counted once for each
CROPS = 16_000


def first_neuron(model: VisionModel, layer: str) -> int:
    """Of those whose photos are looked for: another one where the layer has few."""
    return max(0, min(NEURON, model.layer(layer).channels - SEED_PASSES))


def seed_pass(
    peer: tuple[VisionModel, torch.nn.Module],
    layer: str,
    neuron: int,
    photos: Iterable[Image.Image],
):
    """The seed notebook's loop over the data set for one neuron, its preprocessing put right."""
    prepare = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()]
    )
    model, module = peer
    activations: dict[str, torch.Tensor] = {}
    handle = dict(module.named_modules())[layer].register_forward_hook(
        lambda _module, _args, output: activations.update(layer=output)
    )
    kept = []
    try:
        with torch.no_grad():
            for photo in photos:
                x = model.preprocess(prepare(photo)[None].to(model.device))
                module(x)
                score = activations["layer"][0, neuron].mean().item()
                module(x)
                kept.append((photo, score, activations["layer"][0, neuron].cpu().numpy()))
    finally:
        handle.remove()
    return sorted(kept, key=lambda entry: entry[1], reverse=True)[:9]


def forward_floor(
    model: VisionModel,
    layer: str,
    dataset: ImageDataset,
    squares: torch.Tensor,
    precision: str,
) -> Iterator[None]:
    """The forward pass of a scan, and nothing of the scan."""
    settings = {"top_k": 9, "precision": scan_precision(precision, model.device)}
    info = model.layer(layer)
    scan_pass = ScanPass(model, layer, info.channels, dataset, settings, len(squares))
    yield
    while True:
        with torch.inference_mode():
            scan_pass._read(to_images(squares, model.device))
        yield


def from_tensors(
    model: VisionModel, layer: str, dataset: ImageDataset, squares: torch.Tensor, batches: int
):
    """A whole scan but for the files."""
    info = model.layer(layer)
    settings = {"top_k": 9, "precision": scan_precision("fast", model.device)}
    scan_pass = ScanPass(model, info.name, info.channels, dataset, settings, len(squares))
    for _ in range(batches):
        scan_pass.take(list(range(len(squares))), squares)


def compare(
    peer: tuple[VisionModel, torch.nn.Module],
    layer: str,
    dataset: ImageDataset,
    args: argparse.Namespace,
) -> list[Goal]:
    model, _ = peer
    times = Times(model.device)
    photos = min(len(dataset), 192 if args.quick else 512)
    seed_photos = 6 if args.quick else 32
    order = sample(len(dataset), photos, 0).tolist()
    squares = next(load_batches(dataset, order, model.input_size, args.batch)).squares
    found = {}

    def ours(precision: str) -> None:
        found[precision] = scan(
            model,
            layer,
            dataset,
            num_samples=photos,
            batch_size=args.batch,
            precision=precision,
            progress=False,
        )

    def seed_photos_of() -> Iterable[Image.Image]:
        # The seed's loop opened files itself: its decoding is part of its time.
        return (dataset.load(i) for i in order[:seed_photos])

    first = first_neuron(model, layer)
    floors = {
        precision: forward_floor(model, layer, dataset, squares, precision)
        for precision in PRECISIONS
    }
    for floor in floors.values():
        next(floor), next(floor)  # warm up
    seed_pass(peer, layer, first, (dataset.load(i) for i in order[:2]))
    for _ in range(1 if args.quick else 5):
        for neuron in range(first, first + (1 if args.quick else SEED_PASSES)):
            times.take(
                SEED, seed_photos, lambda n=neuron: seed_pass(peer, layer, n, seed_photos_of())
            )
        for precision in PRECISIONS:
            times.take(f"ours, {precision}", photos, lambda p=precision: ours(p))
            times.take(
                f"ours, {precision}: a neuron's photos and maps",
                photos,
                lambda p=precision: found[p].maps(first),
            )
            times.take(
                f"floor: forward, {precision}",
                4 * len(squares),
                lambda f=floors[precision]: [next(f) for _ in range(4)],
            )
        times.take(
            "floor: decode, all threads",
            photos,
            lambda: list(load_batches(dataset, order, model.input_size, args.batch)),
        )
        times.take(
            "ours, fast, from decoded tensors",
            8 * len(squares),
            lambda: from_tensors(model, layer, dataset, squares, 8),
        )
    times.take(ALL_AGAIN, photos, lambda: exhaust(make_maps(found["fast"])))
    floor = {p: _floor(times, p, model.device) for p in PRECISIONS}
    times.show("a photo", SEED, {f"ours, {p}": floor[p] for p in PRECISIONS})
    share = candidates(found["fast"]) / photos
    print(f"\n{share:.0%} of the {photos} photos are a candidate of some neuron in the fast scan.")
    goals = _speed(times, floor, model)
    if model.name == "inceptionv1":
        goals = [*_beside_seed(times, model.layer(layer).channels), *goals]
    return [*goals, _agreement(found)]


def candidates(result: ScanResult) -> int:
    """How many different photos are among any neuron's candidates."""
    return len(np.unique(np.concatenate([result.tables.top.index, result.tables.bottom.index], 1)))


class Crops(torch.utils.data.Dataset):
    """Different squares cut from the photos, some of them mirrored."""

    def __init__(self, photos: ImageDataset, count: int):
        self._photos, self._count = photos, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        image = self._photos.load(i % len(self._photos))
        random = np.random.default_rng(i)
        side = int(min(image.size) * random.uniform(0.3, 0.9))
        left, top = (int(random.uniform(0, whole - side)) for whole in image.size)
        image = image.crop((left, top, left + side, top + side))
        return (image if random.random() < 0.5 else ImageOps.mirror(image)), 0


def many_photos(
    peer: tuple[VisionModel, torch.nn.Module], layer: str, photos: ImageDataset
) -> Goal:
    """A fast scan of many photos with all candidates of all neurons scored again at once."""
    model, _ = peer
    times = Times(model.device)
    crops = open_dataset(Crops(photos, CROPS))
    few = 32
    first = first_neuron(model, layer)
    for neuron in range(first, first + SEED_PASSES):
        times.take(
            SEED,
            few,
            lambda n=neuron: seed_pass(peer, layer, n, (crops.load(i) for i in range(few))),
        )
    found = []
    times.take(
        "ours, fast",
        CROPS,
        lambda: found.append(scan(model, layer, crops, precision="fast", progress=False)),
    )
    times.take(ALL_AGAIN, CROPS, lambda: exhaust(make_maps(found[0])))
    print(f"\n{CROPS} different squares cut from the photos")
    times.show("a photo", SEED)
    print(f"\n{candidates(found[0]) / CROPS:.0%} of them are a candidate of some neuron.")
    channels = model.layer(layer).channels
    ours = times.median("ours, fast") + times.median(ALL_AGAIN)
    text = f"fast, {channels} neurons, all candidates at once, {CROPS} squares"
    return Goal(text, times.median(SEED) * channels / ours, 4500, 8000, ".0f")


def exhaust(work: Iterable[object]) -> None:
    for _ in work:
        pass


def _floor(times: Times, precision: str, device: torch.device) -> float:
    """On a CPU decoding needs the same cores and cannot be hidden; beside a GPU it can."""
    parts = times.median(f"floor: forward, {precision}"), times.median("floor: decode, all threads")
    return sum(parts) if device.type == "cpu" else max(parts)


def _beside_seed(times: Times, channels: int) -> list[Goal]:
    """Goals for InceptionV1, the seed notebook's network; for others the table shows its loop."""
    seed = times.median(SEED)
    one = {
        p: times.median(f"ours, {p}") + times.median(f"ours, {p}: a neuron's photos and maps")
        for p in PRECISIONS
    }
    every = {p: times.median(f"ours, {p}") for p in PRECISIONS}
    again = every["fast"] + times.median(ALL_AGAIN)
    text = f"{channels} neurons, {channels} passes of the seed's loop / ours"
    return [
        Goal("exact, one neuron: seed's ms a photo / ours", seed / one["exact"], 5, 8),
        Goal("fast, one neuron: seed's ms a photo / ours", seed / one["fast"], 9, 16),
        Goal(f"exact, {text}", seed * channels / every["exact"], 2500, 4000, ".0f"),
        Goal(f"fast, {text}", seed * channels / every["fast"], 4500, 8000, ".0f"),
        Goal(f"fast, {channels} neurons, all candidates at once, few photos",
             seed * channels / again, 4500, 8000, ".0f"),
    ]  # fmt: skip


def _speed(times: Times, floor: dict[str, float], model: VisionModel) -> list[Goal]:
    reach, aim = (1.4, 1.15) if model.name == "inceptionv1" else (1.3, 1.1)
    return [
        Goal(f"{p}: ours / (forward + decode)", times.median(f"ours, {p}") / floor[p], reach, aim,
             ".2f")
        for p in PRECISIONS
    ]  # fmt: skip


def _agreement(found: dict[str, ScanResult]) -> Goal:
    """Sets of nine that the fast scan's candidates hold, scored again in float32.

    Photos of one exact score (many score 0 at the bottom) may stand for each other: which of them
    an exact scan shows is decided by their numbers.
    """
    exact, fast = (found[p].tables for p in PRECISIONS)
    same = tied = sets = 0
    for side in ("top", "bottom"):
        nines, candidates = getattr(exact, side), getattr(fast, side)
        for neuron, (a, b) in enumerate(
            zip(nines.index.tolist(), candidates.index.tolist(), strict=True)
        ):
            sets += 1
            if set(a) <= set(b):
                same += 1
            else:
                scores = [e.score for e in getattr(found["fast"], side)(neuron)]
                tied += np.allclose(scores, nines.score[neuron], rtol=1e-3, atol=1e-5)
    print(f"\nOf {sets} sets {same} are the same photos, {tied} others have the same scores.")
    return Goal("fast: % of top-9 and bottom-9 sets equal to exact", 100 * (same + tied) / sets,
                99.9, 100, ".2f")  # fmt: skip


def memory(args: argparse.Namespace) -> Goal:
    """Growth in % of the peak memory from 1,000 to 10,000 photos, each in a process of its own."""
    peaks = []
    for photos in (1_000, 10_000):
        command = [sys.executable, __file__, "--peak-of", str(photos), "--photos", args.photos]
        command += ["--network", args.network, "--layer", args.layer]
        command += ["--weights", args.weights] if args.weights else []
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        peaks.append(int(re.findall(r"\d+", printed)[-1]))
    small, large = (peak / 1024 for peak in peaks)
    print(f"\nPeak memory: {small:.0f} MB after 1,000 photos, {large:.0f} MB after 10,000")
    return Goal("memory, 10,000 photos against 1,000, %", 100 * (peaks[1] / peaks[0] - 1), 2, 0)


def peak_of(photos: int, model: VisionModel, layer: str, dataset: ImageDataset) -> None:
    """Scan so many photos (the files repeated) and print the peak memory in kB."""
    import resource

    files = [dataset.path(i) for i in range(len(dataset))]
    repeated = (files * (photos // len(files) + 1))[:photos]
    scan(model, layer, repeated, precision="fast", progress=False)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--quick", action="store_true", help="few photos, one round: under a minute"
    )
    parser.add_argument("--network", default="inceptionv1", help="see render.py")
    parser.add_argument("--layer", help="default: one in the middle")
    parser.add_argument("--weights", help="state dict of the network")
    parser.add_argument("--photos", help="folder of photos")
    parser.add_argument("--batch", type=int, default=0, help="photos in a forward pass")
    parser.add_argument("--results", help="a Markdown file that takes a section of results")
    parser.add_argument("--peak-of", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("No GPU here: the rows of a GPU were not measured.")
        return
    args.batch = args.batch or (BATCH if args.device == "cpu" else 256)
    args.photos = args.photos or test_data("photos")
    model, _ = open_network(args.network, args.weights, args.device)
    layer = model.layer(args.layer or LAYERS.get(model.name, model.default_layer)).name
    args.layer = layer
    dataset = open_dataset(args.photos or "samples")
    if args.peak_of:
        peak_of(args.peak_of, model, layer, dataset)
        return
    what = "" if model.name == "inceptionv1" else f", {args.network} {layer}"
    quick = ", quick" if args.quick else ""
    with results(args.results, f"Scanning, {args.device}{what}{kind_of_processor()}{quick}"):
        print(machine(model.device))
        print(f"{model.title}, {layer}, batch {args.batch}, {len(dataset)} photos\n")
        peer = lucent_module(model)
        goals = compare((model, peer), layer, dataset, args)
        if not args.quick:
            goals.append(many_photos((model, peer), layer, dataset))
        if not args.quick and args.photos and args.device == "cpu":
            goals.append(memory(args))
        else:
            goals.append(Goal("memory, 10,000 photos against 1,000, %", None, 2, 0))
        if args.device == "cpu":
            goals.append(Goal("on a GPU: photos a second, from tensors", None, 8000, 20000, ".0f"))
            goals.append(Goal("on a GPU: photos a second, from files", None, 3000, 6000, ".0f"))
        show_goals(goals)


if __name__ == "__main__":
    main()
