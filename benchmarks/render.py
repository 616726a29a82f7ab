"""How fast a picture forms, beside torch-lucent and beside the convolutions that are needed.

    python benchmarks/render.py [--device cpu|cuda] [--quick] [--weights FILE]

Everybody runs in turn, round after round, in one process, with the seed notebook's settings:
mixed4a, 224 px, Fourier spectrum, Adam, the seed's augmentations. The tables show the median, the
spread (least..most) and ratios of medians. Without weights (``NEURON_WIDGET_TEST_DATA`` holds some)
the network is untrained: the times are the same, the second table is left out.

* The peer: torch-lucent's ``render_vis``, one call of several steps, one image at a time (it draws
  one augmentation for a whole batch, so a batch is not the same work), on a fresh module each time
  (it leaves a hook on every module, which would slow down the next call).
* The floor: the layer's own convolutions and those before it, forward and gradient of the input,
  on dummy activations at our size, batch and precision. Nothing else: no ReLU, no pooling.
"""

from __future__ import annotations

import argparse
import copy
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from neuron_widget.models import VisionModel
from neuron_widget.rendering import render, render_steps
from neuron_widget.rendering.lucent_engine import RightLRN, lucent_module, lucents, seed_transforms
from neuron_widget.rendering.settings import REDIRECT_STEPS, default_precision
from neuron_widget.zoo import load_model

LAYER, SIZE, STEPS = "mixed4a", 224, 512
NEURONS = (68, 257, 427, 486, 501)


class Table:
    """Milliseconds for one step of one image, contestant by contestant."""

    def __init__(self, device: torch.device):
        self.device = device
        self.times: dict[str, list[float]] = {}

    def time(self, name: str, image_steps: int, work: Callable[[], object]) -> None:
        """Run ``work`` once and note its time."""
        self._wait()
        start = time.perf_counter()
        work()
        self._wait()
        self.times.setdefault(name, []).append((time.perf_counter() - start) / image_steps * 1e3)

    def median(self, name: str) -> float:
        """Return the median over the rounds."""
        return statistics.median(self.times[name])

    def row(self, name: str, peer: str, floor: str = "") -> None:
        """Print one line, beside the peer and the floor."""
        values, median = self.times[name], self.median(name)
        spread = f"{min(values):.2f}..{max(values):.2f}"
        ratio = f"{self.median(peer) / median:.1f}"
        share = f"{median / self.median(floor):.2f}" if floor else ""
        print(f"{name:<40}{median:>10.2f}  {spread:<18}{ratio:>13}{share:>16}")

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def peer_steps(model: VisionModel, module: nn.Module, neuron: int, steps: int) -> Tensor:
    """One call of ``render_vis``; the image ``(1, 3, H, W)``."""
    param, objectives = lucents("optvis.param"), lucents("optvis.objectives")
    with warnings.catch_warnings(), RightLRN():
        warnings.simplefilter("ignore")
        images = lucents("optvis.render").render_vis(
            module,
            objectives.channel(LAYER, neuron),
            param_f=lambda: param.image(SIZE, fft=True, decorrelate=True),
            optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.05),
            transforms=[*seed_transforms(), model.preprocess],
            preprocess=False,
            thresholds=(steps,),
            progress=False,
            show_image=False,
        )
    return torch.from_numpy(images[0]).permute(0, 3, 1, 2)


def our_steps(model: VisionModel, batch: int, precision: str) -> Callable[[int], None]:
    """A rendering under way, past the steps with redirected ReLU: call it to go on."""
    work = render_steps(
        model, LAYER, range(batch), size=SIZE, steps=100_000, batch_size=batch, precision=precision
    )

    def go_on(steps: int) -> None:
        for _ in range(steps):
            next(work)

    go_on(REDIRECT_STEPS + 2)
    return go_on


def floor_step(model: VisionModel, batch: int, precision: str) -> Callable[[], None]:
    """Forward and input gradient of every convolution up to the layer, on dummy activations."""
    dtype = getattr(torch, precision)
    seen: list[tuple[nn.Conv2d, Tensor]] = []
    handles = [
        m.register_forward_hook(lambda m, args, _out: seen.append((m, args[0])))
        for m in model.module.modules()
        if isinstance(m, nn.Conv2d)
    ]
    with torch.no_grad(), model.reading(LAYER) as read:
        read(torch.rand(batch, 3, SIZE, SIZE, device=model.device))
    for handle in handles:
        handle.remove()
    work = []
    for conv, x in seen:
        # The stem pads by itself (TensorFlow's SAME): here its input is padded already.
        pad = (3, 3) if conv.kernel_size == (7, 7) else conv.padding
        x = torch.randn_like(x).to(dtype).contiguous(memory_format=torch.channels_last)
        weight, bias = (p.detach().to(dtype) for p in (conv.weight, conv.bias))
        out = torch.conv2d(x, weight, bias, conv.stride, pad)
        work.append((torch.randn_like(out), x, weight, bias, conv.stride, pad))

    def step() -> None:
        for _, x, weight, bias, stride, pad in work:
            torch.conv2d(x, weight, bias, stride, pad)
        for gradient, x, weight, _, stride, pad in reversed(work):
            torch.ops.aten.convolution_backward(
                gradient,
                x,
                weight,
                None,
                stride,
                pad,
                (1, 1),
                False,
                (0, 0),
                1,
                (True, False, False),
            )

    step()
    return step


def seconds_a_step(model: VisionModel, quick: bool) -> Table:
    table = Table(model.device)
    best = default_precision(model.device)
    module = lucent_module(model)
    settings = [(b, p) for p in dict.fromkeys((best, "float32")) for b in (1, 8)]
    ours = {f"ours, batch {b}, {p}": (b, our_steps(model, b, p)) for b, p in settings}
    floors = {f"floor, batch {b}, {p}": (b, floor_step(model, b, p)) for b, p in settings}
    peer, peers, steps = "lucent render_vis, batch 1", 4 if quick else 12, 4 if quick else 24
    peer_steps(model, copy.deepcopy(module), 0, 2)
    for _ in range(2 if quick else 7):
        fresh = copy.deepcopy(module)
        table.time(peer, peers, lambda m=fresh: peer_steps(model, m, 68, peers))
        for name, (batch, go_on) in ours.items():
            table.time(name, steps * batch, lambda g=go_on: g(steps))
        for name, (batch, step) in floors.items():
            table.time(name, steps * batch, lambda s=step: [s() for _ in range(steps)])
    print(f"\n{'':<40}{'ms a step':>10}  {'spread':<18}{'lucent / it':>13}{'it / its floor':>16}")
    print(f"{'':<40}{'an image':>10}")
    table.row(peer, peer)
    for name in ours:
        table.row(name, peer, name.replace("ours", "floor"))
    for name in floors:
        table.row(name, peer)
    return table


def seconds_to_quality(model: VisionModel, steps: int) -> None:
    """How long each needs for the clean activation that lucent reaches in ``steps`` steps."""
    module = lucent_module(model)
    start = time.perf_counter()
    images = [peer_steps(model, copy.deepcopy(module), n, steps) for n in NEURONS]
    theirs = time.perf_counter() - start
    with torch.no_grad(), model.reading(LAYER) as read:
        pictures = torch.cat(images).to(model.device)
        means = read(pictures).mean((2, 3)).cpu()
    target = sum(float(means[i, n]) for i, n in enumerate(NEURONS)) / len(NEURONS)
    passed = equal = None
    for step in render_steps(model, LAYER, NEURONS, steps=2 * steps, batch_size=len(NEURONS)):
        if step.step % 8 == 0:
            now = step.result()
            if passed is None and now.activation.mean() >= target:
                passed = (step.step, now.seconds)
            if step.step == steps:
                equal = now
            if passed and equal:
                break
    print(f"\nClean activation of mixed4a {NEURONS}, mean: lucent after {steps} steps {target:.0f}")
    print(
        f"  lucent: {theirs:.1f} s, one after the other (right normalisation, the seed's settings)"
    )
    assert equal is not None
    print(f"  ours after {steps} steps: {equal.activation.mean():.0f}, {equal.seconds:.1f} s")
    if passed is None:
        print(f"  ours did not reach {target:.0f} in {2 * steps} steps")
    else:
        print(f"  ours reaches {target:.0f} at step {passed[0]}, {passed[1]:.1f} s: "
              f"{theirs / passed[1]:.1f} times sooner")  # fmt: skip


def whole_layer(model: VisionModel) -> None:
    count = model.layer(LAYER).channels
    start = time.perf_counter()
    result = render(model, LAYER, range(count), steps=STEPS, size=SIZE, progress=False)
    print(
        f"\nThe whole layer, {count} neurons x {STEPS} steps x {SIZE} px: "
        f"{time.perf_counter() - start:.1f} s, mean clean activation {result.activation.mean():.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and no 512-step peer")
    parser.add_argument("--weights", help="a state dict of InceptionV1")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("No CUDA device here: nothing was measured.")
    weights = args.weights
    if weights is None and (data := os.environ.get("NEURON_WIDGET_TEST_DATA")):
        weights = Path(data) / "weights" / "inceptionv1_google2015.pth"
    model = load_model("inceptionv1", weights=weights or "random", device=args.device)
    where = (
        torch.cuda.get_device_name()
        if args.device == "cuda"
        else f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    )
    print(f"{model.title}, {LAYER}, {SIZE} px; torch {torch.__version__}; {where}; "
          f"default precision {default_precision(model.device)}")  # fmt: skip
    seconds_a_step(model, args.quick)
    if weights is None:
        print("\nUntrained network: no quality to compare.")
    else:
        seconds_to_quality(model, 24 if args.quick else STEPS)
    if args.device == "cuda" and not args.quick:
        whole_layer(model)


if __name__ == "__main__":
    main()
