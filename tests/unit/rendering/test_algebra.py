"""Composed targets: what they are worth, beside torch-lucent's objectives and by hand."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from neuron_widget import objectives as ours
from neuron_widget.rendering.composed import Seen
from neuron_widget.targets import Target, as_target, parse

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lucent.optvis import objectives as lucent

# torch-lucent's blur lies on a GPU where there is one.
DEVICE = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
NOISE = torch.Generator().manual_seed(0)
IMAGES = 4


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=NOISE).to(DEVICE)


PICTURES = noise(IMAGES, 3, 9, 8).sigmoid()
# Square maps: torch-lucent exchanges height and width.
FOUND = {"a": noise(IMAGES, 5, 6, 6), "b": noise(IMAGES, 3, 4, 4)}
SEEN = Seen(PICTURES, FOUND, {})
VECTOR = noise(5)


def read(name: str) -> Tensor:
    return PICTURES if name == "input" else FOUND[name]


A, B = ours.channel("a", 2), ours.channel("b", 1)

# torch-lucent's objective, ours, and whether lucent adds up the images (else it takes their mean).
TABLE: list[tuple[str, Any, Target, bool]] = [
    ("channel", lucent.channel("a", 2), A, False),
    ("neuron", lucent.neuron("a", 2), ours.unit("a", 2), False),
    ("neuron", lucent.neuron("a", 2, x=1, y=4), ours.unit("a", 2, 4, 1), False),
    ("channel_weight", lucent.channel_weight("a", VECTOR), ours.weights("a", VECTOR), False),
    (
        "neuron_weight",
        lucent.neuron_weight("a", VECTOR),
        ours.weights("a", VECTOR, at="centre"),
        False,
    ),
    (
        "neuron_weight",
        lucent.neuron_weight("a", None, x=1, y=0),
        ours.weights("a", at=(0, 1)),
        False,
    ),
    (
        "localgroup_weight",
        lucent.localgroup_weight("a", VECTOR, x=1, y=2, wx=4, wy=2),
        ours.weights("a", VECTOR, at="2:4,1:5"),
        False,
    ),
    (
        "localgroup_weight",
        lucent.localgroup_weight("a", x=0, y=3),
        ours.weights("a", at=(3, 0)),
        False,
    ),
    ("direction", lucent.direction("a", VECTOR), ours.direction("a", VECTOR), False),
    (
        "direction_neuron",
        lucent.direction_neuron("a", VECTOR),
        ours.direction("a", VECTOR, at="centre"),
        False,
    ),
    (
        "direction_neuron",
        lucent.direction_neuron("a", VECTOR, x=0, y=5),
        ours.direction("a", VECTOR, at=(5, 0)),
        False,
    ),
    ("blur_input_each_step", lucent.blur_input_each_step(), ours.blur(), True),
    (
        "channel_interpolate",
        lucent.channel_interpolate("a", 2, "b", 1),
        ours.interpolate(A, B),
        True,
    ),
    ("alignment", lucent.alignment("a"), ours.alignment("a"), True),
    ("alignment", lucent.alignment("b", decay_ratio=3), ours.alignment("b", 3), True),
    ("diversity", lucent.diversity("a"), ours.diversity("a"), False),
    (
        "Objective.sum",
        lucent.Objective.sum([lucent.channel("a", i) for i in range(3)]),
        3 * ours.mean([("a", i) for i in range(3)]),
        False,
    ),
    (
        "batch",
        lucent.channel("a", 2, batch=0) + lucent.neuron("b", 1, batch=3),
        ours.only(0, A) + ours.only(3, ours.unit("b", 1)),
        True,
    ),
    ("+ - *", 2 * lucent.channel("a", 2) - 0.5 * lucent.channel("b", 1), 2 * A - 0.5 * B, False),
    ("/ -", -lucent.channel("a", 2) / 4 + lucent.channel("b", 1), -A / 4 + B, False),
    ("number", lucent.channel("a", 2) + 3, A - 3, False),  # it is added to the loss
    (
        "facets",
        lucent.channel("a", 2) - 100 * lucent.diversity("a"),
        A - 100 * ours.diversity("a"),
        False,
    ),
    ("as_objective", lucent.as_objective("a:2"), parse("a:2"), False),
]


@pytest.mark.parametrize(
    ("theirs", "target", "added_up"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_values_are_torch_lucents(theirs: Any, target: Target, added_up: bool) -> None:
    values = target.values(SEEN)
    assert values.shape == (IMAGES,)
    assert values.dtype == torch.float32
    found = values.sum() if added_up else values.mean()
    assert float(found) == pytest.approx(-float(theirs(read)), rel=1e-5, abs=1e-5)


def test_the_table_has_every_objective_of_torch_lucent() -> None:
    of_module = {
        name
        for name, value in vars(lucent).items()
        if inspect.isfunction(value) and getattr(value, "__wrapped__", None) is not None
    }
    assert of_module
    assert of_module <= {row[0] for row in TABLE}


def test_where_torch_lucents_are_wrong() -> None:
    """As the documentation says."""
    wide = noise(1, 3, 4, 8)
    ours_at = ours.unit("a", 1).values(Seen(PICTURES, {"a": wide}, {}))
    assert float(ours_at) == float(wide[0, 1, 2, 4])
    theirs = -lucent.neuron("a", 1)(lambda _: wide)
    assert theirs.isnan() or float(theirs) != float(ours_at)
    with pytest.raises(TypeError):
        lucent.localgroup_weight("a")(read)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = lucent.channel_interpolate("a", 2, "b", 1)(lambda name: read(name)[:1])
    assert alone.isnan()


BY_HAND = [
    ("layer(a)", lambda: FOUND["a"].square().mean((1, 2, 3))),
    ("l1(a, 0.5)", lambda: (FOUND["a"] - 0.5).abs().mean((1, 2, 3))),
    ("l2(a)", lambda: FOUND["a"].square().mean((1, 2, 3)).sqrt()),
    ("l1(image, 0.5)", lambda: (PICTURES - 0.5).abs().mean((1, 2, 3))),
    ("l2(image)", lambda: PICTURES.square().mean((1, 2, 3)).sqrt()),
    (
        "tv(image)",
        lambda: (
            (PICTURES[:, :, 1:] - PICTURES[:, :, :-1]).abs().mean((1, 2, 3))
            + (PICTURES[..., 1:] - PICTURES[..., :-1]).abs().mean((1, 2, 3))
        ),
    ),
    ("tv(a@3,3)", lambda: torch.zeros(IMAGES, device=DEVICE)),
    ("mean(a:0, b:1, b:2@0,3)", lambda: (
        FOUND["a"][:, 0].mean((1, 2)) + FOUND["b"][:, 1].mean((1, 2)) + FOUND["b"][:, 2, 0, 3]
    ) / 3),
    ("interpolate(a:0, a:1)", lambda: torch.lerp(
        FOUND["a"][:, 0].mean((1, 2)), FOUND["a"][:, 1].mean((1, 2)),
        torch.linspace(0, 1, IMAGES, device=DEVICE),
    )),
    ("apart(-a:1, a, 0.25)", lambda: (
        -FOUND["a"][:, 1].mean((1, 2))
        - 0.25 * FOUND["a"][:, 1].mean((1, 2)).abs() * parse("diversity(a)").values(SEEN) / 3
    )),
    ("only(2, a:0 + 1)", lambda: torch.tensor([0, 0, 1.0, 0], device=DEVICE)
     * (FOUND["a"][:, 0].mean((1, 2)) + 1)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BY_HAND, ids=[row[0] for row in BY_HAND])
def test_values_are_what_they_are_by_hand(text: str, expected: Any) -> None:
    torch.testing.assert_close(parse(text).values(SEEN), expected())


@pytest.mark.parametrize(
    "target", [*(row[2] for row in TABLE), *(as_target(row[0]) for row in BY_HAND)], ids=str
)
def test_every_value_has_a_gradient(target: Target) -> None:
    """Also of images that are alike, or maps that are zero."""
    for scale in (1.0, 0.0):
        pictures = (PICTURES * scale).requires_grad_()
        found = {name: (maps * scale).requires_grad_() for name, maps in FOUND.items()}
        value = target.values(Seen(pictures, found, {})).sum()
        for gradient in torch.autograd.grad(value, [pictures, *found.values()], allow_unused=True):
            assert gradient is None or gradient.isfinite().all()


def test_a_place_on_another_map_is_at_the_same_place_of_the_image() -> None:
    seen = Seen(PICTURES, {"a": FOUND["a"]}, {"a": (12, 12)})  # half the image's size
    assert torch.equal(parse("a:1@11,4").values(seen), FOUND["a"][:, 1, 5, 2])
    region = parse("weights(a@2:8,0:1)").values(seen)
    torch.testing.assert_close(region, FOUND["a"][:, :, 1:4, :1].mean((1, 2, 3)))
