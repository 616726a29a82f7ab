"""Small random movements of the image before every step: one affine warp per image.

The seed's chain (torch-lucent's ``pad(12, "reflect")``, ``jitter(8)``, ``random_scale`` 0.9..1.1,
``random_rotate`` -5..5 degrees, ``jitter(2)``) is five resampling passes, one draw for the whole
batch, and an output of another size each time. Here it is one bilinear resampling with a matrix
for each image, and the output has the size of the input, so that shapes never change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from neuron_widget.networks.gpu_kernels import have_kernels, sampled_gradient
from neuron_widget.rendering.movements import Movements
from neuron_widget.rendering.param import generator_for
from neuron_widget.targets import Target

__all__ = ["Augmentation", "AugmentationStream", "warp"]

# Draws are made in blocks of this many steps, each from its own generator, so that step 700 can
# be drawn without drawing the 699 before it (resuming needs no generator state).
_BLOCK = 64


@dataclass(frozen=True)
class Augmentation(Movements):
    """Random movements within ranges.

    Notes
    -----
    What lies outside the image is its reflection (``pad(12, "reflect")`` in the seed: a shift of
    half the jitter, a scale of 0.9 and 5 degrees reach at most some 20 pixels beyond at 224 px,
    and only in the corners).
    """

    @classmethod
    def of(cls, movements: Movements) -> Augmentation:
        """One with these ranges."""
        return cls(**vars(movements))

    def matrices(self, draws: Tensor, height: int, width: int) -> Tensor:
        """Uniform numbers ``(..., 6)`` in 0..1 -> matrices ``(..., 2, 3)`` for :func:`warp`.

        The matrix maps an output position to the input position it is sampled at, both in
        -1..1 between the centres of the outermost pixels.
        """
        u = draws.double()
        side = torch.tensor([width, height], dtype=u.dtype, device=u.device)
        before = (u[..., 0:2] - 0.5) * (max(self.jitter - 1, 0) + 2 * self.shift * side)
        low, high = self.crop or self.scale
        scale = low + (high - low) * u[..., 2]
        if self.crop is not None:
            before = before + (u[..., 0:2] - 0.5) * ((1 - scale)[..., None] * side)
            scale = 1 / scale
        angle = torch.deg2rad((2 * u[..., 3] - 1) * self.rotate)
        after = (u[..., 4:6] - 0.5) * max(self.jitter_after - 1, 0)
        cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
        # Pixels around the centre: input = rotation / scale @ (output - after) - before.
        dx = -(cos * after[..., 0] + sin * after[..., 1]) - before[..., 0]
        dy = -(cos * after[..., 1] - sin * after[..., 0]) - before[..., 1]
        half_w, half_h = max(width - 1, 1) / 2, max(height - 1, 1) / 2
        rows = [
            torch.stack([cos, sin * (half_h / half_w), dx / half_w], dim=-1),
            torch.stack([-sin * (half_w / half_h), cos, dy / half_h], dim=-1),
        ]
        return torch.stack(rows, dim=-2).float()


class AugmentationStream:
    """The matrices of a batch, step by step, each image from its own random numbers.

    Parameters
    ----------
    augmentation, seed, targets
        What to draw and for whom; one image a target.
    height, width, device
        Size of the images, and where the matrices go.
    """

    def __init__(
        self,
        augmentation: Augmentation,
        seed: int,
        targets: Sequence[Target],
        height: int,
        width: int,
        device: torch.device | str = "cpu",
    ):
        self.augmentation = augmentation
        self.seed, self.targets = seed, tuple(targets)
        self.height, self.width, self.device = height, width, torch.device(device)
        self._block = -1
        self._matrices = torch.empty(0)

    def matrices(self, step: int) -> Tensor:
        """``(N, 2, 3)`` float32 on the device for step 0, 1, 2, ...

        One small copy to the device every 64 steps; nothing is read back.
        """
        block, row = divmod(step, _BLOCK)
        if block != self._block:
            draws = torch.stack(
                [
                    torch.rand(
                        (_BLOCK, 6),
                        generator=generator_for("augment", self.seed, target, block),
                        dtype=torch.float32,
                        device="cpu",
                    )
                    for target in self.targets
                ],
                dim=1,
            )
            matrices = self.augmentation.matrices(draws, self.height, self.width)
            if self.device.type == "cuda":  # from pinned memory the host need not wait
                matrices = matrices.pin_memory()
            self._matrices = matrices.to(self.device, non_blocking=True)
            self._block = block
        return self._matrices[row]

    def noise(self, step: int) -> Tensor | None:
        """``(N, 3, H, W)`` float32 on the device, to be added at this step; None without noise."""
        most = self.augmentation.noise
        if not most:
            return None
        shape = (len(self.targets), 3, self.height, self.width)
        noise = torch.empty(shape, dtype=torch.float32, device="cpu")
        for one, target in zip(noise, self.targets, strict=True):
            one.uniform_(generator=generator_for("noise", self.seed, target, step))
        noise.sub_(0.5).mul_(2 * most)
        if self.device.type == "cuda":
            noise = noise.pin_memory()
        return noise.to(self.device, non_blocking=True)


def warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Resample images ``(N, C, H, W)`` by affine matrices ``(N, 2, 3)``; same shape out.

    Bilinear; positions outside are reflected about the centres of the border pixels, as
    ``torch.nn.functional.pad(mode="reflect")`` does.
    """
    if images.device.type == "cuda":
        warped: Tensor = _Warp.apply(images, _positions(matrices, *images.shape[2:]))
        return warped
    return _sample(images, F.affine_grid(matrices, list(images.shape), align_corners=True))


def _sample(images: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(
        images, grid, mode="bilinear", padding_mode="reflection", align_corners=True
    )


class _Warp(torch.autograd.Function):
    """Sampling on a GPU, with a gradient that is the same every time."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, positions: Tensor) -> Tensor:
        ctx.save_for_backward(images, positions)
        return _sample(images, positions.permute(0, 2, 3, 1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        images, positions = ctx.saved_tensors
        if have_kernels(images.device):
            return sampled_gradient(grads[0], positions), None
        found, _ = torch.ops.aten.grid_sampler_2d_backward(
            grads[0], images, positions.permute(0, 2, 3, 1), 0, 2, True, (True, False)
        )
        return found, None


def _positions(matrices: Tensor, height: int, width: int) -> Tensor:
    """``F.affine_grid`` as ``(N, 2, H, W)``; that multiplies matrices, three numbers a pixel."""
    x = torch.linspace(-1, 1, width, dtype=matrices.dtype, device=matrices.device)
    y = torch.linspace(-1, 1, height, dtype=matrices.dtype, device=matrices.device)
    by_row = matrices[:, :, 1, None] * y + matrices[:, :, 2, None]
    return torch.addcmul(by_row[..., None], matrices[:, :, 0, None, None], x)
