"""What every door has to say of wrong input, checked in one place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import Analyzer, NeuronWidget, load_model, render, scan
from neuron_widget.errors import NeuronWidgetError

LONGEST = 480  # characters: what a person reads in one look
WAY_OUT = re.compile(
    r"expected|must|did you mean|such as|there is no|it has|has (?:\d+ )?neurons|pass |give |"
    r"use |make |open |takes|available: |name a|call |its neuron is|fetch it|reload|run '|unpack|"
    r"save its|neuron_widget|--help",
    re.IGNORECASE,
)
RAW = re.compile(
    r"Traceback|mat1|oneDNN|mkldnn|DNNL|ufunc|c10::|aten::|\[Errno|broadcast|"
    r"object (is not|has no|cannot be)|has no attribute|unexpected keyword|positional argument|"
    r"not subscriptable|invalid literal|could not convert|cannot identify image|"
    r"not supported between|unhashable| 0x[0-9a-f]{6}",
)


def check_told(text: str, *wanted: str) -> None:
    """One line, of ours, that has every one of ``wanted`` (patterns) and a way out."""
    assert "\n" not in text, text
    # What another library said may stand behind our words, with the name of its error.
    ours = re.split(r"\b\w+(?:Error|Exception): ", text)[0]
    assert len(ours) <= LONGEST, text
    assert len(text) <= 2 * LONGEST, text
    assert not RAW.search(ours), text
    assert WAY_OUT.search(text), text
    for pattern in wanted:
        assert re.search(pattern, text), (pattern, text)


@pytest.fixture(scope="session")
def told() -> Callable[..., None]:
    """See :func:`check_told`."""
    return check_told


@pytest.fixture(scope="session")
def refused() -> Callable[..., None]:
    """``refused(call, *wanted)``: the call raises an error of the package that tells so much."""

    def check(call: Callable[[], object], *wanted: str) -> None:
        with pytest.raises(NeuronWidgetError) as caught:
            call()
        check_told(str(caught.value), *wanted)

    return check


@dataclass
class Things:
    """What calls need: a tiny network and what was made with it, for reading only."""

    folder: Path
    module: nn.Module
    model: Any
    rendered: Any
    found: Any
    photos: list[Image.Image]
    analyzer: Any
    closed: Any
    widget: Any

    def file(self, name: str, content: bytes | None = None) -> Path:
        """A path in the folder; with ``content`` a file."""
        path = self.folder / name
        if content is not None:
            path.write_bytes(content)
        return path


def tiny() -> nn.Module:
    """Two convolutions."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3))


@pytest.fixture(scope="session")
def things(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Things]:
    """One of everything."""
    folder = tmp_path_factory.mktemp("bad input")
    module = tiny()
    model = load_model(module, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
    random = np.random.default_rng(0)
    photos = [Image.fromarray(random.integers(0, 256, (36, 36, 3), np.uint8)) for _ in range(6)]
    more: dict[str, Any] = {"model": model, "store": False}
    shown: dict[str, Any] = {"dataset": photos, "size": 32, "steps": 2, "auto": False}
    widgets = [NeuronWidget("2", **more, **shown) for _ in range(2)]
    for widget in widgets:
        widget.wait()
    widgets[0].render(wait=True)
    widgets[1].close()
    yield Things(
        folder,
        module,
        model,
        render(model, "2", [0, 1], steps=2, size=32, progress=False),
        scan(model, "2", photos, top_k=2, progress=False),
        photos,
        Analyzer("2", dataset_root=photos, **more),
        widgets[1],
        widgets[0],
    )
    widgets[0].close()
