"""Several of InceptionV1's blocks in one pass, as :mod:`.fused` reads one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neuron_widget.networks.inception.fused import can_fuse, stages_up_to
from neuron_widget.networks.inception.network import InceptionV1

if TYPE_CHECKING:
    from neuron_widget.networks.model import VisionModel

__all__ = ["fused_layers"]


def fused_layers(
    model: VisionModel, layers: Sequence[str], dtype: torch.dtype, chunk: int = 0
) -> Callable[[Tensor], dict[str, Tensor]] | None:
    """From images ``(N, 3, H, W)`` in 0..1 to the activation of each block, in ``dtype``.

    What :func:`.fused_reader` gives of each alone, bit by bit; the pass ends at the last of them.
    There are no gradients. None where one of them has no such reader.
    """
    module = model.module
    if not isinstance(module, InceptionV1) or not can_fuse(model, layers):
        return None
    order = [name for name, _ in module.named_children() if name in layers]
    with torch.no_grad(), torch.inference_mode(False):
        stages = list(stages_up_to(module, order[-1], dtype))
    at_once = chunk if model.device.type == "cpu" else 0

    @torch.no_grad()
    def read(images: Tensor) -> dict[str, Tensor]:
        found: dict[str, list[Tensor]] = {name: [] for name in order}
        images = model.preprocess(images)
        with torch.autocast(images.device.type, enabled=False):
            for part in torch.split(images, at_once or len(images)):
                x = part
                for name, stage in stages:
                    x = stage(x, None)
                    if name in found:
                        found[name].append(x)
        return {name: torch.cat(parts) for name, parts in found.items()}

    return read
