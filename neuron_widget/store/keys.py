"""Keys of stored results: hashes of everything that makes them, and of nothing else.

What is in a key: the network (name, hash of the weights, preprocessing; of a module that the user
gave, or that has hooks, also its architecture and what it makes of noise), the target, the settings
that make another picture, fingerprint of the data set, version of the algorithm. What is not: the
device and the versions of libraries, so that what a teacher rendered on a GPU serves everybody's
laptop; they are told in the file.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from neuron_widget.durable import FORMAT
from neuron_widget.networks.known import KnownNetwork
from neuron_widget.objectives import OBJECTIVES, canonical_objective
from neuron_widget.settings import RENDER, defaults, key_parts

if TYPE_CHECKING:
    from neuron_widget.networks.known import Network
    from neuron_widget.networks.model import VisionModel

__all__ = ["ModelKeys", "image_key", "scan_key"]


def digest(kind: str, parts: Mapping[str, Any]) -> str:
    """40 hexadecimal digits: the SHA-256 of canonical JSON, and of the version of the files."""
    text = json.dumps([kind, FORMAT, parts], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def image_key(
    network: Mapping[str, Any], settings: Mapping[str, Any], target: Mapping[str, Any]
) -> str | None:
    """Key of the images of one target, whatever their number of steps.

    ``network`` is what :class:`ModelKeys` says of it, ``settings`` those of a result, ``target``
    the target's :meth:`~neuron_widget.targets.Target.key_parts`. None for an objective that its
    name does not describe (a function of the user's): such images are not kept.
    """
    objective = OBJECTIVES.get(canonical_objective(settings["objective"]))
    if objective is None:
        return None
    chosen = {
        **key_parts(RENDER, {**defaults(RENDER), **settings}),
        "objective": objective.key,
        "augmentation": settings["augmentation"],
        "algorithm": settings["algorithm"],
    }
    return digest("image", {**network, **chosen, **target})


def scan_key(
    network: Mapping[str, Any],
    layer: str,
    fingerprint: str,
    photos: int,
    settings: Mapping[str, Any],
) -> str:
    """Name of the scans of one layer over one data set, whatever their number of photos and top k.

    The split is part of the fingerprint.
    """
    from neuron_widget.scanning.files import ALGORITHM

    chosen = {name: settings[name] for name in ("seed", "precision", "input_size")}
    parts = {"layer": layer, "dataset": fingerprint, "photos": photos, "algorithm": ALGORITHM}
    return digest("scan", {**network, **chosen, **parts})


class ModelKeys:
    """What of a network goes into names, as the network is now."""

    def __init__(self) -> None:
        from weakref import WeakKeyDictionary

        self._known: WeakKeyDictionary[VisionModel, tuple[object, float, dict[str, str]]]
        self._known = WeakKeyDictionary()

    def __call__(self, model: Network, layer: str = "") -> dict[str, str]:
        """Return the network's part of every name; of a dictionary's layer with its content.

        What torch does not count (``weight.data``, attributes, hooks) is looked up anew so often
        that it takes a tenth of the time; see :meth:`forget`.
        """
        if isinstance(model, KnownNetwork):
            return model.key
        if layer and (added := model.dictionary(layer)) is not None:
            return {**self(model), "dictionary": added.dictionary.key}
        from neuron_widget.networks.identity import weights_version

        version, begin = weights_version(model.module), time.monotonic()
        known, due, network = self._known.get(model, (None, 0.0, {}))
        if known != version or begin >= due:
            network = {"model": model.identity, "input": _describe_input(model)}
            if model.layout:
                network["layout"] = str({k: str(v) for k, v in sorted(model.layout.items())})
            if not model.loaded_here or _hooked(model):
                network["architecture"] = _describe_architecture(model)
                network["behaviour"] = _describe_behaviour(model)
            end = time.monotonic()
            self._known[model] = (version, end + 10 * (end - begin), network)
        return network

    def forget(self, model: VisionModel) -> None:
        """Look at the network the next time: somebody may have changed it."""
        self._known.pop(model, None)


def _hooked(model: VisionModel) -> bool:
    """Whether hooks of others are on the network: they may change what it computes."""
    with model.private_copy() as network:
        return any(
            not str(getattr(hook, "__module__", "")).startswith("neuron_widget.")
            for m in network.modules()
            for hooks in (m._forward_hooks, m._forward_pre_hooks)
            for hook in hooks.values()
        )


def _describe_input(model: VisionModel) -> str:
    """What the preprocessing makes of four plain colours, to three digits."""
    import torch

    colours = torch.tensor([[0, 0, 0], [1, 1, 1], [0.2, 0.5, 0.8], [0.9, 0.4, 0.1]])
    side = model.input_size
    images = colours[:, :, None, None].expand(-1, -1, side, side).contiguous().to(model.device)
    with torch.inference_mode():
        found = model.preprocess(images)
    shape = "same" if found.shape == images.shape else str(tuple(found.shape[1:]))
    if found.shape[1] == 1:
        shape = f"grey {shape}"  # rendered without colours
    middle = found[..., found.shape[-2] // 2, found.shape[-1] // 2].flatten().tolist()
    # Fewer digits than any two devices differ in.
    return " ".join([shape, *(f"{value + 0.0:.3g}" for value in middle)])


def _describe_architecture(model: VisionModel) -> str:
    """A hash of the modules and of the code of their forward methods.

    Two modules with the same weights may still be two functions (ReLU and GELU between them).
    """
    sha = hashlib.sha256(repr(model.module).encode())
    for kind in sorted({type(m) for m in model.module.modules()}, key=lambda k: k.__qualname__):
        code = getattr(getattr(kind, "forward", None), "__code__", None)
        if code is not None and not kind.__module__.startswith("torch."):
            # Constants may hold code objects, whose text has an address in it.
            constants = [c for c in code.co_consts if not hasattr(c, "co_code")]
            sha.update(repr((kind.__qualname__, code.co_code, code.co_names, constants)).encode())
    return sha.hexdigest()[:16]


def _describe_behaviour(model: VisionModel) -> str:
    """What the network makes of noise, to five digits.

    Attributes, functions called and hooks change what is computed and stand in no weight and no
    code. Two devices may differ in the last of these digits: then each keeps its own results.
    """
    import torch

    noise = torch.Generator().manual_seed(0)
    side = model.input_size
    image = torch.rand((1, 3, side, side), generator=noise).to(model.device)
    off = torch.autocast(model.device.type, enabled=False)
    try:
        with model.private_copy() as network, torch.inference_mode(), off:
            found = [t.float().flatten().cpu() for t in _tensors(network(model.preprocess(image)))]
    except Exception as error:  # noqa: BLE001  # somebody's network; its layers may be read all the same
        return type(error).__name__
    values = torch.cat(found) if found else torch.zeros(1)
    patterns = torch.randn((8, len(values)), generator=noise)
    alone = "alone " if model.reads_alone else ""
    return alone + " ".join(f"{value:.5g}" for value in (patterns @ values).tolist())


def _tensors(output: Any) -> Iterator[Any]:
    """The tensors in what a network returns."""
    import torch

    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, (list, tuple)):
        for value in output:
            yield from _tensors(value)
