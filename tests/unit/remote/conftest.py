"""A server of sessions in this process, in place of one that Ray runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neuron_widget.protocol.check import check_message
from neuron_widget.remote.far import FarSession
from neuron_widget.remote.link import Lost
from neuron_widget.remote.rules import Rules
from neuron_widget.remote.server import Sessions
from neuron_widget.remote.wire import wish_of
from neuron_widget.session.updates import Updates
from neuron_widget.session.waiting import Waiting

# Only a test that hangs takes so long.
LIMIT = 120

LAYER = "blocks.1"
SMALL = {"steps": 4, "size": 32, "previews": False}


class Here:
    """The server as a client sees it; ``sessions`` None: it does not answer."""

    def __init__(self, rules: Rules):
        self.rules = rules
        self.sessions: Sessions | None = Sessions(rules)
        self.calls = 0

    def end(self) -> None:
        """Die, with all sessions."""
        before, self.sessions = self.sessions, None
        if before is not None:
            before.end()

    def restart(self) -> None:
        self.end()
        self.sessions = Sessions(self.rules)

    def call(self, method: str, *given: Any) -> Any:
        self.calls += 1
        if self.sessions is None:
            raise Lost("the process died")
        return getattr(self.sessions, method)(*given)

    def batches(self, key: str, after: int) -> Iterator[Any]:
        sessions = self.sessions
        if sessions is None:
            raise Lost("the process died")
        stream, loop = sessions.stream(key, after), asyncio.new_event_loop()
        try:
            while (said := loop.run_until_complete(anext(stream, None))) is not None:
                if self.sessions is not sessions:
                    break
                yield said
        finally:
            loop.run_until_complete(stream.aclose())  # type: ignore[attr-defined]
            loop.close()
        if self.sessions is not sessions:
            raise Lost("the process died")


class Client:
    """A widget's session elsewhere, and what its page hears."""

    def __init__(self, server: Here, **arguments: Any):
        given = {"model": None, "layer": None, "neuron": 0, "dataset": None}
        none = dict.fromkeys(("weights", "device", "store"))
        wish, settings = wish_of(**{**given, **none, **SMALL, **arguments})
        self.heard: list[tuple[dict[str, Any], list[bytes]]] = []
        self.session = FarSession(
            wish,
            settings,
            "ray://host:10001",
            lambda: server,
            lambda message, buffers: self.heard.append((message, buffers)),
            lambda: None,
        )
        self.waiting = Waiting(self.session, Updates(lambda: None, None))

    def say(self, kind: str, **fields: Any) -> None:
        """Be the page."""
        self.session.handle(check_message({"kind": kind, **fields}), [])

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Messages of a kind, also inside of snapshots."""
        found = []
        for message, _ in list(self.heard):
            found += [message, *message.get("messages", [])]
        return [message for message in found if message["kind"] == kind]

    def until(self, true: Callable[[], object]) -> None:
        end = time.monotonic() + LIMIT
        while not true():
            assert time.monotonic() < end, [m for m, _ in self.heard]
            time.sleep(0.005)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(12):
        Image.fromarray(random.integers(0, 256, (40, 36, 3), np.uint8)).save(folder / f"{i:02}.png")
    return folder


@pytest.fixture
def server(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    monkeypatch.setattr("neuron_widget.remote.server.STREAM_S", 1.0)
    rules = Rules(
        confined=True,
        model="efficientnet_lite0",
        layer=LAYER,
        dataset=str(folder),
        store=str(tmp_path / "store"),
        steps=64,
        size=64,
    )
    made = Here(rules)
    yield made
    made.end()


@pytest.fixture
def client(server: Here) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(**arguments: Any) -> Client:
        made.append(Client(server, **arguments))
        return made[-1]

    yield make
    for one in made:
        one.session.close()
