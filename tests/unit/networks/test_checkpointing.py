"""Networks that compute their activations again in the backward pass."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from neuron_widget import load_model, render
from neuron_widget.errors import ModelError

HALF = ((0.5,) * 3, (0.5,) * 3)


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 8, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv2(self.relu(self.conv1(x))))


class Checkpointed(nn.Module):
    """Two blocks; ``reentrant`` says how they are checkpointed, None that they are not."""

    def __init__(self, reentrant: bool | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList([Block(3), Block(8)])
        with torch.no_grad():
            self.blocks[0].conv2.bias.fill_(-3)  # a dead start, which redirected ReLU leaves
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            if self.reentrant is None:
                x = block(x)
            else:
                x = checkpoint(block, x, use_reentrant=self.reentrant)
        return x


def picture(module: nn.Module, layer: str, redirect: bool, neurons: list[int]) -> np.ndarray:
    model = load_model(module, preprocess=HALF, input_size=32)
    result = render(
        model, layer, neurons, steps=6, size=32, redirect_relu=redirect, precision="float32",
        progress=False,
    )  # fmt: skip
    return result.images


@pytest.mark.parametrize("neurons", [[3], [3, 5]])
@pytest.mark.parametrize("redirect", [False, True])
@pytest.mark.parametrize("layer", ["blocks.0", "blocks.1", "blocks.1.conv1", "blocks.1.conv2"])
def test_checkpoints_do_not_change_the_picture(
    layer: str, redirect: bool, neurons: list[int]
) -> None:
    plain = picture(Checkpointed(None), layer, redirect, neurons)
    assert np.array_equal(picture(Checkpointed(False), layer, redirect, neurons), plain)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")  # in scans
@pytest.mark.parametrize("layer", ["blocks.0", "blocks.1", "blocks.1.conv1"])
def test_the_older_kind_gives_no_gradients_and_says_so(layer: str) -> None:
    with pytest.raises(ModelError, match=r"no gradient.*use_reentrant"):
        picture(Checkpointed(True), layer, False, [3])


@pytest.mark.parametrize("redirect", [False, True])
def test_timms_switch(redirect: bool) -> None:
    torch.manual_seed(0)
    module = timm.create_model("resnet10t", pretrained=False)
    plain = picture(module, "layer2.0.conv1", redirect, [3])
    module.set_grad_checkpointing(True)
    assert np.array_equal(picture(module, "layer2.0.conv1", redirect, [3]), plain)
    assert module.grad_checkpointing is True
