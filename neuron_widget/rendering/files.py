"""Rendered images as files: 8-bit lossless WebP (or PNG) that says what made it.

The pixels are those of ``RenderResult.to_pil``: what was on screen comes back bit by bit, the
float image to half a level (1/510). The optimiser's state, which "more steps" need, is twenty
times as large as the picture and goes into a file of its own.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, PngImagePlugin

from neuron_widget.durable import (
    DESCRIPTION,
    FORMAT,
    MARK,
    Damaged,
    pack_arrays,
    parse_facts,
    read_arrays,
    write_atomically,
)
from neuron_widget.errors import StoreError
from neuron_widget.objectives import canonical_objective
from neuron_widget.targets import Channel, Target, parse

if TYPE_CHECKING:
    from neuron_widget.rendering import RenderResult
    from neuron_widget.rendering.result import RenderState

__all__ = [
    "image_bytes",
    "join",
    "read_image",
    "read_state",
    "save_images",
    "state_bytes",
    "state_size",
    "take",
    "with_state",
]

_SPECTRA = ("spectrum", "exp_avg", "exp_avg_sq")
_SOFTWARE = 0x0131  # Exif's Software
_LOSSY = (".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".pdf", ".svg")


def image_bytes(result: RenderResult, i: int = 0, form: str = "WEBP") -> bytes:
    """Return image ``i`` of a result as a lossless file with its settings embedded."""
    picture = result.to_pil(i)
    text = json.dumps(_facts(result, i, picture))
    buffer = io.BytesIO()
    if form == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("Description", text)
        picture.save(buffer, "PNG", pnginfo=info)
    else:
        exif = Image.Exif()
        exif[DESCRIPTION] = text
        exif[_SOFTWARE] = "neuron-widget"
        # Effort 2 of 6: a fifth of the time of the default for 7 % more bytes.
        picture.save(buffer, "WEBP", lossless=True, method=2, quality=50, exif=exif.tobytes())
    return buffer.getvalue()


def _facts(result: RenderResult, i: int, picture: Image.Image) -> dict[str, Any]:
    steps = result.state.steps[i] if result.state is not None else result.steps
    history = [(step, float(values[i])) for step, values in result.history]
    return {
        MARK: FORMAT,
        "kind": "image",
        "layer": result.layer,
        "neuron": result.neurons[i],
        "target": str(result.targets[i]),
        "steps": steps,
        "activation": float(result.activation[i]),
        "history": [pair for pair in history if np.isfinite(pair[1])],
        "seconds": result.seconds / max(1, len(result)),
        "settings": {
            **result.settings,
            "neurons": [result.neurons[i]],
            "targets": [str(result.targets[i])],
        },
        "pixels": _pixel_hash(picture),
    }


def _pixel_hash(picture: Image.Image) -> str:
    return hashlib.sha256(picture.tobytes()).hexdigest()[:16]


def read_image(path: Path) -> RenderResult:
    """Return the result in a WebP or PNG file, without optimiser state.

    Raises Damaged if it is torn or foreign; OSError if it cannot be read.
    """
    from neuron_widget.rendering import RenderResult

    data = path.read_bytes()
    # PIL decodes a WebP file with bytes missing at the end without a word.
    if data[:4] == b"RIFF" and int.from_bytes(data[4:8], "little") + 8 != len(data):
        raise Damaged(f"torn: {len(data):,} bytes of {int.from_bytes(data[4:8], 'little') + 8:,}")
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP", "PNG"]) as opened:
            opened.load()
            text = opened.info.get("Description") or opened.getexif().get(DESCRIPTION)
            picture = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise Damaged(f"cannot be decoded ({error})") from error
    facts = parse_facts(text if isinstance(text, str) else None)
    if facts.get("pixels") != _pixel_hash(picture):
        raise Damaged("its pixels have changed: their hash is another")
    try:
        layer, neuron = str(facts["layer"]), int(facts["neuron"])
        target = parse(facts["target"]) if "target" in facts else Channel(layer, neuron)
        return RenderResult(
            images=np.asarray(picture, np.float32)[None] / np.float32(255),
            targets=(target,),
            activation=np.array([facts["activation"]], np.float32),
            history=[(int(s), np.array([v], np.float32)) for s, v in facts["history"]],
            seconds=float(facts["seconds"]),
            settings=_plain_settings(facts["settings"]),
            steps=int(facts["steps"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"what it says of itself is not complete ({error})") from error


def _plain_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as a rendering gives them: JSON has lists where Python has tuples."""

    def tuples(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(tuples(v) for v in value)
        if isinstance(value, dict):
            return {k: tuples(v) for k, v in value.items()}
        return value

    plain: dict[str, Any] = tuples(settings)
    # A unit's objective had another name in the first files.
    return {**plain, "objective": canonical_objective(plain["objective"])}


# ------------------------------------------------------------------ the optimiser's state


def state_size(result: RenderResult) -> int:
    """Bytes of the optimiser's state of one image; 0 if the result carries none."""
    if result.state is None:
        return 0
    spectrum = result.state.spectra.spectrum
    return 3 * spectrum[0].numel() * spectrum.element_size()


def state_bytes(result: RenderResult, i: int = 0) -> bytes:
    """Return what is needed to go on with image ``i``, as a file."""
    state = result.state
    assert state is not None
    arrays = {name: getattr(state.spectra, name)[i].numpy() for name in _SPECTRA}
    facts = {
        "kind": "state",
        "neuron": result.neurons[i],
        "steps": state.steps[i],
        "history": sorted((k, v) for k, v in state.history[i].items() if np.isfinite(v)),
    }
    return pack_arrays(arrays, facts)


def read_state(path: Path) -> RenderState:
    """Return the state in a file; raises Damaged or OSError."""
    import torch

    from neuron_widget.rendering.result import RenderState, Spectra

    facts, arrays = read_arrays(path)
    try:
        tensors = (torch.from_numpy(arrays[name].copy())[None] for name in _SPECTRA)
        history = {int(step): float(value) for step, value in facts["history"]}
        return RenderState(Spectra(*tensors), (int(facts["steps"]),), (history,))
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(f"not the state of a rendering ({error})") from error


def with_state(result: RenderResult, state: RenderState) -> RenderResult:
    """The result with the state that belongs to it."""
    from dataclasses import replace

    return replace(result, state=state)


# ------------------------------------------------------------------ results of several images


def take(result: RenderResult, i: int) -> RenderResult:
    """Image ``i`` of a result as a result of its own, without state."""
    from dataclasses import replace

    return replace(
        result,
        images=result.images[i : i + 1],
        targets=(result.targets[i],),
        activation=result.activation[i : i + 1],
        history=[(s, v[i : i + 1]) for s, v in result.history if np.isfinite(v[i])],
        seconds=result.seconds / len(result),
        settings={
            **result.settings,
            "neurons": (result.neurons[i],),
            "targets": (str(result.targets[i]),),
        },
        state=None,
    )


def join(results: Sequence[RenderResult], targets: Sequence[Target]) -> RenderResult:
    """Results of one target each as one result, in the order of ``targets``.

    With the optimiser's state if each of them has one.
    """
    from dataclasses import replace

    from neuron_widget.rendering.result import RenderState, as_history

    by_target = {result.targets[0]: result for result in results}
    chosen = [by_target[target] for target in targets]
    histories = [{step: float(values[0]) for step, values in one.history} for one in chosen]
    states = [one.state for one in chosen if one.state is not None]
    return replace(
        chosen[0],
        images=np.concatenate([one.images for one in chosen]),
        targets=tuple(targets),
        activation=np.concatenate([one.activation for one in chosen]),
        history=as_history(histories),
        seconds=sum(one.seconds for one in chosen),
        settings={
            **chosen[0].settings,
            "layer": ", ".join(dict.fromkeys(target.layer for target in targets)),
            "neurons": tuple(target.neuron for target in targets),
            "targets": tuple(map(str, targets)),
        },
        steps=min(one.steps for one in chosen),
        state=RenderState.join(states) if len(states) == len(chosen) else None,
    )


# ------------------------------------------------------------------ for people


def file_stem(target: Target) -> str:
    """``mixed4a_neuron_68``, with the position of a unit: a name that every file system takes."""
    place = "" if target.position is None else "_at_{}_{}".format(*target.position)
    return re.sub(r"[^\w.-]", "_", f"{target.layer}_neuron_{target.neuron}{place}")


def save_images(result: RenderResult, path: str | Path) -> list[Path]:
    """Write the images of a result, and return their files.

    A path that ends in ``.webp`` or ``.png`` is the file of the only image; any other path is a
    folder, in which images are called ``mixed4a_neuron_68.webp``. Both are lossless and carry the
    settings, activation and history as JSON (Exif ``ImageDescription``, PNG ``Description``).

    Raises
    ------
    StoreError
        Several images for one file name, another ending, no images, or a disk error.
    """
    path = Path(path).expanduser()
    if len(result) == 0:
        raise StoreError("there is no image in this result to save")
    suffix = path.suffix.lower()
    if suffix in (".webp", ".png"):
        if len(result) != 1:
            raise StoreError(
                f"{path.name!r} is one file and the result has {len(result)} images; name a folder"
            )
        files = [path]
    elif suffix in _LOSSY and not path.is_dir():
        raise StoreError(
            f"cannot save as {suffix!r}; name a folder, or a file ending in .webp or .png (both "
            "lossless)"
        )
    else:
        files = [path / f"{file_stem(target)}.webp" for target in result.targets]
    for i, file in enumerate(files):
        form = "PNG" if file.suffix.lower() == ".png" else "WEBP"
        write_atomically(file, image_bytes(result, i, form))
    return files
