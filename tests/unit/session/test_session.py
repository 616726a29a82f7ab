"""A session on a tiny network: what it says to the page, without a notebook."""

from __future__ import annotations

import ast
import base64
import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import load_model
from neuron_widget.session import Session, Settings
from neuron_widget.session.arguments import check_arguments
from neuron_widget.session.export import python_line, still
from neuron_widget.session.handle import handle_message
from neuron_widget.session.jobs import Worker
from neuron_widget.targets import Channel

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
Part = tuple[dict[str, Any], list[bytes]]

# Only a test that hangs takes so long.
LIMIT = 120


class Tiny(nn.Module):
    """Two convolutions and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 5, stride=2, padding=2), nn.ReLU())
        self.late = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU())
        nn.init.constant_(self.late[0].bias, 0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.late(self.stem(x)).mean((2, 3))


SETTINGS = {"size": 32, "lr": 0.05, "seed": 0, "objective": "channel", "previews": True}


def target(neuron: int, layer: str = "late") -> dict[str, Any]:
    return Channel(layer, neuron).as_dict()


def field(message: dict[str, Any], name: str) -> object:
    """A field of a message, or of its target."""
    return message.get(name, (message.get("target") or {}).get(name))


def neuron_of(message: dict[str, Any]) -> object:
    return field(message, "neuron")


class Listener:
    """The page's side: what was said, and waiting for it."""

    def __init__(self) -> None:
        self.heard: list[Part] = []
        self.changed = threading.Condition()
        self.session: Session | None = None

    def send(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        with self.changed:
            self.heard.append((message, buffers))
            self.changed.notify_all()
        if message["kind"] == "frame" and self.session is not None:
            self.session.state.frames.acknowledged(message["index"])

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [m for m, _ in self.heard if m["kind"] == kind]

    def wait_for(self, kind: str, timeout: float = LIMIT, **more: object) -> Part:
        """The first message that is so, and forget those before it."""

        def found() -> int | None:
            for i, (m, _) in enumerate(self.heard):
                if m["kind"] == kind and all(field(m, k) == v for k, v in more.items()):
                    return i
            return None

        with self.changed:
            there = self.changed.wait_for(lambda: found() is not None, timeout)
            kinds = [m["kind"] for m, _ in self.heard]
            assert there, f"no {kind} {more}; there were {kinds}"
            i = found()
            assert i is not None
            part = self.heard[i]
            del self.heard[: i + 1]
            return part


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return load_model(Tiny(), preprocess=HALF, input_size=32)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for i in range(12):
        name = root / ("smooth" if i % 2 else "rough") / f"{i}.png"
        name.parent.mkdir(exist_ok=True)
        side = 2 if i % 2 else 32
        noise = random.integers(0, 255, (side, side, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((32, 32)).save(name)
    return root


Make = Callable[..., tuple[Session, Listener]]


@pytest.fixture
def make(model: Any, photos: Path) -> Iterator[Make]:
    """A session whose network is open, with a view in sight."""
    worker = Worker()
    sessions = []

    def make_it(*asked: Callable[[Session], object], **settings: Any) -> tuple[Session, Listener]:
        page = Listener()
        given = {"model": model, "dataset": str(photos), "layer": "late", "size": 32, "steps": 12}
        session = Session(
            Settings(**{**given, "auto": False, **settings}), page.send, lambda: None, worker
        )
        page.session = session
        session.view("a", visible=True)
        sessions.append(session)
        for ask in asked:
            ask(session)
        page.wait_for("opened")
        return session, page

    yield make_it
    for session in sessions:
        session.close()
    worker.close()


def wait_until(true: Callable[[], object], timeout: float = LIMIT) -> None:
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_frames_say_the_objective(make: Make) -> None:
    session, page = make(steps=40)
    session.render()
    frame, (picture,) = page.wait_for("frame")
    assert frame["value"] > 0
    assert picture.startswith(b"\xff\xd8")


def test_more_steps_go_on_from_the_present_image(make: Make) -> None:
    session, page = make()
    session.render()
    image, _ = page.wait_for("image")
    assert image["step"] == 12
    handle_message(session, {"kind": "more", "target": target(0), "steps": 100_000})
    frame, _ = page.wait_for("frame")
    assert frame["step"] > 12
    while frame["step"] < 16:
        frame, _ = page.wait_for("frame")
    session.stop()
    image, _ = page.wait_for("image")
    assert image["step"] > 12
    assert [step for step, _ in image["history"]][:3] == [1, 8, 16]
    # It was for this image: the next neuron gets as many as before.
    assert session.state.steps == 12


def test_another_setting_shows_no_old_picture_and_the_way_back_does(make: Make) -> None:
    session, page = make()
    session.render()
    before, (old,) = page.wait_for("image")
    page.wait_for("thumbs")
    session.configure({**SETTINGS, "size": 48, "seed": 0, "objective": "channel"})
    configured, _ = page.wait_for("configured")
    assert configured["settings"]["size"] == 48
    assert session.state.result is None
    kinds = [m["kind"] for m in session.state.snapshot()[0]["messages"]]
    assert "image" not in kinds
    assert "thumbs" not in kinds
    session.render()
    image, (new,) = page.wait_for("image")
    assert image["settings"]["size"] == 48
    assert new != old
    session.configure({**SETTINGS, "size": 32, "seed": 0, "objective": "channel"})
    image, (again,) = page.wait_for("image")
    assert (again, image["settings"]) == (old, before["settings"])


def test_a_setting_changed_in_mid_job_ends_it_and_its_picture_is_not_shown(make: Make) -> None:
    session, page = make(steps=100_000)
    session.render()
    page.wait_for("frame")
    session.configure({**SETTINGS, "size": 32, "seed": 7, "objective": "neuron"})
    page.wait_for("configured")
    page.wait_for("progress", task="render", state="stopped")
    assert not page.all("frame")
    assert not page.all("image")
    assert session.state.result is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"size": 8}, "size must be from 16 to 1,024, got 8"),
        ({"lr": 0}, "lr must be above 0"),
        ({"lr": float("nan")}, "lr must be above 0"),
        ({"lr": "x"}, "lr must be a number"),
        ({"seed": -1}, "seed must be from 0"),
        ({"objective": "layer"}, "unknown objective 'layer'; expected 'channel', 'unit'"),
    ],
)
def test_bad_settings(make: Make, change: dict[str, Any], says: str) -> None:
    session, _ = make()
    with pytest.raises((ValueError, TypeError), match=says):
        session.configure({**SETTINGS, **change})
    assert session.state.settings.options["size"] == 32


def test_previews_can_be_turned_off_and_on(make: Make) -> None:
    session, page = make(auto=True, previews=False, steps=4)
    page.wait_for("image")
    wait_until(lambda: not session.foreground())
    assert not session.state.running("preview")
    assert len(session.state.cache.thumbs("late")) == 1
    session.configure({**SETTINGS, "size": 32, "seed": 0, "objective": "channel"})
    wait_until(lambda: len(session.state.cache.thumbs("late")) == 8)


def test_pins_come_with_their_pictures_and_survive_many_others(make: Make) -> None:
    session, page = make(steps=1)
    session.scan()
    page.wait_for("strengths")
    page.wait_for("photos", neuron=0)
    session.select(neuron=3)
    session.render()
    page.wait_for("image", neuron=3)
    session.pin([("late", 3), ("late", 5)])
    pins, _ = page.wait_for("pins")
    assert pins["pins"] == [target(3), target(5)]
    # Nobody looked at 5 before: its photos are made for the pin.
    page.wait_for("photos", neuron=5)
    result = session.state.cache.rendering(Channel("late", 3))
    for n in range(200):
        session.state.cache.add_rendering(
            session.state.cache.recipe, Channel("other", n), result, ({}, [])
        )
    session.select(neuron=0)
    kinds = [(m["kind"], neuron_of(m)) for m in session.state.snapshot()[0]["messages"]]
    for expected in [("image", 3), ("photos", 3), ("photos", 5)]:
        assert expected in kinds
    with pytest.raises(ValueError, match="at most 4"):
        session.pin([("late", n) for n in range(5)])
    with pytest.raises(ValueError, match="there is no neuron 8"):
        session.pin([("late", 8)])


def test_strengths_say_the_classes_of_the_best_photos(make: Make) -> None:
    session, page = make()
    session.scan()
    strengths, _ = page.wait_for("strengths")
    assert sorted(strengths["labels"]) == ["rough", "smooth"]
    scan = session.state.scan_result
    assert scan is not None
    for neuron in range(8):
        best = dict.fromkeys(example.label for example in scan.top(neuron, 3))
        assert [strengths["labels"][i] for i in strengths["top"][neuron]] == list(best)


def test_the_figure_is_a_file_for_who_asked(make: Make) -> None:
    session, page = make()
    handle_message(session, {"kind": "figure", "asker": "me", "target": target(0)})
    error, _ = page.wait_for("error", where="save")
    assert "not rendered yet" in error["message"]
    session.render()
    page.wait_for("image")
    handle_message(session, {"kind": "figure", "asker": "me", "target": target(0)})
    file, (data,) = page.wait_for("file")
    assert (file["asker"], file["name"]) == ("me", "late_0_figure.png")
    assert Image.open(io.BytesIO(data)).format == "PNG"


@pytest.mark.parametrize(
    ("given", "layer", "neuron", "line"),
    [
        ({}, "", 0, "NeuronWidget()"),
        ({"model": "inceptionv1"}, "mixed4a", 68, 'NeuronWidget("mixed4a", neuron=68)'),
        ({"model": "efficientnet_lite0"}, "blocks.3", 0, 'NeuronWidget("blocks.3")'),
        (
            {"model": "torchvision/resnet18", "size": 128, "objective": "unit"},
            "layer3",
            1,
            'NeuronWidget("layer3", model="torchvision/resnet18", neuron=1, size=128, '
            'objective="unit")',
        ),
        (
            {"model": "inceptionv1", "weights": Path("w.pth"), "dataset": "it's/here", "lr": 0.1},
            "mixed4a",
            0,
            'NeuronWidget("mixed4a", weights="w.pth", dataset="it\'s/here", lr=0.1)',
        ),
        (
            {"model": "inceptionv1", "dataset": "http://me:secret@host/photos"},
            "mixed4a",
            0,
            'NeuronWidget("mixed4a", dataset="http://host/photos")',
        ),
        (
            {"model": "inceptionv1", "store": Path("here")},
            "mixed4a",
            0,
            'NeuronWidget("mixed4a", store="here")',
        ),
        (
            {"model": "inceptionv1", "store": ["teacher", Path("mine")]},
            "mixed4a",
            0,
            'NeuronWidget("mixed4a", store=["teacher", "mine"])',
        ),
        (
            {"model": "inceptionv1", "store": False},
            "mixed4a",
            0,
            'NeuronWidget("mixed4a", store=False)',
        ),
    ],
)
def test_the_python_line(given: dict[str, Any], layer: str, neuron: int, line: str) -> None:
    settings = Settings(**given)
    assert python_line(settings, Channel(layer, neuron), 512) == (line, "")


def test_the_python_line_makes_the_same_settings_again() -> None:
    arguments = {"steps": 64, "size": 96, "seed": 3, "lr": 0.1, "top_k": 4, "previews": False}
    settings = check_arguments(
        **{"layer": "mixed4a", "model": None, "weights": None, "dataset": "samples"},
        **{"neuron": 68, "device": "cpu", "auto": False, "objective": "neuron", **arguments},
    )
    line, note = python_line(settings, Channel("mixed4a", 68), 64)
    call = ast.parse(line, mode="eval").body
    assert isinstance(call, ast.Call)
    said = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
    assert note == ""
    missing = {"model": None, "weights": None, "dataset": "samples"}
    again = check_arguments(layer=ast.literal_eval(call.args[0]), **missing, **said)
    assert again == settings


def test_the_line_names_what_has_no_text(model: Any) -> None:
    line, note = python_line(Settings(model=model, dataset=["a.png"]), Channel("late", 2), 512)
    assert line == 'NeuronWidget("late", model=model, dataset=dataset, neuron=2)'
    assert "your network" in note
    assert "your data set" in note


def test_a_still_picture_needs_no_kernel_and_no_work(make: Make) -> None:
    session, page = make()
    assert still(session.state) == {}
    session.scan()
    page.wait_for("photos", neuron=0)
    session.select(neuron=2)
    # Its photos are being looked up: nothing is waited for.
    session.state.stop("photos")
    session.state.cache.photos.pop(("late", 2), None)
    assert still(session.state) == {}
    session.render()
    page.wait_for("image", neuron=2)
    shown = still(session.state)
    picture = Image.open(io.BytesIO(base64.b64decode(shown["image/png"])))
    assert picture.width > 500
    assert "late neuron 2" in shown["text/html"]
    assert "NeuronWidget(" in shown["text/html"]
    assert 'src="data:image/jpeg;base64,' in shown["text/html"]


def test_a_data_set_that_cannot_be_opened_changes_nothing(make: Make, photos: Path) -> None:
    session, page = make()
    assert session.scan() is not None
    page.wait_for("strengths")
    handle_message(session, {"kind": "scan", "dataset": "/no/such/folder", "download": False})
    page.wait_for("error", where="scan")
    # The view, and the line that makes it again, still look into the photos that are shown.
    assert session.state.settings.dataset == str(photos)
    assert not [m for m in page.all("dataset") if m["dataset"] is None]


def steps_of(page: Listener) -> int:
    return max((m["done"] for m in page.all("progress") if m["task"] == "render"), default=0)


@pytest.mark.parametrize(
    "again",
    [
        lambda session: session.select(neuron=0),
        lambda session: session.render(),
        lambda session: session.select(steps=4000),
        lambda session: session.render(4000),
        lambda session: (session.select(neuron=1), time.sleep(0.5), session.select(neuron=0)),
    ],
    ids=["selected", "render", "steps", "more", "there and back"],
)
def test_a_rendering_asked_for_again_goes_on(
    make: Make, again: Callable[[Session], object]
) -> None:
    session, page = make(auto=True, previews=False, steps=3000)
    wait_until(lambda: steps_of(page) > 40)
    again(session)
    before = steps_of(page)
    page.heard.clear()
    frame, _ = page.wait_for("frame", neuron=0)
    assert frame["step"] >= 40
    wait_until(lambda: steps_of(page) > before)
    page.heard.clear()
    session.stop()
    page.wait_for("progress", task="render", state="stopped")
    assert session.state.result is not None
    assert session.state.result.steps >= before
    # A person wanted it so: it is not begun again by itself.
    session.select(neuron=0)
    assert not session.state.running("render")


def test_a_new_beginning_takes_no_further_images_place(make: Make) -> None:
    session, page = make(steps=100)
    session.render()
    page.wait_for("progress", task="render", state="done")
    session.select(steps=50)
    session.render()
    page.wait_for("progress", task="render", state="running")
    session.stop()
    ended, _ = page.wait_for("progress", task="render", state="stopped")
    assert ended["done"] == 100
    assert session.state.result is not None
    assert session.state.result.steps == 100


def test_an_image_of_a_few_steps_is_no_tile(make: Make) -> None:
    session, page = make(steps=3000)
    session.render()
    page.wait_for("progress", task="render", state="running")
    session.stop()
    image, _ = page.wait_for("image", neuron=0)
    assert image["step"] < 3000
    assert bool(session.state.cache.thumbs("late")) == (image["step"] >= 24)


class Slow(torch.utils.data.Dataset[Any]):
    """Pictures that take two seconds to open."""

    def __len__(self) -> int:
        return 200

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        time.sleep(0.01)
        return Image.new("RGB", (32, 32), (i, 0, 0)), 0


def test_a_scan_goes_on_until_another_data_set_is_open(make: Make, photos: Path) -> None:
    session, page = make()
    session.scan(Slow())
    page.wait_for("progress", task="scan", state="running")
    handle_message(session, {"kind": "scan", "dataset": "/no/such/folder", "download": False})
    page.wait_for("error", where="scan")
    assert session.state.running("scan")
    ended, _ = page.wait_for("progress", task="scan", state="done")
    assert ended["done"] == 200


def test_a_layer_chosen_beside_a_wrong_path_is_scanned(make: Make) -> None:
    session, page = make(auto=True, previews=False, dataset=Slow())
    page.wait_for("progress", task="scan", state="running")
    handle_message(session, {"kind": "scan", "dataset": "/no/such/folder", "download": False})
    session.select(layer="stem")
    page.wait_for("error", where="scan")
    page.wait_for("strengths", layer="stem")
    assert "error scan" in session.state._shown  # it stays to be read


def test_what_is_asked_before_the_network_is_open_is_done_after(make: Make, photos: Path) -> None:
    session, page = make(
        lambda s: s.select(neuron=3),
        lambda s: s.render(5),
        lambda s: s.scan(str(photos)),
        lambda s: s.pin([("late", 1)]),
        dataset="samples",
    )
    image, _ = page.wait_for("image", neuron=3)
    assert image["step"] == 5
    wait_until(lambda: "late" in session.state.cache.scans)
    assert session.state.settings.dataset == str(photos)
    assert session.state.cache.pins == (Channel("late", 1),)


def test_a_command_in_the_moment_of_opening(make: Make) -> None:
    class Eager(Listener):
        def send(self, message: dict[str, Any], buffers: list[bytes]) -> None:
            super().send(message, buffers)
            if message["kind"] == "opened" and self.session is not None:
                thread = threading.Thread(target=self.session.select, kwargs={"neuron": 5})
                thread.start()
                thread.join(5)

    session, _ = make()
    page = Eager()
    given = session.state.settings.replace(layer="late")
    other = Session(given, page.send, lambda: None, session.state.worker)
    page.session = other
    try:
        page.wait_for("selected", neuron=5)
        assert other.state.neuron == 5
    finally:
        other.close()


def test_an_opened_data_set_is_scanned_for_the_layer_selected_by_then(
    make: Make, photos: Path
) -> None:
    session, page = make()
    session.scan(Slow())
    page.wait_for("progress", task="scan", state="running")
    job = session.scan(str(photos))
    assert job is not None
    assert job is session.scan()
    session.select(layer="stem")
    assert job.finished.wait(LIMIT)
    page.wait_for("strengths", layer="stem")
    assert not session.state.running("scan")
    assert set(session.state.cache.scans) == {"stem"}
    assert session.state.settings.dataset == str(photos)


def test_without_any_data_set_the_page_is_told_so(make: Make) -> None:
    session, page = make(dataset="/no/such/folder")
    session.scan()
    told, _ = page.wait_for("dataset")
    assert told["dataset"] is None
    error, _ = page.wait_for("error", where="scan")
    assert "/no/such/folder" in error["message"]


class Hungry(Tiny):
    """A network that asks for more memory than there is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            torch.empty(1 << 50)
        return super().forward(x)


def test_out_of_memory_before_the_first_step_shows_no_image(make: Make) -> None:
    session, page = make(model=load_model(Hungry(), preprocess=HALF, input_size=32))
    session.render()
    error, _ = page.wait_for("error", where="render")
    assert "out of memory on cpu" in error["message"]
    assert "size=16" in error["message"]
    assert not error["traceback"]
    # The noise it would have begun from is not a picture of the neuron.
    assert not page.all("image")
    assert session.state.result is None


def test_a_stopped_scan_says_how_far_it_came_and_goes_on_when_asked(make: Make) -> None:
    session, page = make()
    dataset = [Image.new("RGB", (32, 32), (i, 0, 0)) for i in range(200)]
    session.scan(dataset)
    page.wait_for("progress", task="scan", state="running")
    session.stop()
    ended, _ = page.wait_for("progress", task="scan", state="stopped")
    assert ended["total"] == 200
    assert ended["done"] < 200
    handle_message(session, {"kind": "scan", "dataset": "", "download": False})
    ended, _ = page.wait_for("progress", task="scan", state="done")
    assert (ended["done"], ended["total"]) == (200, 200)
