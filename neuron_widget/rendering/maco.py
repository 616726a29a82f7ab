"""MACO: pictures with the magnitudes of photos, whose phases alone are optimised.

After Fel et al., *Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained
Optimization*, NeurIPS 2023. No frequency can become stronger than it is in photos, so that no
noise grows, in deep layers neither. The network sees random crops with noise on them, which asks
for a motif at many places and sizes; of a class the whole, moved widely (see :mod:`.movements`).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from neuron_widget.rendering.natural import Spectrum, natural_spectrum
from neuron_widget.rendering.param import Parameterisation, generator_for
from neuron_widget.targets import Target

__all__ = ["MacoImage"]

# Radians of one unit of what Adam works on, whose steps are of about `lr`: so one default of that
# setting serves all parameterisations.
_PACE = 8.0


class MacoImage(Parameterisation):
    """Images that are parameterised by the phases of their spectra.

    Parameters
    ----------
    height, width, device, grey
        As those of :class:`.Parameterisation`.
    spectrum
        The magnitudes; default: those of the photos that come with the package.

    Notes
    -----
    Four frequencies have no phase, such as the mean colour: their amplitude is anything up to the
    photos', of either sign.
    """

    marks_alpha: ClassVar[bool] = True

    def __init__(
        self,
        height: int,
        width: int,
        device: torch.device | str = "cpu",
        *,
        grey: bool = False,
        spectrum: Spectrum | None = None,
    ):
        super().__init__(height, width, device, grey=grey)
        magnitude = torch.from_numpy((spectrum or natural_spectrum()).at(height, width))
        self._magnitude = magnitude.to(self.device)

    @staticmethod
    def shape_for(height: int, width: int) -> tuple[int, ...]:
        """Of half a spectrum."""
        return (3, height, width // 2 + 1)

    def start(self, seed: int, target: Target, part: int = 0) -> Tensor:
        """Any phases: clouds in the colours of photos."""
        generator = generator_for("start", seed, target, part)
        turns = torch.rand(self.shape, generator=generator, dtype=torch.float32, device="cpu")
        return ((2 * turns - 1) * (math.pi / _PACE)).to(self.device)

    def decode(self, arrays: Tensor) -> Tensor:
        """Phases -> images."""
        waves = self._waves(arrays)
        image = torch.fft.irfft2(waves, s=(self.height, self.width), norm="ortho")
        return self._valid(self._coloured(image))

    def _waves(self, arrays: Tensor) -> Tensor:
        """The spectra ``(N, 3, H, W // 2 + 1)``, complex, of real images."""
        waves = torch.view_as_complex(_Waves.apply(arrays * _PACE, self._magnitude))
        # Of frequencies that stand twice in half a spectrum one is the other's conjugate: an
        # inverse transform would take the mean of both, which is weaker than either.
        first, last = self._paired(waves[..., :1]), waves[..., -1:]
        if self.width % 2 == 0:
            last = self._paired(last)
        return torch.cat([first, waves[..., 1:-1], last], dim=-1)

    def _paired(self, column: Tensor) -> Tensor:
        """A column ``(N, 3, H, 1)`` whose lower half is the conjugate of the upper one."""
        upper = column[..., 1 : (self.height + 1) // 2, :]
        alone = torch.complex(column.real, torch.zeros_like(column.real))
        middle = [alone[..., self.height // 2 :, :][..., :1, :]] if self.height % 2 == 0 else []
        lower = upper.conj().flip(-2)
        return torch.cat([alone[..., :1, :], upper, *middle, lower], dim=-2)


class _Waves(torch.autograd.Function):
    """Waves of these phases and magnitudes: real and imaginary part, ``(..., 2)``.

    Sines and cosines are computed once, and serve the gradient, too.
    """

    @staticmethod
    def forward(ctx: Any, phase: Tensor, magnitude: Tensor) -> Tensor:
        if phase.device.type == "cpu":  # one call an image: see Parameterisation._valid
            cos, sin = torch.empty_like(phase), torch.empty_like(phase)
            for i, one in enumerate(phase):
                torch.cos(one, out=cos[i])
                torch.sin(one, out=sin[i])
        else:
            cos, sin = phase.cos(), phase.sin()
        ctx.save_for_backward(cos, sin, magnitude)
        waves = phase.new_empty((*phase.shape, 2))
        torch.mul(cos, magnitude, out=waves[..., 0])
        torch.mul(sin, magnitude, out=waves[..., 1])
        return waves

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        cos, sin, magnitude = ctx.saved_tensors
        real, imaginary = grads[0].unbind(-1)
        return (imaginary * magnitude).mul_(cos).sub_((real * magnitude).mul_(sin)), None
