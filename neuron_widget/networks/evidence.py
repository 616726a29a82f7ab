"""What tells how a layer gives its activation: see :mod:`.layouts`.

A number of tokens tells nothing of their places, square or not. So the layers are asked: the upper
half of an image is changed, then its left half, and in a layer whose tokens are the grid of
patches, row by row, it is the first half of the rows and of the columns that changes. Where the
network takes a second size, the grid has to grow with the image. A layer whose first axis does not
count the images, at two numbers of them, mixes them (windows of attention).

What stays in doubt is refused, with a word: a map that is not one would mislead.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from neuron_widget.networks.layers import LayerReached, first_tensor_of
from neuron_widget.networks.layouts import MAPS, MOST_PREFIX, Layout

__all__ = ["needs_evidence", "prefix_names", "recognise"]

Shape = tuple[int, ...]
Prepare = Callable[[Tensor], Tensor]

# Correlation of what changed with what should have. Where attention mixes all tokens their own
# place still counts most (0.63 and more in a trained one); in another order it is below 0.3.
_MAP_AT_LEAST, _TOKENS_AT_LEAST = 0.1, 0.4

_LAST = Layout("maps_last")


def needs_evidence(shapes: Mapping[str, Shape]) -> list[str]:
    """The layers whose layout their shape does not tell, of a square image.

    A network whose layers all give ``(N, C, h, h)`` is one of convolutions. With tokens, windows or
    channels last anywhere in it, anything of three or four axes may be something else: attention's
    weights are square, too.
    """
    doubtful = [n for n, s in shapes.items() if len(s) == 3 or (len(s) == 4 and s[2] != s[3])]
    return [n for n, s in shapes.items() if len(s) in (3, 4)] if doubtful else []


def recognise(
    module: nn.Module,
    shapes: Mapping[str, Shape],
    asked: Sequence[str],
    image: Tensor,
    prepare: Prepare,
    *,
    alone: bool = False,
) -> dict[str, Layout]:
    """The layouts of a network's layers, as far as they are known for sure.

    Parameters
    ----------
    module
        The network, in evaluation mode.
    shapes
        Name -> what the layer gives for images of the usual size, in order of execution.
    asked
        The layers to look at; those of the others are told by their shape.
    image
        ``(2, 3, S, S)`` noise in 0..1.
    prepare
        The network's preprocessing.
    alone
        Whether it takes one image at a time.
    """
    size = image.shape[-1]
    layouts = {n: _by_rank(s) for n, s in shapes.items() if n not in asked}
    found: dict[str, Layout | None] = {}
    if asked:
        halves = torch.stack([image[0], image[0], image[0]])
        halves[1, :, : size // 2] = image[1, :, : size // 2]
        halves[2, :, :, : size // 2] = image[1, :, :, : size // 2]

        given: dict[str, list[Tensor]] = {}

        def judge(name: str, output: Tensor) -> None:
            whole = output
            if alone:
                given.setdefault(name, []).append(output)
                whole = torch.cat(given[name])
            if len(whole) == 3 and whole.ndim == len(shapes[name]):
                found[name] = _judged(whole, size)

        for images in torch.split(halves, 1 if alone else 3):
            _watch(module, asked, prepare(images), judge)
        for name in _wrong_at_another_size(module, found, image, prepare):
            found[name] = None
    return layouts | {name: layout for name, layout in found.items() if layout is not None}


def _by_rank(shape: Shape) -> Layout:
    return Layout("vector") if len(shape) == 2 else MAPS


def _judged(output: Tensor, size: int) -> Layout | None:
    """The layout that shows most of where the image was changed, if it shows it at all."""
    if output.ndim == 4:
        # Of a square image a map is nearly square; that alone proves nothing.
        fitting = [x for x in (MAPS, _LAST) if _is_broad(*x.size_of(tuple(output.shape))[1:])]
        least = _MAP_AT_LEAST
    else:
        fitting = []
        # There are more patches than prefix tokens, or one token and nothing else.
        for prefix in range(min(MOST_PREFIX, (output.shape[1] - 1) // 2) + 1):
            side = math.isqrt(output.shape[1] - prefix)
            if side * side == output.shape[1] - prefix:
                fitting.append(Layout("tokens", prefix, (side, side), size))
        least = _TOKENS_AT_LEAST
    values = output.float()
    scores = [_places(layout.read(values, (size, size))) for layout in fitting]
    if not scores or not max(scores) >= least:
        return None
    return fitting[scores.index(max(scores))]


def _is_broad(height: int, width: int) -> bool:
    return max(height, width) < 2 * min(height, width)


def _places(maps: Tensor) -> float:
    """How well a map ``(3, C, h, w)`` shows which half was changed, -1..1."""
    h, w = maps.shape[2:]
    if h * w == 1:
        return 1.0 if maps.shape[1] > 1 else 0.0
    changed = (maps[1:] - maps[:1]).abs().mean(dim=1)
    found = []
    for change, length, axis in ((changed[0], h, 0), (changed[1], w, 1)):
        if length == 1:
            continue
        half = (length / 2 - torch.arange(length, device=maps.device)).clamp(0, 1)
        half = half[:, None] if axis == 0 else half[None, :]
        pair = torch.stack([change.flatten(), half.expand(h, w).flatten()])
        found.append(float(torch.corrcoef(pair)[0, 1]))
    return min(found) if all(map(math.isfinite, found)) else 0.0


def _wrong_at_another_size(
    module: nn.Module, found: Mapping[str, Layout | None], image: Tensor, prepare: Prepare
) -> list[str]:
    """Layers of tokens whose grid does not grow with the image, as far as the network takes one."""
    size = image.shape[-1]
    tokens = {n: x for n, x in found.items() if x is not None and x.kind == "tokens"}
    if not tokens:
        return []
    for other in (size // 2, size * 3 // 4, size + 14, size + 32):
        wrong: list[str] = []

        def compare(name: str, output: Tensor, other: int = other, wrong: Any = wrong) -> None:
            layout = tokens[name]
            if layout.grid_of(output.shape[1] - layout.prefix, (other, other)) is None:
                wrong.append(name)

        # Of one image: what its first axis counts has been seen with two and three.
        one = image[:1, :, : min(other, size), : min(other, size)]
        if other > size:
            one = nn.functional.pad(one, (0, other - size, 0, other - size), mode="replicate")
        try:
            _watch(module, list(tokens), prepare(one), compare)
        except Exception:  # noqa: BLE001  # somebody's network does not take it
            continue
        return wrong
    return []


def _watch(
    module: nn.Module, names: Sequence[str], x: Tensor, look: Callable[[str, Tensor], None]
) -> None:
    """Run the network up to the last of these layers; show what each gives at its first call."""
    seen: set[str] = set()
    handles = []

    def watch(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            if name in seen:
                return
            seen.add(name)
            tensor = first_tensor_of(output)
            if tensor is not None:
                look(name, tensor)
            if len(seen) == len(names):
                raise LayerReached

        return hook

    with torch.inference_mode(False), torch.no_grad():
        try:
            handles += [module.get_submodule(n).register_forward_hook(watch(n)) for n in names]
            module(x)
        except LayerReached:
            pass
        finally:
            for handle in handles:
                handle.remove()


# ------------------------------------------------------------------ names of prefix tokens


def prefix_names(module: nn.Module, number: int) -> list[str]:
    """What the tokens in front of the patches are called: ``cls``, ``dist``, ``reg1`` and so on.

    Told by the network's own parameters (``cls_token``, ``reg_token``), whose numbers have to make
    up all of them; else they are counted, ``token1``.
    """
    words = {"cls": ("cls", "class"), "dist": ("dist",), "reg": ("reg", "storage")}
    counts = dict.fromkeys(words, 0)
    for path, parameter in itertools.chain(module.named_parameters(), module.named_buffers()):
        name = path.rpartition(".")[2].lower()
        kind = next((k for k, some in words.items() if any(word in name for word in some)), None)
        if kind and "token" in name and parameter.ndim <= 3:
            counts[kind] = max(counts[kind], parameter.numel() // max(1, parameter.shape[-1]))
    names = [
        kind if kind != "reg" else f"reg{i + 1}" for kind, n in counts.items() for i in range(n)
    ]
    plain = len(names) == number and len(set(names)) == number
    return names if plain else [f"token{i + 1}" for i in range(number)]
