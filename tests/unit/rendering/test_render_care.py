"""What rendering must not do: touch the model, wait for the device, run on, go on with NaN."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from neuron_widget.errors import ModelError, RenderError
from neuron_widget.networks.layers import RedirectedReLU
from neuron_widget.networks.memory import is_out_of_memory
from neuron_widget.networks.zoo import load_model
from neuron_widget.rendering import render, render_steps

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SMALL = {"size": 32, "steps": 20}


class Net(nn.Module):
    """Three convolutions; ``trouble`` may be a function on the second one's output."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=2)
        self.second = nn.Conv2d(6, 8, 3, stride=2)
        self.third = nn.Conv2d(8, 4, 3)
        self.trouble = None
        self.counts = Counter()
        for name, module in self.named_children():
            module.register_forward_hook(lambda *_args, n=name: self.counts.update([n]))

    def forward(self, x):
        x = torch.relu(self.second(torch.relu(self.first(x))))
        if self.trouble is not None:
            x = self.trouble(x)
        return torch.relu(self.third(x))


def user_module(trouble=None):
    torch.manual_seed(0)
    module = Net()
    model = load_model(module, preprocess=HALF, input_size=32)
    # Looks at the layers with a forward pass of its own, which is not to be counted.
    model.layer("second")
    module.counts.clear()
    module.trouble = trouble
    return model


def state_of(module):
    return {
        "training": [m.training for m in module.modules()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in module.modules()],
        "requires_grad": [p.requires_grad for p in module.parameters()],
        "grad": [None if p.grad is None else p.grad.sum().item() for p in module.parameters()],
        "device": [p.device for p in module.parameters()],
        "format": [p.stride() for p in module.parameters()],
        "values": [p.sum().item() for p in module.parameters()],
    }


# ------------------------------------------------------------------ the model comes back


@pytest.mark.parametrize("engine", ["fast", "lucent"])
@pytest.mark.parametrize("end", ["success", "error", "close", "dropped"])
def test_model_is_as_before(engine, end):
    calls = []

    def trouble(x):
        calls.append(1)
        if end == "error" and len(calls) > 2:
            raise RuntimeError("on purpose")
        return x

    model = user_module(trouble)
    module = model.module
    module.train()
    module.third.eval()
    module.first.weight.requires_grad_(False)
    module.second.weight.grad = torch.ones_like(module.second.weight)
    before = state_of(module)
    work = render_steps(model, "third", [0, 2], size=32, steps=4, engine=engine)
    if end == "success":
        list(work)
    elif end == "error":
        error = ModelError if engine == "fast" else RenderError
        with pytest.raises(error, match="on purpose"):
            list(work)
    else:
        next(work)
        # Between two steps too there is nothing of ours on the model.
        assert state_of(module) == before
        if end == "close":
            work.close()
        del work
    assert state_of(module) == before


def test_no_state_of_torch_is_held_between_steps():
    model = user_module()
    with torch.no_grad():
        work = render_steps(model, "second", 0, redirect_relu=True, precision="bfloat16", **SMALL)
        next(work)
        assert not torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")
        x = torch.zeros(1, requires_grad=True)
        assert torch.relu(x).grad_fn is None
        work.close()


# ------------------------------------------------------------------ counting calls


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_step_does_nothing_it_need_not(precision, count_operations):
    model = user_module()
    assert all(p.requires_grad for p in model.module.parameters())
    work = render_steps(model, "second", [0, 3, 5], precision=precision, **SMALL)
    next(work)
    model.module.counts.clear()
    with count_operations() as ops:
        for _ in range(8):
            next(work)
    # One forward pass a step, and none past the layer.
    assert model.module.counts == {"first": 8, "second": 8}
    # The input's gradient of each convolution, and no weight's.
    assert ops.count["aten.convolution_backward"] == 16
    assert ops.weight_gradients == 0
    # Nothing that makes the host wait for the device.
    waits = ("_local_scalar_dense", "item", "nonzero", "equal", "is_nonzero", "masked_select")
    assert {w: ops.count[f"aten.{w}"] for w in waits} == dict.fromkeys(waits, 0)
    work.close()


def test_redirected_steps_do_not_wait_either(count_operations):
    model = user_module()
    work = render_steps(model, "second", [0, 3], redirect_relu=True, **SMALL)
    with count_operations() as ops:
        for _ in range(8):
            next(work)
    assert ops.count["aten._local_scalar_dense"] == ops.count["aten.nonzero"] == 0
    work.close()


def test_the_host_reads_once_in_sixteen_steps(count_operations):
    model = user_module()
    work = render_steps(model, "second", [0, 3], size=32, steps=48)
    next(work)
    with count_operations() as ops:
        for _ in range(46):
            next(work)
    # Reading a whole tensor at once (tolist) is one wait; it shows as one item a number.
    assert ops.count["aten._local_scalar_dense"] <= 2 * 2
    work.close()


def test_yielding_reads_nothing_and_images_read_once(count_operations):
    model = user_module()
    work = render_steps(model, "second", [0, 3], size=32, steps=10)
    step = next(work)
    with count_operations() as ops:
        assert step.images().shape == (2, 32, 32, 3)
    assert ops.count["aten._local_scalar_dense"] == 0
    work.close()


# ------------------------------------------------------------------ redirected ReLU


@pytest.mark.parametrize(("asked", "steps_with"), [(True, 16), (False, 0), (None, 16)])
def test_relu_is_redirected_in_the_first_sixteen_steps_only(asked, steps_with, monkeypatch):
    entered = []
    enter = RedirectedReLU.__enter__
    monkeypatch.setattr(
        RedirectedReLU, "__enter__", lambda self: (entered.append(1), enter(self))[1]
    )
    model = user_module()
    render(model, "second", 0, redirect_relu=asked, progress=False, **SMALL)
    assert len(entered) == 2 * steps_with, "forwards and backwards"


def test_redirected_relu_wakes_a_dead_neuron():
    model = user_module()
    with torch.no_grad():
        model.module.second.bias[2] = -1.0
    asleep = render(model, "second", 2, size=32, steps=100, progress=False)
    # Redirected or not, the layer's own ReLU has to let something through first.
    assert (
        asleep.activation[0]
        <= render(
            model, "second", 2, size=32, steps=100, redirect_relu=True, progress=False
        ).activation[0]
    )


# ------------------------------------------------------------------ memory


def out_of_memory_above(limit):
    def trouble(x):
        if x.shape[0] > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return x

    return trouble


@pytest.mark.parametrize(("limit", "largest"), [(2, 2), (3, 2), (1, 1)])
def test_out_of_memory_halves_the_batch_and_goes_on(limit, largest):
    expected = render(user_module(), "third", range(4), batch_size=4, progress=False, **SMALL)
    model = user_module(out_of_memory_above(limit))
    steps = list(render_steps(model, "third", [*range(4)], batch_size=4, **SMALL))
    assert max(len(s.neurons) for s in steps) == largest
    assert steps[-1].done == steps[-1].total == 20 * 4 // largest
    result = steps[-1].result()
    assert result.neurons == (0, 1, 2, 3)
    np.testing.assert_allclose(result.images, expected.images, atol=1e-5)


def test_out_of_memory_in_the_middle_keeps_what_was_done():
    calls = []

    def trouble(x):
        calls.append(1)
        return out_of_memory_above(1)(x) if len(calls) > 7 else x

    expected = render(user_module(), "third", [0, 1], progress=False, **SMALL)
    result = render(user_module(trouble), "third", [0, 1], progress=False, **SMALL)
    np.testing.assert_allclose(result.images, expected.images, atol=1e-5)
    # 7 steps of both, then 13 of each, and a failed attempt, and two measurements.
    assert len(calls) == 7 + 1 + 13 + 13 + 2
    assert [s for s, _ in result.history] == [s for s, _ in expected.history]


@pytest.mark.parametrize("limit", [3, 2, 1])
def test_out_of_memory_at_the_end_measures_fewer_at_a_time(limit):
    """Measuring takes float32: what was enough for the steps may be too little for that."""

    def trouble(x):
        return x if torch.is_grad_enabled() else out_of_memory_above(limit)(x)

    expected = render(user_module(), "third", range(4), progress=False, **SMALL)
    result = render(user_module(trouble), "third", range(4), progress=False, **SMALL)
    np.testing.assert_array_equal(result.images, expected.images)
    np.testing.assert_allclose(result.activation, expected.activation, rtol=1e-5)


def test_out_of_memory_hides_no_nan():
    calls = []

    def objective(activation):
        calls.append(1)
        values = activation.flatten(2).mean(2)[:, 1]
        step_calls = len(calls) - 5  # before the first step it is tried what it speaks of
        if step_calls == 10:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return values * torch.nan if step_calls >= 5 else values

    with pytest.raises(RenderError, match=r"not finite .* at step 3; the images of step 0") as told:
        render(user_module(), "third", [0, 1], progress=False, objective=objective, **SMALL)
    assert told.value.result.steps == 0
    assert told.value.result.images[1].std() > 0


def test_out_of_memory_with_one_image():
    model = user_module(out_of_memory_above(0))
    with pytest.raises(RenderError, match=r"out of memory on cpu.*single image of 32 px.*size=16"):
        render(model, "third", [0, 1], progress=False, **SMALL)


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_is_out_of_memory(error, is_it):
    assert is_out_of_memory(error) is is_it


# ------------------------------------------------------------------ NaN


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize(("call", "kept"), [(1, 0), (5, 0), (20, 16), (39, 32)])
def test_not_finite_stops_and_keeps_the_last_finite_image(bad, call, kept):
    calls = []

    def trouble(x):
        calls.append(1)
        return x * bad if len(calls) == call else x

    with pytest.raises(RenderError, match=f"not finite.*at step {call};.*step {kept},") as caught:
        render(user_module(trouble), "third", [0, 1], size=32, steps=48, progress=False)
    result = caught.value.result
    assert result.steps == kept
    assert np.isfinite(result.images).all()
    assert np.isfinite(result.activation).all()
    # Said within sixteen steps, though nothing is read in between.
    assert len(calls) <= call + 16
    if kept:
        expected = render(user_module(), "third", [0, 1], size=32, steps=kept, progress=False)
        np.testing.assert_array_equal(result.images, expected.images)


def test_gradient_that_is_not_finite_is_found_at_the_last_step():
    def trouble(x):
        # The value is finite, its gradient (of the square root at 0) is not.
        return x + torch.sqrt(x * 0)

    with pytest.raises(RenderError, match="not finite"):
        render(user_module(trouble), "third", 0, size=32, steps=1, progress=False)


def test_frames_are_finite_even_then():
    calls = []

    def trouble(x):
        calls.append(1)
        return x * float("nan") if len(calls) == 3 else x

    work = render_steps(user_module(trouble), "third", 0, size=32, steps=10)
    frames = [next(work).images() for _ in range(6)]
    assert all(np.isfinite(frame).all() for frame in frames)
    work.close()
