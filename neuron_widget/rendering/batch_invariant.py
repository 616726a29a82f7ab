"""Arithmetic that does not depend on how many images are side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["BatchInvariantConvolutions"]


class BatchInvariantConvolutions(TorchFunctionMode):
    """Inside this block a float32 convolution of one image on the CPU is computed as of two.

    For a single image with a small activation (up to 20,480 numbers) PyTorch leaves oneDNN for
    another algorithm, whose last bits differ. Rendering amplifies a last bit into another picture,
    so a neuron alone would look other than beside a second one. Only those small convolutions
    cost twice.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Double the batch of small convolutions; pass everything else on."""
        if func is torch.conv2d and args and isinstance(args[0], Tensor):
            x = args[0]
            if x.ndim == 4 and len(x) == 1 and x.numel() <= 20_480 and x.dtype == torch.float32:
                return func(x.expand(2, -1, -1, -1), *args[1:], **(kwargs or {}))[:1]
        return func(*args, **(kwargs or {}))
