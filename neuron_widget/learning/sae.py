"""A small sparse autoencoder, learnt from a stream of activations."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from neuron_widget.learning.stream import StreamLearner
from neuron_widget.networks.encoders import SparseAutoencoder

__all__ = ["SparseLearner"]

_LR = 5e-3
_REVIVE_EVERY = 100  # steps


class SparseLearner(StreamLearner):
    """A top-k autoencoder.

    Notes
    -----
    After Gao et al. 2024, *Scaling and evaluating sparse autoencoders*: rows of the decoder have
    length 1, the encoder begins as its transpose, and k latents are open at a position. Latents
    that were shut for a while begin anew in the direction of what is rebuilt worst (Bricken et al.
    2023). Activations are brought to one scale, so that one step size serves every layer.
    """

    uses = 20

    def __init__(self, channels: int, features: int, seed: int, layer: str):
        super().__init__(channels, features, seed, layer)
        self._k = min(features, max(4, features // 16))
        self._net = SparseAutoencoder(channels, features, self._k)
        self._scale = 1.0

    def _begin(self, known: Tensor) -> None:
        mean = known.mean(dim=0)
        around = known - mean
        self._scale = float(around.square().sum(dim=1).mean().sqrt()) or 1.0
        channels = known.shape[1]
        net = self._net
        # Begins at positions that there are, so that no latent is far from all of them.
        picks = torch.randint(len(known), (self._features,), generator=self._random)
        noise = torch.randn((self._features, channels), generator=self._random)
        directions = F.normalize(
            F.normalize(around[picks], dim=1) + 0.1 * F.normalize(noise, dim=1)
        )
        with torch.no_grad():
            net.offset.copy_(mean / self._scale)
            net.decoder.copy_(directions)
            net.weight.copy_(directions.T)
        self._adam = torch.optim.Adam(net.parameters(), lr=_LR)
        self._fired = torch.zeros(self._features, dtype=torch.bool)

    def _step(self, rows: Tensor) -> None:
        net, rows = self._net, rows / self._scale
        latents = net(rows)
        rebuilt = latents @ net.decoder + net.offset
        loss = (rows - rebuilt).square().sum(dim=1).mean()
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        with torch.no_grad():
            net.decoder.copy_(F.normalize(net.decoder, dim=1))
            self._fired |= (latents > 0).any(dim=0)
            if self._steps % _REVIVE_EVERY == _REVIVE_EVERY - 1:
                self._revive(rows - rebuilt)

    def _revive(self, left: Tensor) -> None:
        """Let latents that were shut begin anew, where most is left to explain."""
        net = self._net
        dead = torch.nonzero(~self._fired)[:, 0]
        self._fired.zero_()
        if not len(dead):
            return
        worst = left.square().sum(dim=1)
        picks = torch.multinomial(
            worst + 1e-12, len(dead), replacement=True, generator=self._random
        )
        directions = F.normalize(left[picks], dim=1)
        net.decoder[dead] = directions
        net.weight[:, dead] = directions.T
        net.bias[dead] = 0
        for parameter, where in ((net.decoder, (dead,)), (net.weight, (slice(None), dead))):
            for name in ("exp_avg", "exp_avg_sq"):
                self._adam.state[parameter][name][where] = 0

    def _parts(self) -> dict[str, Any]:
        """The encoder, in the layer's own units."""
        own = self._net
        with torch.inference_mode(False), torch.no_grad():
            net = SparseAutoencoder(own.weight.shape[0], self._features, self._k)
            net.load_state_dict(own.state_dict())
            # Latents in the layer's units: what is rebuilt is their sum in directions of length 1.
            net.offset.mul_(self._scale)
            net.bias.mul_(self._scale)
        return {"encoder": net, "facts": {"k": self._k, "steps": self._steps}}
