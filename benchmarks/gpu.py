"""What a GPU makes of it: tables, the profile and a sheet of pictures; see ``gpu.sh``.

    python benchmarks/gpu.py [--device cuda|cpu] [--out FOLDER] [--results FILE]

Everything in one process and call on one card, torch-lucent beside ours; the median of the rounds,
and the least and the most. With ``--device cpu`` it is tried out: few steps, nothing to be told.
"""

from __future__ import annotations

import argparse
import copy
import os
import statistics
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from render import NEURONS, SIZE, floor_step, peer_steps
from report import Goal, machine, open_network, results, show_goals, test_data

from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.rendering import render, render_steps
from neuron_widget.rendering.lucent_engine import lucent_module
from neuron_widget.rendering.result import RenderStep
from neuron_widget.rendering.settings import default_precision
from neuron_widget.scanning import open_dataset
from neuron_widget.scanning.engine import scan
from neuron_widget.scanning.loading import load_batches
from neuron_widget.scanning.running import ScanPass
from neuron_widget.session import Session, Settings
from neuron_widget.session.handle import handle_message
from neuron_widget.targets import Channel

LAYER, STEPS, FIRST = "mixed4a", 512, 252


class Bench:
    """What is measured, and on what."""

    def __init__(self, device: str, out: Path):
        self.device, self.out, self.tried = device, out, device == "cpu"
        self.model, self.trained = open_network("inceptionv1", None, device)
        self.goals: list[Goal] = []
        self.count = 2 if self.tried else STEPS

    def wait(self) -> None:
        """Until nothing is under way on the GPU."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], object], rounds: int = 5) -> tuple[float, float, float]:
        """Median, least and most; nothing is under way before or after."""
        taken = []
        for _ in range(1 if self.tried else rounds):
            self.wait()
            start = time.perf_counter()
            work()
            self.wait()
            taken.append(time.perf_counter() - start)
        return statistics.median(taken), min(taken), max(taken)

    def section(self, part: Callable[[Bench], None]) -> None:
        """One table, its title the first line of what it says of itself."""
        start = time.perf_counter()
        print(f"\n{(part.__doc__ or part.__name__).splitlines()[0]}")
        try:
            part(self)
        except Exception:  # noqa: BLE001  # the other parts are to be known all the same
            traceback.print_exc(file=sys.stdout)
        print(f"  ({time.perf_counter() - start:.0f} s)")

    def under_way(self, model: VisionModel, layer: str, batch: int) -> Callable[[int], RenderStep]:
        """A rendering past its first steps: call it to go on."""
        channels = model.layer(layer).channels
        neurons = [(FIRST + i) % channels for i in range(batch)]
        work = render_steps(model, layer, neurons, size=SIZE, steps=100_000, batch_size=batch)

        def go_on(steps: int) -> RenderStep:
            for _ in range(steps):
                last = next(work)
            return last

        go_on(3 if self.tried else 24)
        return go_on


def ceilings(bench: Bench) -> None:
    """The card's own: a matrix product in bfloat16, a copy."""
    n = 256 if bench.tried else 8192
    a, b = (torch.randn(n, n, device=bench.device, dtype=torch.bfloat16) for _ in range(2))
    (a @ b, bench.wait())
    taken, *_ = bench.seconds(lambda: [a @ b for _ in range(10)])
    bench.peak = 20 * n**3 / taken / 1e12
    x = torch.randn(n, n * 8, device=bench.device)
    y = x.clone()
    taken, *_ = bench.seconds(lambda: y.copy_(x))
    bandwidth = 2 * x.numel() * 4 / taken / 1e12
    print(f"  {bench.peak:.0f} TFLOP/s, {bandwidth:.2f} TB/s read and written")


def latency(bench: Bench) -> None:
    """One neuron, 512 steps, from the call to the result."""
    render(bench.model, LAYER, 68, steps=min(32, bench.count), progress=False)
    median, least, most = bench.seconds(
        lambda: render(bench.model, LAYER, 68, steps=bench.count, progress=False)
    )
    print(f"  {median:.2f} s ({least:.2f}..{most:.2f})")
    bench.goals.append(Goal("one neuron, 512 steps, s", median, 2, 0.7, ".2f"))


def whole_layer(bench: Bench) -> None:
    """The whole layer, 508 neurons x 512 steps, from the call to the result."""
    neurons = range(2 if bench.tried else bench.model.layer(LAYER).channels)
    found = []

    def work() -> None:
        found.append(render(bench.model, LAYER, neurons, steps=bench.count, progress=False))

    median, least, most = bench.seconds(work, rounds=2)
    mean = found[-1].activation.mean()
    print(f"  {median:.1f} s ({least:.1f}..{most:.1f}), mean clean activation {mean:.0f}")
    bench.goals.append(Goal("whole layer, s", median, 60, 20))


def beside_lucent(bench: Bench) -> None:
    """A step of an image, ms, beside torch-lucent, round after round."""
    many, steps = (2, 2) if bench.tried else (64, 48)
    peers = 2 if bench.tried else 24
    networks = [("inceptionv1", LAYER, (10, 30), (100, 300)),
                ("resnet50", "layer3", (5, 15), (5, 15))]  # fmt: skip
    for name, layer, alone, together in networks:
        model = bench.model if name == "inceptionv1" else open_network(name, None, bench.device)[0]
        module = lucent_module(model)
        peer_steps(model, copy.deepcopy(module), layer, 0, 2)
        one, batch = (bench.under_way(model, layer, n) for n in (1, many))
        taken: dict[str, list[float]] = {"lucent": [], "ours, batch 1": [], "ours, batch 64": []}
        for _ in range(1 if bench.tried else 5):
            fresh = copy.deepcopy(module)
            for what, units, work in (
                (
                    "lucent",
                    peers,
                    lambda m=fresh, o=model, at=layer: peer_steps(o, m, at, 0, peers),
                ),
                ("ours, batch 1", steps, lambda go=one: go(steps)),
                ("ours, batch 64", steps * many, lambda go=batch: go(steps)),
            ):
                taken[what].append(bench.seconds(work, rounds=1)[0] / units * 1e3)
        medians = {what: statistics.median(each) for what, each in taken.items()}
        for what, each in taken.items():
            print(
                f"  {name} {layer}, {what}: {medians[what]:.4f} ({min(each):.4f}..{max(each):.4f})"
            )
        for what, (reach, aim) in (("ours, batch 1", alone), ("ours, batch 64", together)):
            ratio = medians["lucent"] / medians[what]
            text = f"{name} {layer}, lucent / {what}"
            bench.goals.append(Goal(text, ratio, reach, aim, ".0f"))
        if name == "inceptionv1":
            _frames(bench, one)
            floor = floor_step(model, layer, many, default_precision(model))
            median, *_ = bench.seconds(lambda f=floor: [f() for _ in range(8)])
            print(f"  its convolutions alone, batch 64: {median / 8 / many * 1e3:.4f}")


def _frames(bench: Bench, go_on: Callable[[int], RenderStep]) -> None:
    """What a live frame costs: the image decoded and copied to the host."""
    last = go_on(1)
    taken = [bench.seconds(last.images, rounds=1)[0] * 1e3 for _ in range(9)]
    median = statistics.median(taken)
    print(f"  a frame on the host, ms: {median:.2f} ({min(taken):.2f}..{max(taken):.2f})")


def transformer(bench: Bench) -> None:
    """A step of an image, ms, of a vision transformer (ViT-S/14, blocks.8), beside the module."""
    # Its random weights take as long as trained ones. torch-lucent's transforms leave sizes that
    # are no multiples of its patches, which it refuses.
    model = load_model("timm/vit_small_patch14_dinov2", weights="random", device=bench.device)
    rounds, steps = (1, 2) if bench.tried else (5, 24)
    for batch in (1, 2 if bench.tried else 64):
        go_on = bench.under_way(model, "blocks.8", batch)
        x = torch.rand(batch, 3, SIZE, SIZE, device=bench.device, requires_grad=True)

        def alone(x: torch.Tensor = x) -> None:
            for _ in range(steps):
                with torch.enable_grad(), model.reading("blocks.8") as read:
                    read(x)[:, 0].mean(dim=(1, 2)).sum().backward()

        alone()
        taken: dict[str, list[float]] = {"module alone": [], "ours": []}
        for _ in range(rounds):
            for what, work in (("module alone", alone), ("ours", lambda go=go_on: go(steps))):
                taken[what].append(bench.seconds(work, rounds=1)[0] / steps / batch * 1e3)
        medians = {what: statistics.median(each) for what, each in taken.items()}
        for what, each in taken.items():
            spread = f"({min(each):.4f}..{max(each):.4f})"
            print(f"  batch {batch}, {what}: {medians[what]:.4f} {spread}")
        ratio = medians["module alone"] / medians["ours"]
        bench.goals.append(Goal(f"ViT-S/14, module alone / ours, batch {batch}", ratio, 5, 15))


def profile(bench: Bench) -> None:
    """Where a step's time goes on the GPU: the ten largest kernels of batch 64, and of batch 1."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    for batch in (2,) if bench.tried else (64, 1):
        go_on = bench.under_way(bench.model, LAYER, batch)
        kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (bench.device == "cuda")
        with profiled(activities=kinds) as seen:
            go_on(8)
            bench.wait()
        kernels = [e for e in seen.key_averages() if e.self_device_time_total > 0]
        kernels.sort(key=lambda e: -e.self_device_time_total)
        total = sum(e.self_device_time_total for e in kernels) / 8
        print(
            f"  batch {batch}: {total:.0f} us a step, {sum(e.count for e in kernels) // 8} kernels"
        )
        for kernel in kernels[:10]:
            us = kernel.self_device_time_total / 8
            print(f"  {us:8.0f} us {us / total:6.1%}  x{kernel.count // 8:<3} {kernel.key[:90]}")
        names = ("fprop", "dgrad", "convolve", "nvjet", "conv2d", "cutlass__5x_cudnn")
        convolving = sum(
            e.self_device_time_total for e in kernels if any(n in e.key for n in names)
        )
        if convolving and batch > 1:
            flop = 2 * 2 * batch * _multiplications(bench.model)
            share = flop / (convolving / 8 * 1e-6) / 1e12 / bench.peak
            whole = flop / (total * 1e-6) / 1e12 / bench.peak
            print(f"  {flop / batch / 1e9:.2f} GFLOP an image and step in convolutions, which take "
                  f"{convolving / 8:.0f} us: {share:.1%} of the measured peak ({whole:.1%} over "
                  "the whole step)")  # fmt: skip
            goal = Goal("convolutions, batch 64, % of bfloat16 peak", 100 * share, 15, 35)
            bench.goals.append(goal)


def _multiplications(model: VisionModel) -> float:
    """Of one image's convolutions up to the layer, the first one's gradient included."""
    from render import _Convolutions

    with torch.no_grad(), model.reading(LAYER) as read, _Convolutions() as convolutions:
        read(torch.rand(1, 3, SIZE, SIZE, device=model.device))
    total = 0.0
    for x, weight, bias, *numbers in convolutions.seen:
        out = torch.conv2d(x, weight, bias, *numbers)
        total += out.numel() * weight[0].numel()
    return total


def scanning(bench: Bench) -> None:
    """Scans, photos a second: from decoded tensors, and from JPEG files."""
    photos = test_data("photos", "val")
    few = open_dataset(photos or "samples")
    size = 8 if bench.tried else 256
    files = [few.path(i) for i in range(len(few))]
    repeated = (files * 100)[: 16 if bench.tried else 4096]
    dataset = open_dataset(repeated) if photos else few
    squares = next(load_batches(dataset, list(range(size)), SIZE, size)).squares
    info = bench.model.layer(LAYER)
    for precision in ("fast", "exact"):
        scan_pass = ScanPass(bench.model, LAYER, info.channels, dataset,
                             {"top_k": 9, "precision": precision}, size)  # fmt: skip
        rounds = 1 if bench.tried else 20

        def tensors(scan_pass: ScanPass = scan_pass, rounds: int = rounds) -> None:
            for _ in range(rounds):
                scan_pass.take(list(range(size)), squares)

        tensors()
        median, least, most = bench.seconds(tensors)
        rates = [rounds * size / t for t in (median, most, least)]
        print("  from tensors, {}: {:.0f} ({:.0f}..{:.0f})".format(precision, *rates))
        if precision == "fast":
            goal = Goal("scan from tensors, photos/s", rates[0], 8000, 20000, ".0f")
            bench.goals.append(goal)
    kinds = {"from files": files}
    if photos and not bench.tried:
        # As most cameras and sites write them: colours of half the resolution.
        kinds["from files, 4:2:0"] = _with_half_colours(files, bench.out / "half")
    cores = os.cpu_count()
    for what, some in kinds.items():
        every = open_dataset((some * 100)[: len(repeated)]) if photos else few
        for layers in (LAYER, ["mixed3a", "mixed3b", LAYER]) if some is files else (LAYER,):

            def work(at: object = layers, photos: object = every) -> None:
                scan(bench.model, at, photos, batch_size=size, precision="fast", progress=False)

            median, least, most = bench.seconds(work, rounds=3)
            rates = [len(every) / t for t in (median, most, least)]
            n = 1 if isinstance(layers, str) else len(layers)
            told = "  {}, {} layer(s), {} cores: {:.0f} ({:.0f}..{:.0f})"
            print(told.format(what, n, cores, *rates))
            if n == 1:
                goal = Goal(f"scan {what}, photos/s", rates[0], 3000, 6000, ".0f")
                bench.goals.append(goal)


def _with_half_colours(files: list[str], folder: Path) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for i, file in enumerate(files):
        made.append(str(folder / f"{i:04}.jpg"))
        with Image.open(file) as image:
            image.convert("RGB").save(made[-1], "JPEG", quality=90, subsampling=2)
    return made


def first_frame(bench: Bench) -> None:
    """From a neuron chosen to its first live frame, in a session without a page."""
    heard: list[tuple[float, str, dict]] = []
    changed = threading.Condition()

    def send(message: dict, _buffers: list) -> None:
        if message["kind"] == "frame":  # as a page that shows it at once
            handle_message(session, {"kind": "ack", "index": message["index"]})
        with changed:
            heard.append((time.perf_counter(), message["kind"], message))
            changed.notify_all()

    def until(kind: str, after: float, neuron: int | None = None) -> float:
        def found() -> list[float]:
            return [t for t, k, m in heard if k == kind and t > after
                    and (neuron is None or m["target"]["neuron"] == neuron)]  # fmt: skip

        with changed:
            assert changed.wait_for(found, 60), {k for _, k, _ in heard}
            return found()[0]

    settings = Settings(model=bench.model, dataset=None, layer=LAYER, neuron=1, steps=512)
    session = Session(settings, send, lambda: None)
    session.view("a", visible=True)
    taken = []
    try:
        until("opened", 0)
        session.render()
        until("frame", 0)
        for i, neuron in enumerate((68, 257, 427, 486, 501, 3, 77)[: 2 if bench.tried else 7]):
            time.sleep(0.5)
            start = time.perf_counter()
            chosen = Channel(LAYER, neuron).as_dict()
            message = {
                "kind": "select",
                "seq": i + 1,
                "target": chosen,
                "steps": 512,
                "settled": True,
            }
            handle_message(session, message)
            session.render()
            taken.append(until("frame", start, neuron) - start)
    finally:
        session.close()
    median = statistics.median(taken)
    print(f"  {median:.3f} s ({min(taken):.3f}..{max(taken):.3f})")
    bench.goals.append(Goal("neuron chosen to first live frame, s", median, 0.3, 0.15, ".3f"))


def sheet(bench: Bench) -> None:
    """Pictures: the GPU's above the CPU's, and their clean activations."""
    steps = 2 if bench.tried else 128
    rows = []
    for device in dict.fromkeys((bench.device, "cpu")):
        model, _ = open_network("inceptionv1", None, device)
        made = render(model, LAYER, NEURONS, steps=steps, progress=False)
        rows.append(np.concatenate(list(made.images), axis=1))
        print(f"  {device}, {steps} steps: {' '.join(f'{a:.0f}' for a in made.activation)}")
    picture = (np.concatenate(rows) * 255).round().astype(np.uint8)
    Image.fromarray(picture).save(bench.out / "sheet.png")


def memory_of(device: str) -> None:
    """In a process of its own: memory of the card in use, MB, as a kernel's work goes on."""

    def used() -> float:
        free, total = torch.cuda.mem_get_info()
        return (total - free) / 2**20

    before = _used_by_all()
    model, _ = open_network("inceptionv1", None, device)
    print(f"  network open: {used() - before:.0f}")
    render(model, LAYER, 68, steps=32, progress=False)
    print(f"  one neuron rendered: {used() - before:.0f}")
    scan(model, LAYER, "samples", num_samples=128, progress=False)
    print(f"  a scan in batches of 32: {used() - before:.0f}")
    works = []
    for count in range(1, 4):  # sessions of one kernel, each with a neuron under way
        works.append(render_steps(model, LAYER, 68, steps=64))
        for _ in range(32):
            next(works[-1])
        torch.cuda.empty_cache()
        print(f"  {count} session(s) at work, what is free given back: {used() - before:.0f}")
    works.clear()
    torch.cuda.empty_cache()
    print(f"  none at work: {used() - before:.0f}")
    render(model, LAYER, range(128), steps=32, progress=False)
    print(f"  128 neurons rendered side by side: {used() - before:.0f}")


def _used_by_all() -> float:
    ask = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return float(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.split()[0])


def memory(bench: Bench) -> None:
    """Memory of the card that one kernel takes, MB."""
    if bench.tried:
        print("  not measured")
        return
    command = [sys.executable, __file__, "--memory-of", bench.device]
    print(subprocess.run(command, capture_output=True, text=True, check=False).stdout.rstrip())


PARTS: Iterable[Callable[[Bench], None]] = (
    *(ceilings, latency, beside_lucent, transformer, whole_layer),
    *(profile, scanning, first_frame, memory, sheet),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--out", type=Path, default=Path("build/gpu"))
    parser.add_argument("--results", help="a Markdown file that takes a section of results")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        memory_of(args.memory_of)
        return
    if args.device == "cuda" and not torch.cuda.is_available():
        print("No GPU here: nothing was measured.")
        return
    args.out.mkdir(parents=True, exist_ok=True)
    with results(args.results, f"On a GPU{', tried on the CPU' * (args.device == 'cpu')}"):
        bench = Bench(args.device, args.out)
        print(machine(bench.model.device))
        trained = "trained" if bench.trained else "untrained"
        precision = default_precision(bench.model)
        print(f"{bench.model.title} ({trained}), {LAYER}, {SIZE} px, precision {precision}")
        for part in PARTS:
            bench.section(part)
        show_goals(bench.goals)


if __name__ == "__main__":
    main()
