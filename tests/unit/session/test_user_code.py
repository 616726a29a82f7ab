"""The user's code (observers, networks, data sets): where it runs, and what it cannot break."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import NeuronWidget
from neuron_widget.errors import WidgetError
from neuron_widget.targets import Channel

HALF = ((0.5,) * 3, (0.2,) * 3)

# Only a test that hangs takes so long.
LIMIT = 120


class Net(nn.Module):
    """Two layers; ``on_forward`` is called with every image."""

    def __init__(self, on_forward: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3)
        self.on_forward = on_forward

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.on_forward()
        return self.second(self.first(x).relu()).relu()


class Photos(torch.utils.data.Dataset[Any]):
    """Eight plain colours; ``on_item`` is called for every photo."""

    def __init__(self, on_item: Callable[[], object] = lambda: None) -> None:
        self.on_item = on_item

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        self.on_item()
        return Image.new("RGB", (32, 32), (30 * i, 0, 0)), i % 2


Make = Callable[..., NeuronWidget]


@pytest.fixture
def make() -> Iterator[Make]:
    """A widget on a tiny network."""
    from neuron_widget import load_model

    made: list[NeuronWidget] = []

    def make_it(net: Net | None = None, photos: Photos | None = None, **more: Any) -> NeuronWidget:
        model = load_model(net or Net(), preprocess=HALF, input_size=32)
        given = {"auto": False, "size": 32, "steps": 20, "store": False, **more}
        made.append(NeuronWidget("second", model=model, dataset=photos or Photos(), **given))
        return made[-1]

    yield make_it
    for widget in made:
        widget.close()


def errors(widget: NeuronWidget) -> list[str]:
    """The errors that a page shows."""
    message, _ = widget._session.state.snapshot()
    return [m["message"] for m in message["messages"] if m["kind"] == "error"]


@pytest.mark.parametrize("error", [KeyError, SystemExit])
@pytest.mark.parametrize("name", ["status", "progress"])
def test_an_observer_that_raises_ends_nothing_and_is_told_of_once(
    make: Make, caplog: pytest.LogCaptureFixture, name: str, error: type[BaseException]
) -> None:
    widget = make()
    widget.wait()
    calls = []

    def broken(change: Any) -> None:
        calls.append(change["new"])
        raise error("oh no")

    widget.observe(broken, name)
    result = widget.render(wait=True)
    assert result is not None
    assert result.steps == 20
    widget.scan(wait=True)
    assert len(calls) > 1
    assert len([r for r in caplog.records if name in r.message]) == 1
    (told,) = errors(widget)
    assert "oh no" in told


@pytest.mark.parametrize(
    "wait",
    [
        lambda w: w.render(wait=True),
        lambda w: w.scan(wait=True),
        lambda w: w.wait(),
        lambda w: w.wait(timeout=1e6),
        lambda w: w.to_html("never.html"),
    ],
    ids=["render", "scan", "wait", "timeout", "to_html"],
)
@pytest.mark.parametrize("where", ["observer", "network", "data set"])
def test_the_work_does_not_wait_for_itself(
    make: Make, where: str, wait: Callable[[NeuronWidget], object]
) -> None:
    raised: list[BaseException] = []

    def call() -> None:
        if widget is None or threading.current_thread() is threading.main_thread():
            return
        try:
            wait(widget)
        except WidgetError as error:
            raised.append(error)
            raise

    widget: NeuronWidget | None = None
    net, photos = Net(), Photos()
    widget = make(net, photos)
    widget.wait()
    if where == "observer":
        widget.observe(lambda _: call(), "status")
        widget.render(wait=True)
    elif where == "network":
        net.on_forward = call
        with pytest.raises(WidgetError, match="it would wait for itself"):
            widget.render(wait=True)
    else:
        photos.on_item = call
        with pytest.raises(Exception, match="it would wait for itself"):
            widget.scan(wait=True)
    assert raised
    assert "it would wait for itself" in errors(widget)[-1]


def test_no_lock_is_held_while_the_users_code_runs(make: Make) -> None:
    held: list[str] = []
    called: set[str] = set()

    def look(who: str) -> None:
        called.add(who)
        if widget is not None and widget._session.state.lock._is_owned():
            held.append(who)

    widget: NeuronWidget | None = None
    widget = make(Net(lambda: look("network")), Photos(lambda: look("data set")), auto=True)
    widget.observe(lambda change: look(change["name"]))
    widget.wait()
    widget.neuron = 3
    widget.layer = "first"
    widget.wait()
    widget.layer = "second"
    widget.steps = 25
    widget.wait()
    assert {"network", "data set", "layer", "neuron", "steps", "status", "progress"} <= called
    assert not held


# ------------------------------------------------------------------ with an event loop


def test_traits_change_on_the_loops_thread(make: Make) -> None:
    threads: set[str] = set()

    async def main() -> None:
        widget = make(auto=True)
        widget.observe(lambda _: threads.add(threading.current_thread().name))
        while widget._session.foreground():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        assert (widget.status, widget.progress, widget.layer) == ("ready", 1.0, "second")

    asyncio.run(asyncio.wait_for(main(), LIMIT))
    assert threads == {"MainThread"}


def test_a_change_can_be_awaited(make: Make) -> None:
    """ipywidgets' recipe; the loop has nothing else to wake it."""

    async def main() -> list[float]:
        widget = make()
        widget.wait()

        def change() -> asyncio.Future[float]:
            future: asyncio.Future[float] = asyncio.get_running_loop().create_future()

            def on_change(change: Any) -> None:
                widget.unobserve(on_change, "progress")
                future.set_result(change["new"])

            widget.observe(on_change, "progress")
            return future

        widget.render()
        seen = [await change()]
        while seen[-1] < 1:
            seen.append(await change())
        assert widget.image is not None
        return seen

    seen = asyncio.run(asyncio.wait_for(main(), LIMIT))
    assert seen[-1] == 1.0


def test_after_a_wait_in_the_loops_thread_the_traits_are_set(make: Make) -> None:
    heard: list[tuple[str, object]] = []

    async def main() -> None:
        widget = make(auto=True)
        widget.observe(lambda change: heard.append((change["name"], change["new"])))
        widget.wait()
        assert {("progress", 1.0), ("status", "ready")} <= set(heard)
        assert widget.image is not None
        widget.neuron = 2
        heard.clear()
        widget.render(wait=True)
        assert ("progress", 1.0) in heard

    asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_a_cell_that_looks_in_a_loop_sees_the_end(make: Make) -> None:
    async def main() -> None:
        widget = make(steps=5)
        widget.wait()
        heard: list[object] = []
        widget.observe(lambda change: heard.append(change["new"]), "progress")
        widget.render()
        while widget.progress < 1 or widget.status != "ready":
            pass  # and nothing else runs in this thread
        assert heard == []
        await asyncio.sleep(0.01)
        assert heard == [1.0]

    asyncio.run(asyncio.wait_for(main(), LIMIT))


@pytest.mark.parametrize("subshell", [False, True], ids=["main thread", "subshell"])
def test_an_observer_may_wait_for_what_the_page_asked_for(make: Make, subshell: bool) -> None:
    async def main() -> None:
        widget = make()
        widget.wait()
        rendered = []

        def on_neuron(change: Any) -> None:
            rendered.append((change["new"], widget.render(wait=True).neurons))

        widget.observe(on_neuron, "neuron")
        select = {"kind": "select", "seq": 1, "target": Channel("second", 4).as_dict(), "steps": 20}

        def page() -> None:
            widget._on_page_message(None, {**select, "settled": True}, [])

        if subshell:
            await asyncio.get_running_loop().run_in_executor(None, page)
        else:
            page()
        while not rendered:
            await asyncio.sleep(0.01)
        assert rendered == [(4, (4,))]

    asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_an_observer_that_waits_at_every_step_does_not_pile_up(make: Make) -> None:
    depth = [0, 0]

    async def main() -> None:
        widget = make(steps=300)
        widget.wait()

        def on_progress(_: Any) -> None:
            depth[0] += 1
            depth[1] = max(depth)
            widget.wait()
            depth[0] -= 1

        widget.observe(on_progress, "progress")
        widget.render()
        await asyncio.sleep(0.05)
        widget.wait()
        assert widget.progress == 1.0

    asyncio.run(asyncio.wait_for(main(), LIMIT))
    assert 1 <= depth[1] <= 3


def test_what_an_observer_chooses_is_what_is_shown(make: Make) -> None:
    async def main() -> None:
        widget = make()
        widget.wait()

        def on_status(_: Any) -> None:
            widget.neuron = 5

        widget.observe(on_status, "status")
        widget.render(wait=True)
        widget.wait()
        assert (widget.neuron, widget._session.state.neuron) == (5, 5)

    asyncio.run(asyncio.wait_for(main(), LIMIT))


def test_a_loop_that_is_gone_leaves_a_script(make: Make) -> None:
    async def main() -> NeuronWidget:
        return make()

    widget = asyncio.run(main())
    widget.wait()
    assert widget.status == "ready"
    result = widget.render(wait=True)
    assert result is not None
    assert widget.progress == 1.0
