"""What is maximised: named objectives, torch-lucent's, and functions."""

from __future__ import annotations

import warnings

import pytest
import torch

from neuron_widget.errors import RenderError
from neuron_widget.rendering.objective import Objective, as_objective, at_positions
from neuron_widget.targets import Channel, Unit

ACTIVATION = torch.randn(3, 5, 4, 6, generator=torch.Generator().manual_seed(0))
NEURONS = torch.tensor([2, 0, 4])


@pytest.fixture(scope="module")
def lucent_objectives():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lucent.optvis import objectives
    return objectives


def test_channel_is_the_mean_over_positions():
    values = as_objective("channel", "l")(ACTIVATION, NEURONS)
    expected = torch.stack([ACTIVATION[i, n].mean() for i, n in enumerate([2, 0, 4])])
    torch.testing.assert_close(values, expected)


def test_least_is_minus_the_mean():
    torch.testing.assert_close(
        as_objective("least", "l")(ACTIVATION, NEURONS),
        -as_objective("channel", "l")(ACTIVATION, NEURONS),
    )


def test_unit_is_the_position_right_and_below_the_middle():
    assert as_objective("neuron", "l").name == "unit"  # lucent's word
    values = as_objective("unit", "l")(ACTIVATION, NEURONS)
    expected = torch.stack([ACTIVATION[i, n, 2, 3] for i, n in enumerate([2, 0, 4])])
    torch.testing.assert_close(values, expected)


@pytest.mark.parametrize(("name", "lucents"), [("channel", "channel"), ("unit", "neuron")])
def test_named_objectives_are_lucents(name, lucents, lucent_objectives):
    theirs = getattr(lucent_objectives, lucents)("l", 4)
    for i in range(3):
        # Square: lucent exchanges height and width.
        one = ACTIVATION[i : i + 1, :, :, :4]
        ours = as_objective(name, "l")(one, torch.tensor([4]))
        torch.testing.assert_close(ours[0], -theirs(lambda _layer, a=one: a))


def test_lucents_objectives_are_accepted_and_maximised(lucent_objectives):
    theirs = 2 * lucent_objectives.channel("mixed4a_1x1", 1) - lucent_objectives.neuron(
        "mixed4a_1x1", 2
    )
    objective = as_objective(theirs, "mixed4a.1x1")
    square = ACTIVATION[..., :4]
    values = objective(square, NEURONS)
    expected = 2 * square[:, 1].mean(dim=(1, 2)) - square[:, 2, 2, 2]
    torch.testing.assert_close(values, expected)
    assert objective.name.startswith("lucent ")


def test_lucents_objective_of_another_layer_is_refused(lucent_objectives):
    objective = as_objective(lucent_objectives.channel("mixed4b", 1), "mixed4a")
    with pytest.raises(RenderError, match=r"'mixed4b'.*'mixed4a'"):
        objective(ACTIVATION, NEURONS)


def test_function_sees_one_image_at_a_time():
    shapes = []

    def brightest(activation):
        shapes.append(tuple(activation.shape))
        return activation[:, 1].amax(dim=(1, 2))

    objective = as_objective(brightest, "l")
    values = objective(ACTIVATION, NEURONS)
    torch.testing.assert_close(values, ACTIVATION[:, 1].amax(dim=(1, 2)))
    assert shapes == [(1, 5, 4, 6)] * 3
    assert objective.name.endswith("brightest")


def test_values_are_float32_whatever_the_network_computes_in():
    values = as_objective("channel", "l")(ACTIVATION.bfloat16(), NEURONS)
    assert values.dtype == torch.float32


def test_gradient_of_a_value_is_of_its_own_image():
    activation = ACTIVATION.clone().requires_grad_()
    value = as_objective("channel", "l")(activation, NEURONS)[1]
    (gradient,) = torch.autograd.grad(value, activation)
    expected = torch.zeros_like(ACTIVATION)
    expected[1, 0] = 1 / 24
    torch.testing.assert_close(gradient, expected)


def test_objective_passes_through():
    objective = Objective("mine", lambda a, _n: a.flatten(1).sum(1))
    assert as_objective(objective, "l") is objective


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ("chanel", ValueError, "did you mean 'channel'"),
        ("x", ValueError, "expected 'channel', 'unit', 'least' or a function"),
        (3, TypeError, "got int"),
        (None, TypeError, "got NoneType"),
    ],
)
def test_what_is_no_objective(wrong, error, words):
    with pytest.raises(error, match=words):
        as_objective(wrong, "l")


def test_function_that_returns_no_tensor():
    with pytest.raises(RenderError, match="returned float, expected a tensor"):
        as_objective(lambda _a: 1.0, "l")(ACTIVATION, NEURONS)


def test_a_unit_is_read_at_its_place():
    activation = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4)
    assert at_positions(activation, [Channel("l", 0)] * 2, 4, 4) is activation
    targets = [Unit("l", 0, 1, 2), Unit("l", 1, 3, 0)]
    found = at_positions(activation, targets, 4, 4)
    assert found.shape == (2, 3, 1, 1)
    assert torch.equal(found[0, :, 0, 0], activation[0, :, 1, 2])
    assert torch.equal(found[1, :, 0, 0], activation[1, :, 3, 0])


@pytest.mark.parametrize(
    ("place", "size", "expected"), [(0, 7, 0), (7, 7, 3), (13, 7, 6), (6, 28, 13)]
)
def test_a_unit_of_another_map_size_is_at_the_same_place(place, size, expected):
    activation = torch.arange(float(size * size)).view(1, 1, size, size)
    found = at_positions(activation, [Unit("l", 0, place, 0)], 14, 14)
    assert int(found) // size == expected
