"""What is wrong with a cell's arguments is said in the cell, at once, with the way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torch import nn

from neuron_widget import NeuronWidget, load_model
from neuron_widget.errors import (
    DatasetError,
    ModelError,
    NeuronOutOfRange,
    TargetError,
    UnknownLayer,
)
from neuron_widget.session.arguments import check_arguments
from neuron_widget.session.settings import Fit, Settings

DEFAULTS: dict[str, Any] = {
    "layer": None,
    "model": None,
    "weights": None,
    "dataset": "samples",
    "neuron": 0,
    "steps": 512,
    "size": 224,
    "seed": 0,
    "top_k": 9,
    "device": None,
    "auto": True,
}


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"layer": "mixed4z"}, UnknownLayer, "did you mean 'mixed4e'"),
        ({"layer": "layer3"}, UnknownLayer, "it has conv2d0"),
        ({"layer": "mixed4a:68 +"}, TargetError, "at its end: expected a target such as mixed4a"),
        ({"layer": "mixed4a:68 - mixed4z:3"}, UnknownLayer, "did you mean 'mixed4e'"),
        ({"layer": "mixed4a:68 - mixed4b:600"}, NeuronOutOfRange, "512 neurons, 0 to 511"),
        ({"layer": "mixed4a:68 - tv(mixed9)"}, UnknownLayer, "no layer 'mixed9'"),
        ({"layer": "mixed4a:68 - x*mixed4a:7"}, TargetError, "or a number with * behind it"),
        ({"layer": "mixed4a:68 - nan*mixed4a:7"}, TargetError, "nan is no finite number"),
        ({"layer": "mixed4a:68 - mixed4a:68"}, TargetError, "nothing is left to maximise"),
        ({"layer": "mixed4a:68 - diversity(mixed4a)"}, TargetError, "speaks of several images"),
        ({"layer": "mixed4a:68 - distance(mixed3a)"}, ValueError, "say start=PHOTO"),
        ({"layer": "mixed4a:1 - mixed4a:2", "objective": "unit"}, ValueError, "'unit' out"),
        ({"layer": f"weights(mixed4a, [{'0.123, ' * 999}0])"}, TargetError, "a page takes 4,096"),
        ({"layer": 4}, TypeError, "layer must be a name such as 'mixed4a' or a target, got int"),
        ({"layer": "mixed4a", "neuron": 508}, NeuronOutOfRange, "508 neurons, 0 to 507"),
        ({"layer": "mixed_4a", "neuron": -1}, NeuronOutOfRange, "no neuron -1"),
        ({"layer": "mixed4a.1x1", "neuron": 192}, NeuronOutOfRange, "192 neurons"),
        ({"neuron": "68"}, NeuronOutOfRange, "must be an integer"),
        ({"neuron": 1.5, "layer": "mixed4a"}, NeuronOutOfRange, "got 1.5"),
        ({"neuron": -3}, NeuronOutOfRange, "no neuron -3: they are counted from 0"),
        ({"model": "resnet50"}, ModelError, "torchvision/<name>"),
        ({"model": "inceptionv3"}, ModelError, "did you mean 'inceptionv1'"),
        ({"model": "efficientnet_lite0", "layer": "mixed4a"}, UnknownLayer, "it has conv_stem"),
        ({"model": "efficientnet_lite0", "layer": "conv_stm"}, UnknownLayer, "'conv_stem'"),
        ({"steps": 0}, ValueError, "steps must be from 1 to 100,000, got 0"),
        ({"steps": 1.5}, TypeError, "steps must be an integer"),
        ({"steps": True}, TypeError, "got True"),
        ({"size": 8}, ValueError, "size must be from 16 to 1,024, got 8"),
        ({"size": "224"}, TypeError, "size must be an integer"),
        ({"seed": -1}, ValueError, "seed must be from 0"),
        ({"top_k": 0}, ValueError, "top_k must be from 1 to 50"),
        ({"lr": 0}, ValueError, "lr must be above 0"),
        ({"lr": "fast"}, TypeError, "lr must be a number"),
        ({"objective": "layer"}, ValueError, "unknown objective 'layer'"),
        ({"param": "furrier"}, ValueError, "unknown param 'furrier'; did you mean 'fourier'"),
        ({"decay": 9}, ValueError, "decay must be at least 0 and at most 4"),
        ({"spectrum": 3}, TypeError, "spectrum must be what photo_spectrum(photos) returns"),
        ({"spectrum": "/none.npy"}, ValueError, "'none.npy' cannot be read"),
        ({"weights": 3}, TypeError, "weights must be the path of a file, got int"),
        ({"dataset": 7}, DatasetError, "'samples' or 'imagenette'; got 7"),
        ({"dataset": "sampels"}, DatasetError, "did you mean 'samples'"),
        ({"dataset": "/no/such/folder"}, DatasetError, "there is no folder '/no/such/folder'"),
        ({"dataset": Path("nowhere")}, DatasetError, "there is no folder 'nowhere'"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error) as raised:
        check_arguments(**(DEFAULTS | arguments))
    assert says in str(raised.value)


@pytest.mark.parametrize("pattern", ["t-{000..003}.tar", "photos/**/dog*.jpg", "[ab]/?.png"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_pattern_is_looked_for_when_it_is_opened(pattern: str, kind: Callable[..., Any]) -> None:
    settings = check_arguments(**(DEFAULTS | {"dataset": kind(pattern)}))
    assert settings.dataset == kind(pattern)


def test_what_belongs_to_another_form_has_no_effect() -> None:
    """The page changes the form, and what was said of the other one waits."""
    settings = check_arguments(**DEFAULTS, decay=2.0)
    assert settings.recipe.as_options()["decay"] == 2.0
    maco = settings.configured({"param": "maco"})
    assert maco.recipe.as_options()["decay"] == 1.0
    assert maco.recipe.as_options()["param"] == "maco"
    assert maco.configured({"param": "fourier"}).recipe == settings.recipe


def test_the_widget_raises_in_the_cell() -> None:
    with pytest.raises(TypeError, match="no argument 'nueron'; did you mean 'neuron'"):
        NeuronWidget("mixed4a", nueron=3)
    with pytest.raises(NeuronOutOfRange):
        NeuronWidget("mixed4a", neuron=999)


@pytest.mark.parametrize(
    ("arguments", "model", "layer"),
    [
        ({}, None, None),
        ({"layer": "mixed_4a"}, "inceptionv1", "mixed4a"),
        ({"layer": "mixed4a_1x1"}, "inceptionv1", "mixed4a.1x1"),
        ({"layer": "blocks.4"}, "efficientnet_lite0", "blocks.4"),
        ({"layer": "blocks_4"}, "efficientnet_lite0", "blocks.4"),
        ({"model": "InceptionV1"}, "inceptionv1", None),
        (
            {"model": "efficientnet_lite0", "layer": "blocks.3.0.conv_dw"},
            "efficientnet_lite0",
            "blocks.3.0.conv_dw",
        ),
        ({"model": "torchvision/resnet18", "layer": "layer3"}, "torchvision/resnet18", "layer3"),
    ],
)
def test_a_layer_names_its_network(
    arguments: dict[str, Any], model: str | None, layer: str | None
) -> None:
    settings = check_arguments(**(DEFAULTS | arguments))
    assert (settings.model, settings.layer) == (model, layer)


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"layer": "2", "neuron": 99}, NeuronOutOfRange, "layer 2 has 6 neurons, 0 to 5"),
        ({"layer": "two"}, UnknownLayer, "no layer 'two'"),
        ({"neuron": 99}, NeuronOutOfRange, "there is no neuron 99"),
    ],
)
@pytest.mark.parametrize("auto", [False, True])
def test_what_only_the_opened_network_can_tell_is_raised_where_python_waits(
    wrong: dict[str, Any], error: type[Exception], says: str, auto: bool, tmp_path: Path
) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3))
    model = load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
    photos = [Image.new("RGB", (32, 32), (i, 0, 0)) for i in range(4)]
    more: dict[str, Any] = {"size": 32, "steps": 4, "store": False, "dataset": photos}
    widget = NeuronWidget(model=model, auto=auto, **wrong, **more)
    try:
        for call in (
            widget.wait,
            lambda: widget.render(wait=True),
            lambda: widget.scan(wait=True),
            lambda: widget.to_html(tmp_path / "page.html"),
            widget.wait,
        ):
            with pytest.raises(error, match=says):
                call()
        # The page shows another neuron instead, and says so.
        message, _ = widget._session.state.snapshot()
        (shown,) = [m for m in message["messages"] if m["kind"] == "error"]
        assert says in shown["message"]
        assert shown["title"].startswith("Showing ")
        # With the steps nothing is said about the neuron; with a neuron that is there, all is well.
        widget.steps = 3
        with pytest.raises(error, match=says):
            widget.wait()
        widget.neuron = 1
        result = widget.render(wait=True)
        assert result is not None
        assert result.neurons == (1,)
    finally:
        widget.close()


def test_the_page_sends_all_settings_and_changes_one() -> None:
    before = Settings(fit=Fit({"size": 224, "redirect_relu": True}, {"size": (16, 1024)}))
    after = before.configured({**before.page, "seed": 5})
    assert after.page == {**before.page, "seed": 5}
    assert after.options["redirect_relu"] is None  # still left to the network
    with pytest.raises(ValueError, match="size must be from 32 to 64 for this network; got 65"):
        before.replace(fit=Fit({}, {"size": (32, 64)})).configured({"size": 65})
