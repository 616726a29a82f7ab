"""The command line: every command, wrong arguments, JSON, Ctrl-C, and SIGKILL at random moments."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import neuron_widget.networks.zoo
from neuron_widget.cli import app
from neuron_widget.cli.output import neuron_list
from neuron_widget.cli.store import as_size
from neuron_widget.durable import read_facts, size_text
from neuron_widget.errors import NeuronOutOfRange
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.rendering import render
from neuron_widget.rendering.manifest import read_result
from neuron_widget.scanning import ScanResult
from neuron_widget.scanning.reading import PhotoReader
from neuron_widget.store import Store

SIZE = 32
COMMANDS = [
    "info",
    "layers",
    "render",
    "scan",
    "merge",
    "prerender",
    "analyze",
    "look",
    "export",
    "demo",
]
STORE_COMMANDS = ["store info", "store verify", "store prune"]


def tiny() -> VisionModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
    return load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=SIZE)


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch) -> VisionModel:
    """What every command opens, whatever name it is given, unless a test asks for the real one."""
    model, real = tiny(), load_model
    monkeypatch.setattr(
        neuron_widget.networks.zoo,
        "load_model",
        lambda name, **how: real(name, **how) if name in ("nonsense", "real") else model,
    )
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for i in range(9):
        path = tmp_path / "photos" / f"class{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(path)
    return tmp_path / "photos"


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def answer(*arguments: object) -> dict[str, Any]:
    """The JSON that a command prints, which is all it prints."""
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


FAST = ("--steps", 3, "--size", SIZE)


# ------------------------------------------------------------------ help and arguments


@pytest.mark.parametrize("command", ["", *COMMANDS, "store", *STORE_COMMANDS])
def test_help(command: str) -> None:
    done = run(*command.split(), "--help")
    assert done.exit_code == 0
    assert "Usage" in done.output


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom neuron_widget.cli import app\n"
        "try:\n    app(['prerender', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('torch', 'numpy', 'PIL', 'timm', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


WRONG = [
    (["render", "2", "--neurons", "7", "--out", "OUT"], 2, "0 to 5"),
    (["render", "2", "--neurons", "3-1", "--out", "OUT"], 2, "0 to 5"),
    (["render", "2", "--neurons", "two", "--out", "OUT"], 2, "1-10,68"),
    (["render", "two", "--neurons", "1", "--out", "OUT"], 2, "no layer 'two'"),
    (["render", "2", "--neurons", "1", "--out", "OUT/image.webp"], 5, "folder"),
    (["render", "2", "--neurons", "1", "--out", "OUT", "--steps", "0"], 2, "--steps"),
    (["render", "2:1 +", "--out", "OUT"], 2, "at its end: expected a target"),
    (["render", "2:1 - 7:1", "--out", "OUT"], 2, "no layer '7'"),
    (["render", "2:1 - diversity(2)", "--out", "OUT"], 2, "[4 images]"),
    (["render", "2", "--neurons", "1", "--out", "OUT", "--lr", "99"], 2, "lr must be"),
    (["render", "2", "--neurons", "1"], 2, "--out"),
    (["render", "2", "-n", "1", "-o", "OUT", "-m", "nonsense"], 3, "unknown model"),
    (["layers", "nonsense"], 3, "unknown model"),
    (["layers"], 2, "Missing argument"),
    (["scan", "2", "--data", "OUT/none"], 4, "no folder"),
    (["scan", "2", "--data", "PHOTOS", "--out", "OUT/scan.pkl"], 5, ".safetensors"),
    (["scan", "2", "--data", "PHOTOS", "--precision", "half"], 2, "precision"),
    (["scan", "2", "--data", "PHOTOS", "--top-k", "0"], 2, "--top-k"),
    (["prerender", "2", "--data", "OUT/none", "--store", "OUT"], 4, "no folder"),
    (["prerender", "2"], 5, "switches the store off"),
    (["export", "2"], 2, "--out"),
    (["export", "2", "--out", "OUT/page.html"], 5, "switches the store off"),
    (["export", "2", "--out", "OUT/page.pdf", "--store", "OUT"], 5, "ending in .html"),
    (["export", "2", "--out", "OUT/page.html", "--store", "OUT"], 5, "prerender 2"),
    (["export", "2", "--out", "OUT/a.html", "--store", "OUT", "--max-size", "big"], 2, "500MB"),
    (["export", "2", "-n", "9", "--out", "OUT/a.html", "--store", "OUT"], 2, "0 to 5"),
    (["analyze", "2", "--neuron", "9", "--data", "PHOTOS"], 2, "0 to 5"),
    (["look", "OUT/none.png", "2"], 4, "cannot be read"),
    (["look", "PHOTOS", "2"], 4, "is a folder"),
    (["look", "PHOTOS/class0/0.png", "2", "--out", "OUT/a.pdf"], 5, "ending in .png"),
    (["look", "PHOTOS/class0/0.png", "2", "--at", "here"], 2, "ROW,COLUMN"),
    (["look", "PHOTOS/class0/0.png", "2", "--at", "99,0"], 2, "8 rows"),
    (["look", "PHOTOS/class0/0.png", "2", "--without", "9"], 2, "0 to 5"),
    (["look", "PHOTOS/class0/0.png", "2", "--without", "1"], 3, "no number for each class"),
    (["look", "PHOTOS/class0/0.png", "2", "--without", "1", "--to", "off"], 2, "zero"),
    (["store", "prune", "--store", "OUT", "--limit", "lots"], 2, "500MB"),
    (["store", "info"], 5, "--store"),
    (["nonsense"], 2, "nonsense"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "words"), WRONG, ids=[" ".join(a) for a, _, _ in WRONG]
)
def test_wrong_arguments(
    arguments: list[str], code: int, words: str, tmp_path: Path, folder: Path
) -> None:
    places = {"OUT": str(tmp_path / "out"), "PHOTOS": str(folder)}
    given = [re.sub("OUT|PHOTOS", lambda m: places[m[0]], a) for a in arguments]
    done = run(*given)
    assert done.exit_code == code, done.output
    assert words in " ".join(done.output.replace("│", " ").split())
    assert "Traceback" not in done.output
    if code != 2 or words == "0 to 5":
        as_json = run(*given, "--json")
        error = json.loads(as_json.stdout)["error"]
        assert error["exit_code"] == as_json.exit_code == code
        assert words in error["message"]


@pytest.mark.parametrize(
    ("text", "neurons"),
    [("3", [3]), ("1-3,5", [1, 2, 3, 5]), (" 1 , 0-1", [1, 0]), ("all", list(range(6)))],
)
def test_neurons(text: str, neurons: list[int]) -> None:
    assert neuron_list(text, 6, "layer") == neurons
    with pytest.raises(NeuronOutOfRange):
        neuron_list(f"{text},6" if text != "all" else "", 6, "layer")


def test_sizes() -> None:
    assert [as_size(t) for t in ("10", "2kB", "1.5 MB", "1GiB", "3g")] == [
        10,
        2000,
        1_500_000,
        2**30,
        3 * 10**9,
    ]
    for wrong in ("", "MB", "1.2.3MB", "5 parsecs", "-1MB"):
        with pytest.raises(ValueError, match="500MB"):
            as_size(wrong)
    assert [size_text(n) for n in (12, 1234, 5_600_000)] == ["12 B", "1.2 kB", "5.6 MB"]


# ------------------------------------------------------------------ what they do


def test_info(tmp_path: Path) -> None:
    found = answer("info", "--store", tmp_path)
    assert found["devices"][-1]["name"] == "cpu"
    assert found["models"][1]["weights"] == "come with this package"
    assert found["store"][0]["folder"] == str(tmp_path)
    assert "Devices" in run("info").stdout


def test_layers(network: VisionModel) -> None:
    found = answer("layers", "tiny")
    assert found["model"] == network.identity
    size = {"channels": 6, "height": 8, "width": 8}
    assert found["layers"][-1] == {"name": "2", **size, "kind": "maps", "group": "layers"}
    assert "8 x 8" in run("layers", "tiny").stdout


def test_render(tmp_path: Path, network: VisionModel) -> None:
    found = answer("render", "2", "-n", "1-3,5", "-o", tmp_path, *FAST, "--batch-size", 3)
    assert [i["neuron"] for i in found["images"]] == [1, 2, 3, 5]
    plain = render(network, "2", [1, 2, 3, 5], steps=3, size=SIZE, progress=False)
    for i, image in enumerate(found["images"]):
        saved = read_result(Path(image["file"]))
        assert saved.neurons == (image["neuron"],)
        assert np.array_equal(np.asarray(saved.to_pil()), np.asarray(plain.to_pil(i)))
        assert image["activation"] == float(plain.activation[i])
    lines = run("render", "2", "-n", "1", "-o", tmp_path, *FAST).stdout.splitlines()
    assert lines[-1].startswith(str(tmp_path / "2_neuron_1.webp"))


def test_render_expressions(tmp_path: Path, network: VisionModel) -> None:
    texts = ["2:1 - 0.5*0:3", "2:4", "0:1 - 10*diversity(0) [3 images]"]
    where = ("-o", tmp_path, "--batch-size", 2, "--store", tmp_path / "store")
    found = answer("render", *texts, *where, *FAST)
    plain = render(network, texts, steps=3, size=SIZE, progress=False)
    assert [image["target"] for image in found["images"]] == [str(t) for t in plain.targets]
    for i, image in enumerate(found["images"]):
        saved = read_result(Path(image["file"]))
        assert saved.targets == plain.targets[i : i + 1]
        assert np.array_equal(np.asarray(saved.to_pil()), np.asarray(plain.to_pil(i)))
    done = run("render", *where, *FAST, "--", "-2:1")
    assert done.exit_code == 0, done.output


def test_scan(tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "scan.safetensors"
    found = answer("scan", "2", "-d", folder, "--top-k", 2, "-o", out)
    assert (found["scanned"], found["skipped"], found["neurons"]) == (9, [], 6)
    saved = ScanResult.load(out)
    assert saved.fingerprint == found["fingerprint"]
    done = run("scan", "2", "-d", folder, "--top-k", 2, "-o", tmp_path / "scan.csv")
    assert done.exit_code == 0
    lines = (tmp_path / "scan.csv").read_text().splitlines()
    assert lines[0].startswith("neuron,group,rank,index,path")
    assert len(lines) == 1 + 6 * 2 * 2
    assert "9 photos" in done.stdout


def test_scan_tells_how_far_photos_predict_neurons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neuron_widget.analysis.observers import OBSERVERS, NetworkObserver

    real = NetworkObserver(load_model("efficientnet_lite0"), ["blocks.4"])
    monkeypatch.setitem(OBSERVERS, "efficientnet_lite0", lambda: real)
    random = np.random.default_rng(0)
    for i in range(120):
        path = tmp_path / "photos" / f"class{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((40, 40, 3), random.integers(0, 256, 3), np.uint8)).save(path)
    place = ("-d", tmp_path / "photos", "--predict", "--store", tmp_path / "store")
    how = ("--observer", "efficientnet_lite0")
    found = answer("scan", "2", *place, *how)["predictability"]
    assert (found["observer"], found["reason"]) == ("EfficientNet-Lite0", "")
    assert len(found["neurons"]) == 6
    assert all(0 <= row["photos"] <= 1 and row["pairs"] for row in found["neurons"])
    done = run("scan", "2", *place, *how, "-o", tmp_path / "scan.csv")
    assert "EfficientNet-Lite0: 6 neurons, right in" in done.stdout
    lines = (tmp_path / "scan.csv").read_text().splitlines()
    assert lines[0].endswith("predicted_pairs,predicted_reason")
    few = run("scan", "2", *place, "--num-samples", 20)
    assert "20 photos are too few for fair questions" in few.stdout
    assert run("scan", "2", *place, "--observer", "nobody").exit_code == 3


def test_analyze(tmp_path: Path, folder: Path) -> None:
    found = answer(
        "analyze", "2", "-n", 3, "-d", folder, "--steps", 2, "--top-k", 2, "-o", tmp_path / "out"
    )
    assert Path(found["figure"]).is_file()
    assert len(found["best_photos"]) == 2


def test_look(tmp_path: Path, folder: Path) -> None:
    photo, out = folder / "class0" / "0.png", tmp_path / "sheets" / "look.png"
    found = answer("look", photo, "0", "--out", out, "--no-store", "--count", 2)
    assert found["dataset"] is None
    assert [one["percentile"] for one in found["neurons"]] == [None, None]
    with Image.open(out) as sheet:
        assert sheet.width > 500
    asked = ("--data", folder, "--at", "1,2", "--out", out)
    found = answer("look", photo, "0", "--no-store", *asked)
    assert "9 photos" in found["measure"]
    assert all(0 <= one["percentile"] <= 100 for one in found["neurons"])
    assert all(one["position"] == [1, 2] for one in found["neurons"])
    done = run("look", photo, "0", "--no-store", *asked)
    assert "who fires in 0, at row and column 1,2" in done.output


def test_prerender_then_everything_is_there(tmp_path: Path, folder: Path) -> None:
    place = ("--store", tmp_path / "store")
    found = answer("prerender", "2", "-d", folder, *FAST, "--top-k", 2, *place)
    assert (found["images"], found["rendered_now"]) == (6, 6)
    assert found["scan"]["scanned"] == 9
    again = answer("prerender", "2", "-d", folder, *FAST, "--top-k", 2, *place)
    assert again["rendered_now"] == 0
    rooms = answer("store", "info", *place)["folders"][0]["rooms"]
    counts = {name: room["files"] for name, room in rooms.items()}
    assert counts == {"images": 6, "scans": 1, "maps": 1, "galleries": 1}

    # A fresh process's view: nothing is computed, no photo is read but to be shown.
    model, store = tiny(), Store(tmp_path / "store")
    from neuron_widget.scanning import open_dataset, scan

    photos = open_dataset(folder)
    stored = store.find_scan(model, "2", photos, top_k=2)
    assert stored is not None
    fresh = scan(model, "2", photos, top_k=2, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PhotoReader, "maps", None)
        known = {n: stored.maps(n) for n in range(6)}
    for neuron, maps in known.items():
        assert maps.keys() == fresh.maps(neuron).keys()
        for photo, found_map in maps.items():
            assert np.allclose(found_map, fresh.maps(neuron)[photo], rtol=1e-5, atol=1e-6)
    tiles = store.find_gallery(model, "2", steps=3, size=SIZE)
    assert sorted(tiles) == list(range(6))
    assert tiles[0][:2] == b"\xff\xd8"


def test_read_only_stores_come_first(tmp_path: Path, folder: Path) -> None:
    answer("prerender", "2", "-n", "0-3", *FAST, "--store", tmp_path / "teacher")
    both = ("--store", tmp_path / "teacher", "--store", tmp_path / "own")
    found = answer("prerender", "2", *FAST, *both)
    assert found["rendered_now"] == 2
    folders = answer("store", "info", *both)["folders"]
    assert [f["read_only"] for f in folders] == [True, False]


def test_export(tmp_path: Path, folder: Path) -> None:
    place, page = ("--store", tmp_path / "store"), tmp_path / "page.html"
    answer("prerender", "2", "-d", folder, *FAST, "--top-k", 2, *place)
    found = answer("export", "2", "-o", page, "-d", folder, *FAST, "--top-k", 2, *place)
    assert (found["neurons"], found["images"], found["photo_px"]) == (6, 6, 224)
    assert found["bytes"] == page.stat().st_size
    assert found["estimate"] == pytest.approx(found["bytes"], rel=0.1)
    done = run("export", "2", "-o", page, "-n", "1-2", "--no-photos", *FAST, *place)
    assert done.exit_code == 0, done.output
    assert "about" in done.stderr
    assert "2 neurons" in done.stderr
    assert f"{page}: " in done.stdout
    assert "--data names" in done.stdout
    before = page.read_bytes()
    done = run("export", "2", "-o", page, "--max-size", "10kB", *FAST, *place)
    assert done.exit_code == 2
    assert "at most 10 kB" in done.output
    assert page.read_bytes() == before


def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    class Server:
        def __init__(self, command: list[str]):
            started.append(command)

        def wait(self) -> int:
            return 0

    monkeypatch.setattr("neuron_widget.cli.demo.subprocess.Popen", Server)
    place = tmp_path / "here"
    assert run("demo", "--dir", place, "--no-browser", "--port", 8899).exit_code == 0
    notebook = place / "quickstart.ipynb"
    assert "NeuronWidget" in notebook.read_text()
    (command,) = started
    assert command[1:3] == ["-m", "jupyterlab"]
    opened = {f"--ServerApp.root_dir={place}", "--LabApp.default_url=/lab/tree/quickstart.ipynb"}
    assert {"--no-browser", "--port=8899", *opened} <= set(command)
    notebook.write_text("mine")
    assert run("demo", "--dir", place).exit_code == 0
    assert notebook.read_text() == "mine"

    monkeypatch.setattr("neuron_widget.cli.demo.importlib.util.find_spec", lambda _name: None)
    done = run("demo", "--dir", place)
    assert done.exit_code == 1
    assert "pip install jupyterlab" in done.output
    (tmp_path / "file").touch()
    monkeypatch.undo()
    done = run("demo", "--dir", tmp_path / "file" / "below")
    assert done.exit_code == 5
    assert "--dir" in done.output


def test_the_wheel_has_what_the_commands_need(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    if importlib.util.find_spec("hatchling") is None:
        command = [sys.executable, "-m", "build", "--wheel", "-o", str(tmp_path), str(root)]
    subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    static = {
        f"neuron_widget/static/{name}" for name in ("widget.js", "panels.js", "page.js", "page.css")
    }
    assert names >= {*static, "neuron_widget/static/quickstart.ipynb"}
    assert not [name for name in names if not name.startswith("neuron_widget")]


def test_store_commands(tmp_path: Path) -> None:
    place = ("--store", tmp_path)
    answer("prerender", "2", *FAST, *place)
    assert answer("store", "verify", *place)["folders"][0]["damaged"] == []
    victim = min(tmp_path.glob("v1/images/*/*.webp"))
    victim.write_bytes(victim.read_bytes()[:-9])
    done = run("store", "verify", *place)
    assert done.exit_code == 5
    assert str(victim) in done.stdout
    pruned = answer("store", "prune", "--limit", "0", *place)
    assert (pruned["removed"], pruned["left"]) == (6, 1)
    assert victim.exists()


# ------------------------------------------------------------------ interrupted

PREAMBLE = """
import os, sys, time, torch
from torch import nn
torch.set_num_threads(1)
import neuron_widget.networks.zoo as zoo
from neuron_widget.cli import app
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
real = zoo.load_model
zoo.load_model = lambda *a, **k: real(
    net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
import neuron_widget.rendering.batch as batch
import neuron_widget.scanning.running as running
advance, take = batch.Batch.advance, running.ScanPass.take
def slow_advance(self):
    time.sleep(0.01)
    return advance(self)
def slow_take(self, *a):
    time.sleep(0.01)
    return take(self, *a)
batch.Batch.advance, running.ScanPass.take = slow_advance, slow_take
import neuron_widget.session.messages, neuron_widget.store.fill, neuron_widget.scanning
"""
ONE = PREAMBLE + "app(sys.argv[1:])"
SERVER = (
    PREAMBLE
    + """
# Imported once, then a process for every line: the kills must not wait for imports.
for line in sys.stdin:
    children = []
    for arguments in line.split(";"):
        child = os.fork()
        if child == 0:
            sys.stdout = open(os.devnull, "w")
            try:
                app(arguments.split())
            except SystemExit as end:
                os._exit(end.code or 0)
            os._exit(99)
        children.append(child)
    print(*children, flush=True)
    print(*(os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) for c in children), flush=True)
"""
)


class Server:
    """Runs commands in processes of their own, all but at once."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def start(self, *commands: str) -> list[int]:
        """Process numbers of commands that run side by side."""
        assert self._process.stdin is not None
        self._process.stdin.write(";".join(commands) + "\n")
        return self._numbers()

    def codes(self) -> list[int]:
        """Exit codes of those started last."""
        return self._numbers()

    def _numbers(self) -> list[int]:
        assert self._process.stdout is not None
        return [int(n) for n in self._process.stdout.readline().split()]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


def images(root: Path) -> dict[str, bytes]:
    """Pixels by file name."""
    return {p.name: read_result(p).to_pil().tobytes() for p in root.glob("v1/images/*/*.webp")}


def test_killed_at_twenty_random_moments(tmp_path: Path, folder: Path) -> None:
    """SIGKILL of prerender, again and again: nothing lost, nothing different."""
    command = f"prerender 2 -d {folder} --steps 4 --size {SIZE} --top-k 2 --batch-size 2 --json"
    random = np.random.default_rng(3)
    server = Server()
    server.start(f"{command} --store {tmp_path / 'whole'}")
    assert server.codes() == [0]
    whole = images(tmp_path / "whole")
    assert len(whole) == 6
    (scan,) = (tmp_path / "whole").glob("v1/scans/*/*")
    kills = runs = 0
    while kills < 20:
        root = tmp_path / f"killed{runs}"
        before = images(root)
        (child,) = server.start(f"{command} --store {root}")
        time.sleep(float(random.uniform(0.03, 0.2)))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        (code,) = server.codes()
        assert code in (0, -signal.SIGKILL)
        kills += code != 0
        after = images(root)
        assert before.items() <= after.items() <= whole.items()  # none lost, none different
        store = Store(root)
        assert store.verify()[store.own].damaged == []
        if code == 0:
            runs += 1
            assert after == whole
            (found,) = root.glob("v1/scans/*/*")
            assert found.read_bytes() == scan.read_bytes()
    root = tmp_path / f"killed{runs}"
    server.start(f"{command} --store {root}")
    assert server.codes() == [0]
    assert images(root) == whole
    (found,) = root.glob("v1/scans/*/*")
    assert found.read_bytes() == scan.read_bytes()
    server.close()


def test_eight_processes_prerender_one_layer(tmp_path: Path) -> None:
    server = Server()
    command = f"prerender 2 --steps 4 --size {SIZE} --batch-size 1 --json --store {tmp_path}"
    server.start(*[command] * 8)
    assert server.codes() == [0] * 8
    assert len(images(tmp_path)) == 6
    store = Store(tmp_path)
    assert store.verify()[store.own].damaged == []
    assert not list(tmp_path.rglob(".tmp-*"))
    server.close()


def test_a_killed_process_gives_its_locks_back(tmp_path: Path) -> None:
    server = Server()
    command = f"prerender 2 --steps 30 --size {SIZE} --batch-size 6 --json --store {tmp_path}"
    first, _ = server.start(command, command)
    time.sleep(0.2)
    os.kill(first, signal.SIGKILL)
    codes = server.codes()
    assert codes == [-signal.SIGKILL, 0]
    assert len(images(tmp_path)) == 6
    server.close()


@pytest.mark.parametrize(
    ("command", "going_on"),
    [
        (
            "render 2 -n all -o OUT --steps 40 --size 32 --batch-size 2 --store STORE",
            "0 of 6 images",
        ),
        ("prerender 2 -d PHOTOS --steps 40 --size 32 --batch-size 2 --store STORE", "same command"),
        ("scan 2 -d PHOTOS --store STORE", "same command"),
    ],
    ids=["render", "prerender", "scan"],
)
def test_ctrl_c(command: str, going_on: str, tmp_path: Path, folder: Path) -> None:
    for i in range(9, 80):
        Image.new("RGB", (40, 50), (i, 2 * i, 3 * i)).save(folder / "class0" / f"{i}.png")
    places = {"OUT": tmp_path / "out", "STORE": tmp_path / "store", "PHOTOS": folder}
    words = [str(places.get(word, word)) for word in command.split()]
    code = ONE.replace("time.sleep(0.01)", "time.sleep(0.05); os.write(1, b'.')")
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    process.stdout.read(1)  # at work
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    text = " ".join(said.decode().split())
    assert process.returncode == 130, text
    assert "Stopped" in text
    assert going_on in text
    assert "Traceback" not in text
    if command.startswith("render"):
        unfinished = [read_result(path) for path in sorted((tmp_path / "out").glob("*.webp"))]
        assert len(unfinished) == 2
        assert {image.steps for image in unfinished} < set(range(1, 40))
        assert f"2 unfinished ({unfinished[0].steps} of 40 steps); the same command" in text
    if command.startswith("scan"):
        (checkpoint,) = (tmp_path / "store").glob("v1/checkpoints/*/*")
        assert read_facts(checkpoint)["done"] in (32, 64)


@pytest.mark.parametrize("out", ["~/t/scan.csv", "~/t/scan.safetensors"])
def test_a_home_is_a_home_wherever_a_file_is_named(
    out: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell leaves the ``~`` of ``--out=~/scan.csv`` as it is."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    how = ["scan", "0", "--data", str(folder), "--no-store", f"--out={out}"]
    found = CliRunner().invoke(app, how)
    assert found.exit_code == 0, found.output
    assert (tmp_path / "home" / out[2:]).is_file()
    assert not (tmp_path / "~").exists()
