"""Dictionaries: other things than channels that a layer can be read by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from neuron_widget.errors import DictionaryError, WrongType
from neuron_widget.networks.dictionary_files import read_dictionary, save_dictionary
from neuron_widget.networks.encoders import Encoder, SparseAutoencoder
from neuron_widget.networks.nonnegative import NonNegative

__all__ = ["Dictionary"]

Numbers = NDArray[np.float32]


class Dictionary:
    """Features of a layer in place of its channels: directions of its activation, or an encoder.

    Added to a network (:meth:`.VisionModel.add_dictionary`) it is a layer, whose neurons are the
    features. How the feature ``f`` of an activation ``a`` (C numbers at one position) is read:

    ============================ ==================================================================
    rows                         ``f = (a - offset) D^T``: a product with each row (PCA, directions)
    rows, ``non_negative=True``  the ``f >= 0`` with the smallest ``|a - offset - f D|^2`` (NMF)
    an encoder                   ``f = encoder(a)`` (sparse autoencoders)
    ============================ ==================================================================

    Parameters
    ----------
    directions
        ``(K, C)``: one row a feature, finite, none all 0. With an ``encoder`` optional: what each
        latent adds to the activation (a decoder), which is needed to switch one off.
    offset
        ``(C,)``, taken off the activation before it is read; default none.
    non_negative
        See above.
    encoder
        A module from activations ``(N, C)`` to latents ``(N, K)``. A copy of it, as it is now, is
        kept and run; the module itself is never run or changed. A method ``encode`` goes before
        ``forward``; a pair is (latents before they are shut, latents).
    channels
        With an encoder: C.
    pre_activation
        With an encoder: a function of (copy, activations) that gives its latents before they are
        shut, for the gradient of those that are 0; default the last ``(N, K)`` out of a linear
        operation.
    layer, model
        The layer it was learnt on, and that network's identity; ``""`` where any will do.
    facts
        What is to be known of it, plain values: how it was learnt, figures of fit.

    Raises
    ------
    DictionaryError
        For rows that are not finite or all 0, other shapes, or an encoder that does not give one
        row of latents a position.

    Examples
    --------
    >>> import numpy as np
    >>> from neuron_widget import Dictionary, load_model
    >>> model = load_model("efficientnet_lite0")
    >>> rows = np.eye(112)[:3] - np.eye(112)[3:6]
    >>> model.add_dictionary("blocks.4", Dictionary(rows), name="pairs")
    LayerInfo(name='blocks.4/pairs', channels=3, height=14, width=14)
    """

    def __init__(
        self,
        directions: ArrayLike | None = None,
        *,
        offset: ArrayLike | None = None,
        non_negative: bool = False,
        encoder: nn.Module | None = None,
        channels: int | None = None,
        pre_activation: Callable[[nn.Module, Tensor], Tensor] | None = None,
        layer: str = "",
        model: str = "",
        facts: Mapping[str, Any] | None = None,
    ):
        rows = _numbers(directions, "directions", 2) if directions is not None else None
        if encoder is not None and not isinstance(encoder, nn.Module):
            raise WrongType(f"encoder must be a torch.nn.Module, got {type(encoder).__name__}")
        self.encoder: Encoder | None = None
        if encoder is not None:
            channels = channels or (rows.shape[1] if rows is not None else 0)
            if isinstance(encoder, SparseAutoencoder):
                channels = encoder.weight.shape[0]
            if not channels:
                raise DictionaryError(
                    "an encoder does not say how many channels it reads: pass channels=, such as "
                    "model.layer('mixed4a').channels"
                )
            if offset is not None or non_negative:
                raise DictionaryError(
                    "offset= and non_negative= say how rows are read; an encoder does that itself"
                )
            self.encoder = Encoder(encoder, channels, pre_activation)
            if rows is None and isinstance(encoder, SparseAutoencoder):
                rows = encoder.decoder.detach().cpu().numpy()
            features = self.encoder.features
            if rows is not None and rows.shape != (features, channels):
                raise DictionaryError(
                    f"directions are {rows.shape}, and the encoder gives {features} latents of "
                    f"{channels} channels: expected {(features, channels)}"
                )
        elif rows is None:
            raise DictionaryError("a dictionary needs directions (K, C), or encoder=")
        else:
            features, channels = rows.shape
        self.directions = rows
        self.offset = _numbers(offset, "offset", 1) if offset is not None else None
        if self.offset is not None and self.offset.shape != (channels,):
            raise DictionaryError(
                f"offset is {self.offset.shape}, expected one number a channel: ({channels},)"
            )
        self.non_negative = bool(non_negative)
        self.features, self.channels = int(features), int(channels)
        self.layer, self.model = layer, model
        self.facts = dict(facts or {})
        # What goes on learning it; in memory alone.
        self.learning: object = None
        self.key = self._hash()
        self._readings: dict[torch.device, _Rows] = {}

    def __repr__(self) -> str:
        own = f"encoder {self.encoder.title}" if self.encoder else self.reading
        of = f" of {self.layer}" if self.layer else ""
        return f"<Dictionary{of}: {self.features} features of {self.channels} channels, {own}>"

    def __len__(self) -> int:
        return self.features

    @property
    def reading(self) -> str:
        """How a map is read: ``"product"``, ``"non-negative"`` or ``"encoder"``."""
        if self.encoder is not None:
            return "encoder"
        return "non-negative" if self.non_negative else "product"

    @property
    def signed(self) -> bool:
        """Whether features below 0 are answers as those above it."""
        return self.encoder.signed if self.encoder is not None else not self.non_negative

    def _hash(self) -> str:
        sha = hashlib.sha256(f"{self.reading} {self.features} {self.channels}".encode())
        for array in (self.directions if self.encoder is None else None, self.offset):
            sha.update(array.tobytes() if array is not None else b"none")
        if self.encoder is not None:
            sha.update(self.encoder.key.encode())
        return sha.hexdigest()[:16]

    # -------------------------------------------------------------- reading

    def read(self, activation: Tensor) -> Tensor:
        """The features of an activation: ``(N, C, h, w)`` -> ``(N, K, h, w)``, float32.

        Gradients follow, where torch records them.
        """
        self._check_width(activation)
        alone = self.encoder is not None and activation.device.type == "cpu"
        if alone and len(activation) > 1 and activation.requires_grad:
            # Image by image: the last bits of a product of matrices depend on their size, and a
            # picture must not depend on those beside it.
            return torch.cat([self.read(one) for one in torch.split(activation, 1)])
        # The caller's autocast is not for this: few numbers, all of which count.
        with torch.autocast(activation.device.type, enabled=False):
            activation = activation.float()
            if self.encoder is not None:
                return self.encoder(activation)
            return self._rows(activation.device).read(activation)

    def read_each(self, activation: Tensor, features: Tensor) -> Tensor:
        """One feature an image: ``(N, C, h, w)``, ``(N,)`` -> ``(N, 1, h, w)``."""
        if self.encoder is None and not self.non_negative:
            self._check_width(activation)
            with torch.autocast(activation.device.type, enabled=False):
                return self._rows(activation.device).read_each(activation.float(), features)
        found = self.read(activation)
        index = features.view(-1, 1, 1, 1).expand(-1, 1, *found.shape[2:])
        return found.gather(1, index)

    def rebuild(self, features: Tensor) -> Tensor:
        """What features ``(N, K, h, w)`` add up to, ``(N, C, h, w)``, without the offset.

        Raises DictionaryError for an encoder whose decoder is not known.
        """
        if self.directions is None:
            raise DictionaryError(
                "this dictionary is an encoder without a way back: pass directions=, its decoder "
                "(K, C), to change a feature"
            )
        rows = torch.from_numpy(self.directions).to(features.device)
        return torch.einsum("nkhw,kc->nchw", features.float(), rows)

    def _check_width(self, activation: Tensor) -> None:
        if activation.shape[1] != self.channels:
            raise DictionaryError(
                f"this dictionary reads {self.channels} channels, and the activation has "
                f"{activation.shape[1]}"
            )

    def _rows(self, device: torch.device) -> _Rows:
        if device not in self._readings:
            with torch.inference_mode(False):
                self._readings[device] = _Rows(self, device)
        return self._readings[device]

    # -------------------------------------------------------------- files

    def save(self, path: str | Path) -> Path:
        """Write it to a ``.safetensors`` file with a JSON manifest, and return the path.

        Of an encoder that is not one of ours the weights are written, not its code: to load it,
        pass the module again. Raises ``StoreError`` for another ending or a disk error.
        """
        arrays: dict[str, NDArray[Any]] = {}
        if self.directions is not None:
            arrays["directions"] = self.directions
        if self.offset is not None:
            arrays["offset"] = self.offset
        own: dict[str, Any] = {}
        if self.encoder is not None:
            module = self.encoder.module
            state = {name: value.cpu().numpy() for name, value in module.state_dict().items()}
            arrays |= {f"encoder.{name}": value for name, value in state.items()}
            own = {"encoder": self.encoder.title}
            if isinstance(module, SparseAutoencoder):
                own["k"] = module.k
        manifest = {
            "reading": self.reading,
            "features": self.features,
            "channels": self.channels,
            "layer": self.layer,
            "network": self.model,
            "key": self.key,
            "facts": self.facts,
            **own,
        }
        return save_dictionary(path, arrays, manifest)

    @classmethod
    def load(cls, path: str | Path, encoder: nn.Module | None = None) -> Dictionary:
        """Return a saved dictionary. Nothing in the file is run.

        Parameters
        ----------
        path
            What :meth:`save` wrote.
        encoder
            A module of the class that was saved, for an encoder of your own: a copy of it gets the
            file's weights.

        Raises
        ------
        StoreError
            A missing, torn or foreign file.
        DictionaryError
            An encoder that is not given, or another one than the file's.
        """
        manifest, arrays = read_dictionary(path)
        state = {
            name.removeprefix("encoder."): torch.from_numpy(np.array(array))
            for name, array in arrays.items()
            if name.startswith("encoder.")
        }
        module: nn.Module | None = None
        if manifest["reading"] == "encoder":
            module = _encoder(path, manifest, state, encoder)
        elif encoder is not None:
            raise DictionaryError(f"{path} holds rows, and needs no encoder=")
        found = cls(
            arrays.get("directions"),
            offset=arrays.get("offset"),
            non_negative=manifest["reading"] == "non-negative",
            encoder=module,
            channels=manifest["channels"],
            layer=manifest["layer"],
            model=manifest["network"],
            facts=manifest["facts"],
        )
        if found.key != manifest["key"] and manifest["reading"] != "encoder":
            raise DictionaryError(f"{path} is not what its manifest says: save it anew")
        return found


class _Rows:
    """Rows of a dictionary on a device."""

    def __init__(self, dictionary: Dictionary, device: torch.device):
        assert dictionary.directions is not None
        self._rows = torch.from_numpy(dictionary.directions).to(device)
        offset = dictionary.offset
        self._offset = torch.from_numpy(offset).to(device) if offset is not None else None
        self._levels = self._rows @ self._offset if self._offset is not None else None
        self._solve = NonNegative(self._rows) if dictionary.non_negative else None

    def read(self, activation: Tensor) -> Tensor:
        if self._solve is not None:
            if self._offset is not None:
                activation = activation - self._offset[:, None, None]
            return self._solve(activation)
        found = torch.einsum("nchw,kc->nkhw", activation, self._rows)
        return found if self._levels is None else found - self._levels[:, None, None]

    def read_each(self, activation: Tensor, features: Tensor) -> Tensor:
        found = torch.einsum("nchw,nc->nhw", activation, self._rows[features])[:, None]
        return found if self._levels is None else found - self._levels[features].view(-1, 1, 1, 1)


def _numbers(given: Any, what: str, axes: int) -> Numbers:
    """A float32 array of its own."""
    if isinstance(given, Tensor):
        given = given.detach().float().cpu().numpy()
    try:
        found = np.array(given, np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise WrongType(
            f"{what} must be an array of numbers, got {type(given).__name__}"
        ) from error
    if found.ndim != axes:
        expected = "(features, channels)" if axes == 2 else "(channels,)"
        raise DictionaryError(f"{what} must be {expected}, got an array of shape {found.shape}")
    if not len(found):
        raise DictionaryError(f"{what} have no row; expected (features, channels)")
    finite = np.isfinite(found).reshape(len(found), -1).all(axis=1)
    if not finite.all():
        first = int(np.flatnonzero(~finite)[0])
        those = f"{(~finite).sum()} of its {len(found)} rows, the first is row {first}"
        where = those if axes == 2 else f"channel {first}"
        raise DictionaryError(f"{what} have NaN or infinity in {where}")
    if axes == 2 and len(found) and not (empty := np.abs(found).max(axis=1) > 0).all():
        first = int(np.flatnonzero(~empty)[0])
        raise DictionaryError(
            f"{what}: row {first} is all 0, and says nothing of any activation: leave it out"
        )
    return found


def _encoder(
    path: str | Path, manifest: Mapping[str, Any], state: dict[str, Tensor], given: nn.Module | None
) -> nn.Module:
    """The encoder that a file describes, with the file's weights."""
    import copy

    if "k" in manifest and given is None:
        module: nn.Module = SparseAutoencoder(
            manifest["channels"], manifest["features"], manifest["k"]
        )
    elif given is None:
        raise DictionaryError(
            f"{path} holds the weights of an encoder {manifest['encoder']}, and no code: pass "
            f"encoder=<a module of that class>"
        )
    else:
        module = copy.deepcopy(given)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise DictionaryError(
            f"{path} holds the weights of an encoder {manifest['encoder']}, which do not fit "
            f"{type(module).__name__} ({str(error).splitlines()[0]})"
        ) from error
    return module
