"""What an image is made of, in the usual way: a Fourier spectrum and decorrelated colour.

After lucid's and torch-lucent's ``param.image(size, fft=True, decorrelate=True)`` (Olah,
Mordvintsev, Schubert, *Feature Visualization*, Distill 2017): gradient steps on the spectrum,
scaled so that all frequencies move at one pace, and in a colour space whose axes are uncorrelated
in natural images, lead to pictures without the high-frequency noise that steps on pixels give.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from neuron_widget.rendering.colour import COLOUR
from neuron_widget.targets import Target

__all__ = ["FourierImage", "Parameterisation", "generator_for"]

# Pure black and white are infinitely far; from here a gradient leads back.
_EPSILON = 0.01

START_SD = 0.01
"""Standard deviation of the starting spectrum."""


def generator_for(purpose: str, seed: int, target: Target, part: int = 0) -> torch.Generator:
    """The random numbers of one image: a CPU generator of its own.

    Two targets never share a generator (only the images of one group may), so what a target gets
    does not depend on what else is rendered beside it, in which order, or on which device. The same
    arguments give the same numbers in every process (the hash is SHA-256, not Python's salted one).
    """
    key = f"neuron-widget|{purpose}|{seed}|{target.random_stream}|{part}".encode()
    # 63 bits: what torch.Generator.manual_seed takes without a sign.
    number = int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> 1
    return torch.Generator(device="cpu").manual_seed(number)


class Parameterisation(ABC):
    """Images of one size, each made of an array that gradient steps change.

    A new one is a subclass, an entry in :mod:`.parameterisations` and a choice in ``settings.py``.

    Parameters
    ----------
    height, width
        Size of the images in pixels; odd sizes work.
    device
        Where arrays and images live.
    grey
        Whether the images have no colours: for networks that cannot see them.

    Attributes
    ----------
    shape
        Shape of the array of one image.
    """

    marks_alpha: ClassVar[bool] = False
    """Whether it is noted where the gradient cared: see :attr:`.RenderResult.alpha`."""

    def __init__(
        self, height: int, width: int, device: torch.device | str = "cpu", *, grey: bool = False
    ):
        self.height, self.width, self.grey = height, width, grey
        self.device = torch.device(device)
        self.shape = self.shape_for(height, width)
        self._colour = torch.from_numpy(COLOUR).float().to(self.device)

    @staticmethod
    @abstractmethod
    def shape_for(height: int, width: int) -> tuple[int, ...]:
        """:attr:`shape` of an image of this size."""

    @abstractmethod
    def start(self, seed: int, target: Target, part: int = 0) -> Tensor:
        """The starting array of one image, :attr:`shape`, noise of its own generator.

        ``part``: which of several images of one target.
        """

    def encode(self, image: Tensor) -> Tensor:
        """The array of an image ``(3, H, W)`` in 0..1; of its decoded form where that is another.

        Raises
        ------
        NotImplementedError
            Where images of this kind cannot be any image.
        """
        raise NotImplementedError(f"a {type(self).__name__} cannot be any image")

    @abstractmethod
    def decode(self, arrays: Tensor) -> Tensor:
        """Arrays ``(N, *shape)`` -> images ``(N, 3, H, W)`` in 0..1, float32, differentiable.

        An image does not depend on how many others there are, not in its last bit: in a batch of
        another size that bit would grow into another picture within 50 steps.
        """

    def _noise(self, seed: int, target: Target, part: int) -> Tensor:
        """Normal noise of its own generator, on the CPU."""
        generator = generator_for("start", seed, target, part)
        return torch.randn(self.shape, generator=generator, dtype=torch.float32, device="cpu")

    def _coloured(self, image: Tensor) -> Tensor:
        """From decorrelated colours ``(N, 3, H, W)`` to what a sigmoid makes RGB."""
        alone = self.device.type == "cpu" and len(image) == 1
        # A single one as of two: alone it may get another algorithm, with other last bits of the
        # gradient (MKL's on a processor with AVX2).
        pixels = image.flatten(2).expand(2, -1, -1) if alone else image.flatten(2)
        with torch.autocast(self.device.type, enabled=False):  # the caller's is not ours
            mixed = torch.matmul(self._colour, pixels)[: len(image)].view_as(image)
            return self._grey(mixed)

    def _logits(self, image: Tensor) -> Tensor:
        """What a sigmoid makes an image of, black and white within reach."""
        return torch.logit(self._grey(image[None])[0].to(self.device), eps=_EPSILON)

    def _grey(self, image: Tensor) -> Tensor:
        return image.mean(dim=1, keepdim=True).expand_as(image) if self.grey else image

    def _valid(self, image: Tensor) -> Tensor:
        """Into 0..1."""
        if self.device.type == "cpu" and len(image) > 1:
            # One call an image: the CPU's vector and scalar code differ in the last bit, and where
            # one gives way to the other depends on the size of the whole batch.
            return torch.stack([torch.sigmoid(one) for one in image.unbind()])
        return torch.sigmoid(image)


class FourierImage(Parameterisation):
    """Images that are parameterised by their spectra.

    The last axis of :attr:`shape`, ``(3, height, width // 2 + 1, 2)``, is real and imaginary part.

    Parameters
    ----------
    height, width, device, grey
        As those of :class:`Parameterisation`.
    decay
        With which power of the frequency the steps get smaller: at 1 natural images' own.
    """

    def __init__(
        self,
        height: int,
        width: int,
        device: torch.device | str = "cpu",
        *,
        grey: bool = False,
        decay: float = 1.0,
    ):
        super().__init__(height, width, device, grey=grey)
        fy = torch.fft.fftfreq(height, dtype=torch.float64, device="cpu")[:, None]
        fx = torch.fft.rfftfreq(width, dtype=torch.float64, device="cpu")[None, :]
        frequency = torch.sqrt(fx * fx + fy * fy).clamp(min=1.0 / max(height, width))
        # Lucid divides the image by 4 ("reduces saturation"): folded into the scale.
        # Twice, for real and imaginary part: a broadcast along the last axis is not vectorised.
        scale = 0.25 / (frequency if decay == 1 else frequency**decay)
        scale = scale.float()[..., None].expand(-1, -1, 2).contiguous()
        self._scale = scale.to(self.device)

    @staticmethod
    def shape_for(height: int, width: int) -> tuple[int, ...]:
        """Real and imaginary parts of half a spectrum."""
        return (3, height, width // 2 + 1, 2)

    def start(self, seed: int, target: Target, part: int = 0) -> Tensor:
        """Little noise."""
        return (self._noise(seed, target, part) * START_SD).to(self.device)

    def encode(self, image: Tensor) -> Tensor:
        """An image -> its spectrum."""
        logits = self._logits(image)
        uncoloured = torch.linalg.solve(self._colour, logits.flatten(1)).view_as(logits)
        waves = torch.fft.rfft2(uncoloured, norm="ortho")
        return torch.view_as_real(waves) / self._scale

    def decode(self, arrays: Tensor) -> Tensor:
        """Spectra -> images."""
        waves = torch.view_as_complex(arrays * self._scale)
        image = torch.fft.irfft2(waves, s=(self.height, self.width), norm="ortho")
        return self._valid(self._coloured(image))
