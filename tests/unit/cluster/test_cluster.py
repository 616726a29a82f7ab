"""Work on a Ray cluster of this machine: the same results, and what is said where it cannot be."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import neuron_widget
import neuron_widget.networks.zoo
from neuron_widget.cli import app
from neuron_widget.cli.output import with_address
from neuron_widget.cluster import Where, scans
from neuron_widget.errors import ClusterError, StoreError, WrongType, WrongValue
from neuron_widget.networks.model import VisionModel
from neuron_widget.rendering.manifest import read_result
from neuron_widget.scanning import ScanResult, open_dataset
from neuron_widget.scanning import scan as scan_here
from neuron_widget.store import Store

REPOSITORY = Path(__file__).parents[3]


def same(a: ScanResult, b: ScanResult) -> bool:
    ours, theirs = a.tables.arrays(), b.tables.arrays()
    equal = [ours[name].tobytes() == theirs[name].tobytes() for name in theirs]
    return ours.keys() == theirs.keys() and all(equal) and a.skipped == b.skipped


def processes_of_ray(folder: Path) -> list[str]:
    """Command lines that name Ray's folder of this test."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_text().replace("\0", " ")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


def gone(folder: Path) -> bool:
    for _ in range(600):
        if not processes_of_ray(folder):
            return True
        time.sleep(0.1)
    return False


def two_workers() -> Where:
    return Where("local", max(1, (os.cpu_count() or 2) // 2))


@pytest.mark.cluster
def test_a_scan_and_a_layer_on_this_machine(
    model: VisionModel,
    folder: Path,
    tmp_path: Path,
    ray_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(two_workers().cpus_per_worker or 1)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        expected = scan_here(model, "2", folder, top_k=3, batch_size=4, progress=False)
        found = neuron_widget.scan(
            model,
            "2",
            folder,
            top_k=3,
            batch_size=4,
            progress=False,
            cluster=two_workers(),
            store=tmp_path / "store",
        )
        assert same(found, expected)
        assert len(list((tmp_path / "store").glob("v1/parts/*/*"))) == 16
        assert signal.getsignal(signal.SIGTERM) is handler
        assert gone(ray_folder)
        # What is there needs no cluster.
        monkeypatch.setattr(scans, "import_ray", lambda: pytest.fail("asked for Ray"))
        again = neuron_widget.scan(
            model, "2", open_dataset(folder), top_k=3, progress=False,
            cluster="local", store=tmp_path / "store",
        )  # fmt: skip
        assert same(again, expected)
    finally:
        torch.set_num_threads(threads)


def slow(pause: float) -> VisionModel:
    """A network of a class that is in no file, which workers are sent with its code."""
    from torch import nn

    class Slow(nn.Sequential):
        def forward(self, x: torch.Tensor) -> Any:
            time.sleep(pause if len(x) == 5 else 0)
            return super().forward(x)

    torch.manual_seed(0)
    net = Slow(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
    opened = neuron_widget.load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
    assert isinstance(opened, VisionModel)
    return opened


@pytest.mark.cluster
def test_closed_it_keeps_checkpoints_listens_here_alone_and_goes_on(
    folder: Path, store: Store, ray_folder: Path
) -> None:
    from neuron_widget.cluster import scan_steps

    model, how = slow(0.3), {"batch_size": 5, "top_k": 3, "shards": 2}
    steps = scan_steps(store, model, "2", folder, two_workers(), **how)
    for now in steps:
        if now.workers and 0 < now.done < now.total:
            break
    assert now.total == 100
    assert listening(ray_folder) <= {"127.0.0.1", "::1"}
    steps.close()
    assert gone(ray_folder)
    parts = list(store.own.root.glob("v1/parts/*/*"))
    assert len(parts) == 2 or list(store.own.root.glob("v1/checkpoints/*/*"))
    found = None
    steps = scan_steps(store, slow(0.0), "2", folder, two_workers(), **how)
    while found is None:
        try:
            next(steps)
        except StopIteration as end:
            found = end.value
    assert same(found, scan_here(model, "2", folder, batch_size=5, top_k=3, progress=False))
    assert gone(ray_folder)


def listening(folder: Path) -> set[str]:
    """Addresses at which processes of a Ray listen."""
    inodes = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) not in (entry / "cmdline").read_text():
                continue
            for file in (entry / "fd").iterdir():
                inodes.add(re.sub(r"socket:\[(\d+)\]", r"\1", os.readlink(file)))
        except OSError:
            continue
    found = set()
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(_address(fields[1].partition(":")[0]))
    return found


def _address(text: str) -> str:
    import ipaddress

    words = [bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8)]
    address = ipaddress.ip_address(b"".join(words))
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


@pytest.mark.cluster
def test_the_command_line(
    model: VisionModel,
    folder: Path,
    tmp_path: Path,
    ray_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neuron_widget.networks.zoo, "load_model", lambda *_, **__: model)
    cpus = ("--cpus-per-worker", two_workers().cpus_per_worker)
    fast = ("--steps", 3, "--size", 32, "--batch-size", 2, "--top-k", 2)

    def run(*arguments: object) -> Any:
        done = CliRunner().invoke(app, [str(a) for a in arguments])
        assert done.exit_code == 0, done.output
        return done

    command = ("prerender", "2", "-d", folder, *fast, "--json", "--store")
    whole = json.loads(run(*command, tmp_path / "whole").stdout)
    told = json.loads(run(*command, tmp_path / "ray", "--ray", "local", *cpus).stdout)
    assert (told["images"], told["rendered_now"], told["scan"]["scanned"]) == (6, 6, 99)
    assert told["scan"] == whole["scan"]

    def files(name: str) -> dict[str, bytes]:
        root = tmp_path / name / "v1"
        images = {p.name: read_result(p).to_pil().tobytes() for p in root.glob("images/*/*.webp")}
        found = [p for room in ("scans", "maps", "galleries") for p in root.glob(f"{room}/*/*")]
        return images | {p.name: p.read_bytes() for p in found}

    assert files("ray") == files("whole")
    assert gone(ray_folder)
    place, out = ("--store", tmp_path / "scan"), tmp_path / "found.safetensors"
    done = run("scan", "2", "-d", folder, "--ray", "local", *cpus, *place, "-v", "-o", out)
    assert "99 photos of photos, 1 skipped" in done.stdout
    assert out.is_file()


@pytest.mark.cluster
def test_workers_machines_and_the_caller_are_killed(ray_folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/cluster.py", "kills", "--count", "6", "--json"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["kills"] == {"worker": 2, "node": 2, "driver": 2}
    assert told["files"] > 0
    assert {told[bad] for bad in ("lost", "double", "other", "torn")} == {0}
    assert gone(ray_folder)


# -------------------------------------------------------------- without a cluster


def test_without_ray_it_is_said_how_to_install_it(
    model: VisionModel, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    words = r"needs Ray, which is not installed here: pip install 'neuron-widget\[ray\]'"
    with pytest.raises(ClusterError, match=words):
        neuron_widget.scan(model, "2", folder, cluster="auto", store=store, progress=False)
    monkeypatch.setattr(neuron_widget.networks.zoo, "load_model", lambda *_, **__: model)
    place = ("--store", store.own.root)
    command = [str(a) for a in ("scan", "2", "-d", folder, "--ray", *place)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert re.search(words, " ".join(done.output.split()))


@pytest.mark.cluster
def test_an_address_where_nobody_answers(
    model: VisionModel, folder: Path, store: Store, ray_folder: Path
) -> None:
    with pytest.raises(ClusterError, match="not use; expected"):
        neuron_widget.scan(model, "2", folder, cluster="ray://host:10001", store=store)


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"cluster": ""}, WrongType, "'auto', 'local' or an address"),
        ({"cluster": 3}, WrongType, "'auto', 'local' or an address"),
        ({"cluster": "auto", "shard": (0, 2)}, WrongValue, "shard= is for a scan here"),
        ({"cluster": "auto", "workers": 2}, WrongValue, "workers= is for a scan here"),
        ({"cluster": "auto", "store": False}, StoreError, "a folder that"),
        ({"store": "place"}, WrongValue, "there is no cluster="),
    ],
)
def test_wrong_arguments(
    how: dict[str, Any], error: type[Exception], words: str, model: VisionModel, folder: Path
) -> None:
    with pytest.raises(error, match=words):
        neuron_widget.scan(model, "2", folder, progress=False, **how)
    with pytest.raises(ValueError, match="cpus_per_worker"):
        Where("auto", 0)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--ray", "--shard", "0/2"], 2, "expected one of the two"),
        (["--ray", "--no-store"], 5, "name a folder that all machines see with --store"),
        (["--cpus-per-worker", "2"], 2, "expected --ray beside it"),
        (["-v"], 2, "expected --ray beside it"),
    ],
)
def test_wrong_options(arguments: list[str], code: int, words: str, folder: Path) -> None:
    done = CliRunner().invoke(app, ["scan", "blocks.4", "-d", str(folder), *arguments])
    assert done.exit_code == code, done.output
    assert words in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("scan a --ray", "scan a --ray=auto"),
        ("scan a --ray --top-k 3", "scan a --ray=auto --top-k 3"),
        ("scan --ray a -d b", "scan --ray=auto a -d b"),
        ("scan a --ray head:6379", "scan a --ray head:6379"),
        ("scan a --ray local -v", "scan a --ray local -v"),
        ("scan a --ray=auto", "scan a --ray=auto"),
    ],
)
def test_the_address_may_be_left_out(text: str, meant: str) -> None:
    assert with_address(text.split()) == meant.split()
