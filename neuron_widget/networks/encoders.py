"""Encoders of dictionaries: modules from activations to latents, such as sparse autoencoders."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from neuron_widget.errors import DictionaryError, first_line
from neuron_widget.networks.identity import weights_hash

__all__ = ["Encoder", "SparseAutoencoder"]

_PROBES = 7  # positions of noise that an encoder is tried on


class SparseAutoencoder(nn.Module):
    """A sparse autoencoder of few parts: ``f = act((a - b) W + c)``, ``a ~ f D + b``.

    Parameters
    ----------
    channels, features
        C and K.
    k
        How many latents may be above 0 at one position; 0: as many as ReLU leaves.

    Notes
    -----
    With ``k``: top-k autoencoders (Makhzani and Frey 2013; Gao et al. 2024).
    """

    def __init__(self, channels: int, features: int, k: int = 0):
        super().__init__()
        self.k = k
        self.weight = nn.Parameter(torch.zeros(channels, features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.decoder = nn.Parameter(torch.zeros(features, channels))
        self.offset = nn.Parameter(torch.zeros(channels))

    def pre(self, activation: Tensor) -> Tensor:
        """``(N, C)`` -> ``(N, K)`` before any is shut."""
        return (activation - self.offset) @ self.weight + self.bias

    def forward(self, activation: Tensor) -> Tensor:
        """``(N, C)`` -> latents ``(N, K)``, never negative."""
        latents = self.pre(activation).relu()
        if not self.k or self.k >= latents.shape[1]:
            return latents
        top, where = latents.topk(self.k, dim=1)
        return torch.zeros_like(latents).scatter(1, where, top)


class Encoder:
    """A copy of somebody's module, from activations ``(N, C)`` to latents ``(N, K)``.

    The module's method ``encode`` is called where it has one, else the module itself. A pair is
    taken for (latents before they are shut, latents), as ``overcomplete``'s autoencoders give it.

    Parameters
    ----------
    module
        Copied as it is now; the module itself is not run, moved or changed.
    channels
        C.
    pre_activation
        A function of the copy and of activations ``(N, C)``, which gives the latents before they
        are shut, ``(N, K)``. Default: the last ``(N, K)`` that a linear operation gives.

    Raises
    ------
    DictionaryError
        For a module that cannot be copied, that fails, or gives no row of K numbers a position.
    """

    def __init__(
        self,
        module: nn.Module,
        channels: int,
        pre_activation: Callable[[nn.Module, Tensor], Tensor] | None = None,
    ):
        self.title = type(module).__name__
        try:
            with torch.inference_mode(False):
                self.module = copy.deepcopy(module).eval().requires_grad_(False)
        except Exception as error:
            raise DictionaryError(
                f"the encoder {self.title} cannot be copied ({first_line(error)}), and what others "
                "may change meanwhile cannot be read: pass a module that copy.deepcopy takes"
            ) from error
        self._pre = pre_activation
        noise = torch.Generator().manual_seed(0)
        rows = torch.randn((_PROBES, channels), generator=noise)
        with torch.inference_mode(False), torch.no_grad():
            latents = self._run(rows.to(self._home()))[0]
            if not bool(latents.isfinite().all()):
                raise DictionaryError(f"the encoder {self.title} gives NaN or infinity of noise")
        self.features = latents.shape[1]
        self.signed = bool((latents < 0).any())
        patterns = torch.randn((4, latents.numel()), generator=noise)
        seen = (patterns @ latents.cpu().flatten()).tolist()
        says = [weights_hash(self.module), repr(self.module), *(f"{v:.4g}" for v in seen)]
        self.key = hashlib.sha256("|".join(says).encode()).hexdigest()

    def _home(self) -> torch.device:
        first = next(self.module.parameters(), None)
        return first.device if first is not None else torch.device("cpu")

    def __call__(self, activation: Tensor) -> Tensor:
        """``(N, C, h, w)`` float32 -> ``(N, K, h, w)``.

        The gradient of a latent that is 0 all over an image goes through what it was before.
        """
        n, channels, height, width = activation.shape
        if self._home() != activation.device and any(True for _ in self.module.parameters()):
            self.module.to(activation.device)
        rows = activation.permute(0, 2, 3, 1).reshape(-1, channels)
        gradients = torch.is_grad_enabled() and activation.requires_grad
        latents, before = self._run(rows, wants_before=gradients)
        found = latents.view(n, height * width, -1)
        if gradients:
            if before is not None:
                raised = before.view_as(found)
                dead = (found.detach() == 0).all(dim=1, keepdim=True)
                found = torch.where(dead, found.detach() + raised - raised.detach(), found)
            elif not found.requires_grad:
                raise DictionaryError(
                    f"no gradient leads through the encoder {self.title}, so its features can be "
                    "scanned, but not rendered: it switches gradients off (torch.no_grad, detach), "
                    "or pass pre_activation="
                )
        return found.view(n, height, width, -1).permute(0, 3, 1, 2)

    def _run(self, rows: Tensor, *, wants_before: bool = False) -> tuple[Tensor, Tensor | None]:
        """The latents ``(N, K)``, and what they were before they were shut, where that is found."""
        watch = _LastLinear() if wants_before else None
        encode = getattr(self.module, "encode", None)
        try:
            with watch or nullcontext():
                given = (encode if callable(encode) else self.module)(rows)
            before = self._pre(self.module, rows) if self._pre and wants_before else None
        except Exception as error:
            raise DictionaryError(
                f"the encoder {self.title} fails on activations {tuple(rows.shape)}: "
                f"{first_line(error)}"
            ) from error
        if isinstance(given, (tuple, list)) and len(given) == 2:
            own, given = given
            before = before if before is not None else own
        if not isinstance(given, Tensor) or given.ndim != 2:
            got = f"a tensor {tuple(given.shape)}" if isinstance(given, Tensor) else type(given)
            raise DictionaryError(
                f"the encoder {self.title} gives {got}, expected latents (N, K) of activations "
                f"(N, {rows.shape[1]})"
            )
        if len(given) != len(rows):
            raise DictionaryError(
                f"the encoder {self.title} gives {len(given)} rows of latents for {len(rows)} "
                "positions: expected one row a position, each from its own activation alone"
            )
        if before is None and watch is not None:
            before = watch.last(given)
        return given.float(), before


class _LastLinear(TorchFunctionMode):
    """Notes what linear operations give, in order; changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: list[Tensor] = []

    def last(self, latents: Tensor) -> Tensor | None:
        """The last one with the latents' shape that a gradient leads to."""
        fitting = (t for t in reversed(self._seen) if t.shape == latents.shape and t.requires_grad)
        return next(fitting, None)

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call it, and look at what it gives."""
        given = func(*args, **(kwargs or {}))
        if func in _LINEAR and isinstance(given, Tensor):
            self._seen.append(given)
        return given


_LINEAR = frozenset(
    {
        F.linear,
        torch.matmul,
        torch.mm,
        torch.addmm,
        torch.einsum,
        torch.add,
        torch.sub,
        F.layer_norm,
        F.batch_norm,
        Tensor.matmul,
        Tensor.mm,
        Tensor.addmm,
        Tensor.__matmul__,
        Tensor.__rmatmul__,
        Tensor.add,
        Tensor.__add__,
        Tensor.__radd__,
        Tensor.__iadd__,
        Tensor.sub,
        Tensor.__sub__,
    }
)
