"""What a page is told that comes later, or asks again: all of it, and nothing that was put away."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from neuron_widget.errors import DatasetError
from neuron_widget.session import messages
from neuron_widget.session.jobs import Worker
from neuron_widget.session.settings import Settings
from neuron_widget.session.state import State


@pytest.fixture
def made() -> tuple[State, list[dict[str, Any]]]:
    sent: list[dict[str, Any]] = []
    state = State(Settings(), lambda m, _: sent.append(m), lambda: None, Worker())
    return state, sent


def kinds(snapshot: dict[str, Any]) -> list[str]:
    return [message["kind"] for message in snapshot["messages"]]


def test_what_another_thread_says_meanwhile_comes_after_the_snapshot(
    made: tuple[State, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    state, sent = made
    news = threading.Thread(target=lambda: state.show("dataset", messages.dataset(None, [])))
    pack = messages.snapshot

    def pack_slowly(parts: Any) -> Any:
        news.start()
        news.join(0.2)
        return pack(parts)

    monkeypatch.setattr(messages, "snapshot", pack_slowly)
    state.send_snapshot()
    news.join(10)
    # The page forgets the data set that it knew when a snapshot comes that does not name it.
    assert [message["kind"] for message in sent] == ["snapshot", "dataset"]
    assert "dataset" not in kinds(sent[0])


def test_what_was_put_away_does_not_come_back(made: tuple[State, list[dict[str, Any]]]) -> None:
    state, sent = made
    state.fail("scan", "Download imagenette?", DatasetError("0.3 GB"), "download", "imagenette")
    state.send_snapshot()
    assert "error" in kinds(sent[-1])
    state.no_error("scan")
    # A view whose snapshot was on its way hears of it, too.
    assert (sent[-1]["where"], sent[-1]["message"]) == ("scan", "")
    state.send_snapshot()
    assert "error" not in kinds(sent[-1])
