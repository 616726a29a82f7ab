"""Wrong options of every command: an exit code and one line of ours, as text and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import neuron_widget.networks.zoo
from neuron_widget.cli import app

# A command that would do something, for its wrong options: OUT is a folder, DATA one with photos.
RENDER = "render 2:1 --out OUT --size 32 --steps 1 --no-store"
SCAN = "scan 2 --data DATA --no-store"
PRERENDER = "prerender 2 --store OUT --size 32 --steps 1"
ANALYZE = "analyze 2 --neuron 0 --data DATA --out OUT --steps 1 --no-store"
EXPORT = "export 2 --out OUT/page.html --store OUT"
PRUNE = "store prune --store OUT --limit 1GB"

Wrong = tuple[str, str, int, str]


def numbers(option: str, *wrong: tuple[str, str]) -> list[tuple[str, str, int, str]]:
    """Wrong values of an option that takes a number."""
    always = (("x", "x"), ("1.5", "1.5"), ("", ""), ("nan", "nan"), ("9" * 5000, "9999"))
    wanted = "(from|at least) [\\d,]+.*got "
    return [(option, value, 2, f"{wanted}.*{said}") for value, said in (*always, *wrong)]


MODEL: list[Wrong] = [
    ("--model", "nonsense", 3, "unknown model 'nonsense'"),
    ("--model", "", 3, "unknown model ''"),
    ("--model", "inceptionv2", 3, "did you mean 'inceptionv1'"),
]
DATA: list[Wrong] = [
    ("--data", "", 4, "name is empty"),
    ("--data", "OUT/none", 4, "no folder"),
    ("--data", "sampels", 4, "did you mean 'samples'"),
    ("--data", "FILE", 4, "is a file; expected a folder"),
    ("--data", "OUT", 4, "no folder|no image"),
    ("--data", "OUT/*.jpg", 4, "no photo matches"),
    ("--data", "~nobody-of-this-name/x", 4, "home of nobody"),
    ("--data", "x" * 5000, 4, r"5,000 characters|too long"),
]
NEURONS: list[Wrong] = [
    ("--neurons", "9", 2, "neurons 0 to 5"),
    ("--neurons", "3-1", 2, "neurons 0 to 5"),
    ("--neurons", "-1", 2, "0 to 5|expected"),
    ("--neurons", "two", 2, "expected something like"),
    ("--neurons", "", 2, "expected something like"),
    ("--neurons", "1,,2", 2, "expected something like"),
    ("--neurons", "0-99999999999", 2, "neurons 0 to 5"),
]
RENDERED: list[Wrong] = [
    *numbers("--steps", ("0", "0"), ("-1", "-1"), ("100001", "100001")),
    *numbers("--size", ("15", "15"), ("4097", "4097")),
    *numbers("--seed", ("-1", "-1"), ("9" * 30, "9999")),
    ("--lr", "0", 2, "above 0.*got 0"),
    ("--lr", "-1", 2, "above 0.*got -1"),
    ("--lr", "nan", 2, "above 0.*got nan"),
    ("--lr", "inf", 2, "above 0.*got inf"),
    ("--lr", "fast", 2, "fast"),
    ("--objective", "chanel", 2, "did you mean 'channel'"),
    ("--engine", "fsat", 2, "did you mean 'fast'"),
    ("--precision", "float", 2, "did you mean 'float32'"),
    ("--stpes", "3", 2, "--stpes"),
]
SCANNED: list[Wrong] = [
    *numbers("--top-k", ("0", "0"), ("-3", "-3")),
    *numbers("--num-samples", ("0", "0"), ("-3", "-3")),
    *numbers("--seed", ("-1", "-1")),
    ("--precision", "half", 2, "expected 'exact', 'fast'"),
    ("--precision", "", 2, "unknown precision ''"),
]


def of(option: str, code: int, said: dict[str, str]) -> list[Wrong]:
    """Wrong values of one option, each with what is said of it."""
    return [(option, value, code, words) for value, words in said.items()]


def alone(template: str, code: int, said: dict[str, str]) -> list[tuple[str, Wrong]]:
    """Commands with a wrong word in place of ``@``."""
    return [(template.replace("@", word), ("", "", code, words)) for word, words in said.items()]


SIZES = of("--max-size", 2, dict.fromkeys(("", "big", "-1MB", "1.2.3MB", "5 lots", "nan"), "500MB"))
LIMITS = of("--limit", 2, dict.fromkeys(("", "lots", "-1", "1e9e9", "inf"), "500MB"))
OPENING = of("--device", 3, {"gpu": "unknown device 'gpu'", "": "unknown device ''"})
OUT = of("--out", 5, {"FILE": "cannot write", "FILE/x": "cannot write", "OUT/x.webp": "a file"})
OUT_SCAN = of(
    "--out", 5, {"OUT/x.pkl": ".safetensors", "FILE/x.csv": "cannot write", "OUT": ".csv"}
)
TARGETS = {
    "two:1": "no layer 'two'",
    "2": "names a layer and no neuron",
    "2:x": "cannot read '2:x'",
    "2:9": "0 to 5",
    "2:1@99,0": "no row 99",
    "2:3-1": "'3-1'",
    ":": "':'",
    "2:0-99999999": "100,000,000",
}
TABLE: dict[str, list[Wrong]] = {
    RENDER: [
        *(*RENDERED, *MODEL, *OPENING, *OUT),
        *numbers("--batch-size", ("0", "0"), ("-1", "-1")),
        ("--weights", "", 2, "weights must be a path"),
        ("--weights", "OUT/none.pth", 3, "none.pth"),
    ],
    RENDER.replace("2:1", "2"): NEURONS,
    SCAN: [*SCANNED, *DATA, *MODEL, *OUT_SCAN],
    PRERENDER: [*RENDERED[:6], *SCANNED[:6], *NEURONS[:4], *MODEL[:1], *DATA[:4]],
    ANALYZE: [
        *(*DATA[:4], *MODEL[:1], *OUT[:1]),
        *numbers("--steps", ("0", "0")),
        *of("--neuron", 2, {"9": "0 to 5", "-1": "-1", "x": "x"}),
    ],
    EXPORT: [
        *(*NEURONS[:5], *MODEL[:1], *SIZES),
        *of("--out", 5, {"OUT": "ending in .html", "OUT/x.pdf": "ending in .html"}),
        ("", "", 5, "prerender 2"),
    ],
    PRUNE: LIMITS,
    "store info": [("", "", 5, "--store"), ("--stroe", "x", 2, "--stroe")],
    "store verify": [("", "", 5, "--store")],
    "layers nonsense": [("", "", 3, "unknown model")],
    "layers": [("", "", 2, "Missing argument")],
    "nonsense": [("", "", 2, "nonsense")],
    "demo --dir FILE/x": [("", "", 5, "--dir")],
    "demo": [("--port", "0", 2, "got 0"), ("--port", "x", 2, "got 'x'")],
}
CASES = [
    *((command, wrong) for command, some in TABLE.items() for wrong in some),
    *alone(RENDER.replace("2:1", "@"), 2, TARGETS),
    *alone(SCAN.replace(" 2 ", " @ "), 2, dict.fromkeys(("two", "22", "''"), "no layer")),
]


@pytest.fixture(scope="module")
def places(things: Any) -> dict[str, str]:
    """What OUT, DATA and FILE are."""
    data: Path = things.folder / "photos"
    data.mkdir()
    for i, photo in enumerate(things.photos):
        photo.save(data / f"{i}.png")
    file = things.file("FILE", b"not a folder")
    return {"OUT": str(things.folder / "out"), "DATA": str(data), "FILE": str(file)}


@pytest.mark.parametrize(
    ("command", "option", "value", "code", "said"),
    [
        pytest.param(command, *wrong, id=f"{command.split('--')[0]}{wrong[0]}={wrong[1]:.20}")
        for command, wrong in CASES
    ],
)
def test_a_wrong_option_is_told(
    command: str,
    option: str,
    value: str,
    code: int,
    said: str,
    places: dict[str, str],
    things: Any,
    told: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = neuron_widget.networks.zoo.load_model

    def opened(name: str, **how: Any) -> Any:
        asked = {n: v for n, v in how.items() if n in ("weights", "device") and v is not None}
        if name == "tiny" and not asked:
            return things.model
        return real("inceptionv1" if name == "tiny" else name, **how)

    monkeypatch.setattr(neuron_widget.networks.zoo, "load_model", opened)
    words = [word.strip("'") for word in command.split(" ")]
    if words[0] in ("render", "scan", "prerender", "analyze", "export") and option != "--model":
        words += ["--model", "tiny"]
    words += [option, value] if option else []
    words = [re.sub("OUT|DATA|FILE", lambda found: places[found[0]], word) for word in words]
    done = CliRunner().invoke(app, words)
    text = " ".join(re.sub("[│╭╮╰╯─]", " ", done.output).split())
    assert done.exit_code == code, (done.output, done.exception)
    assert "Traceback" not in text
    told(text, said)
    if words[0] == "demo":
        return
    as_json = CliRunner().invoke(app, [*words, "--json"])
    error = json.loads(as_json.stdout)["error"]
    assert as_json.exit_code == error["exit_code"] == code
    told(error["message"], said)


def test_the_table_is_a_large_one() -> None:
    assert len(CASES) > 100
