"""A widget whose session is in a Ray actor, from a process that has no PyTorch."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from neuron_widget.cli import app
from neuron_widget.cli.serve import check_bind, is_here, table_of
from neuron_widget.errors import ClusterError

REPOSITORY = Path(__file__).parents[3]

# What a student's kernel does, and what it finds; one line of JSON.
STUDENT = """
import json, os, sys, time, hashlib
from neuron_widget import NeuronWidget
how = dict(steps=4, size=32, previews=False, precision="float32")
how |= dict(model="efficientnet_lite0", dataset=sys.argv[2], cluster=sys.argv[1])
w = NeuronWidget("blocks.1", **how)
heard = []
send = w.send
w.send = lambda message, buffers=None: (heard.append(message), send(message, buffers))[1]
w._on_page_message(None, {"kind": "ready", "view": "a"}, [])
w.wait(300)
w.neuron = 3
w.render(wait=True)
found = {"torch": "torch" in sys.modules, "neuron": w.result.neurons[0]}
found["image"] = hashlib.sha256(w.image.tobytes()).hexdigest()
photos = w.examples["most"]
found["photos"] = [[e.index, e.score] for e in photos]
found["square"] = hashlib.sha256(photos[0].image().tobytes()).hexdigest()
found["map"] = hashlib.sha256(photos[0].activation_map().tobytes()).hexdigest()
try:
    w.neuron = 9999
except ValueError as error:
    found["error"] = str(error)
import ray
place = w._session._link._server._place
if len(sys.argv) > 3:
    os.kill(ray.get(place.call.remote("facts"))["pid"], 9)
    until = time.monotonic() + 300
    while w.status != "connection lost":
        assert time.monotonic() < until
        time.sleep(0.01)
    found["lost"] = [m["title"] for m in heard if m["kind"] == "error" and m["message"]]
    found["kept"] = hashlib.sha256(w.image.tobytes()).hexdigest()
    while not w._session._link.connected:
        assert time.monotonic() < until
        time.sleep(0.01)
    w.wait(300)
    found["back"] = [w.status, w.neuron, hashlib.sha256(w.image.tobytes()).hexdigest()]
w.close()
time.sleep(1)
found["left"] = ray.get(place.call.remote("facts"))["sessions"]
found["torch at the end"] = "torch" in sys.modules
print(json.dumps(found))
"""


def student(address: str, folder: Path, *more: str, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", STUDENT, address, str(folder), *more],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def of_this_process(folder: Path, store: Path) -> dict[str, Any]:
    """The same as a session here makes it."""
    import hashlib

    from neuron_widget import load_model, render, scan

    model = load_model("efficientnet_lite0")
    how: dict[str, Any] = {"progress": False}
    image = render(model, "blocks.1", 3, steps=4, size=32, precision="float32", **how).to_pil()
    most = scan(model, "blocks.1", folder, batch_size=8, **how).top(3)
    digest = {
        "image": image,
        "square": most[0].image(),
        "map": most[0].activation_map(),
    }
    return {
        **{n: hashlib.sha256(value.tobytes()).hexdigest() for n, value in digest.items()},
        "photos": [[e.index, e.score] for e in most],
    }


@pytest.mark.cluster
def test_a_student_without_torch_whose_server_is_killed(
    folder: Path, tmp_path: Path, ray_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "07.png").unlink()
    found = student("local", folder, "kill", NEURON_WIDGET_STORE=str(tmp_path / "store"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    expected = of_this_process(folder, tmp_path / "other")
    assert {name: found[name] for name in expected} == expected
    assert (found["torch"], found["torch at the end"]) == (False, False)
    assert "0 to 23" in found["error"]
    assert found["lost"] == ["The connection is lost"]
    assert found["kept"] == found["image"]
    assert found["back"] == ["ready", 3, found["image"]]
    assert found["left"] == 0


@pytest.mark.cluster
def test_a_class_is_served(folder: Path, tmp_path: Path, ray_folder: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "neuron_widget.cli", "serve", "blocks.1", "--ray", "local"]
    options = {
        "--data": folder, "--store": tmp_path / "store", "--port": port, "--neurons": "3",
        "--most-steps": 4, "--most-size": 32, "--widgets": 1, "--model": "efficientnet_lite0",
    }  # fmt: skip
    words = [str(word) for pair in options.items() for word in pair]
    server = subprocess.Popen(
        [*command, *words, "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert server.stdout is not None
        told: list[dict[str, Any]] = []
        while not told or "line" not in told[-1]:
            told.append(json.loads(server.stdout.readline()))
        assert told[-1]["line"] == f'NeuronWidget("blocks.1", cluster="ray://127.0.0.1:{port}")'
        found = student(told[-1]["address"], folder)
        assert not found["torch"]
        assert found["neuron"] == 3
        assert found["left"] == 0
        refused = subprocess.run(
            [sys.executable, "-c", REFUSED, told[-1]["address"]],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert refused.returncode == 0, refused.stdout + refused.stderr
    finally:
        server.send_signal(signal.SIGINT)
        end = server.communicate(timeout=120)
    assert server.returncode == 130, end


REFUSED = """
import sys
from neuron_widget import NeuronWidget
for how in ({"dataset": "/etc"}, {"model": "timm/resnet18"}, {"steps": 5}):
    w = NeuronWidget(cluster=sys.argv[1], **how)
    try:
        w.wait(120)
    except ValueError as error:
        print(type(error).__name__, error)
    else:
        raise SystemExit(f"{how} was taken")
    w.close()
"""


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -------------------------------------------------------------- without a cluster


@pytest.mark.parametrize(
    ("host", "tokens", "fits"),
    [
        ("127.0.0.1", False, True),
        ("127.3.2.1", False, True),
        ("::1", False, True),
        ("localhost", False, True),
        ("0.0.0.0", False, False),
        ("192.168.1.7", False, False),
        ("teacher.example.org", False, False),
        ("0.0.0.0", True, True),
    ],
)
def test_only_this_machine_is_listened_to_without_a_token(
    host: str, tokens: bool, fits: bool
) -> None:
    assert is_here(host) or tokens or not fits
    if fits:
        check_bind(host, tokens=tokens)
    else:
        with pytest.raises(ClusterError, match="RAY_AUTH_MODE=token"):
            check_bind(host, tokens=tokens)


def test_without_ray_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from neuron_widget import NeuronWidget

    monkeypatch.setitem(sys.modules, "ray", None)
    w = NeuronWidget("mixed4a", cluster="auto")
    with pytest.raises(ClusterError, match=r"pip install 'neuron-widget\[ray\]'"):
        w.wait(60)
    assert w.status.startswith("failed")
    w.close()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"cluster": ""}, "'auto' or an address"),
        ({"cluster": 3}, "'auto' or an address"),
        ({"cluster": "auto", "weights": "w.pth"}, "is of this machine"),
        ({"cluster": "auto", "dataset": [1, 2]}, "go by a name"),
    ],
)
def test_wrong_arguments(how: dict[str, Any], words: str) -> None:
    from neuron_widget import NeuronWidget

    with pytest.raises((TypeError, ValueError), match=words):
        NeuronWidget("mixed4a", **how)


def test_one_process_has_one_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    from neuron_widget.remote import places
    from neuron_widget.remote.link import Lost
    from neuron_widget.remote.ray_server import RayServer, _Connection

    joined: list[str] = []
    left: list[str] = []

    def join(address: str) -> tuple[Any, bool]:
        new = not joined
        joined.extend([address] if new else [])
        return None, new

    def fail(_: Any) -> RayServer:
        raise ConnectionError("gone")

    monkeypatch.setattr(places, "join", join)
    monkeypatch.setattr(places, "joined", lambda: bool(joined))
    monkeypatch.setattr(places, "leave", lambda: left.append(joined.pop()))
    server = RayServer.__new__(RayServer)
    connection = _Connection()
    assert connection.ask("ray://a:1", lambda _: server) is server
    assert connection.ask("auto", lambda _: server) is server
    for _ in range(5):
        with pytest.raises(ClusterError, match="connected to the cluster 'ray://a:1'"):
            connection.ask("ray://b:1", lambda _: server)
    for _ in range(3):
        with pytest.raises(Lost, match="gone"):
            connection.ask("ray://a:1", fail)
        assert not left
    assert connection.ask("ray://a:1", lambda _: server) is server
    assert (left, joined) == (["ray://a:1"], ["ray://a:1"])
    joined.clear()  # Ray gave it up
    monkeypatch.setattr(places, "leave", lambda: left.append("again"))
    assert connection.ask("ray://b:1", lambda _: server) is server
    assert left == ["ray://a:1", "again"]


def test_who_waits_for_what() -> None:
    from rich.console import Console

    row = {"client": "eve[bold]@host", "target": "mixed4a:68", "status": "ready", "doing": ["scan"]}
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table_of([{**row, "silent": 2.0}, {**row, "silent": 90.0}]))
    text = console.export_text()
    assert "eve[bold]@host" in text
    assert "2 widgets" in text
    assert "not heard of for 90 s" in text


def test_serve_names_what_is_wrong(tmp_path: Path) -> None:
    arguments = ["serve", "blocks.1", "--allow", str(tmp_path / "none"), "--json"]
    arguments += ["--port", str(free_port())]  # the usual one is Ray's own, too
    done = CliRunner().invoke(app, [*arguments, "--model", "efficientnet_lite0"])
    assert done.exit_code == 4, done.output
    assert "is no folder" in done.output
