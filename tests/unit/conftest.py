"""What unit tests share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch.utils._python_dispatch import TorchDispatchMode


class _Operations(TorchDispatchMode):
    """Counts the operations that matter."""

    def __init__(self):
        super().__init__()
        self.count = Counter()
        self.weight_gradients = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func.overloadpacket)
        self.count[name] += 1
        if name == "aten.convolution_backward":
            self.weight_gradients += any(args[-1][1:])
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="session")
def count_operations():
    """``with count_operations() as ops``: ``ops.count`` by name, ``ops.weight_gradients``."""
    return _Operations


# Imported once, then a process for every line, which says when it has begun.
OTHERS = """
import os, sys, time, torch
from torch import nn
torch.set_num_threads(1)
import neuron_widget.protocol.encode, neuron_widget.rendering.manifest, neuron_widget.scanning.files
from neuron_widget import load_model
from neuron_widget.store import Store
from neuron_widget.store.fill import fill_images
from neuron_widget.store.reuse import render_steps, scan_steps
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))

def say(what):
    # In one piece: print writes the end of the line apart where Python is told not to buffer.
    os.write(1, f"{what}\\n".encode())

def work(root, task, argument, pause):
    model = load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
    how = dict(steps=8, size=32, precision="float32", batch_size=1)
    store, made = Store(root), 0
    if task == "scan":
        steps = scan_steps(store, model, "2", argument, batch_size=2, workers=0)
    else:
        neurons = [int(n) for n in argument.split(",")]
        make = fill_images if task == "fill" else render_steps
        more = {"on_wait": lambda now: None} if task == "share" else {}
        steps = make(store, model, "2", neurons, **how, **more)
    begun = False
    for step in steps:
        made += getattr(step, "step", 0) == 8
        moving = step is not None and (getattr(step, "part", 1) or getattr(step, "done", 0))
        if moving and not begun:
            say("begun")
            begun = True
        time.sleep(float(pause))
    say(f"made {made}")

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        work(*line.split())
        os._exit(0)
    say(child)
"""


class Others:
    """Other processes at work on a store."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-c", OTHERS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._children: list[int] = []
        self._said: list[str] = []

    def start(self, root: Path, task: str, argument: object, pause: float = 0.0) -> int:
        assert self._parent.stdin is not None
        self._parent.stdin.write(f"{root} {task} {argument} {pause}\n")
        line = self._line()
        while not line.isdigit():  # another child was quicker
            self._said.append(line)
            line = self._line()
        self._children.append(int(line))
        return self._children[-1]

    def begin(self, root: Path, task: str, argument: object, pause: float = 0.0) -> int:
        """Start a process, and wait until it is at work."""
        child = self.start(root, task, argument, pause)
        assert self.read() == "begun"
        return child

    def read(self) -> str:
        """The next that a child said."""
        return self._said.pop(0) if self._said else self._line()

    def _line(self) -> str:
        assert self._parent.stdout is not None
        return self._parent.stdout.readline().strip()

    def close(self) -> None:
        for child in self._children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._parent.kill()
        self._parent.communicate()


@pytest.fixture(scope="module")
def others() -> Iterator[Others]:
    found = Others()
    yield found
    found.close()
