"""InceptionV1 up to a block, with its input's gradient written out by hand.

What a rendering's step and a scan need of the network is one activation and, for a rendering, the
gradient of the image: no weight's gradient, no hook in between. Knowing that saves most of what is
not a convolution, with the same numbers:

* The weights are cast once, not at every step, and laid out once as oneDNN reads them.
* Of the last block only the branch that ends in an image's neuron is computed, and of its last
  convolution only that channel: nothing else is maximised.
* The three 1x1 convolutions that read a block's input are one convolution.
* ReLU and concatenation are one pass: a branch is written rectified into its place in the result.
* The stem pools before it rectifies: a quarter of the work, and the maximum is the same.
* The stem's gradient is a convolution with stride 1 at a quarter of the pixels (:mod:`.phases`).
* bfloat16 numbers are rectified, masked and pooled as the 16 bit integers that they also are: what
  is positive has the same order, what is negative becomes zero. The processor has instructions for
  these, and none for bfloat16.
* A scan's images go through the network a few at a time: what one layer writes is in the
  processor's cache still when the next reads it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from neuron_widget.networks.convolutions import Kernel
from neuron_widget.networks.inception.network import (
    Inception,
    InceptionV1,
    LocalResponseNorm,
    MaxPool,
)
from neuron_widget.networks.inception.parts import (
    Conv,
    MaxPool3,
    empty_like,
    masked,
    rectifies_for_nothing,
    rectify,
)
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.phases import PhasedGradient

__all__ = ["FUSED_CHUNK", "FusedInception", "FusedReader", "fused_reader"]

FUSED_CHUNK = 4
"""Images to take through side by side without gradients: what they need fits into the cache."""

# Takes the gradient of a stage's output and whether ReLU's is redirected; gives the input's.
Gradient = Callable[[Tensor, bool], Tensor]


def fused_reader(
    model: VisionModel, layer: str, dtype: torch.dtype, chunk: int = 0
) -> FusedReader | None:
    """From images ``(N, 3, H, W)`` in 0..1 to the layer's activation, in ``dtype``.

    With ``redirect=True`` its gradients are those of
    :class:`neuron_widget.networks.layers.RedirectedReLU`.

    ``None`` where only the module itself will do (see :meth:`VisionModel.reading`): for another
    network, one with parts replaced, a layer that is no block, where somebody's hooks are on the
    module, for weights that are not finite (what they give must not be rectified away), and on
    devices where this was not measured. On a GPU ``chunk`` means nothing.
    """
    module = model.module
    if not isinstance(module, InceptionV1) or not can_fuse(model, (layer,)):
        return None
    chunk = chunk if model.device.type == "cpu" else 0
    return FusedReader(model, FusedInception(module, layer, dtype, chunk))


def can_fuse(model: VisionModel, layers: Sequence[str]) -> bool:
    """Whether each of the layers has such a reader."""
    module = model.module
    if type(module) is not InceptionV1 or model.device.type not in ("cpu", "cuda"):
        return False
    if not all(isinstance(getattr(module, layer, None), Inception) for layer in layers):
        return False
    if _shape(module) != _as_published() or any("forward" in vars(m) for m in module.modules()):
        return False
    if any(m._forward_hooks or m._forward_pre_hooks for m in module.modules()):
        return False
    # A sum is finite only where all are. A GPU is waited for once, not once a weight.
    sums = [weight.detach().sum(dtype=torch.float32) for weight in module.parameters()]
    return bool(torch.stack(sums).isfinite().all())


class FusedReader:
    """What :func:`fused_reader` gives; see :class:`.fast.Reader`."""

    # Of eight: 3 at once 38 ms an image, 4 at once 36, 8 at once 41 (AVX2; two cores).
    at_once = 4

    def __init__(self, model: VisionModel, network: FusedInception):
        self._model, self._network = model, network

    def serves(self, _images: int, _size: int) -> bool:
        """Always."""
        return True

    def __call__(
        self, images: Tensor, redirect: bool = False, neurons: Sequence[int] | None = None
    ) -> Tensor:
        """Images ``(N, 3, H, W)`` in 0..1 -> the activation."""
        return self._network(self._model.preprocess(images), redirect, neurons)


def _shape(module: nn.Module) -> tuple[str, list[type]]:
    return repr(module), [type(m) for m in module.modules()]


@functools.cache
def _as_published() -> tuple[str, list[type]]:
    with torch.device("meta"):
        return _shape(InceptionV1())


class FusedInception:
    """Images as the network takes them ``(N, 3, H, W)`` -> the block's activation, in ``dtype``.

    The gradient of the images follows; there is none of the weights. The weights are copies of
    what they were when this was made.

    Parameters
    ----------
    module, layer, dtype
        The network, the name of one of its blocks, and the precision.
    chunk
        Images that go through side by side; 0: all. A few at a time stay in the processor's cache;
        with gradients, which come after all images, that is worth less than it costs.
    """

    def __init__(self, module: InceptionV1, layer: str, dtype: torch.dtype, chunk: int = 0):
        self.dtype = dtype
        self.chunk = chunk
        with torch.no_grad(), torch.inference_mode(False):
            self._stages = [stage for _, stage in stages_up_to(module, layer, dtype)]
            self._neurons = _Neurons(getattr(module, layer), dtype)

    def __call__(
        self, images: Tensor, redirect: bool = False, neurons: Sequence[int] | None = None
    ) -> Tensor:
        """One forward pass; the result is recorded if gradients are. See :class:`.fast.Reader`."""
        activation: Tensor = _Network.apply(images, self, redirect, neurons)
        return activation

    def forward(
        self, images: Tensor, gradients: list[Gradient] | None, neurons: Sequence[int] | None
    ) -> Tensor:
        """One chunk through all stages; each leaves its gradient if a list is given."""
        if neurons is None:
            return _through(self._stages, images, gradients)
        before = _through(self._stages[:-1], images, gradients)
        return self._neurons(before, gradients, neurons)


class _Network(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        network: FusedInception,
        redirect: bool,
        neurons: Sequence[int] | None,
    ) -> Tensor:
        found, ctx.chunks, ctx.redirect = [], [], redirect
        size = network.chunk or len(images)
        for i, part in enumerate(torch.split(images, size)):
            gradients: list[Gradient] | None = [] if ctx.needs_input_grad[0] else None
            own = neurons[i * size : (i + 1) * size] if neurons is not None else None
            with torch.autocast(images.device.type, enabled=False):
                found.append(network.forward(part, gradients, own))
            ctx.chunks.append((len(part), gradients))
        return found[0] if len(found) == 1 else torch.cat(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        found = []
        parts = torch.split(grads[0], [n for n, _ in ctx.chunks])
        for part, (_, gradients) in zip(parts, ctx.chunks, strict=True):
            found.append(_back(gradients, part, ctx.redirect))
        return (found[0] if len(found) == 1 else torch.cat(found)), None, None, None


# ------------------------------------------------------------------ stages

Stage = Callable[[Tensor, list[Gradient] | None], Tensor]


def _through(stages: Sequence[Stage], x: Tensor, gradients: list[Gradient] | None) -> Tensor:
    for stage in stages:
        x = stage(x, gradients)
    return x


def _back(gradients: list[Gradient], grad: Tensor, redirect: bool) -> Tensor:
    """Last stage first; each one's memory is free as soon as it is done."""
    while gradients:
        grad = gradients.pop()(grad, redirect)
    return grad


def stages_up_to(
    module: InceptionV1, layer: str, dtype: torch.dtype
) -> Iterator[tuple[str, Stage]]:
    """The stages up to a layer, each with the name of the part it ends with."""
    yield "maxpool0", _Stem(module, dtype)
    for name, child in module.named_children():
        if name in ("conv2d0", "maxpool0"):
            continue
        if isinstance(child, LocalResponseNorm):
            yield name, _Norm(child, dtype)
        elif isinstance(child, MaxPool):
            yield name, _Pool(2)
        elif isinstance(child, nn.Conv2d):
            yield name, _Rectified(child, dtype)
        elif isinstance(child, Inception):
            yield name, _Block(child, dtype)
        if name == layer:
            return


class _Stem:
    """conv2d0, maxpool0 and ReLU: rectified after pooling."""

    def __init__(self, module: InceptionV1, dtype: torch.dtype):
        conv = module.conv2d0
        self._dtype = dtype
        bias = conv.bias.to(dtype) if conv.bias is not None else None
        weight = conv.weight.to(dtype)
        self._rectified = rectifies_for_nothing(weight, bias)
        top = math.inf if self._rectified else None
        self._conv = Kernel(weight, bias, stride=(2, 2), top=top)
        self._pool = MaxPool3(2)
        self._back = PhasedGradient(weight, stride=2, padding=2)

    def __call__(self, images: Tensor, gradients: list[Gradient] | None) -> Tensor:
        n, channels, height, width = images.shape
        padded = torch.zeros((n, height + 5, width + 5, channels), dtype=self._dtype,
                             device=images.device).permute(0, 3, 1, 2)  # fmt: skip
        padded[:, :, 2:-3, 2:-3] = images
        x = self._conv(padded)
        y, places = self._pool(x, gradients is not None)
        if not self._rectified:
            rectify(y)
        if gradients is not None:

            def gradient(grad: Tensor, redirect: bool) -> Tensor:
                grad = self._pool.gradient(masked(grad, y, redirect), x, places)
                return self._back(grad, height, width, images.dtype)

            gradients.append(gradient)
        return y


class _Rectified:
    """A convolution and ReLU; all channels or one."""

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype, channel: int | None = None):
        self._conv = Conv([conv], dtype, channel)

    def __call__(self, x: Tensor, gradients: list[Gradient] | None) -> Tensor:
        y = self._conv(x)
        if not self._conv.rectifies:
            rectify(y)
        if gradients is not None:
            gradients.append(
                lambda grad, redirect: self._conv.gradient(masked(grad, y, redirect, grad))
            )
        return y


class _Norm:
    """Local response normalisation, see :class:`.inception.LocalResponseNorm`."""

    def __init__(self, norm: LocalResponseNorm, dtype: torch.dtype):
        band, bias = norm.band.to(dtype), norm.bias.to(dtype)
        # Sums of squares: to rectify them changes nothing.
        top = math.inf if rectifies_for_nothing(band, bias) else None
        self._sums = Kernel(band, bias, top=top)
        self._spread = Kernel(band)

    def __call__(self, x: Tensor, gradients: list[Gradient] | None) -> Tensor:
        r = self._sums(x.square()).rsqrt_()
        y = x * r
        if gradients is not None:

            def gradient(grad: Tensor, _redirect: bool) -> Tensor:
                scaled = grad.mul_(r)
                spread = self._spread((scaled * y).mul_(r))
                return scaled.addcmul_(x, spread, value=-1)

            gradients.append(gradient)
        return y


class _Pool:
    """3x3 pooling."""

    def __init__(self, stride: int) -> None:
        self._pool = MaxPool3(stride)

    def __call__(self, x: Tensor, gradients: list[Gradient] | None) -> Tensor:
        y, places = self._pool(x, gradients is not None)
        if gradients is not None:
            gradients.append(lambda grad, _redirect: self._pool.gradient(grad, x, places))
        return y


class _Block:
    """Four branches; each is written rectified into its place in the result."""

    def __init__(self, block: Inception, dtype: torch.dtype):
        names = ("1x1", "3x3_bottleneck", "5x5_bottleneck", "3x3", "5x5", "pool_reduce")
        c1, c3b, c5b, c3, c5, cp = (_convolution(block, name) for name in names)
        self._first = Conv([c1, c3b, c5b], dtype)
        self._3x3, self._5x5, self._reduce = (Conv([c], dtype) for c in (c3, c5, cp))
        self._pool = MaxPool3(1)
        # Channels of the first convolution's parts, and of the result's.
        self._inner = [c.out_channels for c in (c1, c3b, c5b)]
        self._outer = [c.out_channels for c in (c1, c3, c5, cp)]

    def __call__(self, x: Tensor, gradients: list[Gradient] | None) -> Tensor:
        first = self._first(x)
        one, *bottlenecks = torch.split(first, self._inner, dim=1)
        three, five = (rectify(b, empty_like(x, b.shape[1])) for b in bottlenecks)
        pooled, places = self._pool(x, gradients is not None)
        y = empty_like(x, sum(self._outer))
        branches = (one, self._3x3(three), self._5x5(five), self._reduce(pooled))
        for part, branch in zip(torch.split(y, self._outer, dim=1), branches, strict=True):
            rectify(branch, part)
        if gradients is None:
            return y

        def gradient(grad: Tensor, redirect: bool) -> Tensor:
            inner = empty_like(x, sum(self._inner))
            one_, three_, five_ = torch.split(inner, self._inner, dim=1)
            g1, g3, g5, gp = torch.split(grad, self._outer, dim=1)
            y1, y3, y5, yp = torch.split(y, self._outer, dim=1)
            masked(g1, y1, redirect, one_)
            d3 = self._3x3.gradient(masked(g3, y3, redirect))
            masked(d3, three, redirect, three_)
            d5 = self._5x5.gradient(masked(g5, y5, redirect))
            masked(d5, five, redirect, five_)
            direct = self._first.gradient(inner)
            through = self._reduce.gradient(masked(gp, yp, redirect))
            return direct.add_(self._pool.gradient(through, x, places))

        gradients.append(gradient)
        return y


class _Neurons:
    """Of a block one neuron for each image, by the branch that ends in it.

    Image by image: the last bits of an image must not depend on the branches others need.
    """

    def __init__(self, block: Inception, dtype: torch.dtype):
        self._dtype = dtype
        first: list[list[Stage]] = [
            [],
            [_Rectified(_convolution(block, "3x3_bottleneck"), dtype)],
            [_Rectified(_convolution(block, "5x5_bottleneck"), dtype)],
            [_Pool(1)],
        ]
        last = [_convolution(block, name) for name in ("1x1", "3x3", "5x5", "pool_reduce")]
        self._branches = list(zip(first, last, strict=True))
        # More than are side by side, fewer than a layer has.
        self._path = functools.lru_cache(maxsize=128)(self._find_path)

    def _find_path(self, neuron: int) -> list[Stage]:
        channel = neuron
        for first, last in self._branches:
            if channel < last.out_channels:
                return [*first, _Rectified(last, self._dtype, channel)]
            channel -= last.out_channels
        raise IndexError(neuron)

    def __call__(
        self, x: Tensor, gradients: list[Gradient] | None, neurons: Sequence[int]
    ) -> Tensor:
        found: list[Tensor] = []
        each: list[list[Gradient]] = []
        for image, neuron in zip(torch.split(x, 1), neurons, strict=True):
            each.append([])
            path = self._path(neuron)
            found.append(_through(path, image, each[-1] if gradients is not None else None))
        if gradients is not None:

            def gradient(grad: Tensor, redirect: bool) -> Tensor:
                # A copy: the path writes into it, and it may be one number seen everywhere.
                parts = zip(torch.split(grad.clone(), 1), each, strict=True)
                return torch.cat([_back(own, g, redirect) for g, own in parts])

            gradients.append(gradient)
        return torch.cat(found)


def _convolution(block: Inception, name: str) -> nn.Conv2d:
    conv = block.get_submodule(name)
    assert isinstance(conv, nn.Conv2d)
    return conv
