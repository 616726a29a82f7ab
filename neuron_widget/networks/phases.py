"""The image's gradient of a network's first convolution, as a convolution without steps.

Transposing one with steps and three channels leaves a processor little to do at once. The pixels
of one phase (every second row and column, say) come from the same few weights: all phases are the
channels of one convolution at the coarser size, three times faster.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from neuron_widget.networks.convolutions import Kernel

__all__ = ["PhasedGradient"]


class PhasedGradient:
    """Of the input, from the result's: ``(N, O, h, w)`` -> ``(N, C, H, W)``.

    Parameters
    ----------
    weight
        ``(O, C, k, k)``, in the precision to compute in.
    stride, padding
        Of the convolution, in both directions.

    Raises
    ------
    ValueError
        Where pixels at the end would be left out: such a convolution needs another way.
    """

    def __init__(self, weight: Tensor, stride: int, padding: int):
        self._stride = stride
        kernel = weight.shape[-1]
        # Pixel stride * a + phase - shift meets the outputs a - j through the weight at
        # phase - shift + padding + stride * j. Some shift lets the last pixels be reached.
        for self._shift in range(stride):
            before = padding - self._shift
            most, least = (kernel - 1 - before) // stride, -((stride - 1 + before) // stride)
            taps = most - least + 1
            reached = stride * (2 * most - taps + 1) - self._shift
            if most >= 0 and reached >= kernel - 2 * padding - 1:
                break
        else:
            raise ValueError(f"no phases of kernel {kernel}, stride {stride}, padding {padding}")
        phase, tap = torch.arange(stride).view(-1, 1), torch.arange(taps)
        at = phase + before + stride * (most - tap)
        # Outside of the kernel: a weight of zero behind its end.
        at = torch.where((at >= 0) & (at < kernel), at, kernel)
        phases = F.pad(weight.detach(), (0, 1, 0, 1))[:, :, at][..., at]
        weight = phases.permute(1, 2, 4, 0, 3, 5).flatten(0, 2)
        self._kernel = Kernel(weight, padding=(most, most))

    def __call__(self, grad: Tensor, height: int, width: int, dtype: torch.dtype) -> Tensor:
        """Of an input of this size, in ``dtype``."""
        stride, shift = self._stride, self._shift
        found = self._kernel(grad).permute(0, 2, 3, 1)
        h, w = (-(-(size + shift) // stride) for size in (height, width))
        channels = found.shape[3] // stride**2
        phases = found[:, :h, :w].view(len(grad), h, w, channels, stride, stride)
        # One cast and shuffle in one pass: pixel_shuffle reads channels_last slowly.
        whole = torch.empty(
            (len(grad), channels, h, stride, w, stride), dtype=dtype, device=grad.device
        )
        whole.copy_(phases.permute(0, 3, 1, 4, 2, 5))
        pixels = whole.flatten(2, 3).flatten(3)
        return pixels[:, :, shift : shift + height, shift : shift + width]
