"""A photo that the page brings: pieces of a file, who fires, where, and what would change."""

from __future__ import annotations

import base64
import copy
import io
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import NeuronWidget, load_model, look
from neuron_widget.errors import DatasetError
from neuron_widget.protocol.messages import PIECE_BYTES
from neuron_widget.session import Session
from neuron_widget.session.arguments import check_arguments
from neuron_widget.session.handle import handle_message
from neuron_widget.session.jobs import Worker
from neuron_widget.targets import Channel

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# Only a test that hangs takes so long.
LIMIT = 120


class Tiny(nn.Module):
    """Two layers and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 5, stride=2, padding=2), nn.ReLU())
        self.late = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(8, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.late(self.stem(x)).mean((2, 3)))


def noise(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def file_of(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


class Page:
    """A session on a tiny network, and what it says."""

    def __init__(self, network: nn.Module | None = None, **how: Any) -> None:
        torch.manual_seed(2)
        self.model = load_model(network or Tiny().eval(), preprocess=HALF, input_size=32)
        given = {"auto": False, "previews": False, "dataset": [noise(i) for i in range(12)], **how}
        settings = check_arguments(
            layer="late",
            model=self.model,
            weights=None,
            neuron=3,
            device=None,
            store=False,
            **given,
        )
        self.heard: list[tuple[dict[str, Any], list[bytes]]] = []
        self.worker = Worker()
        self.session = Session(
            settings, lambda m, b: self.heard.append((m, b)), lambda: None, self.worker
        )
        self.wait()

    def wait(self) -> None:
        end = time.monotonic() + LIMIT
        while self.session.state.jobs():
            assert time.monotonic() < end
            time.sleep(0.002)

    def send(self, kind: str, buffers: Any = (), **fields: Any) -> None:
        handle_message(self.session, {"kind": kind, **fields}, buffers)
        self.wait()

    def bring(self, data: bytes, name: str = "my photo.png", upload: str = "a") -> None:
        pieces = [data[i : i + 1000] for i in range(0, len(data), 1000)] or [b""]
        for i, piece in enumerate(pieces):
            fields = {"upload": upload, "name": name, "piece": i, "pieces": len(pieces)}
            self.send("bring", [memoryview(piece)], **fields)

    def last(self, kind: str) -> tuple[dict[str, Any], list[bytes]]:
        json.dumps([m for m, _ in self.heard], allow_nan=False)
        return next(part for part in reversed(self.heard) if part[0]["kind"] == kind)

    def said(self, kind: str) -> dict[str, Any]:
        return self.last(kind)[0]

    def snapshot_kinds(self) -> list[str]:
        message, _ = self.session.state.snapshot()
        return [m["kind"] for m in message["messages"]]


@pytest.fixture
def page() -> Iterator[Page]:
    page = Page()
    yield page
    page.session.close()
    page.worker.close()


def test_a_photo_is_looked_at_in_pieces_and_its_neurons_are_told(page: Page) -> None:
    photo = noise(40)
    page.bring(file_of(photo))
    expected = look(page.model, "late", photo)
    looked, (jpeg,) = page.last("looked")
    assert looked["name"] == "my photo.png"
    assert looked["layer"] == "late"
    assert looked["order"] == expected.order.tolist()
    assert looked["worth"] == [f"{score:.3g}" for score in expected.scores]
    assert looked["unit"] == "score"
    assert Image.open(io.BytesIO(jpeg)).size == (32, 32)
    place, maps = page.last("place")
    assert place["whole"] is True
    assert "raw scores" in place["note"]
    assert place["neurons"] == expected.order.tolist()
    assert maps[0] == bytes(
        (np.clip(expected.map(place["neurons"][0]) / expected.maps.max(), 0, 1) * 255 + 0.5).astype(
            np.uint8
        )
    )
    answer = page.said("answer")
    assert answer["question"] == ""
    assert [c["name"] for c in answer["classes"]] == [c.name for c in expected.without([]).best()]

    page.send("scan", dataset="", download=False)
    scan = page.session.state.scan_result
    expected = look(page.model, "late", photo, scan=scan)
    assert expected.percentile is not None
    looked = page.said("looked")
    assert looked["worth"] == [
        f"{p if p == 100 else min(p, 99.9):.1f}" for p in expected.percentile
    ]
    assert looked["unit"] == "percentile"
    assert "12 photos" in page.said("place")["note"]
    assert looked["order"] == expected.order.tolist()


def test_places_maps_and_answers(page: Page) -> None:
    photo = noise(41)
    page.send("scan", dataset="", download=False)
    page.bring(file_of(photo))
    expected = look(page.model, "late", photo, scan=page.session.state.scan_result)
    page.send("place", row=3, column=14)
    place, maps = page.last("place")
    assert place["title"] == "Firing at row 3, column 14"
    firing = expected.at(3, 14, 12)
    assert place["neurons"] == [f.neuron for f in firing]
    assert place["worth"] == [
        f"{f.ratio:.1f}\N{MULTIPLICATION SIGN}" if f.usual else "rare" for f in firing
    ]
    assert len(maps) == len(place["neurons"]) > 2
    page.send("map", target=Channel("late", 5).as_dict())
    shown, (data,) = page.last("map")
    assert shown["target"]["neuron"] == 5
    peak = expected.scale(5)
    assert np.frombuffer(data, np.uint8).reshape(16, 16)[2, 3] == int(
        np.clip(expected.map(5)[2, 3] / peak, 0, 1) * 255 + 0.5
    )
    targets = [Channel("late", n).as_dict() for n in (5, 2)]
    for mean, times, made in (
        (False, 0.0, expected.without([5, 2])),
        (True, 0.0, expected.without([5, 2], to="mean")),
        (False, 4.0, expected.times([5, 2], 4)),
    ):
        question = f"{mean} {times}"
        page.send("answer", question=question, targets=targets, mean=mean, times=times)
        answer = page.said("answer")
        assert (answer["question"], answer["note"]) == (question, "")
        assert answer["classes"][0]["after"] == f"{100 * made.best()[0].after:.1f}\u00a0%"


def test_a_photo_of_the_data_set_is_looked_at_as_it_is_shown(page: Page) -> None:
    page.send("scan", dataset="", download=False)
    page.send("bring_shown", target=Channel("late", 3).as_dict(), group="most", rank=0)
    scan = page.session.state.scan_result
    assert scan is not None
    best = scan.top(3)[0]
    looked = page.said("looked")
    assert looked["worth"][3] == f"{100 * 11 / 12:.1f}"
    seen = page.session.looking.look
    assert seen is not None
    assert seen.scores[3] == pytest.approx(best.score, abs=1e-5)


def test_another_layer_and_another_scan_look_again(page: Page) -> None:
    page.bring(file_of(noise(42)))
    page.session.select(layer="stem")
    page.wait()
    looked = page.said("looked")
    assert (looked["layer"], len(looked["worth"]), looked["map_height"]) == ("stem", 6, 16)
    assert looked["look"] == 2
    assert page.snapshot_kinds().count("looked") == 1


def test_it_is_forgotten_when_it_is_put_away(page: Page) -> None:
    page.bring(file_of(noise(43)))
    assert "looked" in page.snapshot_kinds()
    page.send("put_away")
    assert page.said("put_away") == {"kind": "put_away"}
    assert not {"looked", "place", "answer"} & set(page.snapshot_kinds())
    before = len(page.heard)
    page.send("place", row=0, column=0)
    page.send("map", target=Channel("late", 0).as_dict())
    page.send("answer", question="", targets=[], mean=False, times=0.0)
    assert len(page.heard) == before
    page.session.close()
    assert page.session.looking.look is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "none of the photo formats"),
        (b"", "is empty"),
        (file_of(noise(1), "JPEG")[:300], "cut short or damaged"),
    ],
)
def test_what_is_no_photo_is_said_at_its_place_and_the_last_photo_stays(
    page: Page, data: bytes, words: str
) -> None:
    page.bring(file_of(noise(44)))
    page.bring(data, "x/y\\bad.svg", "b")
    error = page.said("error")
    assert error["where"] == "photo"
    assert words in error["message"]
    assert "'bad.svg'" in error["message"]
    assert error["traceback"] == ""
    assert page.session.looking.look is not None
    page.bring(file_of(noise(45)), "good.png", "c")
    assert page.said("error")["message"] == ""
    assert page.said("looked")["name"] == "good.png"


def test_pieces_that_make_no_file_are_refused(page: Page) -> None:
    piece = [b"x"]
    for buffers, fields in (
        ([], {"piece": 0, "pieces": 1}),
        ([b"x", b"y"], {"piece": 0, "pieces": 1}),
        (piece, {"piece": 1, "pieces": 1}),
        (piece, {"piece": -1, "pieces": 1}),
        (piece, {"piece": 0, "pieces": 0}),
    ):
        with pytest.raises(ValueError, match="no piece of a photo's file"):
            page.send("bring", buffers, upload="a", name="a.png", **fields)
    for buffers, pieces in ((piece, 14), ([b"\0" * (PIECE_BYTES + 1)], 1)):
        page.send("bring", buffers, upload="a", name="a.png", piece=0, pieces=pieces)
        assert "larger than 50 MB" in page.said("error")["message"]
    # A newer file takes the place of one that never came whole; a piece that comes twice is one.
    data = file_of(noise(46))
    page.send("bring", piece, upload="old", name="old.png", piece=0, pieces=2)
    half = len(data) // 2
    for i in (0, 0, 1):
        part = [data[:half], data[half:]][i]
        page.send("bring", [part], upload="new", name="new.png", piece=i, pieces=2)
    assert page.said("looked")["name"] == "new.png"


class Maps(Tiny):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.late(self.stem(x))


def test_a_network_without_classes_says_so_in_place_of_them() -> None:
    page = Page(Maps().eval())
    page.bring(file_of(noise(47)))
    answer = page.said("answer")
    assert answer["classes"] == []
    assert "no number for each class" in answer["note"]
    page.session.close()
    page.worker.close()


GO = threading.Event()
GO.set()
INSIDE = threading.Event()


class Holds(Tiny):
    """Waits in the forward pass while it is told to."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        INSIDE.set()
        assert GO.wait(LIMIT)
        return super().forward(x)


@pytest.fixture
def held() -> Iterator[Page]:
    """A session whose network waits in its forward pass, until ``GO``."""
    page = Page(Holds().eval())
    GO.clear()
    INSIDE.clear()
    yield page
    GO.set()
    page.session.close()
    page.worker.close()


@pytest.mark.parametrize("begun", [True, False])
def test_the_newest_photo_wins(held: Page, begun: bool) -> None:
    for i in range(3):
        held.session.look(noise(50 + i), f"{i}.png")
        assert not begun or INSIDE.wait(LIMIT)
    GO.set()
    held.wait()
    assert [m["name"] for m, _ in held.heard if m["kind"] == "looked"] == ["2.png"]


@pytest.mark.parametrize("begun", [True, False])
def test_a_photo_that_is_put_away_on_its_way_stays_away(held: Page, begun: bool) -> None:
    held.session.look(noise(50), "a.png")
    assert not begun or INSIDE.wait(LIMIT)
    handle_message(held.session, {"kind": "put_away"})
    GO.set()
    held.wait()
    held.session.select(layer="stem", auto=False)
    held.wait()
    assert "looked" not in [m["kind"] for m, _ in held.heard]


def test_a_network_that_is_trained_meanwhile_is_asked_anew() -> None:
    network = Tiny()
    page = Page(network)
    page.bring(file_of(noise(48)))
    with torch.no_grad():
        network.late[0].weight *= 1.5
    before = copy.deepcopy(page.said("looked"))
    targets = [Channel("late", 1).as_dict()]
    page.send("answer", question="?", targets=targets, mean=False, times=0.0)
    assert "look again" in page.said("answer")["note"]
    page.session.select(layer="stem", auto=False)
    page.wait()
    page.session.select(layer="late", auto=False)
    page.wait()
    assert page.said("looked")["worth"] != before["worth"]
    page.session.close()
    page.worker.close()


def test_from_python() -> None:
    model = load_model(Tiny().eval(), preprocess=HALF, input_size=32)
    how: dict[str, Any] = {"auto": False, "previews": False, "store": False}
    w = NeuronWidget("late", model=model, dataset=[noise(i) for i in range(5)], **how)
    seen = w.look(noise(60), wait=True)
    assert seen is not None
    assert seen.layer == "late"
    assert w.look(noise(61)) is None
    w.wait()
    assert w._session.looking.look is not seen
    w.scan(wait=True)
    assert w.examples is not None
    seen = w.look(w.examples["most"][0], wait=True)
    assert seen is not None
    assert seen.scores[0] == pytest.approx(w.examples["most"][0].score, abs=1e-5)
    with pytest.raises(DatasetError, match="a photo is a path"):
        w.look(3, wait=True)
    w.close()
    assert w._session.looking.look is None


def test_it_is_in_no_still_picture_and_no_exported_page(tmp_path: Any) -> None:
    model = load_model(Tiny().eval(), preprocess=HALF, input_size=32)
    how: dict[str, Any] = {"previews": False, "store": False, "steps": 2, "size": 32}
    w = NeuronWidget("late", model=model, dataset=[noise(i) for i in range(5)], **how)
    w.wait()
    w.look(noise(62), wait=True)
    message, buffers = w._session.state.snapshot()
    at = [m["kind"] for m in message["messages"]].index("looked")
    photo = buffers[sum(message["counts"][:at])]
    bundle = w._repr_mimebundle_()
    assert bundle is not None
    page = w.to_html(tmp_path / "page.html").read_text()
    text = page + json.dumps([bundle[0], w.get_state()], default=str)
    assert base64.b64encode(photo)[:200].decode() not in text
    assert '"kind":"looked"' not in text.replace(" ", "")
    w.close()
