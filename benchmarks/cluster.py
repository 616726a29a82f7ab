"""Work on a Ray cluster, on one machine: kills, and what Ray costs.

    python benchmarks/cluster.py kills --count 40 --seed 0
    python benchmarks/cluster.py overhead --photos 4000
    python benchmarks/cluster.py merge --parts 64

``kills``: a scan and a prerendering on a head and two nodes, while workers, nodes and the program
that divides the work are killed (SIGKILL), and start again. At the end the results are compared
with those of one process, bit by bit. ``overhead``: two workers of Ray against two processes that
make the same shards, from the moment at which they have opened the network. ``merge``: what a part
of 508 neurons costs, to write and to merge.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
# As Ray does by itself on macOS: all of it listens on 127.0.0.1.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"

import numpy as np
import torch
from PIL import Image
from torch import nn

from neuron_widget import load_model
from neuron_widget.cluster import Where, fill_steps, scan_steps
from neuron_widget.scanning import ImageDataset, open_dataset
from neuron_widget.store import Store

SIZE, PHOTOS, SHARDS, NEURONS, BATCH = 32, 120, 8, 24, 3
SCAN: dict[str, Any] = {"batch_size": 5, "top_k": 3}
IMAGES: dict[str, Any] = {"steps": 12, "size": SIZE, "precision": "float32"}
KINDS = ("worker", "node", "driver")


def network(alive: Path | None, pause: float = 0.0) -> Any:
    """A small network that takes its time at work; workers leave their numbers in ``alive``."""

    class Slow(nn.Sequential):
        def forward(self, x: Any) -> Any:
            if len(x) in (BATCH, SCAN["batch_size"]):
                time.sleep(pause)
            if alive is not None:
                alive.joinpath(str(os.getpid())).touch()
            return super().forward(x)

    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, NEURONS, 1)
    return load_model(Slow(*layers), preprocess=((0.5,) * 3, (0.2,) * 3), input_size=SIZE)


def draw_photos(folder: Path, count: int, size: tuple[int, int] = (36, 36)) -> Path:
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0)
    for i in range(count):
        image = Image.fromarray(noise.integers(0, 256, (*size, 3), np.uint8))
        image.save(folder / f"{i:04}.jpg")
    (folder / "0007.jpg").write_bytes(b"no image")
    return folder


def opened(folder: Path) -> ImageDataset:
    return open_dataset(folder)


# -------------------------------------------------------------- kills


def drive(task: str, address: str, root: Path) -> None:
    """What is killed: the program that divides the work. It prints how far it is."""
    torch.set_num_threads(1)
    model, store, where = network(root / "alive", 0.15), Store(root / "store"), Where(address)
    photos = root / "photos"
    if task == "scan":
        steps: Any = scan_steps(store, model, "2", photos, where, shards=SHARDS, **SCAN)
    else:
        steps = fill_steps(
            store,
            model,
            "2",
            range(NEURONS),
            photos,
            where,
            batch_size=BATCH,
            images=IMAGES,
            photos=SCAN,
            shards=SHARDS,
        )
    for now in steps:
        print("step" if now.workers else "wait", now.done, flush=True)
    print("end", flush=True)


@contextlib.contextmanager
def cluster() -> Iterator[Any]:
    """A head without processors and two nodes with one each."""
    from ray.cluster_utils import Cluster

    # A dead machine is noticed soon, and a slow one is not taken for dead.
    health = {
        "health_check_initial_delay_ms": 1000,
        "health_check_period_ms": 500,
        "health_check_timeout_ms": 20_000,
        "health_check_failure_threshold": 3,
    }
    head = {"num_cpus": 0, "include_dashboard": False}
    made = Cluster(True, head_node_args={**head, "_system_config": health})
    try:
        for _ in range(2):
            made.add_node(num_cpus=1)
        yield made
    finally:
        made.shutdown()


class Round:
    """One piece of work from its beginning to its end, with kills on the way."""

    def __init__(self, task: str, made: Any, root: Path, chance: random.Random):
        self._command = [sys.executable, __file__, "drive", task, made.address, str(root)]
        self._cluster = made
        self._alive = root / "alive"
        self._chance = chance

    def run(self, kills: list[str]) -> int:
        """Go through the work; returns how many of the kills there was time for."""
        spent, driver = 0, self._start()
        wait = self._chance.randint(1, 5)
        assert driver.stdout is not None
        try:
            while True:
                line = driver.stdout.readline()
                if line.startswith("end"):
                    return spent
                if not line:
                    raise RuntimeError(f"the driver ended with {driver.wait()}")
                wait -= line.startswith("step")
                if wait > 0 or spent == len(kills):
                    continue
                kind = kills[spent]
                if kind == "driver":
                    _end(driver)
                    driver = self._start()
                    assert driver.stdout is not None
                elif not self._kill(kind):
                    wait = 1
                    continue
                spent += 1
                wait = self._chance.randint(1, 5)
        finally:
            _end(driver)

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)

    def _kill(self, kind: str) -> bool:
        if kind == "node":
            node = self._chance.choice(sorted(self._cluster.worker_nodes, key=str))
            self._cluster.remove_node(node, allow_graceful=False)
            self._cluster.add_node(num_cpus=1)
            return True
        for pid in self._chance.sample(found := sorted(os.listdir(self._alive)), len(found)):
            (self._alive / pid).unlink()
            if "ray::" in _command_of(int(pid)):
                os.kill(int(pid), signal.SIGKILL)
                return True
        return False


def _end(driver: subprocess.Popen[str]) -> None:
    driver.kill()
    driver.wait()
    assert driver.stdout is not None
    driver.stdout.close()


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def expected(task: str, root: Path) -> Store:
    """The same in one process."""
    from neuron_widget.store.fill import fill_images, fill_photos
    from neuron_widget.store.reuse import scan_steps as scan_here

    torch.set_num_threads(1)
    store, model, photos = Store(root / "expected"), network(None), opened(root / "photos")
    if task == "scan":
        work: list[Any] = [scan_here(store, model, "2", photos, **SCAN)]
    else:
        work = [
            fill_images(store, model, "2", range(NEURONS), batch_size=BATCH, **IMAGES),
            fill_photos(store, model, "2", photos, **SCAN),
        ]
    for steps in work:
        for _ in steps:
            pass
    return store


def compared(ours: Store, theirs: Store) -> dict[str, int]:
    """What is lost, there twice, torn, or other than expected."""
    from neuron_widget.rendering.manifest import read_result

    def files(store: Store, *rooms: str) -> dict[str, bytes]:
        found = [p for room in rooms for p in store.own.root.glob(f"v1/{room}/*/*.*")]
        return {p.name: p.read_bytes() for p in found}

    def pixels(store: Store) -> dict[str, bytes]:
        found = store.own.root.glob("v1/images/*/*.webp")
        return {p.name: read_result(p).to_pil().tobytes() for p in found}

    mine = {**files(ours, "scans", "maps", "galleries"), **pixels(ours)}
    wanted = {**files(theirs, "scans", "maps", "galleries"), **pixels(theirs)}
    parts = files(ours, "parts")
    return {
        "files": len(wanted),
        "lost": len(wanted.keys() - mine.keys()) + max(0, SHARDS - len(parts)),
        "double": len(mine.keys() - wanted.keys()) + max(0, len(parts) - SHARDS),
        "other": sum(mine[name] != wanted[name] for name in wanted.keys() & mine.keys()),
        "torn": len(ours.verify()[ours.own].damaged),
    }


def kills(count: int, seed: int, as_json: bool) -> int:
    chance = random.Random(seed)
    plan = [KINDS[i % len(KINDS)] for i in range(count)]
    chance.shuffle(plan)
    begin, spent, rounds = time.monotonic(), 0, 0
    found: Counter[str] = Counter()
    base = Path(tempfile.mkdtemp(prefix="nw-cluster-"))
    try:
        with cluster() as made:
            while spent < count or rounds < 2:
                task = ("scan", "prerender")[rounds % 2]
                root = base / str(rounds)
                (root / "alive").mkdir(parents=True)
                draw_photos(root / "photos", PHOTOS)
                # Half of the kills for either task, if its work lasts so long.
                most = -(-count // 2) if rounds < 1 else count
                now = Round(task, made, root, chance).run(plan[spent : spent + most])
                spent, rounds = spent + now, rounds + 1
                result = compared(Store(root / "store"), expected(task, root))
                found.update(result)
                if not as_json:
                    print(f"{task}: {now} kills, {result}", flush=True)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    told = {
        "kills": dict(Counter(plan)),
        "rounds": rounds,
        **found,
        "seconds": round(time.monotonic() - begin, 1),
    }
    print(json.dumps(told) if as_json else told)
    return 1 if any(found[bad] for bad in ("lost", "double", "other", "torn")) else 0


# -------------------------------------------------------------- what Ray costs


def by_hand(root: Path, place: str, own: str) -> None:
    """Every second shard, in a process of its own; it says when it has opened everything."""
    from neuron_widget.cluster.recipes import NetworkRecipe, PhotosRecipe, versions
    from neuron_widget.cluster.scans import scan_pieces
    from neuron_widget.cluster.worker import Setup, Worker
    from neuron_widget.settings import SCAN as OPTIONS
    from neuron_widget.settings import check_settings

    photos = opened(root / "photos")
    model = load_model("efficientnet_lite0")
    setup = Setup(
        NetworkRecipe.of(model, "blocks.4"),
        PhotosRecipe.of(str(root / "photos"), "train", photos),
        "blocks.4",
        (place,),
        "",
        versions(),
    )
    options = check_settings(OPTIONS, {}, what="scan()")
    pieces, _ = scan_pieces(photos, options, 32, len(photos) // 500)
    worker = Worker(1)
    worker.open(setup)
    print("open", flush=True)
    sys.stdin.readline()
    begin = time.process_time()
    for piece in pieces[int(own) :: 2]:
        for _ in worker.work(piece):
            pass
    print(time.process_time() - begin, flush=True)


def overhead(count: int, times: int) -> None:
    base = Path(tempfile.mkdtemp(prefix="nw-cluster-"))
    draw_photos(base / "photos", count, (300, 400))
    rows = []
    try:
        with cluster() as made:
            for i in range(times):
                rows.append(
                    (_by_two_hands(base, base / f"hand{i}"), _by_ray(made, base, base / f"ray{i}"))
                )
                print(f"by hand {rows[-1][0]:.2f} s, by Ray {rows[-1][1]:.2f} s", flush=True)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    hand, ours = (min(row[i] for row in rows) for i in (0, 1))
    print(f"{count} photos, shards of 500, 2 workers: {(ours / hand - 1) * 100:+.1f} % by Ray")


def _by_two_hands(base: Path, place: Path) -> float:
    place.mkdir()
    command = [sys.executable, __file__, "hand", str(base), str(place)]
    workers = [
        subprocess.Popen(
            [*command, str(i)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for i in range(2)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    begin = time.monotonic()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    seconds = time.monotonic() - begin
    for worker in workers:
        worker.communicate()
    return seconds


def _by_ray(made: Any, base: Path, place: Path) -> float:
    """From the moment at which both workers have opened the network to the last shard."""
    from neuron_widget.cluster.recipes import PhotosRecipe
    from neuron_widget.cluster.scans import crew_for, scan_pieces
    from neuron_widget.cluster.worker import Piece
    from neuron_widget.settings import SCAN as OPTIONS
    from neuron_widget.settings import check_settings

    photos, model = opened(base / "photos"), load_model("efficientnet_lite0")
    options = check_settings(OPTIONS, {}, what="scan()")
    pieces, total = scan_pieces(photos, options, 32, len(photos) // 500)
    recipe = PhotosRecipe.of(str(base / "photos"), "train", photos)
    with crew_for(Store(place), model, "blocks.4", recipe, Where(made.address)) as crew:
        # Until both workers have opened the network; other shards than those below.
        warm = [Piece("scan", (0, total // 32), how={**pieces[0].how, "seed": 1})] * 2
        ready = 0
        while ready < 2:
            for now in crew.run(warm, 2):
                ready = len(now.workers)
        begin = time.monotonic()
        for _ in crew.run(pieces, total):
            pass
        return time.monotonic() - begin


def merge(count: int) -> None:
    from neuron_widget.scanning import ScanResult, scan

    torch.set_num_threads(1)
    base = Path(tempfile.mkdtemp(prefix="nw-cluster-"))
    try:
        photos = opened(draw_photos(base / "photos", 32 * count))
        net = nn.Sequential(nn.Conv2d(3, 508, 3, stride=2, padding=1))
        model = load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=SIZE)
        parts, write = [], 0.0
        for i in range(count):
            found = scan(model, "0", photos, shard=(i, count), progress=False, workers=0)
            begin = time.process_time()
            parts.append(found.save(base / f"{i}.safetensors"))
            write += time.process_time() - begin
        size = sum(path.stat().st_size for path in parts) / count
        begin = time.process_time()
        ScanResult.merge(parts)
        seconds = time.process_time() - begin
        print(
            f"{count} parts of 508 neurons: {size / 1e6:.1f} MB each, {write / count:.3f} s to "
            f"write, {seconds / count:.3f} s to read and merge (processor time, one thread)"
        )
    finally:
        shutil.rmtree(base, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("kills")
    one.add_argument("--count", type=int, default=40)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--json", action="store_true")
    two = commands.add_parser("overhead")
    two.add_argument("--photos", type=int, default=4000)
    two.add_argument("--times", type=int, default=3)
    commands.add_parser("merge").add_argument("--parts", type=int, default=64)
    for name, arguments in (("drive", 3), ("hand", 3)):
        commands.add_parser(name).add_argument("rest", nargs=arguments)
    given = parser.parse_args()
    if given.command == "kills":
        return kills(given.count, given.seed, given.json)
    if given.command == "overhead":
        overhead(given.photos, given.times)
    elif given.command == "merge":
        merge(given.parts)
    elif given.command == "drive":
        drive(given.rest[0], given.rest[1], Path(given.rest[2]))
    else:
        by_hand(Path(given.rest[0]), given.rest[1], given.rest[2])
    return 0


if __name__ == "__main__":
    sys.exit(main())
