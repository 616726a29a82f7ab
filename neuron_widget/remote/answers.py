"""What Python asks of a session, and how it is answered: plain values and pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuron_widget.errors import WidgetError, WrongValue
from neuron_widget.protocol.encode import png
from neuron_widget.remote.here import SessionHere
from neuron_widget.session.interface import PageWish
from neuron_widget.setting import check_int

if TYPE_CHECKING:
    from neuron_widget.remote.desk import Desk
    from neuron_widget.scanning import Example, ScanResult

__all__ = ["ANSWERS"]

Answer = Callable[["Desk", Mapping[str, Any]], Any]

FIGURES = ("png", "jpg", "jpeg", "pdf", "svg", "webp", "tif", "tiff")


def result(desk: Desk, _: Mapping[str, Any]) -> Any:
    """The rendering, without what only the server's process could go on from."""
    found = desk.session.state.result
    return None if found is None else replace(found, state=None)


def examples(desk: Desk, _: Mapping[str, Any]) -> Any:
    """Photos of the selected neuron as plain values; pictures are asked for one by one."""

    def ask(session: SessionHere) -> Any:
        state = session.state
        scan, neuron = state.scan_result, state.neuron
        if scan is None:
            return None
        sides = {"most": scan.top(neuron), "least": scan.bottom(neuron)}
        return {
            "layer": state.layer,
            "groups": {name: [_example(e) for e in side] for name, side in sides.items()},
        }

    return desk.answer(ask)


def _example(example: Example) -> dict[str, Any]:
    names = ("neuron", "index", "path", "label", "rank", "score", "peak", "position")
    box = [float(v) for v in example.receptive_field]
    return {**{name: getattr(example, name) for name in names}, "box": box}


def square(desk: Desk, given: Mapping[str, Any]) -> Any:
    """The square of one of the photos that a neuron fires most or least on, as PNG."""
    index = check_int("index", given.get("index"), 0)

    def ask(session: SessionHere) -> bytes:
        scan = _scan(session, given)
        sides = (scan.tables.top, scan.tables.bottom)
        if not any((side.index == index).any() for side in sides):
            raise WrongValue(f"photo {index} is none of a neuron's photos")
        return png(scan.square(index))

    return desk.answer(ask)


def maps(desk: Desk, given: Mapping[str, Any]) -> Any:
    """The activation maps of a neuron's photos."""
    neuron = check_int("neuron", given.get("neuron"), 0)
    return desk.answer(lambda session: dict(_scan(session, given).maps(neuron)))


def _scan(session: SessionHere, given: Mapping[str, Any]) -> ScanResult:
    scan = session.state.cache.scans.get(str(given.get("layer")))
    if scan is None:
        raise WidgetError("these photos are of a scan that is not there any more; scan again")
    return scan


def sheet(desk: Desk, _: Mapping[str, Any]) -> Any:
    """The contact sheet as PNG."""
    return desk.answer(lambda session: png(session.contact_sheet()))


def still(desk: Desk, _: Mapping[str, Any]) -> Any:
    """What a page without a kernel can show."""
    return desk.answer(lambda session: session.still())


def figure(desk: Desk, given: Mapping[str, Any]) -> Any:
    """The figure as a file of the format that is named."""
    kind = str(given.get("format", "")).lower()
    if kind not in FIGURES:
        raise WrongValue(f"a figure is no {kind!r}; expected {', '.join(FIGURES)}")
    return desk.answer(lambda session: _written(session, kind))


def _written(session: SessionHere, kind: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return session.save_figure(Path(folder, f"figure.{kind}")).read_bytes()


def page(desk: Desk, given: Mapping[str, Any]) -> Any:
    """The layer as one HTML file: its plan in a line, and the file."""
    neurons, limit = given.get("neurons"), given.get("limit")
    wish = PageWish(
        [check_int("neurons", n, 0) for n in neurons] if neurons is not None else None,
        bool(given.get("photos")),
        check_int("max_bytes", limit, 1) if limit is not None else None,
        str(given.get("title", "")),
    )
    saving = desk.session.saving(wish)
    desk.wait(saving.planning())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "page.html")
        desk.wait(saving.writing(file))
        return str(saving.plan), file.read_bytes()


ANSWERS: Mapping[str, Answer] = {
    "result": result,
    "examples": examples,
    "square": square,
    "maps": maps,
    "sheet": sheet,
    "still": still,
    "figure": figure,
    "page": page,
}
