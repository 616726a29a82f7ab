"""What the benchmarks share: timing round by round, goals with a verdict, a file of results."""

from __future__ import annotations

import contextlib
import datetime
import io
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model

PACKAGES = ("neuron-widget", "torch", "torch-lucent", "torchvision", "pillow", "numpy")

# Layers in the middle, for the commonest networks.
LAYERS = {
    "inceptionv1": "mixed4a",
    "efficientnet_lite0": "blocks.4",
    "torchvision/resnet50": "layer3",
    "torchvision/vgg16": "features.20",
}


class Times:
    """Milliseconds a unit (a photo, a step of an image) of each contestant, round by round."""

    def __init__(self, device: torch.device):
        self.device = device
        self.of: dict[str, list[float]] = {}

    def take(self, name: str, units: int, work: Callable[[], object]) -> None:
        """Run ``work`` once and note its time."""
        self._wait()
        start = time.perf_counter()
        work()
        self._wait()
        self.of.setdefault(name, []).append((time.perf_counter() - start) / units * 1e3)

    def median(self, name: str) -> float:
        """Return the median over the rounds."""
        return statistics.median(self.of[name])

    def show(self, unit: str, peer: str, floors: dict[str, float] | None = None) -> None:
        """Print a line a contestant, beside the peer and its floor (ms)."""
        print(
            f"{'ms ' + unit:<46}{'median':>9}  {'least..most':<20}{'peer / it':>10}{'/ floor':>9}"
        )
        for name, values in self.of.items():
            median = self.median(name)
            floor = (floors or {}).get(name)
            print(
                f"{name:<46}{median:>9.2f}  {f'{min(values):.2f}..{max(values):.2f}':<20}"
                f"{self.median(peer) / median:>10.1f}{f'{median / floor:.2f}' if floor else '':>9}"
            )

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@dataclass(frozen=True)
class Goal:
    """A figure to reach: at least ``reach``, or at most where ``aim`` is below it."""

    figure: str
    measured: float | None
    reach: float
    aim: float
    form: str = ".1f"

    def line(self) -> str:
        """One line of the table; a figure that was not measured says so."""
        most = self.aim < self.reach
        if self.measured is None:
            value, verdict = "not measured", ""
        else:
            aimed, passed = (
                self.measured <= goal if most else self.measured >= goal
                for goal in (self.aim, self.reach)
            )
            value = self._(self.measured)
            verdict = "aim" if aimed else "reached" if passed else "NOT reached"
        return (
            f"{self.figure:<58}{value:>14}{self._(self.reach):>10}{self._(self.aim):>9}  {verdict}"
        )

    def _(self, value: float) -> str:
        return format(value, self.form)


def show_goals(goals: list[Goal]) -> None:
    """Print the table of goals."""
    print(f"\n{'figure':<58}{'measured':>14}{'to reach':>10}{'aim':>9}")
    for goal in goals:
        print(goal.line())


def test_data(*parts: str) -> str | None:
    """Return a path in the folder that ``NEURON_WIDGET_TEST_DATA`` names; None if it names none."""
    data = os.environ.get("NEURON_WIDGET_TEST_DATA")
    return None if data is None else str(Path(data, *parts))


def test_weights() -> str | None:
    """Return the file of trained InceptionV1 weights among the test data."""
    return test_data("weights", "inceptionv1_google2015.pth")


def open_network(name: str, weights: str | None, device: str) -> tuple[VisionModel, bool]:
    """The network that ``--network`` names, and whether it is trained."""
    if name == "inceptionv1":
        weights = weights or test_weights()
        return load_model(name, weights=weights or "random", device=device), weights is not None
    if name == "efficientnet_lite0":
        return load_model(name, weights=weights, device=device), True
    full = name if "/" in name else f"torchvision/{name}"
    return load_model(full, weights=weights or "random", device=device), weights is not None


def kind_of_processor() -> str:
    """For titles: empty for the processor as it is, else what it is made to simulate."""
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    if not isa:
        return ""
    # oneDNN alone obeys this variable; the other two are of MKL and of torch's own kernels.
    also = [v for v in ("MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY") if v in os.environ]
    left = "" if len(also) == 2 else " (in oneDNN alone)"
    return f", {isa.upper().replace('_', ' ')} simulated{left}"


def machine(device: torch.device) -> str:
    """Processor, threads, versions and date; no name of the machine or of a person."""
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    else:
        cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads"
        where = f"{_processor()}{kind_of_processor()}, {cores}"
    versions = []
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions.append(f"{name} {metadata.version(name)}")
    load = f", load before {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    python = platform.python_version()
    return f"{date}; {where}{load}\nPython {python}, {', '.join(versions)}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                text = line.partition(":")[2].strip()
                known = info.read_text("utf-8").split()
                flags = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in known]
                best = flags[-1:] if flags[-1:] in (["avx2"], ["avx512f"]) else flags[2:]
                return " ".join([text, *best])
    return platform.processor() or platform.machine()


@contextlib.contextmanager
def results(file: str | None, title: str) -> Iterator[None]:
    """Whatever is printed inside also becomes a section of a Markdown file, in place of its own."""
    if file is None:
        yield
        return
    printed = io.StringIO()

    class Both(io.TextIOBase):
        def write(self, text: str) -> int:
            printed.write(text)
            return screen.write(text)

        def flush(self) -> None:
            screen.flush()

    screen = sys.stdout
    with contextlib.redirect_stdout(Both()):
        yield
    path = Path(file)
    old = path.read_text("utf-8") if path.is_file() else "# Results of the benchmarks\n"
    sections = [s for s in old.split("\n## ") if s.strip()]
    body = f"{title}\n\n```text\n{printed.getvalue().strip()}\n```\n"
    kept = [s.rstrip("\n") + "\n" for s in sections if s.partition("\n")[0] != title]
    path.write_text("\n## ".join([*kept, body]), "utf-8")
