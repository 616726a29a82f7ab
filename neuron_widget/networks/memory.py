"""Memory that ran out, and memory that is kept."""

from __future__ import annotations

import torch

__all__ = ["is_out_of_memory", "keep_blocks"]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out (on the CPU torch has no class for it)."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        words in text for words in ("out of memory", "can't allocate memory", "not enough memory")
    )


def keep_blocks() -> None:
    """Let what a step, or a decoded photo, frees be there for the next one.

    The C library (glibc) gives a block above a threshold back to the system as soon as it is
    freed; asking for it again costs a page fault for every 4 kB, a tenth of a step, and threads
    that do so wait for each other. The threshold follows the largest block that was freed so far,
    up to 32 MB: this frees one, untouched.
    """
    torch.empty(31 * 2**20, dtype=torch.uint8, device="cpu")
