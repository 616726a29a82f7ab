"""A small sparse autoencoder, learnt from a stream of activations."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from neuron_widget.networks.encoders import SparseAutoencoder

__all__ = ["SparseLearner"]

_BUFFER_BYTES = 64 * 2**20  # of activations, from which batches are drawn at random
_LEAST = 2048  # positions before anything is learnt
_BATCH = 1024
_USES = 12  # how often a position is learnt from, on average
_LR = 2e-3
_REVIVE_EVERY = 100  # steps


class SparseLearner:
    """A top-k autoencoder.

    Notes
    -----
    After Gao et al. 2024, *Scaling and evaluating sparse autoencoders*: rows of the decoder have
    length 1, the encoder begins as its transpose, and k latents are open at a position. Latents
    that were shut for a while begin anew in the direction of what is rebuilt worst (Bricken et al.
    2023). Activations are brought to one scale, so that one step size serves every layer.
    """

    every_position = False

    def __init__(self, channels: int, features: int, seed: int, layer: str):  # noqa: ARG002
        self._random = torch.Generator().manual_seed(seed)
        self._features = features
        self._k = min(features, max(4, features // 16))
        rows = max(_LEAST, _BUFFER_BYTES // (4 * channels))
        self._buffer = torch.empty((0, channels))
        self._most = rows
        self._owed = 0.0
        self._steps = 0
        self._net: SparseAutoencoder | None = None
        self._scale = 1.0

    def take(self, rows: Tensor) -> None:
        """Put them into the buffer, and learn from what is in it."""
        rows = rows.cpu()
        self._owed += _USES * len(rows) / _BATCH
        if len(self._buffer) < self._most:
            room = self._most - len(self._buffer)
            self._buffer = torch.cat([self._buffer, rows[:room]])
            rows = rows[room:]
        if len(rows):
            # A new position takes the place of any other one.
            rows = rows[: self._most]
            places = torch.randperm(len(self._buffer), generator=self._random)[: len(rows)]
            self._buffer[places] = rows
        if len(self._buffer) >= min(_LEAST, self._most):
            self._learn()

    def _learn(self) -> None:
        with torch.inference_mode(False), torch.enable_grad():
            if self._net is None:
                self._begin()
            while self._owed >= 1:
                self._owed -= 1
                self._step()

    def _begin(self) -> None:
        known = self._buffer.clone()
        mean = known.mean(dim=0)
        around = known - mean
        self._scale = float(around.square().sum(dim=1).mean().sqrt()) or 1.0
        channels = known.shape[1]
        net = SparseAutoencoder(channels, self._features, self._k)
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
        self._net = net
        self._adam = torch.optim.Adam(net.parameters(), lr=_LR)
        self._fired = torch.zeros(self._features, dtype=torch.bool)

    def _step(self) -> None:
        net = self._net
        assert net is not None
        picks = torch.randint(len(self._buffer), (_BATCH,), generator=self._random)
        rows = self._buffer[picks] / self._scale
        latents = net(rows)
        rebuilt = latents @ net.decoder + net.offset
        loss = (rows - rebuilt).square().sum(dim=1).mean()
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        self._steps += 1
        with torch.no_grad():
            net.decoder.copy_(F.normalize(net.decoder, dim=1))
            self._fired |= (latents > 0).any(dim=0)
            if self._steps % _REVIVE_EVERY == 0:
                self._revive(rows - rebuilt)

    def _revive(self, left: Tensor) -> None:
        """Let latents that were shut begin anew, where most is left to explain."""
        net = self._net
        assert net is not None
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

    def parts(self) -> dict[str, Any]:
        """The encoder, in the layer's own units."""
        own = self._net
        if own is None:  # few positions so far: learnt from aside, so that more can still come
            other = SparseLearner(self._buffer.shape[1], self._features, 0, "")
            other._random.set_state(self._random.get_state())
            other._buffer, other._owed = self._buffer, max(1.0, self._owed)
            other._learn()
            own, scale, steps = other._net, other._scale, other._steps
        else:
            scale, steps = self._scale, self._steps
        assert own is not None
        with torch.inference_mode(False), torch.no_grad():
            net = SparseAutoencoder(own.weight.shape[0], self._features, self._k)
            net.load_state_dict(own.state_dict())
            # Latents in the layer's units: what is rebuilt is their sum in directions of length 1.
            net.offset.mul_(scale)
            net.bias.mul_(scale)
        return {"encoder": net, "facts": {"k": self._k, "steps": steps}}
