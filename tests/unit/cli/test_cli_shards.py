"""A scan and a prerendering in parts, from the command line, as by many processes."""

from __future__ import annotations

import json
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
from neuron_widget.cli.shards import as_shard
from neuron_widget.errors import WrongValue
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.rendering.manifest import read_result
from neuron_widget.scanning import ScanResult

SIZE = 32


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch) -> VisionModel:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
    model = load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=SIZE)
    monkeypatch.setattr(neuron_widget.networks.zoo, "load_model", lambda *_, **__: model)
    return model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for i in range(100):
        path = tmp_path / "photos" / f"class{i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (36, 36, 3), np.uint8)).save(path)
    (tmp_path / "photos" / "class1" / "7.png").write_bytes(b"no image")
    return tmp_path / "photos"


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def answer(*arguments: object) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_scan_in_parts_and_merge(tmp_path: Path, folder: Path) -> None:
    parts, whole = tmp_path / "parts", tmp_path / "whole.safetensors"
    answer("scan", "2", "-d", folder, "--top-k", 3, "-o", whole)
    for i in range(3):
        told = answer("scan", "2", "-d", folder, "--top-k", 3, "--shard", f"{i}/3", "-o", parts)
        assert told["shard"] == [i, 3]
        assert Path(told["file"]).parent == parts
        if i == 0:
            done = run("merge", tmp_path / "x.safetensors", parts)
            assert done.exit_code == 5
            said = " ".join(done.output.split())
            assert "part 1, 2 of 3 (counted from 0) are missing; scan with --shard 1/3" in said
    merged = tmp_path / "merged.safetensors"
    told = answer("merge", merged, parts)
    assert (told["scanned"], len(told["skipped"]), told["file"]) == (99, 1, str(merged))
    assert merged.read_bytes() == whole.read_bytes()
    # The files one by one, and a table of the photos.
    done = run("merge", tmp_path / "merged.csv", *sorted(parts.iterdir()))
    assert done.exit_code == 0, done.output
    assert "99 photos of photos, 1 skipped" in done.output
    assert len((tmp_path / "merged.csv").read_text().splitlines()) == 1 + 6 * 3 * 2


@pytest.mark.parametrize("without_out", [True, False])
def test_parts_in_a_store_become_the_scan(
    tmp_path: Path, folder: Path, network: VisionModel, without_out: bool
) -> None:
    place = ("--store", tmp_path / "store")
    plain = answer("scan", "2", "-d", folder, "-o", tmp_path / "whole.safetensors")
    for i in (2, 0, 1):
        out = () if without_out else ("-o", tmp_path / "parts")
        done = run("scan", "2", "-d", folder, "--shard", f"{i}/3", *out, *place)
        assert done.exit_code == 0, done.output
        again = run("scan", "2", "-d", folder, "--shard", f"{i}/3", *out, *place)
        assert again.exit_code == 0, again.output
    told = answer("scan", "2", "-d", folder, "-o", tmp_path / "merged.safetensors", *place)
    assert told["scanned"] == plain["scanned"]
    merged, whole = (
        ScanResult.load(tmp_path / f"{name}.safetensors", network, folder)
        for name in ("merged", "whole")
    )
    ours, theirs = merged.tables.arrays(), whole.tables.arrays()
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs)
    assert merged.skipped == whole.skipped
    rooms = answer("store", "info", *place)["folders"][0]["rooms"]
    assert {name: rooms[name]["files"] for name in ("parts", "scans")} == {"parts": 3, "scans": 1}
    assert run("store", "verify", *place).exit_code == 0


def images(root: Path) -> dict[str, bytes]:
    """Pixels by file name."""
    return {p.name: read_result(p).to_pil().tobytes() for p in root.glob("v1/images/*/*.webp")}


def files(root: Path, *rooms: str) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for room in rooms for p in root.glob(f"v1/{room}/*/*")}


@pytest.mark.parametrize("shards", [1, 3, 4, 7])
def test_prerender_in_parts(tmp_path: Path, folder: Path, shards: int) -> None:
    fast = ("--steps", 3, "--size", SIZE, "--batch-size", 2, "--top-k", 2)
    command = ("prerender", "2", "-d", folder, *fast, "--store")
    answer(*command, tmp_path / "whole")
    made = [
        answer(*command, tmp_path / "parts", "--shard", f"{i}/{shards}")["rendered_now"]
        for i in range(shards)
    ]
    assert sum(made) == 6
    assert max(made) - min(made) <= 1
    last = answer(*command, tmp_path / "parts")
    assert (last["images"], last["rendered_now"], last["scan"]["scanned"]) == (6, 0, 99)
    assert images(tmp_path / "parts") == images(tmp_path / "whole")
    rooms = ("scans", "maps", "galleries")
    assert files(tmp_path / "parts", *rooms) == files(tmp_path / "whole", *rooms)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["scan", "2", "-d", "PHOTOS", "--shard", "3/3", "-o", "OUT"], 2, "I from 0 to N - 1"),
        (["scan", "2", "-d", "PHOTOS", "--shard", "one", "-o", "OUT"], 2, "I from 0 to N - 1"),
        (["scan", "2", "-d", "PHOTOS", "--shard", "0/3"], 5, "a folder with --out, or a store"),
        (["scan", "2", "-d", "PHOTOS", "--shard", "0/3", "-o", "OUT.csv"], 5, "expected a folder"),
        (["scan", "2", "-d", "PHOTOS", "--shard", "0/3", "--predict"], 2, "the whole scan"),
        (["prerender", "2", "--shard", "-1/3", "--store", "OUT"], 2, "I from 0 to N - 1"),
        (["merge", "OUT.png", "PHOTOS"], 5, ".safetensors or .csv"),
        (["merge", "OUT.csv", "PHOTOS"], 5, "no part in the folder"),
        (["merge", "OUT.csv", "PHOTOS/none"], 5, "cannot read"),
        (["merge", "OUT.csv", "PHOTOS/class0/0.png"], 5, "cannot be merged"),
        (["merge", "OUT.csv"], 2, "Missing argument"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], code: int, words: str, tmp_path: Path, folder: Path
) -> None:
    places = {"OUT": str(tmp_path / "out"), "PHOTOS": str(folder)}
    given = [
        arg.replace("OUT", places["OUT"]).replace("PHOTOS", places["PHOTOS"]) for arg in arguments
    ]
    done = run(*given)
    assert done.exit_code == code, done.output
    assert words in " ".join(done.output.replace("│", " ").split())
    assert "Traceback" not in done.output


def test_shards_as_text() -> None:
    assert as_shard(None) is None
    assert as_shard(" 3/16 ") == (3, 16)
    for wrong in ("", "3", "3/", "16/16", "0/0", "-1/2", "1/2/3", "0.5/2"):
        with pytest.raises(WrongValue, match="--shard"):
            as_shard(wrong)
