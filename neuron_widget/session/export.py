"""What a person can take away: the figure, the contact sheet, the Python line of the view."""

from __future__ import annotations

import base64
import html
import io
import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from neuron_widget.errors import WidgetError
from neuron_widget.names import EFFICIENTNET_LAYERS, EMBEDDED, INCEPTION, INCEPTION_MODULES, OUTPUT
from neuron_widget.protocol.encode import jpeg, png
from neuron_widget.session import messages
from neuron_widget.session.settings import WIDGET, Settings
from neuron_widget.targets import Channel, Target

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

    from neuron_widget.session.state import State

__all__ = [
    "contact_sheet",
    "figure",
    "figure_bytes",
    "file_name",
    "notes",
    "python_line",
    "save_figure",
    "send_figure",
    "send_line",
    "still",
]

# A screen's worth: the figure that Python saves has 300.
PAGE_DPI = 150

# Letters of either part of a file's name: an expression may be long.
LONGEST = 60


def python_line(settings: Settings, target: Target, steps: int) -> tuple[str, str]:
    """The call that makes this view again, and what in it the reader has to fill in.

    Only what differs from the defaults is said. Objects that were given (a module, a data set)
    have no text: a name stands for them, and the note says so.
    """
    layer = target.layer
    # A whole neuron is said as people say it; what has another form, by its text.
    first = layer if isinstance(target, Channel) else str(target)
    parts = [_quoted(first)] if layer else []
    note = ""
    if "/" in layer:
        parts.append("model=model")
        base, _, own = layer.partition("/")
        note = (
            f"model stands for the network with its dictionary: model.add_dictionary("
            f"{_quoted(base)}, dictionary, name={_quoted(own)}). "
        )
    elif isinstance(settings.model, str):
        embedded = layer in EFFICIENTNET_LAYERS and layer not in INCEPTION_MODULES
        # Every network has outputs: that layer names none.
        if layer == OUTPUT or settings.model != (EMBEDDED if embedded else INCEPTION):
            parts.append(f"model={_quoted(settings.model)}")
    elif settings.model is not None:
        parts.append("model=model")
        note = "model stands for your network. "
    given = {name: getattr(settings, name) for name in ("weights", "device")}
    parts += [f"{name}={_text(value)}" for name, value in given.items() if value is not None]
    if isinstance(settings.dataset, (str, os.PathLike)):
        if settings.dataset != "samples":
            parts.append(f"dataset={_text(settings.dataset)}")
    else:
        parts.append("dataset=dataset")
        note += "dataset stands for your data set. "
    if target.neuron and isinstance(target, Channel):
        parts.append(f"neuron={target.neuron}")
    stored, more = _store_text(settings.store)
    parts += [f"store={stored}"] if stored else []
    note += more
    plain = {**settings.options, "steps": steps}
    for name, setting in WIDGET.items():
        usual = settings.fit.usual.get(name, setting.usual)
        if plain[name] != setting.default and plain[name] != usual:
            parts.append(f"{name}={_quoted(plain[name])}")
    return f"NeuronWidget({', '.join(parts)})", note.strip()


def _store_text(store: object) -> tuple[str, str]:
    """The argument ``store`` as text where one was given, and what in it stands for an object."""
    if store is None:
        return "", ""
    if store is False:
        return "False", ""
    if isinstance(store, (str, os.PathLike)):
        return _text(store), ""
    if isinstance(store, (list, tuple)):
        return f"[{', '.join(map(_text, store))}]", ""
    return "store", "store stands for your store. "


def _text(value: object) -> str:
    """A path or a device in quotes; what a web address may hold of a login is left out."""
    return _quoted(re.sub(r"//[^/@\s]*@", "//", str(value)))


def _quoted(value: object) -> str:
    """``repr``, with the double quotes that the examples have where the text allows them."""
    text = repr(value)
    plain = text.startswith("'") and '"' not in text
    return f'"{text[1:-1]}"' if plain else text


def notes(state: State, target: Target) -> list[str]:
    """What made the picture and the photos of a target, for figures."""
    lines = []
    if state.model is not None:
        lines.append(state.model.title)
    result, scan = state.cache.rendering(target), state.cache.scans.get(target.layer)
    if result is not None:
        s = result.settings
        lines.append(
            f"activation {result.activation[0]:.4g} after {result.steps} steps "
            f"({s['size']} px, seed {s['seed']}, Adam {s['lr']})"
        )
    if scan is not None:
        best = float(scan.best[target.neuron])
        lines.append(f"best of {scan.scanned:,} photos of {scan.dataset}: {best:.4g}")
    return lines


def file_name(target: Target, what: str) -> str:
    """A name for a file that every file system takes."""
    layer, _, place = str(target).rpartition(":")
    plain = (re.sub(r"[^A-Za-z0-9.]+", "-", part)[:LONGEST] for part in (layer, place))
    return f"{'_'.join(plain)}_{what}.png"


def figure(state: State, target: Target) -> Figure:
    """The figure of a target: the image, then its photos with their maps.

    Raises
    ------
    WidgetError
        If it is not rendered yet.
    """
    from neuron_widget.analysis.figures import neuron_figure

    result = state.cache.rendering(target)
    if result is None:
        raise WidgetError(
            f"{state.title(target)} is not rendered yet; call widget.render(wait=True) first"
        )
    scan = state.cache.scans.get(target.layer)
    most = scan.top(target.neuron) if scan is not None else []
    return neuron_figure(
        target.layer,
        target.neuron,
        result.images[0],
        [(e.image(), e.score, e.activation_map()) for e in most],
        notes=notes(state, target),
        labels=[e.label for e in most],
        title=state.title(target if target.composed else target.channel),
        signed=scan is not None and scan.signed,
    )


def figure_bytes(state: State, target: Target) -> bytes:
    """The figure as PNG. matplotlib's object API: it may be called in the worker."""
    buffer = io.BytesIO()
    figure(state, target).savefig(buffer, format="png", dpi=PAGE_DPI)
    return buffer.getvalue()


def send_figure(state: State, asker: str, target: Target) -> None:
    """Make the figure of a target in the worker and send it as a file."""

    def steps() -> Generator[None, None, bytes]:
        yield
        return figure_bytes(state, target)

    def done(data: bytes) -> None:
        name = file_name(target, "figure")
        state.send(*messages.file(asker, name, "image/png", data))

    def failed(error: BaseException) -> None:
        state.fail("save", "The figure could not be made", error)

    state.no_error("save")
    state.submit("figure", steps(), done, priority=1, on_error=failed)


def send_line(state: State, asker: str) -> None:
    """Send the Python line that makes the view."""
    line, note = python_line(state.settings, state.target, state.steps)
    state.send(messages.line(asker, line, note), [])


def contact_sheet(state: State, *, at_hand: bool = False) -> Image.Image:
    """The image and the photos of the selected neuron as one picture.

    ``at_hand``: only photos that need no pass of the network.
    """
    from neuron_widget.analysis.contact_sheet import contact_sheet as draw

    target = state.target
    result, scan = state.result, state.scan_result
    if at_hand and not state.cache.at_hand(target.channel):
        scan = None
    return draw(
        state.title(target),
        result.to_pil(0) if result is not None else None,
        scan.top(target.neuron) if scan is not None else [],
        scan.bottom(target.neuron) if scan is not None else [],
        notes(state, target),
    )


def still(state: State) -> dict[str, str]:
    """What a page without a kernel (GitHub, nbviewer) can show of this view, by MIME type.

    Nothing is computed for it, and it is empty before there is something to show.
    """
    if state.result is None and not state.cache.at_hand(state.target.channel):
        return {}
    sheet = contact_sheet(state, at_hand=True)
    name = html.escape(state.title(state.target))
    small = base64.b64encode(jpeg(sheet, quality=80)).decode()
    line, _ = python_line(state.settings, state.target, state.steps)
    return {
        "image/png": base64.b64encode(png(sheet)).decode(),
        "text/html": (
            f'<figure><img alt="{name}: image and photos" '
            f'src="data:image/jpeg;base64,{small}" style="max-width:100%"/>'
            f"<figcaption>{name}. Run <code>{html.escape(line)}</code> to explore it."
            "</figcaption></figure>"
        ),
    }


def save_figure(state: State, path: str | os.PathLike[str]) -> Path:
    """Write the figure of the selected neuron."""
    from neuron_widget.analysis.figures import save_figure as save

    return save(figure(state, state.target), Path(path))
