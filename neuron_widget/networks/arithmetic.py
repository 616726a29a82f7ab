"""Which arithmetic a device is good at: asked of the very operations, once.

Processors differ: bfloat16 is several times faster than float32 where the CPU multiplies it in
hardware (AVX512-BF16, AMX), several times slower where it is emulated, and some of oneDNN's
operations refuse it on a CPU without AVX-512. So nothing here is believed from a name alone.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = [
    "computes_bfloat16",
    "full_float32",
    "has_fast_bfloat16",
    "onednn_takes",
    "scan_precision",
]

_MAX_ISA = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether convolutions in bfloat16 are faster than in float32 on this device."""
    if device.type == "cpu":
        return _cpu_multiplies_bfloat16() and onednn_takes(torch.bfloat16)
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return False  # not measured on other devices


def scan_precision(precision: str, device: torch.device) -> str:
    """``"exact"`` instead of ``"fast"`` where float32 is the fastest arithmetic there is."""
    return "exact" if precision == "fast" and not has_fast_bfloat16(device) else precision


@functools.cache
def computes_bfloat16(device: torch.device) -> bool:
    """Whether a convolution and its gradient can be computed in bfloat16 at all."""
    with torch.inference_mode(False), torch.enable_grad():
        try:
            x = torch.ones((1, 1, 4, 4), dtype=torch.float32, device=device, requires_grad=True)
            weight = torch.ones((1, 1, 3, 3), dtype=torch.float32, device=device)
            with torch.autocast(device.type, dtype=torch.bfloat16):
                y = torch.conv2d(x, weight)
            torch.autograd.grad(y.float().sum(), x)
        except RuntimeError:
            return False
    return True


@functools.cache
def onednn_takes(dtype: torch.dtype) -> bool:
    """Whether oneDNN's convolution on laid out weights takes this type on this processor."""
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False  # another build of torch
    x = torch.ones((1, 1, 4, 4), dtype=dtype, device="cpu").contiguous(
        memory_format=torch.channels_last
    )
    try:
        weight = torch.ops.aten.mkldnn_reorder_conv2d_weight(
            torch.ones((1, 1, 3, 3), dtype=dtype, device="cpu").to_mkldnn(),
            [1, 1],
            [1, 1],
            [1, 1],
            1,
            [*x.shape],
        )
        torch.ops.mkldnn._convolution_pointwise(
            x, weight, None, [1, 1], [1, 1], [1, 1], 1, "none", [], ""
        )
    except RuntimeError:
        return False
    return True


@functools.cache
def _cpu_multiplies_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware, and oneDNN may use that; False if unknown.

    Not timed: what is chosen is part of a result's key, and must not depend on a busy moment.
    """
    for variable in _MAX_ISA:
        # oneDNN obeys it where torch's own question to the processor does not.
        most = os.environ.get(variable, "").upper()
        if most and not any(word in most for word in ("BF16", "FP16", "AMX", "AVX10", "ALL")):
            return most == "DEFAULT"
    # Not public in torch, and not in every version.
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in names)


_LOCK = threading.Lock()
_inside = 0
_tf32_before = True


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Inside this block a GPU's convolutions in float32 are as exact as the CPU's.

    Otherwise cuDNN rounds what it multiplies to 10 bits (TF32), which moves a photo's score by up
    to half a percent. The switch is the process's: threads may be inside side by side.
    """
    global _inside, _tf32_before
    if device.type != "cuda":
        yield
        return
    with _LOCK:
        if _inside == 0:
            _tf32_before = torch.backends.cudnn.allow_tf32
            torch.backends.cudnn.allow_tf32 = False
        _inside += 1
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if _inside == 0:
                torch.backends.cudnn.allow_tf32 = _tf32_before
