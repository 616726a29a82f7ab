"""The reference: torch-lucent's own ``render_vis`` with the seed's settings.

It is here to compare with. Each image is rendered alone, one call of ``render_vis`` a step with
the same parameters and the same optimiser, so that it can be stopped like the fast engine; that
is the very loop ``render_vis`` runs inside.

It renders a copy of the network. What torch-lucent 0.1.8 leaves behind is cleaned up after every
step: its hooks (one a module a call), gradients on the copy's weights, the state of numpy's and
torch's global generators (lucent draws from both), and its warnings. Lucent fixes its device when
it is imported (the first CUDA device, else the CPU); a model elsewhere cannot be rendered with it.
"""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from neuron_widget.errors import RenderError
from neuron_widget.networks.inception import InceptionV1, lucent_name
from neuron_widget.networks.memory import is_out_of_memory
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.private_copy import PrivateCopy
from neuron_widget.rendering.objective import at_positions
from neuron_widget.rendering.param import generator_for
from neuron_widget.rendering.result import RenderResult, RenderStep, Steps, as_history, to_host
from neuron_widget.rendering.run import clean_activation
from neuron_widget.rendering.settings import RenderSettings
from neuron_widget.targets import Target

__all__ = ["RightLRN", "lucent_module", "lucent_steps", "lucents", "seed_transforms"]

_SAMPLE_EVERY = 8


def lucents(name: str) -> Any:
    """A module of torch-lucent, imported without its (and kornia's) warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"lucent.{name}")


class RightLRN(TorchFunctionMode):
    """Inside this block lucent's InceptionV1 normalises with the constants of the original graph.

    Lucent calls ``F.local_response_norm`` with radius 4 and bias 1, written into its forward
    pass; the graph has radius 5 and bias 2 (``size=11, alpha=11e-4, k=2`` in torch's terms).
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace the constants; pass everything else on."""
        if func is F.local_response_norm:
            return F.local_response_norm(args[0], size=11, alpha=11e-4, beta=0.5, k=2.0)
        return func(*args, **(kwargs or {}))


def lucent_module(model: VisionModel) -> nn.Module:
    """What lucent renders: its own InceptionV1 with our weights, else a copy of the network.

    Raises
    ------
    RenderError
        If the network cannot be copied: lucent would leave its gradients on the user's weights.
    """
    if not isinstance(model.module, InceptionV1):
        try:
            copy = PrivateCopy(model.module).network
        except Exception as error:  # somebody's classes
            raise RenderError(
                f"{model.title} cannot be copied, and torch-lucent leaves hooks and gradients on "
                f"the network it renders: use engine='fast' ({error})"
            ) from error
        for weight in copy.parameters():
            # Lucent computes the gradients of all weights.
            weight.requires_grad_(weight.is_floating_point())
        return copy
    theirs: nn.Module = lucents("modelzoo.inceptionv1.InceptionV1").InceptionV1(pretrained=False)
    theirs.load_state_dict({lucent_name(k): v for k, v in model.module.state_dict().items()})
    return theirs.eval().to(model.device)


def seed_transforms() -> list[Callable[[Tensor], Tensor]]:
    """The seed notebook's augmentations, as lucent's transforms."""
    transform = lucents("optvis.transform")
    return [
        transform.pad(12, mode="reflect"),
        transform.jitter(8),
        transform.random_scale([1 + (i - 5) / 50.0 for i in range(11)]),
        transform.random_rotate(list(range(-5, 6))),
        transform.jitter(2),
    ]


def lucent_steps(model: VisionModel, settings: RenderSettings) -> Steps:
    """As :func:`neuron_widget.rendering.render_steps` with ``engine="lucent"``.

    Raises
    ------
    RenderError
        If lucent chose another device than the model's, or does not know the layer.
    """
    device = torch.device(lucents("optvis.param.spatial").device)
    if device.type != model.device.type:
        raise RenderError(
            f"torch-lucent renders on {device} (it fixes this when it is imported), but the model "
            f"is on {model.device}: load it with load_model(..., device={device.type!r}), or use "
            "engine='fast'"
        )
    module = lucent_module(model)
    names = lucents("modelzoo.util").get_model_layers(module)
    for layer in settings.layers:
        layout = model.place(layer)[1]
        if layout.kind != "maps":
            raise RenderError(
                f"layer {layer!r} gives {str(layout)!r}, and torch-lucent's objectives read maps "
                "(N, channels, height, width): use engine='fast'"
            )
        if _lucent_name(layer) not in names:
            raise RenderError(
                f"torch-lucent's network has no layer {_lucent_name(layer)!r}, so engine='lucent' "
                "cannot render it"
            )
    return _Lucent(model, settings, module).run()


def _lucent_name(layer: str) -> str:
    return layer.replace(".", "_")


class _Lucent:
    def __init__(self, model: VisionModel, settings: RenderSettings, module: nn.Module):
        self.model, self.settings, self.module = model, settings, module
        self.finished: list[Tensor] = []
        self.present: Callable[[], Tensor] | None = None
        self.history: list[dict[int, float]] = []
        self.steps = 0
        self.seconds = 0.0

    def run(self) -> Steps:
        options, targets, done = self.settings.options, self.settings.targets, 0
        render_vis = lucents("optvis.render").render_vis
        param = lucents("optvis.param")
        for target in targets:
            since = time.perf_counter()
            globals_ = _GlobalGenerators(self._seed_of(target))
            samples: list[tuple[int, Tensor]] = []
            seen: list[Tensor] = []
            with globals_.ours():
                params, image_f = param.image(self.settings.size, fft=True, decorrelate=True)
            adam = torch.optim.Adam(params, lr=options["lr"])
            self.present, self.steps = image_f, 0
            self.history.append({})
            arguments = {
                "objective_f": self._watched(self._objective(target), seen),
                "param_f": lambda p=params, f=image_f: (p, f),
                "optimizer": lambda _params, a=adam: a,
                "transforms": [*seed_transforms(), self.model.preprocess],
                "preprocess": False,
                "thresholds": (1,),
                "progress": False,
                "show_image": False,
                # Lucent enlarges what is smaller than 224 px, unless it is told a size.
                "fixed_image_size": self.settings.size if self.settings.size < 224 else None,
            }
            for step in range(1, options["steps"] + 1):
                with (
                    globals_.ours(),
                    _as_it_was(self.module),
                    RightLRN(),
                    _loud(),
                ):
                    render_vis(self.module, **arguments)
                self.steps = step
                done += 1
                if step == 1 or step % _SAMPLE_EVERY == 0:
                    samples.append((step, seen[-1]))
                seen.clear()
                self.history[-1] = {step: float(value) for step, value in samples}
                self.seconds += time.perf_counter() - since
                yield RenderStep(
                    step=step,
                    steps=options["steps"],
                    targets=(target,),
                    done=done,
                    total=options["steps"] * len(targets),
                    _images=lambda f=image_f: to_host(f()),  # type: ignore[misc]
                    _result=self.result,
                )
                since = time.perf_counter()
            self.finished.append(image_f().detach())
            self.present = None
        return self.result()

    def _seed_of(self, target: Target) -> int:
        return generator_for("lucent", self.settings.options["seed"], target).initial_seed()

    def _objective(self, target: Target) -> Callable[[Callable[[str], Tensor]], Tensor]:
        channels = torch.tensor([target.neuron], device=self.model.device)
        info = self.model.layer(target.layer)

        def value(hook: Callable[[str], Tensor]) -> Tensor:
            activation = hook(_lucent_name(target.layer))
            maps = at_positions(activation, [target], info.height, info.width)
            return -self.settings.objective(maps, channels)[0]

        return value

    @staticmethod
    def _watched(
        objective: Callable[[Callable[[str], Tensor]], Tensor], seen: list[Tensor]
    ) -> Callable[[Callable[[str], Tensor]], Tensor]:
        def watched(hook: Callable[[str], Tensor]) -> Tensor:
            loss = objective(hook)
            seen.append(-loss.detach())
            return loss

        return watched

    def result(self) -> RenderResult:
        """The finished images and the present one."""
        settings = self.settings
        images = list(self.finished)
        if self.present is not None:
            images.append(self.present().detach())
        targets = settings.targets[: len(images)]
        pixels = [to_host(image)[0] for image in images]
        activation = [
            clean_activation(self.model, settings.objective, image, (target,))[0]
            for image, target in zip(images, targets, strict=True)
        ]
        size = settings.size
        return RenderResult(
            images=np.stack(pixels) if pixels else np.empty((0, size, size, 3), np.float32),
            targets=targets,
            activation=np.array(activation, np.float32),
            history=as_history(self.history[: len(images)]),
            seconds=self.seconds,
            settings={
                **settings.as_dict_of(targets),
                "torch-lucent": version("torch-lucent"),
            },
            steps=self.steps,
            state=None,
        )


class _GlobalGenerators:
    """Numpy's and torch's global generators, lent to lucent for one step at a time."""

    def __init__(self, seed: int):
        self._numpy: Any = np.random.RandomState(seed % 2**32).get_state()
        self._torch = torch.Generator(device="cpu").manual_seed(seed).get_state()

    @contextmanager
    def ours(self) -> Iterator[None]:
        theirs_numpy, theirs_torch = np.random.get_state(), torch.get_rng_state()
        np.random.set_state(self._numpy)
        torch.set_rng_state(self._torch)
        try:
            yield
        finally:
            self._numpy, self._torch = np.random.get_state(), torch.get_rng_state()
            np.random.set_state(theirs_numpy)
            torch.set_rng_state(theirs_torch)


@contextmanager
def _as_it_was(module: nn.Module) -> Iterator[None]:
    """Gradients inside; afterwards hooks are what they were, and there are no gradients."""
    # torch has no public way to list hooks, and lucent keeps no handle to the ones it adds.
    hooks = [(m, set(m._forward_hooks)) for m in module.modules()]
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        for m, before in hooks:
            for key in set(m._forward_hooks) - before:
                del m._forward_hooks[key]
        module.zero_grad(set_to_none=True)


@contextmanager
def _loud() -> Iterator[None]:
    """Errors that lucent turns into a warning are errors; its other warnings are silent."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            yield
        except (RuntimeError, AssertionError) as error:
            first = "".join(f"; before that: {w.message}" for w in heard[:1])
            raise RenderError(f"torch-lucent failed: {error}{first}") from error
    swallowed = [str(w.message) for w in heard if "could not be computed" in str(w.message)]
    # A forward pass that fails beyond the layer does no harm: the objective was computed.
    if any(is_out_of_memory(RuntimeError(text)) for text in swallowed):
        raise RenderError(f"torch-lucent ran out of memory: {swallowed[0]}")
