"""Wrong arguments of every public function and method: each told in our words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from neuron_widget import (
    Analyzer,
    NeuronQuiz,
    NeuronWidget,
    export_html,
    load_model,
    open_dataset,
    render,
    render_steps,
    scan,
    scan_steps,
)

Case = tuple[str, Callable[[Any], object], tuple[str, ...]]
PREPROCESS = ((0.5,) * 3, (0.2,) * 3)


def cases(**doors: tuple[Callable[..., object], dict[str, list[tuple[Any, str]]]]) -> list[Any]:
    """A case for each wrong value of each argument: (value, pattern of what is said of it)."""
    found = []
    for door, (call, arguments) in doors.items():
        for name, values in arguments.items():
            for value, said in values:
                shown = str(type(value).__name__) if callable(value) else repr(value)[:40]
                case = (call, name, value, said)
                # Without addresses: two processes must find the same names.
                shown = re.sub(r" at 0x.*", "", shown)
                found.append(pytest.param(*case, id=f"{door} {name}={shown}"))
    return found


def integer(low: int, high: int | None = None) -> list[tuple[Any, str]]:
    """What is no integer from ``low`` to ``high``."""
    wanted = f"from {low:,} to {high:,}" if high is not None else f"at least {low:,}"
    wrong: list[Any] = [low - 1, -(10**9), 1.5, math.nan, math.inf, "9", True, [3], {}]
    wrong += [10**12] if high is not None else []
    return [(value, f"{wanted}.*got {_quoted(value)}") for value in wrong]


def number(such_as: str) -> list[tuple[Any, str]]:
    """What is no number above 0 and at most 10."""
    wrong: list[Any] = [0, -1.0, math.nan, math.inf, 11, "fast", True, None, [0.1]]
    return [
        (value, f"above 0 and at most 10, such as {such_as}.*{_quoted(value)}") for value in wrong
    ]


def choice(*near: tuple[Any, str]) -> list[tuple[Any, str]]:
    """What is no name of a choice: with what is said of it."""
    return list(near)


def _quoted(value: Any) -> str:
    import re

    return re.escape(repr(value))


LAYER: list[tuple[Any, str]] = [
    ("", r"no layer ''.*it has|no layer ''.*did you mean"),
    ("22", "no layer '22'; did you mean '2'"),
    ("conv9", "no layer 'conv9'; it has"),
    (None, "layer.* None|got None"),
    (3, "layer.* 3|got 3|got int"),
    (nn.ReLU(), "ReLU.*not of it|ReLU"),
]
# A scan takes several layers, others one.
LAYERS: list[tuple[Any, str]] = [
    ([], "there is none to scan"),
    (["2", "22"], "no layer '22'; did you mean '2'"),
    (["2", 3], "layer.* 3|got int"),
]
SEVERAL: list[tuple[Any, str]] = [(["2"], r"\['2'\]|got list")]
NEURON: list[tuple[Any, str]] = [
    (6, "6 neurons, 0 to 5; there is no neuron 6"),
    (-1, "0 to 5; there is no neuron -1|no neuron -1"),
    (10**9, "0 to 5; there is no neuron 1000000000"),
    (1.5, "neuron must be an integer.*got 1.5"),
    (math.nan, "neuron must be an integer.*got nan"),
    ("1", "neuron must be an integer.*got '1'"),
    (True, "neuron must be an integer.*got True"),
    ([], r"no neuron|got \[\]"),
    ([0, 9], r"there is no neuron 9|got \[0, 9\]"),
    ([None], r"neuron must be an integer.*got \[?None"),
]
DATASET: list[tuple[Any, str]] = [
    (3, "int 3.*expected"),
    (None, "None.*expected"),
    (True, "bool True.*expected"),
    (1.5, "float 1.5.*expected"),
    ("", "name is empty.*expected a folder"),
    ("  ", "name is empty.*expected a folder"),
    ("sampels", "'sampels'; did you mean 'samples'"),
    ("/no/such/folder", "'/no/such/folder'.*expected|no folder '/no/such/folder'"),
    ("~nobody-of-this-name/x", "~nobody"),
    ("a\0b", "x00"),
    ([], "empty|no photo"),
    ([3], "item 0|3"),
    ({}, "dictionary of splits is empty"),
    (object(), "object"),
    (torch.zeros(3, 3), "Tensor"),
    (iter(()), "gives no photo"),
    (open, "builtin_function"),
]
SPLIT: list[tuple[Any, str]] = [(None, "split must be a name.*got None"), (3, "got 3")]
IMAGE: list[tuple[Any, str]] = [
    ("photo.png", "'photo.png'"),
    (3, "int 3"),
    (None, "NoneType None"),
    (torch.zeros(3), r"shape \(3,\)"),
    (torch.zeros(2, 3, 8, 8), r"2 images; give one"),
    (torch.zeros(5, 8, 8), r"shape \(5, 8, 8\)"),
    (torch.full((3, 8, 8), 200.0), r"200.*expected 0\.\.1"),
    (torch.full((3, 8, 8), math.nan), "nan|not finite"),
    (torch.zeros(3, 8, 8, dtype=torch.complex64), "complex"),
]
RENDER: dict[str, list[tuple[Any, str]]] = {
    "steps": integer(1, 100_000),
    "size": integer(16, 4096),
    "lr": number("0.05"),
    "seed": [(v, s) for v, s in integer(0, 2**63 - 1) if v != 10**12],
    "batch_size": integer(1, 4096),
    "objective": choice(
        ("chanel", "'chanel'; did you mean 'channel'"), (3, "got 3|int"), (None, "None")
    ),
    "param": choice(("furrier", "'furrier'; did you mean 'fourier'"), (3, "got 3")),
    "decay": [(v, "at least 0 and at most 4, such as 1") for v in (-1, math.nan, 5, "x", True)],
    "spectrum": [(3, "got 3"), ("/no/x.npy", "x.npy"), ("a\0b", "null character")],
    "engine": choice(("fsat", "'fsat'; did you mean 'fast'"), (3, "'fast', 'lucent', got 3")),
    "precision": choice(("float", "'float'; did you mean 'float32'"), (16, "got 16")),
    "redirect_relu": [(1, "True, False or None, got 1"), ("yes", "got 'yes'")],
    "resume": [(3, "RenderResult, got int"), ("file.webp", "RenderResult, got str")],
    "stpes": [(3, "no setting 'stpes'; did you mean 'steps'")],
}
SCAN: dict[str, list[tuple[Any, str]]] = {
    "top_k": integer(1),
    "num_samples": integer(1),
    "seed": integer(0),
    "batch_size": integer(1),
    "workers": integer(0),
    "precision": choice(("exakt", "'exakt'; did you mean 'exact'"), (None, "None"), (16, "got 16")),
    "split": SPLIT,
    "topk": [(3, "no setting 'topk'; did you mean 'top_k'")],
}


def _render(t: Any, **wrong: Any) -> object:
    quiet = {"steps": 1, "size": 32, "progress": False}
    place = wrong.pop("model", t.model), wrong.pop("target", "2"), wrong.pop("neurons", 0)
    return render(*place, **(quiet | wrong))


def _render_steps(t: Any, **wrong: Any) -> object:
    return render_steps(t.model, "2", 0, **wrong)  # at once, not at the first step


def _render_target(t: Any, target: Any) -> object:
    return render(t.model, target, steps=1, size=32, progress=False)


def _scan(t: Any, **wrong: Any) -> object:
    place = wrong.pop("model", t.model), wrong.pop("layer", "2"), wrong.pop("dataset", t.photos)
    return scan(*place, progress=False, **wrong)


def _scan_steps(t: Any, **wrong: Any) -> object:
    return scan_steps(t.model, "2", t.photos, **wrong)


def _widget(t: Any, **wrong: Any) -> object:
    return NeuronWidget(**({"model": t.model, "store": False, "auto": False} | wrong))


def _quiz(t: Any, **wrong: Any) -> object:
    small = {"dataset": t.photos, "model": t.model, "layer": "2", "steps": 1, "progress": False}
    return NeuronQuiz(**(small | {"size": 32, "neurons": 1, "references": 1} | wrong))


def _load(t: Any, **wrong: Any) -> object:
    ours = {"model": t.module, "preprocess": PREPROCESS, "input_size": 32}
    return load_model(**(ours | wrong))


def _analyzer(t: Any, **wrong: Any) -> object:
    given = {"target_layer": "2", "model": t.model, "dataset_root": t.photos, "store": False}
    made = Analyzer(**(given | wrong))
    return made.run_complete_analysis(
        num_samples=2, top_k=1, optim_steps=1, save_dir=t.folder, progress=False
    )


def _analysis(t: Any, **wrong: Any) -> object:
    return t.analyzer.run_complete_analysis(**({"save_dir": t.folder, "progress": False} | wrong))


def _export(t: Any, **wrong: Any) -> object:
    given = {"path": t.file("p.html"), "model": t.model, "layer": "2", "images": t.rendered}
    return export_html(**(given | {"report": lambda _: None} | wrong))


PAGE_INT = {"steps": integer(1, 100_000), "size": integer(16, 1024), "top_k": integer(1, 50)}
BOOL: list[tuple[Any, str]] = [(1, "True or False, got 1"), ("no", "got 'no'"), (None, "got None")]
STORE: list[tuple[Any, str]] = [
    (3, "store must be.*got 3"),
    (True, "store must be.*got True"),
    ([], "store is an empty list"),
    ([3], r"got \[3\]"),
]
MODEL: list[tuple[Any, str]] = [
    ("inceptionv3", "'inceptionv3'; did you mean 'inceptionv1'"),
    ("", "unknown model ''; expected"),
    ("torchvision/resnet5", "'resnet5'; did you mean"),
    ("timm/resnet5", "'resnet5'; did you mean"),
    (3, "got int"),
    (nn.Conv2d, "got type"),
    ([], "got list"),
]
DEVICE: list[tuple[Any, str]] = [
    ("gpu", "unknown device 'gpu'"),
    ("cuda:99", "'cuda:99' is not there"),
    ("", "unknown device ''"),
    (3.5, "3.5"),
    ([], r"\[\]"),
]
NO_FILE = "expected the name of a file ending in .html"
PATHS: list[tuple[Any, str]] = [
    (None, "None"),
    (3, "3"),
    ("", "''|ending"),
    ("page.txt", "page.txt.*html"),
    (".", r"'\.'.*html"),
    ("a\0.html", "x00"),
]
CASES = cases(
    render=(
        _render,
        {
            **RENDER,
            "target": [*LAYER[1:], *SEVERAL],
            "neurons": NEURON,
            "model": [("inceptionv1", r"got str; pass load_model\(model\)")],
        },
    ),
    render_steps=(_render_steps, {k: RENDER[k][:3] for k in ("steps", "lr", "objective", "stpes")}),
    render_of=(
        _render_target,
        {
            "target": [
                ("2", "'2' names a layer and no neuron; expected LAYER:NEURON"),
                ("2:x", "cannot read '2:x'.*expected"),
                ("2:9", "0 to 5; there is no neuron 9"),
                ("2:1@99,0", "there is no row 99"),
                ("3:1", "no layer '3'"),
                ("2:3-1", "'3-1'.*expected numbers"),
                ("2:0-99999999", "names 100,000,000 neurons"),
                ("", "''.*expected"),
                (3, "expected a target.*got 3"),
                ([], "no target is named; expected"),
                (None, "got None"),
            ]
        },
    ),
    scan=(_scan, {**SCAN, "layer": [*LAYER, *LAYERS], "dataset": DATASET, "model": MODEL}),
    scan_steps=(_scan_steps, {name: SCAN[name][:3] for name in ("top_k", "precision", "topk")}),
    open_dataset=(
        lambda _t, x=None, split="train": open_dataset(x, split=split),
        {"x": DATASET[:14] + DATASET[15:], "split": [(None, "got None"), (3, "got 3")]},
    ),
    load_model=(
        _load,
        {
            "input_size": integer(1, 4096),
            "device": DEVICE,
            "preprocess": [
                (None, "preprocess"),
                (3, "got 3"),
                ("imagenet", "got 'imagenet'"),
                ((0.5, 0.5), "got"),
                (((0.5,) * 3, (0,) * 3), "got"),
                (((math.nan,) * 3, (1,) * 3), "nan"),
                (((0.5,) * 2, (1,) * 2), "three numbers"),
            ],
            "weights": [("x.pth", "weights.*load_state_dict")],
        },
    ),
    load_model_by_name=(lambda _t, model: load_model(model), {"model": MODEL}),
    analyzer=(
        _analyzer,
        {
            "target_layer": [*LAYER, *SEVERAL],
            "device": DEVICE[:3],
            "model": MODEL[:2],
            "dataset_root": DATASET[:10],
            "split": SPLIT,
            "seed": integer(0)[:6],
            "store": STORE,
        },
    ),
    run_complete_analysis=(
        _analysis,
        {
            "neuron": NEURON,
            "num_samples": integer(1),
            "top_k": integer(1),
            "optim_steps": integer(1, 100_000),
            "lr": number("0.05"),
            "save_dir": [(None, "None"), (3, "3"), ("", "''"), ("a\0b", "save_dir=")],
        },
    ),
    activation_maximization=(
        lambda t, **wrong: t.analyzer.activation_maximization(**({"neuron": 0} | wrong)),
        {
            "neuron": NEURON[:4],
            "size": integer(16, 4096)[:5],
            "optim_steps": integer(1, 100_000)[:3],
        },
    ),
    get_neuron_activation=(
        lambda t, image: t.analyzer.get_neuron_activation(image),
        {"image": IMAGE},
    ),
    set_selected_neuron=(
        lambda t, neuron: t.analyzer.set_selected_neuron(neuron),
        {"neuron": NEURON},
    ),
    analyze_patterns=(
        lambda t, **wrong: t.analyzer.analyze_patterns(
            **({"optimized_image": t.photos[0]} | wrong)
        ),
        {
            "optimized_image": IMAGE,
            "top_images": [
                (3, "is a int"),
                ("x", "'x'|str"),
                ([3], r"\[0\] is"),
                ([(1, 2)], r"\[0\]"),
            ],
        },
    ),
    visualize_results=(
        lambda t, analysis: t.analyzer.visualize_results(analysis, t.folder),
        {"analysis": [(3, "is a int"), ({}, "has no"), ("x", "is a str")]},
    ),
    widget=(
        _widget,
        {
            **PAGE_INT,
            "lr": number("0.05"),
            "seed": integer(0, 2**31 - 1)[:5],
            "objective": RENDER["objective"],
            "param": RENDER["param"],
            "spectrum": RENDER["spectrum"],
            "engine": RENDER["engine"],
            "precision": RENDER["precision"],
            "redirect_relu": RENDER["redirect_relu"],
            "auto": BOOL,
            "previews": BOOL,
            "neuron": [
                (-1, "no neuron -1"),
                (1.5, "got 1.5"),
                ("1", "got '1'"),
                (None, "got None"),
            ],
            "layer": [(3, "got int"), (nn.ReLU(), "got ReLU"), ("2:x", "cannot read '2:x'")],
            "model": MODEL[:2],
            "weights": [(3, "got int"), (True, "got bool")],
            "dataset": [(3, "got 3"), ("sampels", "did you mean 'samples'"), ("/no/x", "'/no/x'")],
            "store": STORE,
            "nueron": [(3, "no argument 'nueron'; did you mean 'neuron'")],
        },
    ),
    quiz=(
        _quiz,
        {
            "neurons": [
                (0, "neurons must be.*got 0"),
                ("ab", "got 'ab'"),
                ([], "neurons is empty"),
                ([9], "no neuron 9"),
                (1.5, "1.5"),
                (True, "True"),
                (None, "None"),
                ([None], "None"),
            ],
            "references": integer(1, 100),
            "conditions": [
                ("sythetic", "did you mean 'synthetic'"),
                ([], "''"),
                (3, "3"),
                (None, "None"),
            ],
            "steps": integer(1, 100_000)[:5],
            "size": integer(16, 4096)[:5],
            "num_samples": integer(1)[:5],
            "seed": integer(0)[:5],
            "layer": LAYER[1:3],
            "model": MODEL[:2],
            "dataset": DATASET[:5],
            "scan": [(3, "scan.*int|got 3"), ("x", "scan")],
            "rendered": [(3, "rendered.*int|got 3"), ("x", "rendered")],
        },
    ),
    export_html=(
        _export,
        {
            "path": PATHS,
            "layer": [*LAYER, *SEVERAL],
            "model": MODEL[:2],
            "images": [(3, "images.*3|int"), ("x", "images"), ([3], "images")],
            "scan": [(5, "scan.*int|got 5"), ("x", "scan")],
            "neurons": NEURON[:7] + NEURON[8:],
            "max_bytes": [
                (0, "at most 0|from 1|at least 1"),
                (-1, "-1"),
                ("25MB", "25MB"),
                (True, "True"),
            ],
            "title": [(3, "title.*3")],
        },
    ),
)


@pytest.mark.parametrize(("call", "name", "value", "said"), CASES)
def test_a_wrong_argument_is_told(
    call: Callable[..., object],
    name: str,
    value: Any,
    said: str,
    things: Any,
    refused: Callable[..., None],
) -> None:
    refused(lambda: call(things, **{name: value}), said)


def test_the_table_is_a_large_one() -> None:
    assert len(CASES) > 300
