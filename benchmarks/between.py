"""Where, on the way from one neuron to another, do pictures keep as much of either?

    NEURON_WIDGET_TEST_DATA=... python benchmarks/between.py [--steps 64] [--size 128]
                                                             [--results FILE]

Half way is wanted: there a strip between two pins shows what both have in common. A plain mixture,
each end's weight over what it reaches by itself, is often of the one that is easier to make;
:func:`neuron_widget.rendering.together.between` tries mixtures first. A strip has six pictures; the
place is where the two curves of shares cross, 0 at the first picture, 1 at the last.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from report import machine, results, test_weights

from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.objectives import interpolate
from neuron_widget.progress import drain
from neuron_widget.rendering import render
from neuron_widget.rendering.together import between, worth
from neuron_widget.targets import Target, group, parse

PAIRS = (
    ("mixed4a:68", "mixed4a:97"),
    ("mixed4a:68", "mixed4a:486"),
    ("mixed4a:257", "mixed4a:427"),
    ("mixed4a:486", "mixed4a:501"),
    ("mixed3b:100", "mixed4c:200"),
    ("logits:207", "logits:281"),
)


def crossing(first: list[float], last: list[float]) -> float:
    """Where one share falls below the other; 0 or 1 where it does nowhere."""
    apart = np.subtract(first, last)
    below = np.flatnonzero(apart < 0)
    if len(below) == 0 or below[0] == 0:
        return float(len(below) == 0)
    i = int(below[0])
    return float(i - 1 + apart[i - 1] / (apart[i - 1] - apart[i])) / (len(apart) - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--results", help="a Markdown file that takes a section of results")
    args = parser.parse_args()
    weights = test_weights()
    if weights is None:
        print("No trained InceptionV1: NEURON_WIDGET_TEST_DATA names no folder with weights.")
        return
    model = load_model("inceptionv1", weights=weights, device="cpu")
    with results(args.results, "Between two neurons"):
        print(machine(model.device))
        show(model, args.steps, args.size)


def show(model: VisionModel, steps: int, size: int) -> None:
    """The table."""
    how = {"steps": steps, "size": size}
    print(f"{steps} steps, {size} px: where both keep the same share (0.5 is half way)")
    print(f"{'from':<14}{'to':<14}{'plain':>7}{'tried':>7}   shares of either, tried")
    off: list[tuple[float, float]] = []
    for names in PAIRS:
        first, last = (parse(name).check(model) for name in names)
        ends = [render(model, t, progress=False, **how) for t in (first, last)]
        singles = tuple(float(end.activation[0]) for end in ends)
        pictures = [end.images[0] for end in ends]
        tried = drain(
            between(model, (first, last), "channel", singles, pictures, how),
            progress=False,
            title="",
            unit="step",
        )
        aligned = [part for part in tried.terms if "alignment" in str(part[1])]
        plain = interpolate(first, singles[0] / singles[1] * last)
        for weight, part in aligned:
            plain = plain + weight * part
        places = []
        for one in (plain, tried):
            shares = kept(model, one, (first, last), singles, how)
            places.append(crossing(*shares))
        off.append((abs(places[0] - 0.5), abs(places[1] - 0.5)))
        told = "  ".join(" ".join(f"{v:.2f}" for v in row) for row in shares)
        print(f"{names[0]:<14}{names[1]:<14}{places[0]:7.2f}{places[1]:7.2f}   {told}", flush=True)
    means = np.mean(off, axis=0)
    print(f"{'mean distance from half way':<28}{means[0]:7.2f}{means[1]:7.2f}")


def kept(
    model: VisionModel,
    strip: Target,
    pair: tuple[Target, Target],
    singles: tuple[float, ...],
    how: dict[str, Any],
) -> list[list[float]]:
    """Of each of the two what the six pictures keep."""
    images = render(model, group(strip, 6), progress=False, **how).images
    found = [worth(model, target, "channel", images) for target in pair]
    return [[v / own for v in row] for row, own in zip(found, singles, strict=True)]


if __name__ == "__main__":
    main()
