"""Faults of objectives and networks of somebody's own, while images form and photos are scanned."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from neuron_widget import load_model, render, scan
from neuron_widget.errors import ModelError, RenderError
from neuron_widget.session.scanning import MemoryCheckpoint


class Fails:
    """A hook that lets so many forward passes by; then it fails, until ``left`` is set again."""

    left = 10**9

    def __call__(self, *_):
        if self.left <= 0:
            raise KeyError("mine")
        self.left -= 1


def model(fails=None):
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
    network = nn.Sequential(first, nn.Identity(), second, nn.ReLU())
    if fails is not None:
        network[1].register_forward_hook(fails)
    opened = load_model(network, preprocess=((0.5,) * 3, (0.5,) * 3), input_size=32)
    opened.layer("2")
    return opened


def calls_backward(activation):
    value = activation.mean()
    value.backward()
    return value


FAULTY = {
    "raises": (lambda _a: {}["mine"], r"fails on activations \(1, 8, .*KeyError: 'mine'"),
    "a channel too far": (
        lambda a: a[:, 99].mean(),
        "IndexError: index 99 .*gets .images, channels",
    ),
    "complex": (lambda a: a * 1j, r"a tensor torch.complex64 .*expected a tensor of real numbers"),
    "empty": (lambda a: a[:, :0], r"a tensor torch.float32 \(1, 0, .*expected a tensor of real"),
    "a whole number": (lambda a: a.argmax(), r"has no gradient: .*\(torch.int64\).*detach"),
    "detached": (lambda a: a.detach().mean(), r"has no gradient: .*\(torch.float32\)"),
    "a constant": (lambda _a: torch.tensor(1.0), "has no gradient"),
    "of something else": (lambda _a: torch.ones(2, requires_grad=True), "no gradient leads from"),
    "calls backward": (calls_backward, "no gradient leads from .* must not call backward itself"),
}


@pytest.mark.parametrize("kind", FAULTY)
def test_a_faulty_function_is_told_in_our_words(kind):
    function, words = FAULTY[kind]
    with pytest.raises(RenderError, match=words):
        render(model(), "2", 1, steps=2, size=32, progress=False, objective=function)


def test_what_is_finished_outlives_a_network_that_fails():
    fails = Fails()
    network = model(fails)
    fails.left = 6  # four steps of the first image, its measurement, one step of the second
    with pytest.raises(ModelError, match=r"Sequential fails on images .*KeyError: 'mine'") as told:
        render(network, "2", [1, 5], steps=4, size=32, batch_size=1, progress=False)
    assert told.value.result.neurons == (1,)
    assert told.value.result.steps == 4


def test_a_scan_goes_on_where_a_network_failed():
    fails = Fails()
    photos = [torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(i)) for i in range(12)]
    whole = scan(model(), "2", photos, batch_size=4, progress=False)
    network = model(fails)
    kept = MemoryCheckpoint()
    fails.left = 2  # the first batch, and the second; or a probe and the first
    with pytest.raises(ModelError, match="KeyError: 'mine'"):
        scan(network, "2", photos, batch_size=4, checkpoint=kept, progress=False)
    facts, _ = kept.load()
    assert 0 < facts["done"] < 12
    fails.left = math.ceil((12 - facts["done"]) / 4)  # what is left, and no more
    found = scan(network, "2", photos, batch_size=4, checkpoint=kept, progress=False)
    for name, array in whole.tables.arrays().items():
        assert np.array_equal(array, found.tables.arrays()[name])
