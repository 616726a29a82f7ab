"""What an image is made of: a Fourier spectrum and decorrelated colour.

After lucid's and torch-lucent's ``param.image(size, fft=True, decorrelate=True)`` (Olah,
Mordvintsev, Schubert, *Feature Visualization*, Distill 2017): gradient steps on the spectrum,
scaled so that all frequencies move at one pace, and in a colour space whose axes are uncorrelated
in natural images, lead to pictures without the high-frequency noise that steps on pixels give.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from neuron_widget.settings import RenderOptions
from neuron_widget.targets import Target

__all__ = ["FourierImage", "generator_for"]

START_SD = 0.01
"""Standard deviation of the starting spectrum."""

# Square root of the colour covariance of ImageNet, as lucid ships it; rows are R, G, B.
_COLOUR_SVD_SQRT = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


def generator_for(purpose: str, seed: int, target: Target, part: int = 0) -> torch.Generator:
    """The random numbers of one image: a CPU generator of its own.

    Two targets never share a generator, so what a target gets does not depend on what else is
    rendered beside it, in which order, or on which device. The same arguments give the same
    numbers in every process (the hash is SHA-256, not Python's salted one).
    """
    key = f"neuron-widget|{purpose}|{seed}|{target.random_stream}|{part}".encode()
    # 63 bits: what torch.Generator.manual_seed takes without a sign.
    number = int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> 1
    return torch.Generator(device="cpu").manual_seed(number)


class FourierImage:
    """Images of one size, parameterised by their spectra.

    Parameters
    ----------
    height, width
        Size of the images in pixels; odd sizes work.
    device
        Where spectra and images live.
    grey
        Whether the images have no colours: for networks that cannot see them.

    Attributes
    ----------
    shape
        Shape of one spectrum: ``(3, height, width // 2 + 1, 2)``, the last axis real and
        imaginary part.
    """

    def __init__(
        self, height: int, width: int, device: torch.device | str = "cpu", *, grey: bool = False
    ):
        self.height, self.width, self.grey = height, width, grey
        self.device = torch.device(device)
        self.shape = (3, height, width // 2 + 1, 2)
        fy = torch.fft.fftfreq(height, dtype=torch.float64, device="cpu")[:, None]
        fx = torch.fft.rfftfreq(width, dtype=torch.float64, device="cpu")[None, :]
        frequency = torch.sqrt(fx * fx + fy * fy).clamp(min=1.0 / max(height, width))
        # Lucid divides the image by 4 ("reduces saturation"): folded into the scale.
        # Twice, for real and imaginary part: a broadcast along the last axis is not vectorised.
        scale = (0.25 / frequency).float()[..., None].expand(-1, -1, 2).contiguous()
        self._scale = scale.to(self.device)
        colour = torch.tensor(_COLOUR_SVD_SQRT, dtype=torch.float64, device="cpu")
        colour = colour / colour.norm(dim=0).max()
        self._colour = colour.float().to(self.device)

    @classmethod
    def of(
        cls, options: RenderOptions, device: torch.device | str = "cpu", *, grey: bool = False
    ) -> FourierImage:
        """The parameterisation that the settings of a rendering ask for."""
        size = options["size"]
        assert size is not None
        return cls(size, size, device, grey=grey)

    def start(self, seed: int, target: Target, part: int = 0) -> Tensor:
        """The starting spectrum of one image, :attr:`shape`, noise of its own generator.

        ``part``: which of several images of one target.
        """
        generator = generator_for("start", seed, target, part)
        noise = torch.randn(self.shape, generator=generator, dtype=torch.float32, device="cpu")
        return (noise * START_SD).to(self.device)

    def decode(self, spectrum: Tensor) -> Tensor:
        """Spectra ``(N, *shape)`` -> images ``(N, 3, H, W)`` in 0..1, float32, differentiable."""
        waves = torch.view_as_complex(spectrum * self._scale)
        image = torch.fft.irfft2(waves, s=(self.height, self.width), norm="ortho")
        with torch.autocast(self.device.type, enabled=False):  # the caller's is not ours
            mixed = torch.matmul(self._colour, image.flatten(2)).view_as(image)
            if self.grey:
                mixed = mixed.mean(dim=1, keepdim=True).expand_as(mixed)
        if self.device.type == "cpu" and len(mixed) > 1:
            # One call an image: the CPU's vector and scalar code differ in the last bit, and where
            # one gives way to the other depends on the size of the whole batch. In a batch of
            # another size the bit would grow into another picture within 50 steps.
            return torch.stack([torch.sigmoid(one) for one in mixed.unbind()])
        return torch.sigmoid(mixed)
