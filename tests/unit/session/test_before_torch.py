"""What a session shows of a network that is known to the store and not open yet."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from neuron_widget import load_model
from neuron_widget.errors import ModelError
from neuron_widget.names import EMBEDDED
from neuron_widget.networks.known import choose_network
from neuron_widget.rendering import render
from neuron_widget.session import Session, opening
from neuron_widget.session.arguments import check_arguments
from neuron_widget.session.handle import handle_message
from neuron_widget.session.jobs import Worker
from neuron_widget.store import Store
from neuron_widget.targets import Channel

LAYER, HOW = "blocks.1", {"steps": 16, "size": 32}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two images of one layer, and the network that made them."""
    root = tmp_path_factory.mktemp("store")
    model, made = load_model(EMBEDDED, device="cpu"), Store(root)
    made.put_render(model, render(model, LAYER, [0, 1], progress=False, **HOW))
    named = choose_network(EMBEDDED)
    assert named is not None
    made.put_network(named, model)
    return root


class Page:
    """What was said to the page."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def __call__(self, message: dict[str, Any], _: list[bytes]) -> None:
        self.said.append(message)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.said if message["kind"] == kind]

    def wait(self, true: Callable[[], object]) -> None:
        end = time.monotonic() + 120
        while not true():
            assert time.monotonic() < end, [m["kind"] for m in self.said]
            time.sleep(0.005)


class Gate:
    """Holds the opening back, as the import of torch does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = False
        monkeypatch.setattr(opening, "torch_is_there", lambda: False)
        monkeypatch.setattr(opening, "import_torch", lambda _: self._steps())

    def _steps(self):  # type: ignore[no-untyped-def]
        while not self.open:
            time.sleep(0.005)
            yield


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


def start(store: Path, page: Page, **how: Any) -> Session:
    plain = {"layer": LAYER, "model": EMBEDDED, "weights": None, "dataset": "samples"}
    plain |= {"neuron": 0, "device": "cpu", "store": store, "auto": False, **HOW}
    load = how.pop("load", None)
    return Session(check_arguments(**{**plain, **how}), page, lambda: None, Worker(), load)


def test_what_is_stored_is_shown_and_stays_when_the_network_opens(store: Path, gate: Gate) -> None:
    page = Page()
    session = start(store, page)
    page.wait(lambda: page.of("image"))
    assert session.state.model is None
    session.select(neuron=1)
    assert page.of("image")[-1]["target"]["neuron"] == 1
    first = page.of("opened")[0]["network"]
    gate.open = True
    page.wait(lambda: session.state.model is not None and not session.foreground())
    last = page.of("opened")[-1]["network"]
    assert {**first, "device": last["device"]} == last
    assert (first["device"], last["device"]) == ("", "cpu")
    # Nothing is sent twice, nothing taken back.
    assert len(page.of("image")) == 2
    assert not [m for m in page.of("error") if m["message"]]
    session.close()


def test_what_needs_the_network_waits_with_a_word(store: Path, gate: Gate) -> None:
    page = Page()
    session = start(store, page)
    page.wait(lambda: page.of("image"))
    assert not page.of("opening")
    assert session.render(17) is None
    session.select(Channel("blocks.0.0.conv_pw", 2), settled=False)  # a layer that only it knows
    assert "Loading the network" in page.of("opening")[-1]["text"]
    gate.open = True
    page.wait(lambda: session.state.model is not None and not session.foreground())
    assert session.state.layer == "blocks.0.0.conv_pw"
    assert page.of("image")[-1]["step"] == 17
    assert "opening" not in [m["kind"] for m in session.state.snapshot()[0]["messages"]]
    session.close()


def test_what_needs_a_network_that_cannot_be_opened_is_promised_no_more(
    store: Path, gate: Gate
) -> None:
    """What is stored stays to be looked at; the way out is the network of the package."""
    page = Page()
    plain: dict[str, Any] = {}

    def fails_at_first(name: Any, *, weights: Any, device: Any, report: Any) -> Any:
        plain.update(device=device)
        if device == "cpu":
            raise ModelError("no such device")
        return load_model(name, weights=weights, device="cpu", report=report)

    session = start(store, page, load=fails_at_first)
    page.wait(lambda: page.of("image"))
    gate.open = True
    page.wait(lambda: page.of("error") and not session.state.jobs())
    page.said.clear()
    session.select(Channel("blocks.2", 3), auto=True)
    with pytest.raises(ModelError, match="could not be opened: no such device"):
        session.render()
    with pytest.raises(ModelError, match="could not be opened"):
        session.look("samples[0]")
    assert not page.of("opening")
    assert not [m for m in page.of("progress") if m["state"] == "waiting"]
    session.select(Channel(LAYER, 1))
    assert page.of("image")[-1]["target"]["neuron"] == 1
    kinds = [m["kind"] for m in session.state.snapshot()[0]["messages"]]
    assert "opened" in kinds
    assert "opening" not in kinds
    session.open_embedded()
    page.wait(lambda: session.state.model is not None)
    assert plain["device"] is None
    assert session.render() is not None
    session.close()


def test_a_photo_dropped_before_the_network_is_open_is_looked_at_then(
    store: Path, gate: Gate
) -> None:
    page = Page()
    session = start(store, page)
    page.wait(lambda: page.of("image"))
    file = io.BytesIO()
    Image.new("RGB", (80, 80), (200, 30, 30)).save(file, "PNG")
    bring = {"kind": "bring", "upload": "1", "name": "cat.png", "piece": 0, "pieces": 1}
    handle_message(session, bring, [file.getvalue()])
    gate.open = True
    page.wait(lambda: page.of("looked"))
    assert not [m for m in page.of("error") if m["message"]]
    session.close()


def test_what_is_not_stored_is_shown_as_waiting(store: Path, gate: Gate) -> None:
    page = Page()
    session = start(store, page, auto=True, previews=False, steps=17, top_k=3)

    def last(task: str) -> str:
        told = [m["state"] for m in page.of("progress") if m["task"] == task]
        return told[-1] if told else ""

    page.wait(lambda: last("render") == last("scan") == "waiting")
    assert len(page.of("opening")) == 1
    session.select(neuron=1, steps=16, auto=False)  # one that is
    assert last("render") == "done"
    session.stop()
    gate.open = True
    page.wait(lambda: session.state.model is not None and not session.foreground())
    assert last("scan") == "stopped"
    session.close()


def test_what_turns_out_to_be_of_other_weights_is_taken_back(
    store: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, load = Page(), opening_load(monkeypatch)
    session = start(store, page)
    page.wait(lambda: page.of("image"))
    load["weights"] = "random"  # the file has changed, and neither its size nor its time
    gate.open = True
    page.wait(lambda: session.state.model is not None and not session.foreground())
    (error,) = [m for m in page.of("error") if m["message"]]
    assert error["title"] == "What was shown first is taken back"
    assert session.state.model is not None
    assert session.state.model.identity in error["message"]
    assert session.state.result is None
    identities = [m["network"]["identity"] for m in page.of("opened")]
    assert identities[1:] == ["", session.state.model.identity]
    session.close()


def opening_load(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Change what the next network is opened with."""
    from neuron_widget.networks import zoo

    changes: dict[str, Any] = {}
    plain = zoo.load_model
    monkeypatch.setattr(zoo, "load_model", lambda *a, **how: plain(*a, **{**how, **changes}))
    return changes


def test_a_network_is_known_by_its_file(tmp_path: Path) -> None:
    import os

    import torch

    store, file = Store(tmp_path / "store"), tmp_path / "w.pth"
    torch.save(load_model(EMBEDDED, weights="random").module.state_dict(), file)
    named = choose_network(EMBEDDED, file)
    assert named is not None
    store.put_network(named, load_model(EMBEDDED, weights=file, device="cpu"))
    known = store.find_network(named)
    assert known is not None
    assert known.identity == load_model(EMBEDDED, weights="random").identity
    assert store.find_network(choose_network(EMBEDDED)) is None
    os.utime(file, ns=(1, 1))
    assert store.find_network(named) is None, "another time: perhaps another content"
    file.unlink()
    assert store.find_network(named) is None
    # A module of one's own is known by more than a file.
    assert choose_network(torch.nn.Identity()) is None
