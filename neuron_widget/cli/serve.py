"""``neuron-widget serve``: a class looks into one network, and one machine does the work."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_widget.cli.jobs import Opened
from neuron_widget.cli.output import Stopped, show
from neuron_widget.cli.scans import fill_store
from neuron_widget.cluster.connection import environment_for
from neuron_widget.errors import ClusterError, DatasetError, WrongValue, first_line
from neuron_widget.names import path_as_typed
from neuron_widget.settings import RENDER, SCAN, defaults

if TYPE_CHECKING:
    from rich.table import Table

    from neuron_widget.remote.rules import Rules

__all__ = ["is_here", "serve_class", "table_of"]

_EVERYWHERE = ("0.0.0.0", "::")
_EVERY_S = 2.0
_START_S = 60.0


def serve_class(
    opened: Opened,
    neurons: str | None,
    data: str | None,
    allow: Sequence[Path],
    address: str,
    host: str,
    port: int,
    limits: Mapping[str, int | None],
    device: str | None,
    as_json: bool,
) -> None:
    """Prepare a class, print the line that students type, and show who waits for what."""
    from neuron_widget.cluster.connection import Where, connected
    from neuron_widget.remote import places

    if _listens(_near(host), port):
        raise WrongValue(f"port {port} is in use already; expected a free one: --port")
    rules = _rules(opened, data, allow, limits, device)
    with connected(Where(address, device=device)) as ray:
        check_bind(host, tokens=places.asks_for_token())
        if places.find(ray) is not None:
            raise ClusterError(
                "sessions are served on this cluster already; end that server first: Ctrl-C where "
                "it runs. One that a widget started ends ten minutes after its last session"
            )
        if neurons is not None or data is not None:
            how = {**defaults(RENDER), **_within(limits)}
            photos = {n: v for n, v in defaults(SCAN).items() if n not in RENDER}
            # Without --neurons the photos alone are wanted: one image costs little.
            # There is one JSON object to print, and it says where the class is.
            with contextlib.redirect_stdout(io.StringIO() if as_json else sys.stdout):
                work = (opened, neurons or "0", data, None, opened.sized(how), photos, as_json)
                fill_store(*work)
        title, layer = opened.model.title, opened.layer
        actors = [one.actor for one in places.start(ray, rules, stays=True, device=device)]
        with _clients(ray, host, port):
            place = f"ray://{_outside(host)}:{port}"
            line = f'NeuronWidget("{layer}", cluster="{place}")'
            lines = [f"{layer} of {title} is served. Students type:", "", f"    {line}", ""]
            if places.asks_for_token():
                lines.append(
                    "with the token in RAY_AUTH_TOKEN, unless they find it, too, in "
                    f"{places.token_file()}. Ctrl-C ends it."
                )
            show({"line": line, "address": place, "servers": len(actors)}, as_json, lines)
            _watch(ray, actors, rules, as_json)


def _rules(
    opened: Opened,
    data: str | None,
    allow: Sequence[Path],
    limits: Mapping[str, int | None],
    device: str | None,
) -> Rules:
    from neuron_widget.remote.rules import Rules

    for folder in allow:
        if not folder.expanduser().is_dir():
            raise DatasetError(f"--allow '{folder}' is no folder; expected one of photos")
    model, weights, _ = opened.asked
    store = opened.store
    return Rules(
        confined=True,
        model=model or opened.model.name,
        weights=_absolute(weights),
        layer=opened.layer,
        dataset=_absolute(data) or "samples",
        folders=tuple(str(folder.expanduser().resolve()) for folder in allow),
        store=False if store is None else [str(folder.root) for folder in store.folders],
        device=device,
        steps=limits["steps"],
        size=limits["size"],
        views=limits["views"],
    )


def _absolute(named: str | None) -> str | None:
    """A path that means the same in another folder; other names stay."""
    path = Path(path_as_typed(named or "")).expanduser()
    return str(path.resolve()) if named and path.exists() else named


def _within(limits: Mapping[str, int | None]) -> dict[str, int]:
    """Settings of the pictures that students get who say none."""
    given = {name: limits.get(name) for name in ("steps", "size")}
    usual = {name: RENDER[name].default or RENDER[name].usual for name in given}
    return {n: min(most, usual[n]) for n, most in given.items() if most is not None}


# -------------------------------------------------------------- who may come


def is_here(host: str) -> bool:
    """Whether only this machine reaches a host's name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_bind(host: str, *, tokens: bool) -> None:
    """ClusterError where anybody could run code here."""
    if is_here(host) or tokens:
        return
    raise ClusterError(
        f"--host {host} would let everybody who reaches this machine run any code on it: Ray asks "
        "for no token here. Set RAY_AUTH_MODE=token (for `ray start`, this command and the "
        "students' kernels), or leave out --host, and only this machine is listened to"
    )


def _outside(host: str) -> str:
    """What others call this machine."""
    return socket.gethostname() if host in _EVERYWHERE else host


@contextlib.contextmanager
def _clients(ray: Any, host: str, port: int) -> Iterator[None]:
    """A Ray client server: one process for all students, who are no part of the cluster."""
    cluster = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-m", "ray.util.client.server", "--mode", "legacy"]
    # Ray takes half as many clients as threads, and each widget of theirs waits in one or two.
    more = {"RAY_CLIENT_SERVER_MAX_THREADS": "1000", **environment_for(cluster)}
    server = subprocess.Popen(
        [*command, "--address", cluster, "--host", host, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **more},
        start_new_session=True,  # Ctrl-C is for this one, which ends that
    )
    try:
        _await(server, _near(host), port)
        yield
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _near(host: str) -> str:
    """What this machine itself calls the host that is listened to."""
    return "127.0.0.1" if host in _EVERYWHERE else host


def _listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=5):
        return True
    return False


def _await(server: subprocess.Popen[bytes], host: str, port: int) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and server.poll() is None:
        if _listens(host, port):
            return
        time.sleep(0.1)
    raise ClusterError(
        f"Ray's client server does not listen at {host}, port {port}; expected it to within "
        f"{_START_S:.0f} s. Is the address this machine's, and neuron-widget[ray] installed?"
    )


# -------------------------------------------------------------- who waits for what


def _watch(ray: Any, actors: Sequence[Any], rules: Rules, as_json: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    told = (
        f"the class is over; what was made is in {rules.store[-1] if rules.store else 'no store'}"
    )
    console = Console(stderr=True)
    try:
        with contextlib.ExitStack() as stack:
            live = None
            if not as_json and console.is_terminal:
                live = stack.enter_context(Live(console=console, refresh_per_second=2))
            while True:
                rows = _who(ray, actors)
                if live is not None:
                    live.update(table_of(rows))
                time.sleep(_EVERY_S)
    except KeyboardInterrupt:
        raise Stopped(told) from None


def _who(ray: Any, actors: Sequence[Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number, actor in enumerate(actors):
        try:
            rows = ray.get(actor.call.remote("who"), timeout=30)
        except ray.exceptions.RayError as error:  # it comes back by itself
            rows = [{"client": f"server {number}", "status": first_line(error)}]
        found += rows
    return found


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Students, what each looks at, and what it waits for."""
    from rich.table import Table
    from rich.text import Text

    table = Table("student", "looks at", "waits for", "says", title=f"{len(rows)} widgets")
    for row in rows:
        silent = float(row.get("silent", 0.0))
        status = str(row.get("status", ""))
        if silent > 30:
            status = f"not heard of for {silent:.0f} s"
        cells = (row["client"], row.get("target", ""), ", ".join(row.get("doing", ())), status)
        table.add_row(*(Text(str(cell)) for cell in cells))  # no markup: students name themselves
    return table
