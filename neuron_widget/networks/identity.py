"""What tells one network's weights from another's, and from what they were before."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

__all__ = ["quick_look", "weights_hash", "weights_version"]


def weights_hash(module: nn.Module) -> str:
    """12 hexadecimal digits of the SHA-256 of names, types, shapes and numbers."""
    digest = hashlib.sha256()
    for key, value in module.state_dict().items():
        if isinstance(value, Tensor):
            digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
            array = value.detach().cpu().contiguous().view(-1).view(torch.uint8)
            digest.update(array.numpy().tobytes())
    return digest.hexdigest()[:12]


def weights_version(module: nn.Module) -> tuple[int, list[int]]:
    """Another one after weights were changed in place or replaced: counted by torch, at no cost."""
    # Asked at every step: without the names that module.parameters() puts together on its way.
    tensors: list[Tensor] = []
    waiting, seen = [module], {module}
    while waiting:
        here = waiting.pop()
        tensors += [t for t in here._parameters.values() if t is not None]
        tensors += [t for t in here._buffers.values() if t is not None]
        new = [m for m in here._modules.values() if m is not None and m not in seen]
        seen.update(new)
        waiting += new
    return (
        sum(t._version for t in tensors if not t.is_inference()),
        [t.data_ptr() for t in tensors if t.numel()],
    )


def quick_look(module: nn.Module) -> object:
    """Another one also after a change behind torch's back (``weight.data``).

    Takes a few ms, where a hash takes tenths of a second.
    """
    tensors = [t.detach() for t in (*module.parameters(), *module.buffers()) if t.numel()]
    with torch.inference_mode():
        sums = [t.sum().float() for t in tensors]
        total = torch.stack(sums).tolist() if sums else []
    return weights_version(module), str(total)
