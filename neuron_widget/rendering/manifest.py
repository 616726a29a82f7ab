"""Rendered results as files hold them (pixels, arrays and a manifest), taken apart and joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuron_widget.durable import MALFORMED, Arrays, Damaged, Record, number, whole
from neuron_widget.objectives import canonical_objective
from neuron_widget.rendering.files import SPECTRA, read_image
from neuron_widget.rendering.result import (
    RenderResult,
    RenderState,
    Spectra,
    as_history,
    settings_of,
)
from neuron_widget.targets import Channel, Target, parse

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "join",
    "read_result",
    "result_from_image",
    "state_from_arrays",
    "state_parts",
    "state_size",
    "take",
]

_LARGEST_STEP = 10**6

# What came since the first files, as it was when nobody could say so.
_FIRST = {
    "param": "fourier",
    "movements": "small",
    "spectrum": None,
    "decay": 1.0,
    "start": None,
}


def read_result(source: Path | Record) -> RenderResult:
    """Return the result in a picture (see :func:`.files.read_image`), without optimiser state.

    Raises Damaged if it is torn, changed or foreign; OSError if it cannot be read.
    """
    return result_from_image(*read_image(source))


def result_from_image(pixels: NDArray[np.uint8], manifest: dict[str, Any]) -> RenderResult:
    """Return the result whose pixels and manifest :meth:`RenderResult.picture` gave.

    Raises Damaged if the manifest is not complete.
    """
    try:
        measured = manifest["activation"]  # None where it was not finite, which JSON does not know
        return RenderResult(
            images=pixels.astype(np.float32)[None] / np.float32(255),
            targets=(_target(manifest),),
            activation=np.array([np.nan if measured is None else number(measured)], np.float32),
            history=[(s, np.array([v], np.float32)) for s, v in _history(manifest).items()],
            seconds=number(manifest["seconds"]),
            settings=_plain_settings(manifest["settings"]),
            steps=whole(manifest["steps"], 0, _LARGEST_STEP),
        )
    except (*MALFORMED, RecursionError) as error:
        raise Damaged(f"what it says of itself is not complete ({error})") from error


def _history(manifest: dict[str, Any]) -> dict[int, float]:
    return {whole(step, 0, _LARGEST_STEP): number(value) for step, value in manifest["history"]}


def _plain_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as a rendering gives them: JSON has lists where Python has tuples."""

    def tuples(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(tuples(v) for v in value)
        if isinstance(value, dict):
            return {k: tuples(v) for k, v in value.items()}
        return value

    plain: dict[str, Any] = tuples(settings)
    # A unit's objective had another name in the first files, which knew one form only.
    return {**_FIRST, **plain, "objective": canonical_objective(plain["objective"])}


def _target(manifest: Mapping[str, Any]) -> Target:
    if "target" in manifest:
        return parse(manifest["target"])
    return Channel(
        str(manifest["layer"]), whole(manifest["neuron"])
    )  # the first files knew no other


# ------------------------------------------------------------------ the optimiser's state


def state_size(result: RenderResult) -> int:
    """Bytes of the optimiser's state of one image; 0 if the result carries none."""
    if result.state is None:
        return 0
    return sum(t[0].numel() * t.element_size() for t in _arrays(result.state).values())


def state_parts(result: RenderResult, i: int = 0) -> tuple[Arrays, dict[str, Any]]:
    """Return arrays and manifest of what is needed to go on with image ``i``."""
    state = result.state
    assert state is not None
    arrays = {name: tensor[i].numpy() for name, tensor in _arrays(state).items()}
    manifest = {
        "neuron": result.neurons[i],
        "target": str(result.targets[i]),
        "steps": state.steps[i],
        "history": sorted((k, v) for k, v in state.history[i].items() if np.isfinite(v)),
    }
    return arrays, manifest


def _arrays(state: RenderState) -> dict[str, Tensor]:
    found = {name: getattr(state.spectra, name) for name in (*SPECTRA, "alpha")}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def state_from_arrays(arrays: Arrays, manifest: dict[str, Any]) -> RenderState:
    """Return the state of one image from :func:`state_parts`; raises Damaged."""
    import torch

    try:
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError("it holds numbers that are not finite")
        tensors = {name: torch.from_numpy(a.copy())[None] for name, a in arrays.items()}
        steps = whole(manifest["steps"], 1, _LARGEST_STEP)
        return RenderState(Spectra(**tensors), (steps,), (_history(manifest),))
    except MALFORMED as error:
        raise Damaged(f"not the state of a rendering ({error})") from error


# ------------------------------------------------------------------ results of several images


def take(result: RenderResult, i: int) -> RenderResult:
    """Image ``i`` of a result as a result of its own, without state."""
    return replace(
        result,
        images=result.images[i : i + 1],
        targets=result.targets[i : i + 1],
        activation=result.activation[i : i + 1],
        history=[(s, v[i : i + 1]) for s, v in result.history if np.isfinite(v[i])],
        seconds=result.seconds / len(result),
        settings=settings_of(result.settings, result.targets[i : i + 1]),
        state=None,
        alpha=result.alpha[i : i + 1] if result.alpha is not None else None,
    )


def join(results: Sequence[RenderResult], targets: Sequence[Target]) -> RenderResult:
    """Results of one target each as one result, in the order of ``targets``.

    With the optimiser's state if each of them has one.
    """
    by_target = {result.targets[0]: result for result in results}
    chosen = [by_target[target] for target in targets]
    histories = [{step: float(values[0]) for step, values in one.history} for one in chosen]
    states = [one.state for one in chosen if one.state is not None]
    names = {t: name for one in chosen for t, name in one.settings.get("names", {}).items()}
    moved = {str(one.targets[0]): one.settings.get("augmentation", {}) for one in chosen}
    settings = {**chosen[0].settings, "names": names, "augmentation": {"each": moved}}
    alphas = [one.alpha for one in chosen if one.alpha is not None]
    return replace(
        chosen[0],
        images=np.concatenate([one.images for one in chosen]),
        targets=tuple(targets),
        activation=np.concatenate([one.activation for one in chosen]),
        history=as_history(histories),
        seconds=sum(one.seconds for one in chosen),
        settings=settings_of(settings, targets),
        steps=min(one.steps for one in chosen),
        state=RenderState.join(states) if len(states) == len(chosen) else None,
        alpha=np.concatenate(alphas) if len(alphas) == len(chosen) else None,
    )
