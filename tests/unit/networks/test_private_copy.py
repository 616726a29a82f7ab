"""A user's network is read while it trains, and never touched."""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from neuron_widget import load_model, render, scan
from neuron_widget.errors import ModelError
from neuron_widget.networks.model import VisionModel

HALF = ((0.5,) * 3, (0.5,) * 3)


class Small(nn.Module):
    """Another network in each mode, with some of what people put into theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.second = nn.Conv2d(8, 6, 3)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6, 2)
        self.scale = 1.0
        self.config: dict[str, Any] = {"shift": 0.0}
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        x = self.second(self.first(x)) * self.scale + self.config["shift"]
        return self.head(self.drop(x).mean((2, 3)))


def opened(module: nn.Module) -> VisionModel:
    return load_model(module, preprocess=HALF, input_size=24)


def read(model: VisionModel, layer: str = "second") -> Tensor:
    with torch.no_grad():
        return model.reader(layer)(torch.linspace(0, 1, 3 * 24 * 24).view(1, 3, 24, 24))


def all_hooks(module: nn.Module) -> list[object]:
    return [
        hook
        for m in module.modules()
        for name, hooks in vars(m).items()
        if name.endswith("_hooks") and isinstance(hooks, dict)
        for hook in hooks.values()
    ]


# ------------------------------------------------------------------ never touched


def test_a_network_that_trains_is_rendered_and_scanned_untouched() -> None:
    torch.manual_seed(0)
    module = Small().train()
    model = opened(module)
    optimiser = torch.optim.SGD(module.parameters(), lr=0.01)
    x, y = torch.rand(8, 3, 24, 24), torch.randint(0, 2, (8,))
    photos = [Image.fromarray(np.full((24, 24, 3), i * 20, np.uint8)) for i in range(8)]
    trained, looked, errors = threading.Event(), 0, []
    in_training, hooked, gradients = 0, 0, []

    def look() -> None:
        nonlocal looked
        try:
            while not trained.is_set() or not looked:
                render(model, "second", [1, 2], steps=2, size=24, progress=False)
                render(model, "second", 1, steps=1, size=24, engine="lucent", progress=False)
                scan(model, "first", photos, progress=False)
                looked += 1
        except Exception as error:  # noqa: BLE001  # raised again below
            errors.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(300):
            optimiser.zero_grad(set_to_none=True)
            loss = nn.functional.cross_entropy(module(x), y)
            hooked += len(all_hooks(module))
            loss.backward()
            gradients.append([p.grad for p in module.parameters()])
            in_training += all(m.training for m in module.modules())
            assert [p.grad for p in module.parameters()] == gradients.pop()
            optimiser.step()
    finally:
        trained.set()
        thread.join(120)
    if errors:
        raise errors[0]
    assert in_training == 300
    assert hooked == 0
    assert int(module.first[1].num_batches_tracked) == 300
    assert int(module.calls) == 300
    assert all(p.grad is not None and p.requires_grad for p in module.parameters())
    with torch.no_grad():
        expected = module.eval().second(module.first(read_input(model)))
    assert torch.equal(read(model), expected), "the reader sees the weights of now"


def read_input(model: VisionModel) -> Tensor:
    return model.preprocess(torch.linspace(0, 1, 3 * 24 * 24).view(1, 3, 24, 24))


@pytest.mark.parametrize("engine", ["fast", "lucent"])
def test_nothing_of_a_module_changes(engine: str) -> None:
    module = Small().train()
    module.first[0].weight.requires_grad_(False)
    grad = torch.ones_like(module.second.weight)
    module.second.weight.grad = grad

    def state() -> list[object]:
        tensors = [*module.parameters(), *module.buffers()]
        return [
            [(id(t), t.data_ptr(), t._version, t.requires_grad, id(t.grad)) for t in tensors],
            [(id(m), m.training, sorted(vars(m))) for m in module.modules()],
            all_hooks(module),
        ]

    before = state()
    model = opened(module)
    _ = model.layers, model.identity
    render(model, "second", 1, steps=2, size=24, engine=engine, progress=False)
    assert state() == before
    assert torch.equal(grad, torch.ones_like(grad))


def test_nothing_holds_a_network_that_nobody_holds() -> None:
    module = Small()
    model = opened(module)
    render(model, "second", 1, steps=1, size=24, progress=False)
    with pytest.raises(ModelError):
        model.check_size(2)
    alive = weakref.ref(module)
    gc.disable()
    try:
        del module, model
        assert alive() is None, "freed at once, not when garbage is collected"
    finally:
        gc.enable()


# ------------------------------------------------------------------ what changes is seen


def step_in_place(module: Small) -> None:
    with torch.no_grad():
        module.second.weight.mul_(2)


def swap_data(module: Small) -> None:
    module.second.weight.data = module.second.weight.data * 2


def new_parameter(module: Small) -> None:
    module.second.weight = nn.Parameter(module.second.weight.detach() * 2)


def load_assigned(module: Small) -> None:
    state = {name: value * 2 for name, value in module.state_dict().items()}
    module.load_state_dict(state, assign=True)


def another_child(module: Small) -> None:
    module.second, module.head = nn.Conv2d(8, 9, 3), nn.Linear(9, 2)


def a_hook(module: Small) -> None:
    module.second.register_forward_hook(lambda _m, _a, out: out + 1)


def buffer_in_place(module: Small) -> None:
    module.first[1].running_mean.data.add_(1)


def an_attribute(module: Small) -> None:
    module.first[1].eps = 0.5


def of_another_type(module: Small) -> None:
    module.double()


def another_forward(module: Small) -> None:
    inner = module.second.forward
    module.second.forward = lambda x: inner(x) * 3


@pytest.mark.parametrize(
    "change",
    [
        step_in_place,
        swap_data,
        new_parameter,
        load_assigned,
        another_child,
        a_hook,
        buffer_in_place,
        an_attribute,
        of_another_type,
        another_forward,
    ],
)
def test_what_training_replaces_is_seen_at_once(change: Callable[[Small], None]) -> None:
    module = Small().eval()
    model = opened(module)
    before = read(model)
    change(module)
    seen = read(model)
    expected = module.second(module.first(read_input(model)))
    assert torch.equal(seen, expected)
    assert seen.dtype == expected.dtype
    assert model.layer("second").channels == seen.shape[1]
    assert seen.shape != before.shape or not torch.equal(seen, before)


def test_a_setting_of_the_network_is_seen_at_once() -> None:
    module = Small().eval()
    model = opened(module)

    def head() -> Tensor:
        with torch.no_grad(), model.private_copy() as network:
            return network(read_input(model))

    one = head()
    module.scale = 2.0
    two = head()
    module.config["shift"] = 1.0
    three = head()
    assert not torch.equal(one, two)
    assert not torch.equal(two, three)
    assert torch.equal(three, module(read_input(model)))


def test_a_hook_that_is_removed_is_gone() -> None:
    module = Small().eval()
    model = opened(module)
    before = read(model)
    handle = module.second.register_forward_hook(lambda _m, _a, out: out + 1)
    assert torch.equal(read(model), before + 1)
    handle.remove()
    assert torch.equal(read(model), before)


# ------------------------------------------------------------------ what people write


class Recorder:
    """Somebody's own object, with a lock, whose method is a hook."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seen: list[int] = []

    def record(self, _module: nn.Module, _args: Any, output: Tensor) -> None:
        with self.lock:
            self.seen.append(len(output))


class KeepsFeatures(nn.Module):
    """Reads in its forward pass what its hooks keep: by a method, a closure, a partial."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.conv, self.mix = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)
        self.features: dict[str, Tensor] = {}
        features = self.features

        def closure(_module: nn.Module, _args: Any, output: Tensor) -> None:
            features["conv"] = output

        hook: Any = {
            "method": self.keep,
            "closure": closure,
            "partial": functools.partial(KeepsFeatures.keep_in, self.features),
        }[how]
        self.conv.register_forward_hook(hook)

    def keep(self, _module: nn.Module, _args: Any, output: Tensor) -> None:
        self.features["conv"] = output

    @staticmethod
    def keep_in(features: dict[str, Tensor], _m: nn.Module, _args: Any, output: Tensor) -> None:
        features["conv"] = output

    def forward(self, x: Tensor) -> Tensor:
        self.conv(x)
        return self.mix(self.features["conv"])


@pytest.mark.parametrize("how", ["method", "closure", "partial"])
def test_hooks_that_a_forward_pass_relies_on_work_on_the_copy(how: str) -> None:
    module = KeepsFeatures(how).eval()
    model = opened(module)
    first = read(model, "mix")
    assert module.features == {}, "the copy keeps features of its own"
    assert torch.equal(first, module(read_input(model)))
    with torch.no_grad():
        module(torch.zeros(1, 3, 24, 24))
    assert torch.equal(read(model, "mix"), first)


def test_a_hook_that_belongs_to_somebody_else_is_shared() -> None:
    module, recorder, closed = Small().eval(), Recorder(), []
    module.second.register_forward_hook(recorder.record)
    module.second.register_forward_hook(lambda _m, _a, out: closed.append(len(out)))
    model = opened(module)
    read(model)
    assert recorder.seen
    assert recorder.seen == closed


class Patched(Small):
    """Its forward is wrapped on the object, as tools for placing and profiling do."""

    def __init__(self) -> None:
        super().__init__()
        inner = self.forward

        def wrapped(x: Tensor) -> Tensor:
            return inner(x) * 2

        self.forward = wrapped  # type: ignore[method-assign]


class HoldsThings(Small):
    """What copy.deepcopy refuses: a lock, a generator's frame, a tensor that was computed."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.RLock()
        self.stream = (i for i in range(3))
        self.noise = torch.Generator().manual_seed(1)
        self.last: Tensor | None = None
        self.unregistered = [nn.BatchNorm2d(3)]

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            x = self.unregistered[0](x)
            self.last = super().forward(x)
            return self.last


def weight_normed() -> nn.Module:
    module = Small()
    with pytest.warns(FutureWarning):
        module.second = nn.utils.weight_norm(module.second)  # the old one, on hooks
    return module


def parametrized() -> nn.Module:
    module = Small()
    nn.utils.parametrizations.spectral_norm(module.second)
    nn.utils.parametrizations.weight_norm(module.first[0])
    return module


def pruned() -> nn.Module:
    from torch.nn.utils import prune

    module = Small()
    prune.random_unstructured(module.second, "weight", 0.5)
    return module


def traced_by_fx() -> nn.Module:
    return torch.fx.symbolic_trace(Small())


@pytest.mark.parametrize(
    "make", [Patched, HoldsThings, weight_normed, parametrized, pruned, traced_by_fx]
)
def test_what_people_write_can_be_copied(make: Callable[[], nn.Module]) -> None:
    module = make().train()
    x = torch.rand(4, 3, 24, 24)
    module(x).sum().backward()
    buffers = {name: value.clone() for name, value in module.named_buffers()}
    model = opened(module)
    assert model.note == ""
    seen = read(model)
    for _ in range(2):
        render(model, "second", 1, steps=1, size=24, progress=False)
    assert all(m.training for m in module.modules())
    for name, value in module.named_buffers():
        assert torch.equal(value, buffers[name]), name
    for outside in getattr(module, "unregistered", []):
        assert int(outside.num_batches_tracked) == 1
        outside.eval()
    expected: list[Tensor] = []
    module.eval().second.register_forward_hook(lambda _m, _a, out: expected.append(out))
    with torch.no_grad():
        module(read_input(model))
    if not hasattr(module, "unregistered"):  # a module that is not one of the network's
        assert torch.allclose(seen, expected[0], atol=1e-6)


def test_weights_made_in_inference_mode_serve_gradients() -> None:
    with torch.inference_mode():
        module = Small()
    image = render(opened(module), "second", 1, steps=2, size=24, progress=False)
    assert image.steps == 2
    with torch.inference_mode():
        model = load_model("efficientnet_lite0", weights="random", device="cpu")
    assert render(model, "blocks.0", 1, steps=2, size=32, progress=False).steps == 2


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
        self.second = nn.Conv2d(4, 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.stem(x))


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_network_that_cannot_be_copied_takes_turns_and_says_so(caplog: Any) -> None:
    module = Scripted().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    one, other = opened(module), opened(module)
    assert "cannot be copied" in one.note
    assert "do not train it" in one.note
    assert "cannot be copied" in caplog.text
    expected, wrong = read(one), []

    def work(model: VisionModel) -> None:
        wrong.extend(i for i in range(50) if not torch.equal(read(model), expected))

    threads = [threading.Thread(target=work, args=(model,)) for model in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert all(m.training for m in module.modules())
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
