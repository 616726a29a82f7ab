"""The messages to the page, made from results. Their meaning stands in :mod:`.protocol`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuron_widget.objectives import OBJECTIVES
from neuron_widget.protocol.encode import alpha_png, jpeg, map_bytes, png, to_pil
from neuron_widget.settings import page_settings
from neuron_widget.targets import Channel, Target

if TYPE_CHECKING:
    from neuron_widget.analysis.predicting import Predictability
    from neuron_widget.networks.known import Network
    from neuron_widget.networks.layer_info import LayerInfo
    from neuron_widget.rendering import RenderResult, RenderStep
    from neuron_widget.scanning import Example, ImageDataset, ScanResult
    from neuron_widget.session.settings import Settings

__all__ = ["Message", "Part"]

Message = dict[str, Any]
Part = tuple[Message, list[bytes]]

PHOTO_PX = 112
LARGE_PX = 448
TOP_CLASSES = 3


# ------------------------------------------------------------------ state


def panels() -> Part:
    """See :class:`.protocol.Panels`."""
    code = Path(__file__).parents[1] / "static" / "panels.js"
    return {"kind": "panels"}, [code.read_bytes()]


def selected(seq: int, target: Target, steps: int) -> Message:
    """See :class:`.protocol.Selected`."""
    return {"kind": "selected", "seq": seq, "target": target.as_dict(), "steps": steps}


def opening(text: str) -> Message:
    """See :class:`.protocol.Opening`."""
    return {"kind": "opening", "text": text}


def opened(model: Network, layer: LayerInfo) -> Message:
    """See :class:`.protocol.Opened`; ``layer`` is listed even where it is not a main one."""
    layers = list(model.menu)
    if layer not in layers:
        layers.append(layer)
    network = {
        "name": model.name,
        "title": model.title,
        "identity": model.identity,
        "device": str(model.device),
        "note": model.note,
        "layers": [_layer(x) for x in layers],
    }
    return {"kind": "opened", "network": network}


def _layer(info: LayerInfo) -> Message:
    """See :class:`.protocol.Layer`."""
    message: Message = {n: getattr(info, n) for n in ("name", "channels", "height", "width")}
    message |= {"word": info.word} if info.word != "neuron" else {}
    message |= {"names": list(info.names)} if any(info.names) else {}
    message |= {"signed": True} if info.signed else {}
    message |= {"kind": info.kind} if info.kind != "maps" else {}
    message |= {"group": info.group} if info.group else {}
    return message


def configured(settings: Settings) -> Message:
    """See :class:`.protocol.Configured`."""
    message: Message = {"kind": "configured", "settings": settings.page}
    if settings.fit.usual:
        known = page_settings()
        message["usual"] = {n: known[n].to_page(v) for n, v in settings.fit.usual.items()}
        message["limits"] = {n: list(pair) for n, pair in settings.fit.limits.items()}
    return message


def pins(targets: Sequence[Target]) -> Message:
    """See :class:`.protocol.Pins`."""
    return {"kind": "pins", "pins": [target.as_dict() for target in targets]}


def file(asker: str, name: str, mime: str, data: bytes) -> Part:
    """See :class:`.protocol.File`."""
    return {"kind": "file", "asker": asker, "name": name, "mime": mime}, [data]


def line(asker: str, text: str, note: str) -> Message:
    """See :class:`.protocol.Line`."""
    return {"kind": "line", "asker": asker, "line": text, "note": note}


def dataset(data: ImageDataset | None, skipped: Sequence[tuple[str, str]]) -> Message:
    """See :class:`.protocol.DatasetChanged`."""
    if data is None:
        return {"kind": "dataset", "dataset": None}
    described = {
        "name": data.name,
        "photos": len(data),
        "skipped": [f"{path}: {reason}" for path, reason in skipped[:100]],
        "skipped_count": len(skipped),
        "note": data.remarks,
    }
    return {"kind": "dataset", "dataset": described}


def progress(
    task: str,
    layer: str,
    target: Target | None,
    done: int,
    total: int,
    rate: float,
    left: float,
    state: str,
    note: str = "",
) -> Message:
    """See :class:`.protocol.Progress`."""
    message: Message = {
        "kind": "progress",
        "task": task,
        "layer": layer,
        "target": target.as_dict() if target is not None else None,
        "done": done,
        "total": total,
        "rate": rate,
        "left": left,
        "state": state,
    }
    return {**message, "note": note} if note else message


def error(
    where: str, title: str, problem: BaseException, trace: str, action: str, data: str
) -> Message:
    """See :class:`.protocol.Error`."""
    return {
        "kind": "error",
        "where": where,
        "title": title,
        "message": str(problem) or type(problem).__name__,
        "traceback": trace,
        "action": action,
        "dataset": data,
    }


def no_error(where: str) -> Message:
    """Take an error off the page."""
    return {
        "kind": "error",
        "where": where,
        "title": "",
        "message": "",
        "traceback": "",
        "action": "",
        "dataset": "",
    }


def snapshot(parts: Sequence[Part]) -> Part:
    """See :class:`.protocol.Snapshot`."""
    message = {
        "kind": "snapshot",
        "messages": [message for message, _ in parts],
        "counts": [len(buffers) for _, buffers in parts],
    }
    return message, [buffer for _, buffers in parts for buffer in buffers]


# ------------------------------------------------------------------ rendering


def frame(index: int, step: RenderStep, *, ack: bool = True, objective: object = "channel") -> Part:
    """See :class:`.protocol.Frame`. Reads the image and the objective from the device."""
    message: Message = {
        "kind": "frame",
        "index": index,
        "target": step.targets[0].as_dict(),
        "step": step.step,
        "steps": step.steps,
    }
    values = step.values()
    if values is not None and np.isfinite(values[0]):  # JSON knows no NaN
        message["value"] = sign_of(objective) * float(values[0])
    if not ack:
        message["ack"] = False
    return message, [jpeg(to_pil(step.images()[0]))]


def image(result: RenderResult) -> Part:
    """See :class:`.protocol.Image`; of the first (only) target of ``result``."""
    alpha = [] if result.alpha is None else [alpha_png(result.alpha[0])]
    return image_facts(result), [png(result.to_pil(0)), *alpha]


def image_facts(result: RenderResult) -> Message:
    """The message of :func:`image`, without the picture."""
    from neuron_widget.analysis.statistics import colour_statistics, pattern_labels

    target, settings = result.targets[0], result.settings
    shown = {n: s.to_page(settings[n]) for n, s in page_settings().items() if n in settings}
    note = {"note": text} if (text := result.notes[0]) else {}
    sign = sign_of(settings["objective"])
    return {
        "kind": "image",
        "target": target.as_dict(),
        "step": result.steps,
        "steps": settings["steps"],
        "settings": shown,
        "seconds": result.seconds,
        "activation": sign * float(result.activation[0]),
        "comparable": isinstance(target, Channel) and settings["objective"] in ("channel", "least"),
        "history": [[step, sign * float(values[0])] for step, values in result.history],
        "packaged": result.packaged,
        "look": {
            **colour_statistics(result.images[0]),
            "patterns": pattern_labels(result.images[0]),
        },
        **note,
    }


def sign_of(objective: object) -> int:
    """-1 where an objective's value is minus the activation."""
    known = OBJECTIVES.get(objective) if isinstance(objective, str) else None
    return known.sign if known is not None else 1


def thumbs(layer: str, made: Mapping[int, tuple[bytes, bool]]) -> Part:
    """See :class:`.protocol.Thumbs`."""
    message = {
        "kind": "thumbs",
        "layer": layer,
        "neurons": list(made),
        "finished": [finished for _, finished in made.values()],
    }
    return message, [data for data, _ in made.values()]


# ------------------------------------------------------------------ photos


def strengths(scan: ScanResult, layer: str) -> Message:
    """See :class:`.protocol.Strengths`."""
    labels: dict[str, int] = {}
    top = [
        [labels.setdefault(label, len(labels)) for label in dict.fromkeys(names) if label]
        for names in scan.top_labels(TOP_CLASSES)
    ]
    return {
        "kind": "strengths",
        "layer": layer,
        "best": [float(v) for v in scan.best],
        "dead": [int(n) for n in scan.dead],
        "labels": list(labels),
        "top": top,
    }


_BLOCKS = " ▁▂▃▄▅▆▇█"


def predicted(found: Predictability) -> Message:
    """See :class:`.protocol.Predicted`."""
    neurons = range(len(found.answers))
    unknown = [] if found.reason else [n for n in neurons if found.reason_of(n)]
    known = found.share("photos")
    bins, _ = np.histogram(known[np.isfinite(known)], [0, *np.linspace(0.5, 1, 11)])
    return {
        "kind": "predicted",
        "layer": found.layer,
        "summary": f"{found.observer}: {found.reason or found.summary()}",
        "note": found.note,
        "reason": found.reason,
        "chart": "".join(_BLOCKS[-(-8 * n // max(1, bins.max()))] for n in bins.tolist()),
        "photos": _shares(found.share("photos")),
        "image": _shares(found.share("image")),
        "near": [n for n in neurons if found.near_chance(n)],
        "unknown": unknown,
        "reasons": [found.reason_of(n) for n in unknown],
    }


def _shares(values: np.ndarray[Any, Any]) -> list[float | None]:
    """JSON knows no NaN."""
    return [round(float(value), 4) if np.isfinite(value) else None for value in values]


def photos(scan: ScanResult, target: Target) -> Part:
    """See :class:`.protocol.Photos`. Reads the photos and runs the network on them."""
    neuron = target.neuron
    groups = {"most": scan.top(neuron), "least": scan.bottom(neuron)}
    message = scores(scan, target)
    scale = message["scale"]
    buffers: list[bytes] = []
    for group, examples in groups.items():
        message[group] = []
        for example in examples:
            activation = example.activation_map()
            message[group].append(_photo(example, activation))
            buffers += [
                jpeg(example.image(), PHOTO_PX),
                map_bytes(activation, scale, signed=scan.signed),
            ]
    return message, buffers


def scores(scan: ScanResult, target: Target) -> Message:
    """The message of :func:`photos` without the photos: how the neuron fires on all of them."""
    neuron = target.neuron
    counts, edges = scan.histogram(neuron)
    scale = scan.scale(neuron)
    return {
        "kind": "photos",
        "target": target.as_dict(),
        "dataset": scan.dataset,
        "scanned": scan.scanned,
        "scale": scale,
        "quantile": float(scan.quantile(neuron)),
        "mean": float(scan.mean[neuron]),
        "std": float(scan.std[neuron]),
        "dead": neuron in scan.dead,
        "histogram": {
            "counts": [int(c) for c in counts],
            "edges": [float(e) for e in edges],
        },
    }


def large_photo(scan: ScanResult, target: Target, group: str, rank: int) -> Part:
    """See :class:`.protocol.LargePhoto`."""
    neuron = target.neuron
    examples = scan.top(neuron) if group == "most" else scan.bottom(neuron)
    example = examples[max(0, min(rank, len(examples) - 1))]
    activation = example.activation_map()
    scale = scan.scale(neuron)
    message = {
        "kind": "photo",
        "target": target.as_dict(),
        "group": group,
        "scale": scale,
        "quantile": float(scan.quantile(neuron)),
        "photo": _photo(example, activation),
    }
    crop = jpeg(example.crop(), LARGE_PX)
    return message, [
        jpeg(example.image(), LARGE_PX, quality=92),
        map_bytes(activation, scale, signed=scan.signed),
        crop,
    ]


def _photo(example: Example, activation: np.ndarray[Any, Any]) -> Message:
    return {
        "index": example.index,
        "rank": example.rank,
        "label": example.label,
        "path": example.path,
        "score": float(example.score),
        "peak": float(example.peak),
        "position": [int(p) for p in example.position],
        "map_height": activation.shape[0],
        "map_width": activation.shape[1],
        "receptive_field": [float(v) for v in example.receptive_field],
    }
