"""A session elsewhere is, for its widget, one that is here: pictures, photos, errors, waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neuron_widget.errors import (
    ClusterError,
    DatasetError,
    NeuronOutOfRange,
    TargetError,
    UnknownLayer,
    WidgetError,
    WrongValue,
)
from neuron_widget.remote.desk import Desk
from neuron_widget.remote.here import SessionHere
from neuron_widget.session import Settings
from neuron_widget.session.jobs import Job
from neuron_widget.session.updates import Updates
from neuron_widget.session.waiting import Waiting
from neuron_widget.targets import parse

Open = Callable[..., Any]


def test_it_shows_what_a_session_here_shows(client: Open, folder: Path, tmp_path: Path) -> None:
    far = client(neuron=3, precision="float32")
    settings = Settings(
        model="efficientnet_lite0",
        layer="blocks.1",
        neuron=3,
        dataset=str(folder),
        store=tmp_path / "own",
        precision="float32",
        steps=4,
        size=32,
        previews=False,
    )
    here = SessionHere(settings, lambda *_: None, lambda: None)
    Waiting(here, Updates(lambda: None, None)).until_idle(120)
    far.say("ready", view="a")
    far.waiting.until_idle(120)
    session = far.session
    mine, own = session.image(), here.image()
    assert mine.tobytes() == own.tobytes()
    found, known = session.result(), here.result()
    assert found.images.tobytes() == known.images.tobytes()
    assert (found.activation == known.activation).all()
    assert (str(found.targets[0]), found.state) == ("blocks.1:3", None)
    theirs, ours = here.examples(), session.examples()
    for group in ("most", "least"):
        assert ours[group] == theirs[group]
        assert len(ours[group]) == 9
        for a, b in zip(ours[group][:2], theirs[group][:2], strict=True):
            assert a.image().tobytes() == b.image().tobytes()
            assert a.crop().tobytes() == b.crop().tobytes()
            assert (a.activation_map() == b.activation_map()).all()
            assert a.receptive_field == b.receptive_field
    assert session.contact_sheet().size == here.contact_sheet().size
    assert session.save_figure(tmp_path / "figures" / "a.png").stat().st_size > 10_000
    here.close()
    kinds = [message["kind"] for message, _ in far.heard]
    assert not [kind for kind in kinds if kind.startswith("session.")]
    assert {"image", "photos", "strengths", "opened", "progress"} <= set(kinds)


def test_commands_are_done_in_order_and_errors_come_back(client: Open) -> None:
    far = client(auto=False)
    session, state = far.session, far.session.state
    far.say("select", seq=1, target=_neuron(4), steps=4, settled=True)  # before there is a line
    session.select(neuron=5)
    assert state.neuron == 5
    far.waiting.until_open()
    assert str(state.target) == "blocks.1:5"
    with pytest.raises(NeuronOutOfRange, match="0 to 23"):
        session.select(neuron=99)
    with pytest.raises(UnknownLayer, match="blocks"):
        session.select(layer="blocks.77")
    with pytest.raises(WrongValue, match="at most 64"):
        session.select(steps=65)
    for neuron in range(12):
        far.say("select", seq=neuron, target=_neuron(neuron), steps=4, settled=False)
    session.select(steps=6)
    assert (state.neuron, state.steps) == (11, 6)
    job = session.render()
    far.waiting.until_done(job)
    assert session.result().steps == 6
    assert session.render() is None  # it is known
    assert far.say("line", asker="me") is None
    (line,) = far.of("line")
    assert line["line"].endswith(
        'steps=6, size=32, auto=False, previews=False, cluster="ray://host:10001")'
    )
    session.close()
    with pytest.raises(WidgetError, match="closed"):
        session.render()


def _neuron(neuron: int) -> dict[str, Any]:
    return {"kind": "channel", "layer": "blocks.1", "neuron": neuron}


def test_a_page_that_comes_later_is_told_all_at_once_from_here(client: Open, server: Any) -> None:
    far = client()
    far.say("ready", view="a")
    far.waiting.until_idle(120)
    before, calls = len(far.heard), server.calls
    far.say("ready", view="b")
    message, buffers = far.heard[before]
    assert message["kind"] == "snapshot"
    kinds = [part["kind"] for part in message["messages"]]
    assert {"opened", "selected", "image", "photos", "strengths", "dataset"} <= set(kinds)
    assert sum(message["counts"]) == len(buffers)
    assert server.calls <= calls + 1  # that somebody looks
    far.say("panels")
    assert far.heard[-1][0]["kind"] == "panels" or far.of("panels")


def test_a_photo_is_looked_at_there(client: Open, tmp_path: Path) -> None:
    far = client()
    far.waiting.until_idle(120)
    noise = np.random.default_rng(1).integers(0, 256, (50, 60, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "mine.png")
    far.waiting.until_done(far.session.look(tmp_path / "mine.png"))
    far.until(lambda: far.of("looked"))
    assert far.of("looked")[0]["name"] == "mine.png"
    far.waiting.until_done(far.session.look(far.session.examples()["most"][0]))
    with pytest.raises(ValueError, match="photos go by a name"):
        far.session.scan([noise])


def test_expressions_and_pictures_that_form_together(client: Open) -> None:
    expression = "blocks.1:3 - 0.5*blocks.1:5"
    far = client(layer=expression, facets=2)
    session, state = far.session, far.session.state
    assert str(state.target) == expression  # before there is a line
    far.waiting.until_idle(120)
    assert str(session.result().targets[0]) == expression
    with pytest.raises(UnknownLayer, match="blocks"):
        session.select(target="blocks.1:3 + blocks.77:5")
    with pytest.raises(TargetError, match="several images"):
        session.select(target="blocks.1:3 - diversity(blocks.1)")
    session.select(target="blocks.1:5")
    far.waiting.until_idle(120)
    first, last = (parse(text).as_dict() for text in (expression, "blocks.1:5"))
    number = far.of("photos")[-1]["most"][0]["index"]
    far.say("between", first=first, last=last)
    far.waiting.until_idle(120)
    far.say("accentuate", target=last, photo={"of": "dataset", "number": number})
    far.waiting.until_idle(120)
    whole = {m["task"]: m for m in far.of("strip") if "index" not in m}
    assert {task: len(m["activation"]) for task, m in whole.items()} == {
        "facets": 1,
        "between": 2,
        "accentuation": 1,
    }
    assert not far.of("error"), far.of("error")
    # A page that comes later has them, from here.
    far.heard.clear()
    far.say("ready", view="b")
    assert {m["task"] for m in far.of("strip")} >= {"between", "accentuation"}


# -------------------------------------------------------------- lost, and found again


@pytest.mark.parametrize("dies", [False, True], ids=["the line breaks", "the server dies"])
def test_a_lost_session_is_said_kept_and_found(client: Open, server: Any, dies: bool) -> None:
    far = client()
    session, state = far.session, far.session.state
    far.say("ready", view="a")
    far.waiting.until_idle(120)
    session.select(neuron=7)
    far.waiting.until_idle(120)
    image = session.image().tobytes()
    before, sessions = len(far.heard), server.sessions
    if dies:
        server.end()
    else:
        server.sessions = None
    far.until(lambda: state.status == "connection lost")
    told = [m for m, _ in far.heard[before:] if m["kind"] == "error" and m["message"]]
    assert [(m["where"], m["title"]) for m in told] == [("network", "The connection is lost")]
    assert "What is shown stays" in told[0]["message"]
    # What is shown stays, also for a page that is loaded again; what is asked for is answered.
    assert session.image().tobytes() == image
    assert session.still()["image/png"]
    far.say("ready", view="b")
    assert "image" in [part["kind"] for part in far.heard[-1][0]["messages"]]
    answers = len(far.heard)
    far.say("start", target=_neuron(1), steps=4)
    assert far.heard[answers][0] == told[0]
    for ask in (session.render, session.result, lambda: session.select(neuron=2)):
        with pytest.raises(ClusterError, match="lost"):
            ask()
    # It is back.
    if dies:
        server.restart()
    else:
        server.sessions = sessions
    far.until(lambda: session._link.connected)
    far.until(lambda: "error network" not in state._shown)
    far.waiting.until_idle(120)
    assert str(state.target) == "blocks.1:7"
    assert session.image().tobytes() == image
    assert session.result().steps == 4
    assert state.status == "ready"
    far.until(lambda: not any(map(state.shows_active, ("render", "scan", "preview"))))


def test_who_waits_when_it_is_lost_hears_of_it(client: Open, server: Any) -> None:
    far = client(auto=False, steps=64)
    far.waiting.until_open()
    job = far.session.render()
    server.end()
    with pytest.raises(ClusterError, match="was lost while this was waited for"):
        far.waiting.until_done(job)


@pytest.mark.parametrize(("name", "most"), [("MOST", 8), ("MOST_BYTES", 5000)])
def test_a_client_that_is_slow_gets_a_snapshot(
    client: Open, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setattr(f"neuron_widget.remote.desk.{name}", most)
    far = client()
    far.say("ready", view="a")
    far.waiting.until_idle(120)
    assert far.session.image() is not None
    assert far.session.examples() is not None


def test_no_server_and_a_wrong_wish_are_said_once(client: Open, server: Any) -> None:
    far = client(dataset="/etc")
    with pytest.raises(DatasetError, match="does not look into '/etc'"):
        far.waiting.until_idle(60)
    assert far.of("error")[0]["title"] == "There is no session on the cluster"
    server.end()
    gone = client()
    with pytest.raises(ClusterError, match="the process died"):
        gone.waiting.until_open()


# -------------------------------------------------------------- many clients


def test_what_one_renders_all_have_and_closing_frees(client: Open, server: Any) -> None:
    sessions = server.sessions
    many = [client(neuron=5, previews=True) for _ in range(4)]
    for one in many:
        one.say("ready", view="a")
        one.waiting.until_idle(120)
    images = {one.session.image().tobytes() for one in many}
    assert len(images) == 1
    assert sessions.facts()["networks"] == 1
    desks: list[Desk] = list(sessions._desks.values())
    networks = [desk.session.state.model for desk in desks]
    assert len({id(model.module) for model in networks}) == 1
    assert len(set(map(id, networks))) == 4
    # Previews are made once, whoever makes them.
    for one in many:
        one.until(lambda one=one: len(one.session.state.cache.thumbs("blocks.1")) == 24)
    tiles = [one.session.state.cache.thumbs("blocks.1") for one in many]
    assert all(t == tiles[0] for t in tiles)
    assert [row["client"] for row in sessions.who()] == [many[0].session._link._client] * 4
    for one in many:
        one.session.close()
    many[0].until(lambda: sessions.facts()["sessions"] == 0)
    assert not sessions._together._members
    many[0].until(lambda: not sessions._worker._jobs)


def test_nobody_starves(client: Open, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve who ask at once: each has made a step before one of them makes a second."""
    many = [client(auto=False, steps=32, neuron=i) for i in range(12)]
    for one in many:
        one.say("ready", view="a")
        one.waiting.until_open()
    worker, free, made = server.sessions._worker, threading.Event(), []
    advance = worker._advance

    def note(job: Job) -> None:
        if job.task == "render":
            made.append(job.owner)
        advance(job)

    monkeypatch.setattr(worker, "_advance", note)
    hold = Job(object(), "hold", (free.wait(0.01) for _ in iter(free.is_set, True)), priority=-1)
    worker.submit(hold)
    jobs = [one.session.render() for one in many]
    free.set()
    for one, job in zip(many, jobs, strict=True):
        one.waiting.until_done(job)
    assert len(set(made[:12])) == 12
    for one in many:
        assert one.of("frame"), "nothing was seen to form"
        assert one.session.result().steps == 32


def test_a_silent_clients_views_are_gone_until_it_is_heard(client: Open, server: Any) -> None:
    far = client()
    far.say("ready", view="a")
    far.say("ready", view="b")
    far.waiting.until_idle(120)
    (desk,) = server.sessions._desks.values()
    frames = desk.session.state.frames
    far.until(lambda: frames.by_name() == {"a": True, "b": True})
    desk.nobody_looks()
    far.until(lambda: frames.by_name() == {"a": True, "b": True})
    # A view that went while the line was broken does not come back.
    server.sessions, there = None, server.sessions
    far.until(lambda: not far.session._link.connected)
    far.say("visible", view="b", visible=False, gone=True)
    server.sessions = there
    far.until(lambda: far.session._link.connected)
    far.until(lambda: frames.by_name() == {"a": True})


def test_limits_of_a_student(client: Open, server: Any) -> None:
    from dataclasses import replace

    server.rules = replace(server.rules, views=2)
    server.restart()
    for _ in range(2):
        client().waiting.until_open()
    third = client()
    with pytest.raises(WrongValue, match="has 2 widgets at work here already"):
        third.waiting.until_open()


def test_numbers_of_jobs_come_in_any_order(client: Open) -> None:
    far = client(auto=False)
    far.waiting.until_open()
    far.session._end(999, None)  # heard before the answer that names it
    assert far.session._job(999, "render").finished.is_set()
