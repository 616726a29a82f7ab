"""How fast a picture forms, beside torch-lucent and beside the convolutions that are needed.

    python benchmarks/render.py [--device cpu|cuda] [--quick] [--weights FILE]
                                [--network NAME] [--layer LAYER]
                                [--peer-in-full] [--picture FILE] [--results FILE]

Pairs run in turn, round after round, in one process, first ours beside the floor, then ours beside
the peer (what the peer leaves behind in memory must not count as ours), with the seed's settings:
mixed4a, 224 px, Fourier spectrum, Adam, the seed's augmentations. The tables show the median, the
spread (least..most) and ratios of medians. Without weights (``NEURON_WIDGET_TEST_DATA`` holds some)
the network is untrained: the times are the same, the quality is left out. ``--network`` times
another one: ``efficientnet_lite0`` (the embedded one), ``resnet50``, ``vgg16`` or any other of
torchvision's, or ``timm/<name>``; the last two with random weights.

* The peer: torch-lucent's ``render_vis``, one call of several steps, one image at a time (it draws
  one augmentation for a whole batch, so a batch is not the same work), on a fresh module each time
  (it leaves a hook on every module, which would slow down the next call).
* The floor: the layer's own convolutions and those before it, forward and gradient of the input,
  on dummy activations at our size, batch and precision. Nothing else: no ReLU, no pooling. Where
  a step runs in bfloat16 it stands beside both: the convolutions as a network has them (float32),
  and its own, several times faster.
* Time to quality: what torch-lucent reaches in 512 steps takes it 9 minutes for the five neurons.
  For the weights of the test data these activations are known (``PEER``), and the time is 512 times
  the measured step; ``--peer-in-full`` runs it instead.
"""

from __future__ import annotations

import argparse
import copy
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from PIL import Image
from report import (
    LAYERS,
    Goal,
    Times,
    kind_of_processor,
    machine,
    open_network,
    results,
    show_goals,
)
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from neuron_widget.networks.model import VisionModel
from neuron_widget.rendering import render, render_steps
from neuron_widget.rendering.lucent_engine import RightLRN, lucent_module, lucents, seed_transforms
from neuron_widget.rendering.settings import REDIRECT_STEPS, default_precision

LUCENT = "lucent render_vis, batch 1"
BESIDE = "ours beside lucent, batch {}"
SIZE, STEPS = 224, 512
LAYER = "mixed4a"
NEURONS = (68, 257, 427, 486, 501)
# Steps are timed with neurons of the 3x3 branch, the one that costs most (40 % of the neurons).
FIRST = 252

# Lucent's step / ours, to reach and to aim at, batch 1 and 8.
SOONER = {
    "inceptionv1": ((4.5, 8), (7, 12)),
    "efficientnet_lite0": ((4, 6), (6, 8)),
    "torchvision/resnet50": ((3, 4), (3.5, 5)),
    "torchvision/vgg16": ((3.5, 4), (4, 5)),
}
OTHERS = ((3, 4), (3.5, 5))

# Clean activations of torch-lucent 0.1.8 after 512 steps (right normalisation), by model.
PEER = {"inceptionv1-993fe39476bc": (878.0, 2202.0, 596.0, 1350.0, 1213.0)}


def peer_steps(
    model: VisionModel, module: nn.Module, layer: str, neuron: int, steps: int
) -> Tensor:
    """One call of ``render_vis``; the image ``(1, 3, H, W)``."""
    param, objectives = lucents("optvis.param"), lucents("optvis.objectives")
    with warnings.catch_warnings(), RightLRN():
        warnings.simplefilter("ignore")
        images = lucents("optvis.render").render_vis(
            module,
            objectives.channel(layer.replace(".", "_"), neuron),
            param_f=lambda: param.image(SIZE, fft=True, decorrelate=True),
            optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.05),
            transforms=[*seed_transforms(), model.preprocess],
            preprocess=False,
            thresholds=(steps,),
            progress=False,
            show_image=False,
        )
    return torch.from_numpy(images[0]).permute(0, 3, 1, 2)


def first_neuron(layer: str) -> int:
    """Of the neurons whose steps are timed."""
    return FIRST if layer == LAYER else 0


def our_steps(model: VisionModel, layer: str, batch: int, precision: str) -> Callable[[int], None]:
    """A rendering under way, past the steps with redirected ReLU: call it to go on."""
    first = first_neuron(layer)
    work = render_steps(
        model,
        layer,
        range(first, first + batch),
        size=SIZE,
        steps=100_000,
        batch_size=batch,
        precision=precision,
    )

    def go_on(steps: int) -> None:
        for _ in range(steps):
            next(work)

    go_on(REDIRECT_STEPS + 2)
    return go_on


class _Convolutions(TorchFunctionMode):
    """Notes the arguments of every convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Any, ...]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.conv2d:
            self.seen.append((*args, *(None, 1, 0, 1, 1)[len(args) - 2 :]))
        return func(*args, **(kwargs or {}))


def floor_step(model: VisionModel, layer: str, batch: int, precision: str) -> Callable[[], None]:
    """Forward and input gradient of every convolution up to the layer, on dummy activations."""
    dtype = getattr(torch, precision)
    with torch.no_grad(), model.reading(layer) as read, _Convolutions() as convolutions:
        read(torch.rand(batch, 3, SIZE, SIZE, device=model.device))
    work = []
    for x, weight, bias, *numbers in convolutions.seen:
        x = torch.randn_like(x).to(dtype).contiguous(memory_format=torch.channels_last)
        weight = weight.detach().to(dtype)
        bias = bias.detach().to(dtype) if bias is not None else None
        out = torch.conv2d(x, weight, bias, *numbers)
        work.append((torch.randn_like(out), x, weight, bias, *numbers))

    def step() -> None:
        for _, x, weight, bias, *numbers in work:
            torch.conv2d(x, weight, bias, *numbers)
        for gradient, x, weight, _, stride, pad, dilation, groups in reversed(work):
            sides = ([v] * 2 if isinstance(v, int) else v for v in (stride, pad, dilation))
            torch.ops.aten.convolution_backward(
                gradient, x, weight, None, *sides, False, (0, 0), groups, (True, False, False)
            )

    step()
    return step


def seconds_a_step(model: VisionModel, layer: str, quick: bool) -> tuple[Times, dict[str, float]]:
    """The table of milliseconds, and by setting how many times its floor a step takes."""
    times = Times(model.device)
    best = default_precision(model)
    settings = [(b, p) for p in dict.fromkeys((best, "float32")) for b in (1, 8)]
    ours = {f"ours, batch {b}, {p}": (b, our_steps(model, layer, b, p)) for b, p in settings}
    floors = {f"floor, batch {b}, {p}": (b, floor_step(model, layer, b, p)) for b, p in settings}
    peers, steps = 4 if quick else 12, 4 if quick else 16
    rounds = range(3 if quick else 9)
    for _ in rounds:
        for name, (batch, go_on) in ours.items():
            # The floor follows at once: both see the machine in the same state.
            floor = name.replace("ours", "floor")
            times.take(name, steps * batch, lambda g=go_on: g(steps))
            times.take(floor, steps * batch, lambda s=floors[floor][1]: [s() for _ in range(steps)])
    module = lucent_module(model)
    peer_steps(model, copy.deepcopy(module), layer, 0, 2)
    for _ in rounds:
        fresh = copy.deepcopy(module)
        first = first_neuron(layer)
        times.take(LUCENT, peers, lambda m=fresh, n=first: peer_steps(model, m, layer, n, peers))
        for batch in (1, 8):
            go_on = ours[f"ours, batch {batch}, {best}"][1]
            times.take(BESIDE.format(batch), steps * batch, lambda g=go_on: g(steps))
    below = {name: times.median(name.replace("ours", "floor")) for name in ours}
    times.show("a step of an image", LUCENT, below)
    shares = {}
    if best != "float32":
        for batch in (1, 8):
            step = times.median(f"ours, batch {batch}, {best}")
            floor = times.median(f"floor, batch {batch}, float32")
            shares[f"batch {batch}, {best} / float32"] = step / floor
    for name, floor in below.items():
        shares[name.removeprefix("ours, ")] = times.median(name) / floor
    return times, shares


def quality(
    model: VisionModel, steps: int, peer_seconds: float | None, picture: str | None
) -> tuple[float, float | None]:
    """Our clean activation after as many steps / lucent's, and how much sooner we reach lucent's.

    ``peer_seconds``: of one step, where lucent's activations are known and need not be made.
    """
    if peer_seconds is None:
        module = lucent_module(model)
        start = time.perf_counter()
        images = [peer_steps(model, copy.deepcopy(module), LAYER, n, steps) for n in NEURONS]
        theirs = time.perf_counter() - start
        with torch.no_grad(), model.reading(LAYER) as read:
            pictures = torch.cat(images).to(model.device)
            means = read(pictures).mean((2, 3)).cpu()
        reached = [float(means[i, n]) for i, n in enumerate(NEURONS)]
    else:
        reached, theirs = list(PEER[model.identity]), peer_seconds * steps * len(NEURONS)
    target = sum(reached) / len(NEURONS)
    passed = equal = None
    for step in render_steps(model, LAYER, NEURONS, steps=2 * steps, batch_size=len(NEURONS)):
        if (passed is None and step.step % 8 == 0) or step.step == steps:
            now = step.result()
            if passed is None and now.activation.mean() >= target:
                passed = (step.step, now.seconds)
            if step.step == steps:
                equal = now
        if passed and equal:
            break
    assert equal is not None
    known = "" if peer_seconds is None else f", known; {theirs:.0f} s = {steps} steps as timed"
    print(f"\nClean activation of {LAYER} {NEURONS}")
    print(f"  lucent, {steps} steps: {_list(reached)}, mean {target:.0f} ({theirs:.1f} s{known})")
    ours = equal.activation
    print(f"  ours,   {steps} steps: {_list(ours)}, mean {ours.mean():.0f} ({equal.seconds:.1f} s)")
    if passed is not None:
        print(f"  ours reaches {target:.0f} at step {passed[0]}, {passed[1]:.1f} s")
    if picture is not None and peer_seconds is None:
        _picture(picture, torch.cat(images), torch.from_numpy(equal.images).permute(0, 3, 1, 2))
    return float(ours.mean()) / target, theirs / passed[1] if passed else None


def _list(values: Iterable[float]) -> str:
    return " ".join(f"{value:.0f}" for value in values)


def _picture(file: str, *rows: Tensor) -> None:
    """Lucent's images above ours, half size."""
    small = [
        nn.functional.interpolate(r.float().cpu(), scale_factor=0.5, mode="area") for r in rows
    ]
    sheet = torch.cat([torch.cat(list(row), dim=2) for row in small], dim=1)
    Image.fromarray((sheet.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()).save(file)


def whole_layer(model: VisionModel) -> float:
    """Seconds for every neuron of the layer."""
    count = model.layer(LAYER).channels
    start = time.perf_counter()
    result = render(model, LAYER, range(count), steps=STEPS, size=SIZE, progress=False)
    seconds = time.perf_counter() - start
    print(
        f"\nThe whole layer, {count} neurons x {STEPS} steps x {SIZE} px: {seconds:.1f} s, "
        f"mean clean activation {result.activation.mean():.0f}"
    )
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--quick", action="store_true", help="few rounds and steps: under a minute")
    parser.add_argument("--network", default="inceptionv1", help="its name; see above")
    parser.add_argument("--layer", help="default: one in the middle")
    parser.add_argument("--weights", help="a state dict of InceptionV1")
    parser.add_argument("--peer-in-full", action="store_true", help="512 steps of torch-lucent")
    parser.add_argument("--picture", help="with --peer-in-full: its images above ours, a PNG file")
    parser.add_argument("--results", help="a Markdown file that takes a section of results")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        print("No GPU here: the rows of a GPU were not measured.")
        return
    quick = ", quick" if args.quick else ""
    model, trained = open_network(args.network, args.weights, args.device)
    layer = model.layer(args.layer or LAYERS.get(model.name, model.default_layer)).name
    what = "" if model.name == "inceptionv1" else f", {args.network} {layer}"
    with results(args.results, f"Rendering, {args.device}{what}{kind_of_processor()}{quick}"):
        print(machine(model.device))
        print(f"{model.title}, {layer}, {SIZE} px, precision {default_precision(model)}\n")
        measure(model, layer, args, trained=trained)


def measure(model: VisionModel, layer: str, args: argparse.Namespace, *, trained: bool) -> None:
    times, shares = seconds_a_step(model, layer, args.quick)
    peer = times.median(LUCENT)
    one, eight = (peer / times.median(BESIDE.format(b)) for b in (1, 8))
    goals = [
        Goal("batch 1: lucent's step / ours", one, *SOONER.get(model.name, OTHERS)[0]),
        Goal("batch 8, an image: lucent's step / ours", eight, *SOONER.get(model.name, OTHERS)[1]),
    ]
    inception = model.name == "inceptionv1" and layer == LAYER
    if inception and trained and not args.quick:
        known = model.identity in PEER and not args.peer_in_full
        ratio, sooner = quality(model, STEPS, peer / 1e3 if known else None, args.picture)
        goals += [
            Goal("sooner than lucent at its 512-step clean activation", sooner, 20, 50),
            Goal("clean activation at equal steps: ours / lucent's", ratio, 1, 1.1, ".2f"),
        ]
    elif inception:
        goals.append(Goal("sooner than lucent at its 512-step clean activation", None, 20, 50))
    for name, share in shares.items():
        goals.append(
            Goal(f"our step / floor: {name}", share, 1.6, 1.2 if inception else 1.3, ".2f")
        )
    if not inception:
        pass
    elif model.device.type == "cuda" and not args.quick:
        goals.append(Goal("whole layer, seconds", whole_layer(model), 60, 20))
    else:
        goals.append(Goal("on a GPU: whole layer, 508 x 512 steps, seconds", None, 60, 20))
    show_goals(goals)


if __name__ == "__main__":
    main()
