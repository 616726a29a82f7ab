"""InceptionV1 (GoogLeNet) as the feature-visualisation literature knows it.

The network of *Going Deeper with Convolutions* (Szegedy et al., CVPR 2015) in the form of
TensorFlow's ``inception5h`` graph, which lucid, OpenAI Microscope and the Distill circuits thread
use. It loads the state dict of torch-lucent, and differs from torch-lucent's module in what was
wrong or slow there:

* Local response normalisation has the constants of the graph (depth radius 5, bias 2,
  alpha 1e-4, beta 0.5); torch-lucent 0.1.8 has radius 4 and bias 1, which costs 2 points of top-1.
* It is made of blocks, so that a layer is a module: ``mixed4a`` (508 channels) and its branches
  ``mixed4a.1x1``, ``mixed4a.3x3_bottleneck``, ...
* ReLU is plain; :class:`.layers.RedirectedReLU` redirects gradients where wanted.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neuron_widget.names import INCEPTION_BLOCKS

__all__ = ["INPUT_SIZE", "InceptionV1", "lucent_name", "preprocess"]

INPUT_SIZE = 224


class ConvReLU(nn.Conv2d):
    """A convolution and its ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` -> ``(N, C', H', W')``, never negative."""
        return F.relu(super().forward(x))


class SameConvReLU(nn.Conv2d):
    """The 7x7 stride 2 stem: TensorFlow's SAME padding is (2 before, 3 after)."""

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` -> ``(N, C', ceil(H/2), ceil(W/2))``, never negative."""
        return F.relu(super().forward(F.pad(x, (2, 3, 2, 3))))


class _BandedNorm(torch.autograd.Function):
    """``y = x * r``, ``r = 1 / sqrt(bias + band * x^2)``, and its gradient in one pass each.

    With ``d r / d x_j = -x_j r_i^3 band_ij``: ``d x = g r - x * band(g y r^2)`` (the band is
    symmetric). Written out because the recorded one keeps, and reads, twice as many tensors.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, band: Tensor, bias: Tensor) -> Tensor:
        r = F.conv2d(x * x, band, bias).rsqrt_()
        y = x * r
        ctx.save_for_backward(x, r, y, band)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        x, r, y, band = ctx.saved_tensors
        (grad,) = grads
        grad = grad.to(r.dtype)
        spread = F.conv2d(grad * y * r * r, band)
        return (grad * r).addcmul_(x, spread, value=-1), None, None


class LocalResponseNorm(nn.Module):
    """``x / sqrt(bias + alpha * sum of x^2 over the 2 * radius + 1 neighbouring channels)``.

    The sum over channels is a 1x1 convolution with a banded matrix: several times faster than
    the average pooling of ``torch.nn.LocalResponseNorm`` (with ``size=11, alpha=11e-4, k=2``),
    and equal to it to float32 rounding.
    """

    band: Tensor
    bias: Tensor

    def __init__(self, channels: int, radius: int = 5, bias: float = 2.0, alpha: float = 1e-4):
        super().__init__()
        i = torch.arange(channels)
        band = ((i[:, None] - i[None, :]).abs() <= radius).float() * alpha
        self.register_buffer("band", band[:, :, None, None], persistent=False)
        self.register_buffer("bias", torch.full((channels,), bias), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` -> the same shape."""
        y: Tensor = _BandedNorm.apply(x, self.band.to(x.dtype), self.bias.to(x.dtype))
        return y


class Inception(nn.Module):
    """Four branches side by side: 1x1, 3x3, 5x5 and pooling."""

    def __init__(self, channels: int, c1: int, b3: int, c3: int, b5: int, c5: int, pool: int):
        super().__init__()
        self.add_module("1x1", ConvReLU(channels, c1, 1))
        self.add_module("3x3_bottleneck", ConvReLU(channels, b3, 1))
        self.add_module("3x3", ConvReLU(b3, c3, 3, padding=1))
        self.add_module("5x5_bottleneck", ConvReLU(channels, b5, 1))
        self.add_module("5x5", ConvReLU(b5, c5, 5, padding=2))
        self.add_module("pool_reduce", ConvReLU(channels, pool, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` -> ``(N, c1 + c3 + c5 + pool, H, W)``."""
        branch = self._modules
        pooled = F.max_pool2d(x, 3, stride=1, padding=1)
        return torch.cat(
            [
                branch["1x1"](x),  # type: ignore[misc]  # set in __init__, never None
                branch["3x3"](branch["3x3_bottleneck"](x)),  # type: ignore[misc]
                branch["5x5"](branch["5x5_bottleneck"](x)),  # type: ignore[misc]
                branch["pool_reduce"](pooled),  # type: ignore[misc]
            ],
            dim=1,
        )


class MaxPool(nn.MaxPool2d):
    """3x3 stride 2 pooling; ``ceil_mode`` is TensorFlow's SAME padding for these sizes."""

    def __init__(self) -> None:
        super().__init__(3, stride=2, ceil_mode=True)


class InceptionV1(nn.Module):
    """InceptionV1 with 1008 outputs.

    Input ``(N, 3, H, W)``, see :func:`preprocess`; output logits ``(N, 1008)``. Any size works up
    to ``mixed5b``; the classifier averages over all positions (7x7 at 224 px).
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv2d0 = SameConvReLU(3, 64, 7, stride=2)
        self.maxpool0 = MaxPool()
        self.localresponsenorm0 = LocalResponseNorm(64)
        self.conv2d1 = ConvReLU(64, 64, 1)
        self.conv2d2 = ConvReLU(64, 192, 3, padding=1)
        self.localresponsenorm1 = LocalResponseNorm(192)
        self.maxpool1 = MaxPool()
        self.mixed3a = Inception(*INCEPTION_BLOCKS["mixed3a"])
        self.mixed3b = Inception(*INCEPTION_BLOCKS["mixed3b"])
        self.maxpool4 = MaxPool()
        self.mixed4a = Inception(*INCEPTION_BLOCKS["mixed4a"])
        self.mixed4b = Inception(*INCEPTION_BLOCKS["mixed4b"])
        self.mixed4c = Inception(*INCEPTION_BLOCKS["mixed4c"])
        self.mixed4d = Inception(*INCEPTION_BLOCKS["mixed4d"])
        self.mixed4e = Inception(*INCEPTION_BLOCKS["mixed4e"])
        self.maxpool10 = MaxPool()
        self.mixed5a = Inception(*INCEPTION_BLOCKS["mixed5a"])
        self.mixed5b = Inception(*INCEPTION_BLOCKS["mixed5b"])
        self.softmax2_pre_activation_matmul = nn.Linear(1024, 1008)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a preprocessed batch."""
        for name, layer in self.named_children():
            if name != "softmax2_pre_activation_matmul":
                x = layer(x)
        logits: Tensor = self.softmax2_pre_activation_matmul(x.mean(dim=(2, 3)))
        return logits


def preprocess(images: Tensor) -> Tensor:
    """RGB ``(N, 3, H, W)`` in 0..1 -> what the network takes, -117..138."""
    return images * 255 - 117


def lucent_name(name: str) -> str:
    """A tensor's name in torch-lucent's state dict: ``mixed4a_1x1_pre_relu_conv.weight``."""
    layer, _, parameter = name.rpartition(".")
    suffix = "" if layer.startswith("softmax2") else "_pre_relu_conv"
    return f"{layer.replace('.', '_')}{suffix}.{parameter}"
