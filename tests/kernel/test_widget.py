"""The widget in a real kernel, as Python and a page use it."""

from __future__ import annotations

import ast
import hashlib
import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.kernel

Kernel = Any


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures of noise in two classes, and a file that is none."""
    root = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for i in range(20):
        name = root / ("smooth" if i % 2 else "rough") / f"{i}.png"
        name.parent.mkdir(exist_ok=True)
        side = 8 if i % 2 else 128
        noise = random.integers(0, 255, (side, side, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((128, 128)).save(name)
    (root / "rough" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    return root


@pytest.fixture
def make(kernel: Kernel, folder: Path) -> Any:
    """Make a widget ``w`` in the kernel; its comm."""

    def make_it(arguments: str = "auto=False", cell: str = "") -> str:
        said = kernel.run(
            "from neuron_widget import NeuronWidget\n"
            f"w = NeuronWidget('blocks.3', dataset={str(folder)!r}, size=64, steps=24,"
            f" {arguments})\n"
            "print(w.model_id)",
            cell,
        )
        assert len(said.split()) == 1, said
        return said.strip()

    yield make_it
    kernel.run("w.close()")


def is_kind(kind: str, **more: object) -> Any:
    return lambda m: (
        m.get("kind") == kind
        and all((m.get("target") or {}).get(k, m.get(k)) == v for k, v in more.items())
    )


def ready(kernel: Kernel, widget: str) -> None:
    kernel.wait_for(widget, is_kind("opened"))
    kernel.send(widget, {"kind": "ready", "view": "a"})
    kernel.wait_for(widget, is_kind("snapshot"))


def target(neuron: object, layer: str = "blocks.3") -> dict[str, object]:
    return {"kind": "channel", "layer": layer, "neuron": neuron}


def test_open_render_scan_and_reload(kernel: Kernel, make: Any) -> None:
    widget = make("neuron=6")
    opened, _ = kernel.wait_for(widget, is_kind("opened"))
    assert opened["network"]["title"] == "EfficientNet-Lite0"
    size = {"channels": 80, "height": 14, "width": 14}
    layer = {"name": "blocks.3", **size, "group": "blocks"}
    assert layer in opened["network"]["layers"]
    kernel.send(widget, {"kind": "ready", "view": "a"})
    kernel.wait_for(widget, is_kind("snapshot"))

    # It renders and scans by itself, and may be done before the view is there: what follows is of
    # another neuron, chosen when it is, with no frame on its way that nobody answers.
    assert "Error" not in kernel.run("w.wait()")
    kernel.send(widget, {"kind": "ack", "index": 1000})
    select = {"kind": "select", "seq": 1, "target": target(7), "steps": 24}
    kernel.send(widget, {**select, "settled": True})
    (_, (jpeg,)), (image, (png,)), (photos, buffers) = kernel.wait_for_all(
        widget,
        is_kind("frame", neuron=7),
        is_kind("image", neuron=7),
        is_kind("photos", neuron=7, scanned=20),
    )
    assert Image.open(io.BytesIO(jpeg)).format == "JPEG"
    assert Image.open(io.BytesIO(png)).size == (64, 64)
    assert image["step"] == image["steps"] == 24
    assert image["activation"] > 0

    assert [len(photos["most"]), len(photos["least"]), len(buffers)] == [9, 9, 36]
    assert photos["scanned"] == 20
    scores = [p["score"] for p in photos["most"]]
    assert scores == sorted(scores, reverse=True)
    assert len(buffers[1]) == 14 * 14

    # A reload: the same again in one message, and nothing is computed for it.
    kernel.send(widget, {"kind": "ready", "view": "b"})
    snapshot, buffers = kernel.wait_for(widget, is_kind("snapshot"))
    kinds = [m["kind"] for m in snapshot["messages"]]
    for kind in ("selected", "opened", "dataset", "strengths", "thumbs", "image", "photos"):
        assert kind in kinds
    assert sum(snapshot["counts"]) == len(buffers)
    dataset = snapshot["messages"][kinds.index("dataset")]["dataset"]
    assert dataset["skipped_count"] == 1
    assert "broken.jpg" in dataset["skipped"][0]
    assert png in buffers


def test_newest_wins_and_stop_keeps_what_is_there(kernel: Kernel, make: Any) -> None:
    widget = make()
    ready(kernel, widget)
    start = {"kind": "start", "steps": 5000}
    kernel.send(widget, {**start, "target": target(1)})
    kernel.wait_for(widget, is_kind("frame", neuron=1))
    kernel.send(widget, {**start, "target": target(2)})
    kernel.wait_for(widget, is_kind("frame", neuron=2))
    kernel.send(widget, {"kind": "stop", "task": "render"})
    image, _ = kernel.wait_for(widget, is_kind("image", neuron=2))
    kernel.wait_for(widget, is_kind("progress", task="render", neuron=2, state="stopped"))
    assert 0 < image["step"] < 5000
    assert "True 2" in kernel.run(
        "print(1 in {t.neuron for t in w._session.state.cache.renderings}, w.neuron)"
    )


def test_frames_wait_for_the_page(kernel: Kernel, make: Any) -> None:
    widget = make()
    ready(kernel, widget)
    kernel.send(widget, {"kind": "visible", "view": "a", "visible": False, "gone": False})
    kernel.send(widget, {"kind": "start", "target": target(3), "steps": 60})
    done, seen = is_kind("progress", task="render", state="done"), set()

    def ended(message: dict[str, Any]) -> bool:
        seen.add(message.get("kind"))
        return bool(done(message))

    kernel.wait_for(widget, ended)
    assert "frame" not in seen


def test_the_kernel_stays_usable_while_it_works(kernel: Kernel, make: Any, tmp_path: Path) -> None:
    widget = make()
    ready(kernel, widget)
    kernel.send(widget, {"kind": "start", "target": target(4), "steps": 100000})
    kernel.wait_for(widget, is_kind("frame"))
    assert "rendering blocks.3 neuron 4" in kernel.run("print(w.status)")
    # Frames flow while a cell runs: this one ends only after they came.
    there, over = tmp_path / "there", tmp_path / "over"
    kernel.start(
        "import time, pathlib\n"
        f"pathlib.Path({str(there)!r}).touch()\n"
        f"while not pathlib.Path({str(over)!r}).exists(): time.sleep(0.01)"
    )
    while not there.exists():
        time.sleep(0.01)
    # What was under way when the cell began, and what came in it.
    kernel.messages.clear()
    for _ in range(5):
        kernel.wait_for(widget, is_kind("frame"))
    over.touch()
    kernel.run("w.stop(); w.wait()")


def test_python_side(kernel: Kernel, make: Any, tmp_path: Path) -> None:
    make()
    said = kernel.run(
        f"""
        import ipywidgets
        r = w.render(wait=True)
        e = w.scan(wait=True)
        assert r is w.result and r.neurons == (0,) and r.steps == 24
        assert w.image.size == (64, 64)
        assert len(e["most"]) == len(e["least"]) == 9
        s = ipywidgets.IntSlider(min=0, max=79)
        link = ipywidgets.link((s, "value"), (w, "neuron"))
        s.value = 11
        assert w.neuron == 11
        seen = []
        w.observe(lambda c: seen.append(c["new"]), "neuron")
        w.neuron = 12
        assert s.value == 12 and seen == [12]
        try:
            w.neuron = 80
        except ValueError as error:
            print(error)
        assert w.neuron == 12
        w.steps = 30
        assert w.render(wait=True).steps == 30
        w.steps = 40
        more = w.render(wait=True)
        assert more.steps == 40
        for name in ("status", "progress"):
            try:
                setattr(w, name, 1)
                print("not read-only")
            except Exception as error:
                pass
        path = w.save_figure({str(tmp_path / "figure.png")!r})
        assert path.stat().st_size > 10_000
        print(w.snapshot().size)
        """.replace("\n        ", "\n")
    )
    assert "blocks.3 has 80 neurons, 0 to 79; there is no neuron 80" in said
    assert "Error" not in said, said
    assert "not read-only" not in said


def test_functions_that_observe_run_between_cells(kernel: Kernel, make: Any) -> None:
    widget = make()
    ready(kernel, widget)
    kernel.run(
        """
        import threading
        threads, rendered = set(), []
        def on_neuron(change):
            rendered.append((change["new"], w.render(wait=True).neurons))
        def on_status(change):
            threads.add(threading.current_thread())
            raise KeyError("oh no")
        w.observe(on_neuron, "neuron")
        w.observe(on_status, "status")
        """.replace("\n        ", "\n")
    )
    # Chosen on the page: the observer waits for the work in the thread that runs cells.
    select = {"kind": "select", "seq": 1, "target": target(9), "steps": 24}
    kernel.send(widget, {**select, "settled": True})
    kernel.wait_for(widget, is_kind("progress", task="render", state="done"))
    said = kernel.run("print(rendered, threads == {threading.main_thread()}, w.status)")
    assert said.strip() == "[(9, (9,))] True ready"
    kernel.send(widget, {"kind": "ready", "view": "b"})
    snapshot, _ = kernel.wait_for(widget, is_kind("snapshot"))
    (image,) = [m for m in snapshot["messages"] if m["kind"] == "image"]
    (error,) = [m for m in snapshot["messages"] if m["kind"] == "error"]
    assert (image["target"]["neuron"], image["step"]) == (9, 24)
    assert "oh no" in error["message"]


def test_a_cell_may_await_a_change(kernel: Kernel, make: Any) -> None:
    ready(kernel, make())
    said = kernel.run(
        """
        import asyncio
        def change(name):
            future = asyncio.get_running_loop().create_future()
            def on_change(change):
                w.unobserve(on_change, name)
                future.set_result(change["new"])
            w.observe(on_change, name)
            return future
        w.render()
        while await change("progress") < 1:
            pass
        print(w.image.size)
        """.replace("\n        ", "\n")
    )
    assert said.strip() == "(64, 64)"


def test_an_interrupt_stops_and_keeps(kernel: Kernel, make: Any) -> None:
    widget = make()
    ready(kernel, widget)
    kernel.run("w.steps = 100000")
    request = kernel.start("w.render(wait=True)")
    kernel.wait_for(widget, is_kind("frame"))
    kernel.manager.interrupt_kernel()
    assert request
    said = kernel.run("print(w.result.steps > 0, len(w._session.foreground()))")
    assert "True 0" in said, said


def test_running_the_cell_again_leaves_no_orphan(kernel: Kernel, make: Any) -> None:
    first = make("auto=False", cell="c1")
    ready(kernel, first)
    kernel.send(first, {"kind": "start", "target": target(1), "steps": 100000})
    kernel.wait_for(first, is_kind("frame"))
    kernel.run("old = w")
    make("auto=False", cell="c1")
    assert (
        kernel.run("print(old._session.state.closed, w._session.state.closed)").strip()
        == "True False"
    )
    kernel.run("import time\nwhile old._session.state.jobs(): time.sleep(0.01)")
    # Another cell's widget is left alone.
    kernel.run("mine = w")
    make("auto=False", cell="c2")
    assert kernel.run("print(mine._session.state.closed)").strip() == "False"
    kernel.run("mine.close(); old.close()")


def test_missing_weights_offer_the_embedded_network(kernel: Kernel, folder: Path) -> None:
    widget = kernel.run(
        "import os; os.environ['NEURON_WIDGET_WEIGHTS'] = '/no/such/file.pth'\n"
        "from neuron_widget import NeuronWidget\n"
        f"w = NeuronWidget('mixed4a', neuron=500, dataset={str(folder)!r}, auto=False)\n"
        "print(w.model_id)"
    ).strip()
    error, _ = kernel.wait_for(widget, is_kind("error", where="network"))
    assert "/no/such/file.pth" in error["message"]
    assert error["action"] == "embedded"
    for call in ("w.render(wait=True)", "w.scan(wait=True)", "w.wait()", "w.wait()"):
        assert "WeightsUnavailable" in kernel.run(call), call
    kernel.send(widget, {"kind": "open_embedded"})
    opened, _ = kernel.wait_for(widget, is_kind("opened"))
    assert opened["network"]["name"] == "efficientnet_lite0"
    kernel.run("w.wait()")
    assert kernel.run("print(w.layer, w.neuron)").strip() == "blocks.4 0"
    kernel.run("del os.environ['NEURON_WIDGET_WEIGHTS']; w.close()")


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ({"kind": "dance"}, "unknown kind 'dance'"),
        ({"kind": "start", "target": target(0, "blocks.9"), "steps": 9}, "no layer 'blocks.9'"),
        ({"kind": "start", "target": target(80), "steps": 9}, "there is no neuron 80"),
        ({"kind": "start", "target": target(0), "steps": 0}, "steps must be from 1"),
        ({"kind": "start", "target": target("x"), "steps": 9}, "must be an integer"),
    ],
)
def test_what_a_page_asks_wrongly_is_shown(
    kernel: Kernel, make: Any, message: dict[str, object], says: str
) -> None:
    widget = make()
    ready(kernel, widget)
    kernel.send(widget, message)
    error, _ = kernel.wait_for(widget, is_kind("error", where="select"))
    assert says in error["message"]


@pytest.mark.parametrize(
    ("dataset", "title", "says", "action"),
    [
        ("/no/such/folder", "The data set could not be scanned", "/no/such/folder", ""),
        ("imagenette", "Download imagenette?", "about 0.3 GB", "download"),
    ],
)
def test_a_data_set_that_cannot_be_opened_is_shown(
    kernel: Kernel, make: Any, dataset: str, title: str, says: str, action: str
) -> None:
    widget = make()
    ready(kernel, widget)
    kernel.send(widget, {"kind": "scan", "dataset": dataset, "download": False})
    error, _ = kernel.wait_for(widget, is_kind("error", where="scan", title=title))
    assert says in error["message"]
    assert error["action"] == action
    assert error["dataset"] == (dataset if action else "")


def test_buffers_of_a_page_message_arrive_whole(kernel: Kernel, make: Any) -> None:
    widget = make()
    ready(kernel, widget)
    kernel.run(
        "import neuron_widget.widget as half\n"
        "handle, arrived = half.handle_message, []\n"
        "def spy(session, message, buffers=()):\n"
        "    arrived.append((message['kind'], [bytes(b) for b in buffers]))\n"
        "    handle(session, message, buffers)\n"
        "half.handle_message = spy"
    )
    large = np.random.default_rng(0).bytes(1_000_000)
    kernel.send(widget, {"kind": "ready", "view": "b"}, [b"first", b"", large])
    kernel.wait_for(widget, is_kind("snapshot"))
    kernel.send(widget, {"kind": "ready", "view": "c"})
    kernel.wait_for(widget, is_kind("snapshot"))
    said = kernel.run(
        "import hashlib\nhalf.handle_message = handle\n"
        "print([(k, [(len(b), hashlib.md5(b).hexdigest()) for b in all]) for k, all in arrived])"
    )
    sums = [(len(b), hashlib.md5(b).hexdigest()) for b in (b"first", b"", large)]
    assert ast.literal_eval(said) == [("ready", sums), ("ready", [])]


def test_a_widget_outlives_the_subshell_that_a_page_spoke_to(kernel: Kernel, make: Any) -> None:
    # JupyterLab speaks to widgets in subshells, and ends them when a page is loaded again.
    widget = make()
    made = kernel.control("create_subshell_request")
    if made.get("status") != "ok":
        pytest.skip(f"this ipykernel has no subshells: {made}")
    kernel.send(widget, {"kind": "ready", "view": "a"}, subshell=made["subshell_id"])
    kernel.wait_for(widget, is_kind("snapshot"))
    kernel.control("delete_subshell_request", subshell_id=made["subshell_id"])
    kernel.send(widget, {"kind": "ready", "view": "b"})
    kernel.wait_for(widget, is_kind("snapshot"), timeout=60)
