"""A widget that is closed or replaced lets go of its network and its results, and says so."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import NeuronWidget, load_model
from neuron_widget.errors import WidgetError
from neuron_widget.session.handle import handle_message
from neuron_widget.targets import Channel

# Only a test that fails takes so long.
LIMIT = 60

PHOTOS = [Image.new("RGB", (32, 32), (30 * i, 0, 0)) for i in range(8)]


class Net(nn.Module):
    """A user's network."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).relu()).relu()


def make(**more: Any) -> NeuronWidget:
    model = load_model(Net(), preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)
    given = {"dataset": PHOTOS, "size": 32, "steps": 2, "store": False, **more}
    return NeuronWidget("second", model=model, **given)


def holdings(widget: NeuronWidget) -> list[weakref.ref[Any]]:
    """The widget and what it holds."""
    state = widget._session.state
    assert state.model is not None
    things = [widget, widget._session, state, state.model, state.model.module]
    things += [thing for thing in (state.result, state.scan_result) if thing is not None]
    return [weakref.ref(thing) for thing in things]


def ended(widget: NeuronWidget) -> None:
    """Wait until the worker has ended the jobs in hand."""
    end = time.monotonic() + LIMIT
    while widget._session.state.jobs():
        assert time.monotonic() < end
        time.sleep(0.01)


def alive(references: list[weakref.ref[Any]]) -> list[str]:
    """What was not freed, once the worker's thread has left its last job."""
    end = time.monotonic() + LIMIT
    while True:
        gc.collect()
        left = [type(thing).__name__ for r in references if (thing := r()) is not None]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.1)


def finished(widget: NeuronWidget) -> None:
    widget.render(wait=True)
    widget.scan(wait=True)


def in_the_middle(widget: NeuronWidget) -> None:
    widget.render()
    end = time.monotonic() + LIMIT
    while widget.progress == 0 and time.monotonic() < end:
        time.sleep(0.001)


@pytest.mark.parametrize(
    ("until", "more", "times"),
    [
        (finished, {"auto": False}, 40),
        (in_the_middle, {"steps": 100_000}, 5),
        (in_the_middle, {"steps": 100_000, "auto": False}, 5),
    ],
    ids=["finished", "in the middle", "without a scan"],
)
def test_what_is_closed_is_freed(
    until: Callable[[NeuronWidget], None], more: dict[str, Any], times: int
) -> None:
    def use() -> list[weakref.ref[Any]]:
        widget = make(**more)
        until(widget)
        held = holdings(widget)
        widget.close()
        ended(widget)
        return held

    references = [reference for _ in range(times) for reference in use()]
    assert alive(references) == []


def test_what_is_closed_is_freed_in_an_event_loop() -> None:
    async def main() -> list[weakref.ref[Any]]:
        widget = make()
        widget.observe(lambda _: None, "status")
        await asyncio.sleep(0)
        widget.wait()
        held = holdings(widget)
        widget.close()
        ended(widget)
        return held

    assert alive(asyncio.run(main())) == []


def test_what_is_closed_and_still_referred_to_holds_nothing_large() -> None:
    widget = make()
    widget.wait()
    _widget, _session, _state, *large = holdings(widget)
    assert len(large) == 4
    widget.close()
    ended(widget)
    assert alive(large) == []
    assert widget.status == "closed"


def test_the_widget_of_a_cell_that_is_run_again_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    execution = 0
    monkeypatch.setattr("neuron_widget.widget.running_cell", lambda: ("cell", str(execution)))
    old = make()
    old.wait()
    _widget, _session, _state, *large = holdings(old)
    execution += 1
    new = make()
    try:
        ended(old)
        assert alive(large) == []
        # Its view may stand elsewhere: it says why it works no more, and what is asked of it.
        kinds = {m["kind"]: m for m in old._session.state.snapshot()[0]["messages"]}
        assert "run again" in kinds["error"]["message"]
        assert "opened" in kinds
        for message in (
            {"kind": "start", "target": Channel("second", 0).as_dict(), "steps": 9},
            {"kind": "scan", "dataset": "", "download": False},
            {"kind": "pin", "pins": []},
        ):
            with pytest.raises(WidgetError, match="is closed"):
                handle_message(old._session, message)
        handle_message(old._session, {"kind": "ready", "view": "a"})
        new.wait()
        assert new.image is not None
    finally:
        new.close()
        old.close()


def test_a_closed_widget_says_so(tmp_path: Path) -> None:
    widget = make()
    widget.wait()
    widget.close()
    for call in (
        widget.wait,
        widget.render,
        widget.scan,
        widget.snapshot,
        lambda: widget.render(wait=True),
        lambda: widget.scan(wait=True),
        lambda: widget.save_figure(tmp_path / "figure.png"),
        lambda: widget.to_html(tmp_path / "page.html"),
    ):
        with pytest.raises(WidgetError, match=r"closed.*make another NeuronWidget"):
            call()
    # What is linked to it moves on in silence; closing and stopping again is no fault.
    widget.neuron = 3
    widget.stop()
    widget.close()
    assert (widget.image, widget.result, widget.examples) == (None, None, None)
