"""Servers of hosts: a port, a wait, a folder."""

from __future__ import annotations

import functools
import http.server
import json
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["end_sessions", "free_port", "serve", "until_it_answers"]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def until_it_answers(
    address: str, server: subprocess.Popen[Any], log: Path, seconds: float = 180
) -> None:
    """Wait for a server; where it ends instead, or is silent, say what is in its log."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:  # also an answer that says no: what is behind a proxy may not be there yet
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)


def end_sessions(url: str, path: str) -> None:
    """End the kernels of a notebook on a Jupyter server."""
    with urllib.request.urlopen(f"{url}/api/sessions") as answer:
        sessions = [session["id"] for session in json.load(answer) if session["path"] == path]
    for session in sessions:
        address = f"{url}/api/sessions/{session}"
        urllib.request.urlopen(urllib.request.Request(address, method="DELETE")).close()


class _Files(http.server.SimpleHTTPRequestHandler):
    """Files of several folders, each below a name of its own."""

    folders: Mapping[str, Path]

    def __init__(self, *args: Any, folders: Mapping[str, Path], **more: Any):
        self.folders = folders
        super().__init__(*args, **more)

    def translate_path(self, path: str) -> str:
        whole = path.split("?")[0].strip("/")
        name, _, rest = whole.partition("/")
        if name in self.folders:
            return str(self.folders[name] / rest)
        # A page of its own, at the root; a module that is asked for beside it.
        beside = self.folders.get(whole.removesuffix(".js"))
        if beside is not None:
            return str(beside / "index.js")
        return str(self.folders.get("", Path("/nowhere")) / whole)

    def do_GET(self) -> None:
        if self.path != "/favicon.ico":  # a page without an icon asks for it
            super().do_GET()
            return
        self.send_response(204)
        self.end_headers()

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def serve(folders: Mapping[str, Path]) -> Iterator[str]:
    """An origin of its own that serves these folders, while the block runs."""
    handler = functools.partial(_Files, folders=folders)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
