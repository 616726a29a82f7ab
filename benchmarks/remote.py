"""Sessions on one Ray actor: memory, fairness, and what the way there costs against a session here.

    python -m benchmarks.remote                 # everything, on this machine
    python -m benchmarks.remote --students 4 --layer blocks.4 --model efficientnet_lite0

Images and photos that are looked up are put into a store of its own first. It starts Ray on this
machine, which listens to nobody else; run it with nothing else running.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from neuron_widget.cli.serve import _clients
from neuron_widget.cluster.connection import Where, connected
from neuron_widget.remote import places
from neuron_widget.remote.far import FarSession
from neuron_widget.remote.here import SessionHere
from neuron_widget.remote.link import Link
from neuron_widget.remote.ray_server import RayServer
from neuron_widget.remote.rules import Rules
from neuron_widget.remote.wire import wish_of
from neuron_widget.session.arguments import check_arguments
from neuron_widget.session.jobs import Worker
from neuron_widget.session.updates import Updates
from neuron_widget.session.waiting import Waiting

LIMIT_S = 600
STORED = 20  # neurons that the slider is let go on

# What a student's notebook does. Printed: memory of the kernel, in bytes.
KERNEL = """
import sys
from neuron_widget import NeuronWidget
w = NeuronWidget({layer!r}, model={model!r}, cluster={address!r}, auto=False, previews=False)
w.wait(300)
w.render(wait=True)
assert "torch" not in sys.modules
import psutil
own = psutil.Process().memory_full_info()
print(own.rss, own.pss, own.uss)
"""
EMPTY = "import psutil; own = psutil.Process().memory_full_info(); print(own.rss, own.pss, own.uss)"


class Page:
    """A session and its page: draws each frame at once, and notes when what came."""

    def __init__(self, make: Callable[..., Any]):
        self.came: list[tuple[float, dict[str, Any]]] = []
        self._changed = threading.Condition()
        self.session = make(self._hear, lambda: None)
        self.waiting = Waiting(self.session, Updates(lambda: None, None))
        self.say(kind="ready", view="page")
        self.waiting.until_open()

    def _hear(self, message: dict[str, Any], _: Any) -> None:
        with self._changed:
            self.came.append((time.perf_counter(), message))
            self._changed.notify_all()
        if message["kind"] == "frame" and message.get("ack", True):
            self.say(kind="ack", index=message["index"])

    def say(self, **message: Any) -> None:
        """Be the page."""
        self.session.handle(message, [])

    def until(self, since: int, kind: str, neuron: int) -> float:
        """When a message about that neuron came, of those after the first ``since``."""

        def find() -> float | None:
            for when, m in self.came[since:]:
                if m["kind"] == kind and m["target"]["neuron"] == neuron:
                    return when
            return None

        with self._changed:
            assert self._changed.wait_for(lambda: find() is not None, LIMIT_S), kind
        found = find()
        assert found is not None
        return found


def far(actor: Any, ray: Any, options: dict[str, Any], name: str) -> Callable[..., FarSession]:
    none = dict.fromkeys(("weights", "dataset", "device", "store"))
    wish, settings = wish_of(neuron=0, **none, **options)

    def make(send: Any, on_change: Any) -> FarSession:
        def reach() -> RayServer:
            return RayServer(ray, actor)

        session = FarSession(wish, settings, "auto", reach, send, on_change)
        assert isinstance(session._link, Link)
        session._link._client = name
        return session

    return make


def here(store: Path, options: dict[str, Any]) -> Callable[..., SessionHere]:
    none = dict.fromkeys(("weights", "device"))
    settings = check_arguments(neuron=0, dataset="samples", store=store, **none, **options)
    return lambda send, on_change: SessionHere(settings, send, on_change, Worker(fair=True))


def target(layer: str, neuron: int) -> dict[str, Any]:
    return {"kind": "channel", "layer": layer, "neuron": neuron}


def slider(page: Page, layer: str, steps: int) -> list[float]:
    """Seconds from letting go the slider to the stored image, of each neuron."""
    found = []
    for neuron in range(1, STORED):
        since, begin = len(page.came), time.perf_counter()
        page.say(kind="select", seq=neuron, target=target(layer, neuron), steps=steps, settled=True)
        found.append(page.until(since, "image", neuron) - begin)
        time.sleep(0.05)
    return found


def frames(page: Page, layer: str, neuron: int, steps: int) -> float:
    """Frames a second while an image forms, which nobody has."""
    since = len(page.came)
    page.say(kind="start", target=target(layer, neuron), steps=steps)
    page.until(since, "image", neuron)
    when = [at for at, m in page.came[since:] if m["kind"] == "frame"]
    return (len(when) - 1) / (when[-1] - when[0])


def memory(actor: Any, ray: Any) -> float:
    """What only the actor's process has in memory, in MB."""
    pid = ray.get(actor.call.remote("facts"))["pid"]
    return psutil.Process(pid).memory_full_info().uss / 1e6


@contextmanager
def kernel() -> Iterator[Callable[[str], str]]:
    """A real kernel, as a notebook has it."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3")

    def run(code: str) -> str:
        said: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            content = message["content"]
            said.append(content.get("text", "") or "\n".join(content.get("traceback", [])))

        client.execute_interactive(code, timeout=LIMIT_S, output_hook=hear)
        return "".join(said)

    try:
        yield run
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def of_kernel(layer: str, model: str, address: str) -> dict[str, list[float]]:
    found = {}
    for name, code in (
        ("empty", EMPTY),
        ("with a widget", KERNEL.format(layer=layer, model=model, address=address)),
    ):
        with kernel() as run:
            said = run(code).split()
        found[name] = [round(int(number) / 1e6, 1) for number in said[-3:]]
    return found


def measure(students: int, model: str, layer: str, steps: int) -> None:
    """Measure everything, and print what was found, also where it ends early."""
    base = Path(tempfile.mkdtemp(prefix="nw-"))
    os.environ["RAY_TMPDIR"] = str(base)
    options: dict[str, Any] = {"layer": layer, "model": model, "auto": False, "previews": False}
    options["steps"] = steps
    found: dict[str, Any] = {"model": model, "layer": layer, "steps": steps, "students": students}
    try:
        with connected(Where("local")) as ray:
            rules = Rules(model=model, layer=layer, store=str(base / "store"))
            ((_, actor, _),) = places.start(ray, rules, stays=True)
            pages = [Page(far(actor, ray, options, "student 0"))]
            for neuron in range(STORED):  # what will be looked up
                pages[0].session.select(neuron=neuron)
                pages[0].waiting.until_done(pages[0].session.render())
            found["frames a second, far"] = frames(pages[0], layer, STORED + 30, 20 * steps)
            far_s = slider(pages[0], layer, steps)
            one = memory(actor, ray)
            names = [f"student {i}" for i in range(1, students)]
            pages += [Page(far(actor, ray, options, name)) for name in names]
            found["actor, 1 session, MB"] = one
            found[f"actor, {students} sessions, MB"] = memory(actor, ray)
            found |= together(pages, layer, 5 * steps)
            found[f"actor, {students} that have rendered at once, MB"] = memory(actor, ray)
            time.sleep(12)  # every few seconds it gives back what nothing uses
            found["the same, 12 s later, MB"] = memory(actor, ray)
            for page in pages:
                page.session.close()
            with _clients(ray, "127.0.0.1", 23461):
                found["kernel: rss, pss, uss, MB"] = of_kernel(
                    layer, model, "ray://127.0.0.1:23461"
                )
        local = Page(here(base / "store", options))
        found["frames a second, here"] = frames(local, layer, STORED + 31, 20 * steps)
        here_s = slider(local, layer, steps)
        for name, seconds in (("far", far_s), ("here", here_s)):
            found[f"slider to stored image, {name}, ms"] = 1e3 * statistics.median(seconds)
        local.session.close()
    finally:
        shutil.rmtree(base, ignore_errors=True)
        for name, value in found.items():
            told = f"{value:.1f}" if isinstance(value, float) else json.dumps(value)
            print(f"{name:>40}  {told}")


def together(pages: list[Page], layer: str, steps: int) -> dict[str, Any]:
    """All ask for another neuron at once: when the first and the last of them see it form."""
    # A step of one of them alone.
    page, alone = pages[0], STORED + 40
    since = len(page.came)
    asked = time.perf_counter()
    page.say(kind="start", target=target(layer, alone), steps=steps)
    begin_alone = page.until(since, "frame", alone)
    step = (page.until(since, "image", alone) - begin_alone) / steps
    counts = [len(page.came) for page in pages]
    begin = time.perf_counter()
    for i, page in enumerate(pages):
        page.say(kind="start", target=target(layer, STORED + 50 + i), steps=steps)
    first = [
        page.until(count, "frame", STORED + 50 + i) - begin
        for i, (page, count) in enumerate(zip(pages, counts, strict=True))
    ]
    for i, page in enumerate(pages):
        page.until(counts[i], "image", STORED + 50 + i)
    told = [
        done_at(page, count, begin + max(first)) for page, count in zip(pages, counts, strict=True)
    ]
    seen = [
        sum(m["kind"] == "frame" for _, m in page.came[count:])
        for page, count in zip(pages, counts, strict=True)
    ]
    return {
        "first frame of one alone, ms": 1e3 * (begin_alone - asked),
        "a step alone, ms": 1e3 * step,
        "first frame of the first, ms": 1e3 * min(first),
        "first frame of the last, ms": 1e3 * max(first),
        "between them, in steps": (max(first) - min(first)) / step,
        "steps of all until the last saw one": sum(told),
        "frames that each saw": sorted(seen),
    }


def done_at(page: Page, since: int, when: float) -> int:
    """How many steps of its image a page had been told of at that time."""
    told = [m for at, m in page.came[since:] if at <= when]
    frames = [m["step"] for m in told if m["kind"] == "frame"]
    rows = [m["done"] for m in told if m["kind"] == "progress" and m["task"] == "render"]
    return max(frames + rows, default=0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=12)
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--layer", default="blocks.4")
    parser.add_argument("--steps", type=int, default=16)
    given = parser.parse_args()
    measure(given.students, given.model, given.layer, given.steps)
    return 0


if __name__ == "__main__":
    sys.exit(main())
