"""The contents of a page as JSON. ``js/src/page/data.ts`` says what it looks like."""

from __future__ import annotations

import base64
import math
import os
import zlib
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from neuron_widget.page.plan import CURVE_POINTS, Plan, webp
from neuron_widget.protocol.encode import map_bytes, thumb
from neuron_widget.session import messages
from neuron_widget.settings import page_settings
from neuron_widget.targets import Channel

if TYPE_CHECKING:
    from neuron_widget.page.contents import Contents
    from neuron_widget.scanning import Example, ScanResult

__all__ = ["pack_page"]

Json = dict[str, Any]
Step = tuple[str, int, int]


def pack_page(contents: Contents, plan: Plan) -> Generator[Step, None, Json]:
    """Return everything a page holds; yields (task, done, total).

    With ``plan.photo_px`` 0 no photo is read. Raises DatasetError for one that is gone.
    """
    neurons: dict[str, Json] = {str(n): {} for n in contents.neurons}
    tiles, made = dict(contents.tiles), dict[str, Any]()
    for done, neuron in enumerate(contents.drawn, start=1):
        result = contents.load(neuron)
        picture = result.to_pil(0)
        tiles[neuron] = (thumb(picture), True)
        facts = messages.image_facts(result)
        facts["history"] = _thin(facts["history"])
        made = made or result.settings
        neurons[str(neuron)]["image"] = {**facts, "data": _text(webp(picture, plan.image_px))}
        yield "images", done, len(contents.drawn)
    photos: dict[str, Json] = {}
    if contents.scan is not None:
        scan = contents.scan
        for done, neuron in enumerate(contents.neurons, start=1):
            neurons[str(neuron)]["photos"] = _photos(scan, Channel(contents.layer.name, neuron))
            yield "maps", done, len(contents.neurons)
        photos = yield from _pictures(scan, contents.photos(), plan)
    thumbs, data = messages.thumbs(contents.layer.name, tiles)
    return {
        "selected": messages.selected(
            -1, Channel(contents.layer.name, contents.neuron), contents.steps
        ),
        "messages": list(_messages(contents)),
        "thumbs": {**thumbs, "data": [_text(tile) for tile in data]},
        "neurons": neurons,
        "photos": photos,
        "filter": "" if contents.whole else _ranges(contents.neurons),
        "line": _line(contents, made),
    }


def _messages(contents: Contents) -> Generator[Json, None, None]:
    """What holds for the whole layer."""
    opened = messages.opened(contents.model, contents.layer)
    this = [x for x in opened["network"]["layers"] if x["name"] == contents.layer.name]
    note = "A saved page: what was rendered and scanned is here, and no kernel to make more."
    yield {
        **opened,
        "network": {**opened["network"], "layers": this, "device": "saved", "note": note},
    }
    scan = contents.scan
    if scan is not None:
        facts = {"name": scan.dataset, "photos": scan.scanned, "skipped": [], "note": scan.note}
        yield {"kind": "dataset", "dataset": {**facts, "skipped_count": len(scan.skipped)}}
        strong = messages.strengths(scan, contents.layer.name)
        yield {**strong, "best": [_short(value) for value in strong["best"]]}
    if contents.predicted is not None:
        yield messages.predicted(contents.predicted)


def _photos(scan: ScanResult, target: Channel) -> Json:
    """What a neuron makes of its photos."""
    neuron = target.neuron
    found = messages.scores(scan, target)
    for name in ("scale", "quantile", "mean", "std"):
        found[name] = _short(found[name])
    edges = [_short(value) for value in found["histogram"]["edges"]]
    found["histogram"]["edges"] = edges
    groups = {"most": scan.top(neuron), "least": scan.bottom(neuron)}
    found |= {name: [_shot(example) for example in group] for name, group in groups.items()}
    scale, signed = scan.scale(neuron), scan.signed
    maps = (map_bytes(e.activation_map(), scale, signed=signed) for g in groups.values() for e in g)
    return {**found, "maps": _text(zlib.compress(b"".join(maps), 9))}


def _shot(example: Example) -> list[Any]:
    numbers = (example.score, example.peak, *example.position, *example.receptive_field)
    return [str(example.index), *(_short(value) for value in numbers)]


def _pictures(
    scan: ScanResult, photos: Sequence[int], plan: Plan
) -> Generator[Step, None, dict[str, Json]]:
    names = _short_paths([scan._photos.path(photo) for photo in photos])
    found: dict[str, Json] = {}
    for done, (photo, name) in enumerate(zip(photos, names, strict=True), start=1):
        data = ""
        if plan.photo_px:
            data = _text(webp(scan.square(photo), plan.photo_px))
        found[str(photo)] = {"label": scan._photos.label(photo), "path": name, "data": data}
        yield "photos", done, len(photos)
    return found


def _short_paths(paths: list[str]) -> list[str]:
    """Paths below the folder they share: where a person keeps photos is nobody's business."""
    if not paths or not all(os.path.isabs(path) for path in paths):
        return paths
    try:
        shared = os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:  # two drives
        return [os.path.basename(path) for path in paths]
    return [os.path.relpath(path, shared) for path in paths]


def _line(contents: Contents, made: Json) -> Json:
    """The Python line of the view, for neuron 0 and any other; ``made``: settings of images."""
    from neuron_widget.session.export import python_line
    from neuron_widget.session.settings import Fit, Settings

    model: Any = contents.model.name if contents.model.loaded_here else contents.model
    given: Json = {"model": model, "fit": Fit.of(contents.model)}
    given |= {name: made[name] for name in page_settings() if name in made}
    note = ""
    if contents.scan is not None and contents.scan.dataset != "samples":
        given["dataset"] = "path/to/photos"
        note = "path/to/photos stands for the photos."
    layer, settings = contents.layer.name, Settings(**given)
    other, unknown = python_line(settings, Channel(layer, 1), contents.steps)
    first, _ = python_line(settings, Channel(layer, 0), contents.steps)
    said = f"{unknown} {note}".strip()
    return {"first": first, "other": other.replace("neuron=1", "neuron=NEURON"), "note": said}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _short(value: float) -> float:
    """Five digits: more than the page ever shows. JSON knows no NaN."""
    number = float(f"{value:.5g}") if math.isfinite(value) else 0.0
    return int(number) if number.is_integer() else number


def _thin(history: list[list[float]]) -> list[list[float]]:
    """A curve of at most so many points, first and last among them."""
    step = max(1, math.ceil((len(history) - 1) / (CURVE_POINTS - 1)))
    kept = [*history[:-1:step], *history[-1:]]
    return [[int(x), _short(y)] for x, y in kept]


def _ranges(neurons: Sequence[int]) -> str:
    """``[0, 1, 2, 68]`` as ``"0-2, 68"``."""
    parts: list[list[int]] = []
    for neuron in neurons:
        if parts and parts[-1][-1] == neuron - 1:
            parts[-1][1:] = [neuron]
        else:
            parts.append([neuron])
    return ", ".join("-".join(map(str, part)) for part in parts)
