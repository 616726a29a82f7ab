"""The command line in trouble: late Ctrl-C, JSON whatever happens, places that take no file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import neuron_widget.analysis.analyzer  # before its load_model is replaced
import neuron_widget.networks.zoo
import neuron_widget.store.fill
import neuron_widget.store.reuse
from neuron_widget.cli import app
from neuron_widget.cli.output import CtrlC, Stopped, model_with
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.scanning import ScanResult

SIZE = 32
FAST = ("--steps", 2, "--size", SIZE)


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The weights that every opened network was asked for; opening it prints, as torch.hub does."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 5, stride=4, padding=2), nn.ReLU(), nn.Flatten(), nn.Linear(384, 7)
    )
    model = load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=SIZE)
    weights: list[Any] = []

    def opening(name: str, **how: Any) -> VisionModel:
        print("Downloading: ...")
        if name == "broken":
            raise AssertionError("nobody foresaw it")
        weights.append(how["weights"])
        return model

    monkeypatch.setattr(neuron_widget.networks.zoo, "load_model", opening)
    return weights


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    photos = tmp_path / "photos"
    photos.mkdir()
    random = np.random.default_rng(0)
    for i in range(5):
        Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(photos / f"{i}.png")
    (tmp_path / "file").touch()
    return {
        "PHOTOS": photos,
        "OUT": tmp_path / "out",
        "NOWHERE": tmp_path / "file" / "below",
        "STORE": tmp_path / "store",
    }


def run(command: str, places: dict[str, Path] | None = None, *more: object) -> Any:
    words = [str((places or {}).get(word, word)) for word in command.split()]
    return CliRunner().invoke(app, [*words, *map(str, more)])


# ------------------------------------------------------------------ Ctrl-C in the last piece


def pressing(work: Callable[..., Generator[Any, None, Any]]) -> Callable[..., Any]:
    """The same work, with Ctrl-C after all that it yields: while it measures or saves."""

    def pressed(*given: Any, **how: Any) -> Generator[Any, None, Any]:
        result = yield from work(*given, **how)
        signal.raise_signal(signal.SIGINT)
        return result

    return pressed


def test_late_ctrl_c_keeps_the_result_and_stops_the_next_piece() -> None:
    def work() -> Generator[int, None, str]:
        yield 1
        return "whole"

    before, seen = signal.getsignal(signal.SIGINT), []
    with CtrlC() as ctrl_c:
        ctrl_c.check("nothing")
        assert ctrl_c.drain(pressing(work)(), seen.append, "half") == "whole"
        with pytest.raises(Stopped, match="the result"):
            ctrl_c.check("the result")
        with pytest.raises(KeyboardInterrupt):  # the second one
            signal.raise_signal(signal.SIGINT)
    assert seen == [1]
    assert signal.getsignal(signal.SIGINT) is before


def test_late_ctrl_c_in_a_group_of_images(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    reuse = neuron_widget.store.reuse
    monkeypatch.setattr(reuse, "render_steps", pressing(reuse.render_steps))
    done = run("render 0 -n all -o OUT --batch-size 4", places, *FAST)
    assert done.exit_code == 130
    assert "4 of 6 images are in" in done.stderr
    assert len(list(places["OUT"].iterdir())) == 4
    done = run("render 0 -n all -o OUT --batch-size 6 --json", places, *FAST)
    assert done.exit_code == 0  # nothing was left to stop
    assert len(json.loads(done.stdout)["images"]) == 6


def test_late_ctrl_c_before_the_scan(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = neuron_widget.store.fill
    monkeypatch.setattr(fill, "fill_images", pressing(fill.fill_images))
    done = run("prerender 0 -n 1 -d PHOTOS --store STORE", places, *FAST)
    assert done.exit_code == 130
    assert "the same command goes on" in done.stderr
    rooms = {path.parent.parent.name for path in places["STORE"].glob("v1/*/*/*")}
    assert "images" in rooms
    assert "scans" not in rooms


def test_late_ctrl_c_in_a_scan_keeps_it(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    reuse, out = neuron_widget.store.reuse, places["OUT"] / "scan.safetensors"
    monkeypatch.setattr(reuse, "scan_steps", pressing(reuse.scan_steps))
    done = run("scan 0 -d PHOTOS", places, "--out", out)
    assert done.exit_code == 0
    assert ScanResult.load(out).scanned == 5


# ------------------------------------------------------------------ JSON, whatever happens


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("layers any --json", 0, ""),
        ("render 0 -n 1 -o OUT --steps 2 --size 32 --json", 0, ""),
        ("layers broken --json", 1, "nobody foresaw it"),
        ("render 0 -n 1 -o OUT --steps 0 --json", 2, "--steps"),
        ("render 0 -n 1 -o OUT --steps 200000 --json", 2, "steps"),
        ("render 0 -n 1 -o OUT --size 8 --json", 2, "--size"),
        ("scan 0 -d PHOTOS --top-k 0 --json", 2, "--top-k"),
        ("render 0 -n 1 --json", 2, "--out"),
        ("layers any --jason --json", 2, "--jason"),
        ("nonsense --json", 2, "nonsense"),
        ("store nonsense --json", 2, "nonsense"),
        ("render 9 -n 1 -o OUT --json", 2, "no layer '9'"),
        ("render 0 -n 1 -o NOWHERE --json", 5, "--out"),
        ("scan 0 -d PHOTOS -o NOWHERE/scan.csv --json", 5, "--out"),
        ("analyze 0 -d PHOTOS -o NOWHERE --json", 5, "--out"),
    ],
)
def test_json(
    command: str, code: int, says: str, places: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = command.replace("NOWHERE/", f"{places['NOWHERE']}/")
    if code:  # what is wrong is known before any work
        monkeypatch.setattr(neuron_widget.store.reuse, "scan_steps", lambda *_a, **_h: iter(()))
        monkeypatch.setattr("neuron_widget.rendering.batch.Batch.advance", None)
    done = run(command, places)
    assert done.exit_code == code, done.output
    found = json.loads(done.stdout)
    if code:
        assert found["error"]["exit_code"] == code
        assert says in found["error"]["message"]
        assert "NEURON_WIDGET_STORE" not in found["error"]["message"]


def test_without_json_options_are_told_in_typers_way() -> None:
    done = run("render 0 -n 1 -o OUT --steps 0")
    assert done.exit_code == 2
    assert "Usage" in done.stderr
    assert not done.stdout
    assert isinstance(run("layers broken").exception, AssertionError)


@pytest.mark.parametrize("command", ["store info --store OUT", "store info --store OUT --json"])
def test_a_reader_that_has_gone_is_no_error(command: str, places: dict[str, Path]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = [str(places.get(word, word)) for word in command.split()]
    done = subprocess.run(
        [sys.executable, "-m", "neuron_widget.cli", *words],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert done.stderr == b""


@pytest.mark.parametrize("weights", ["random", "folder/file.pth"])
def test_weights_are_passed_on_as_they_are(weights: str, asked: list[Any]) -> None:
    assert run(f"layers any --weights {weights}").exit_code == 0
    assert asked == [weights]


# ------------------------------------------------------------------ places and names


def test_a_place_that_takes_no_file_is_told_before_the_work(
    places: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.csv").mkdir()
    (tmp_path / "o.txt").touch()
    monkeypatch.setattr(neuron_widget.store.reuse, "scan_steps", None)
    monkeypatch.setattr(neuron_widget.store.fill, "fill_images", None)
    photos = str(places["PHOTOS"])
    for how, says in (
        (["scan", "0", "--data", photos, "--no-store", "--out", "d.csv"], "is a folder"),
        (["prerender", "0", "--neurons", "0", "--store", "o.txt"], "--store"),
    ):
        found = CliRunner().invoke(app, how)
        assert found.exit_code == 5, found.output
        assert says in found.output


def test_without_a_word_it_shows_its_help() -> None:
    found = CliRunner().invoke(app, [])
    assert "Usage" in found.output
    assert found.exit_code == 2


@pytest.mark.parametrize(
    ("layer", "network"),
    [
        ("mixed4a", "inceptionv1"),
        ("mixed4f", "inceptionv1"),
        ("Mixed_4a", "inceptionv1"),
        ("blocks.4", "efficientnet_lite0"),
        ("block4", "efficientnet_lite0"),
        ("blocks.4.1.conv_pw", "efficientnet_lite0"),
        ("nothing like it", "efficientnet_lite0"),
    ],
)
def test_no_other_network_is_fetched_for_the_sake_of_a_name(layer: str, network: str) -> None:
    assert model_with(layer) == network
