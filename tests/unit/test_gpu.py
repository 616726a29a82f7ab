"""What must hold on a GPU; and, on every machine, a step's forward half on made-up CUDA tensors.

The first kind runs where ``NEURON_WIDGET_TEST_DEVICE=cuda`` says so.
"""

from __future__ import annotations

import gc
import os
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from neuron_widget.networks.gpu_kernels import have_kernels, pool3, sampled_gradient
from neuron_widget.networks.inception import InceptionV1, preprocess
from neuron_widget.networks.inception.fused import FusedInception
from neuron_widget.networks.layers import layer_reader
from neuron_widget.networks.pace import Pace
from neuron_widget.networks.zoo import load_model
from neuron_widget.objectives import OBJECTIVES
from neuron_widget.rendering import captured, render, render_steps
from neuron_widget.rendering.augment import warp
from neuron_widget.rendering.objective import as_objective, at_positions
from neuron_widget.rendering.param import FourierImage
from neuron_widget.scanning.engine import scan
from neuron_widget.targets import Channel, Unit

LAYER = "mixed4a"


@pytest.fixture(scope="module")
def gpu() -> torch.device:
    if os.environ.get("NEURON_WIDGET_TEST_DEVICE") != "cuda":
        pytest.skip("NEURON_WIDGET_TEST_DEVICE is not cuda: what holds on a GPU is not tested here")
    return torch.device("cuda", torch.cuda.current_device())


@pytest.fixture(scope="module")
def model(gpu, inception_weights):
    return load_model("inceptionv1", weights=inception_weights, device=gpu)


@pytest.fixture(scope="module")
def tiny(gpu):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 5, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 1))
    return load_model(net.to(gpu), preprocess=((0.5,) * 3, (0.2,) * 3), input_size=32)


HOW = {"size": 128, "steps": 32, "progress": False}


# ------------------------------------------------------------------ on every machine


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, None], ids=str)
@pytest.mark.parametrize("target", [Channel(LAYER, 3), Unit(LAYER, 3, 2, 5)], ids=str)
def test_the_forward_half_of_a_step_stays_on_the_gpu(monkeypatch, dtype, target):
    """Tensors on another device, and numbers read by the host, are errors on made-up tensors."""
    for at in ("neuron_widget.networks.inception.parts", "neuron_widget.rendering.augment"):
        monkeypatch.setattr(f"{at}.have_kernels", lambda _device: False)
    # It has no made-up twin.
    monkeypatch.setattr(
        torch,
        "cudnn_convolution_relu",
        lambda x, w, b, stride, pad, *_: torch.conv2d(x, w, b, stride, pad).relu_(),
    )
    with FakeTensorMode(), torch.no_grad():
        device = torch.device("cuda")
        with device:
            module = InceptionV1().eval()
        image = FourierImage(224, 224, device)
        spectrum = torch.zeros((2, *image.shape), device=device)
        matrices = torch.zeros((2, 2, 3), device=device)
        images = preprocess(warp(image.decode(spectrum), matrices))
        read = (
            layer_reader(module, LAYER) if dtype is None else FusedInception(module, LAYER, dtype)
        )
        maps = at_positions(read(images), (target, target), 14, 14)
        neurons = torch.zeros(2, dtype=torch.int64, device=device)
        for name in OBJECTIVES:
            values = as_objective(name, LAYER)(maps, neurons)
            assert (values.device.type, values.shape) == ("cuda", (2,))


def test_made_up_tensors_find_a_read_by_the_host():
    with FakeTensorMode(), pytest.raises(Exception, match="_local_scalar_dense"):
        torch.zeros(2, device="cuda").sum().item()


# ------------------------------------------------------------------ on a GPU


def test_kernels_of_our_own_work_there(gpu):
    assert have_kernels(gpu)


@pytest.mark.parametrize("stride", [1, 2])
def test_pooling_passes_on_what_is_no_number(gpu, stride):
    x = torch.zeros((1, 16, 8, 8), device=gpu)
    x[0, 3, 4, 4] = float("nan")
    y, _ = pool3(x, stride, keep=True)
    assert y[0, 3].isnan().any()
    assert y[0, 2].isfinite().all()


def test_sampling_has_one_gradient(gpu):
    grad = torch.randn((4, 3, 64, 64), device=gpu)
    grid = torch.rand((4, 2, 64, 64), device=gpu) * 2.4 - 1.2
    first = sampled_gradient(grad, grid)
    assert all(torch.equal(sampled_gradient(grad, grid), first) for _ in range(4))


def test_a_step_waits_for_nothing(model):
    work = render_steps(model, LAYER, range(8), size=224, steps=400, batch_size=8)
    with_pace = [next(work) for _ in range(captured._RUNS_BEFORE + 17)]
    run = with_pace[-1]._result.__self__
    batch = run._open[-1]
    assert batch._captured._graph is not None
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(70):  # past the end of a block of random movements
            batch.advance()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    work.close()


def test_a_step_as_a_graph_and_as_written_are_the_same(model, monkeypatch):
    graph = render(model, LAYER, [68, 257], **HOW)
    monkeypatch.setattr(captured, "_RUNS_BEFORE", 10**9)
    written = render(model, LAYER, [68, 257], **HOW)
    np.testing.assert_array_equal(graph.images, written.images)


def test_the_same_picture_every_time_and_resumed(model):
    whole = render(model, LAYER, [68, 257], **HOW)
    np.testing.assert_array_equal(render(model, LAYER, [68, 257], **HOW).images, whole.images)
    half = render(model, LAYER, [68, 257], **{**HOW, "steps": 24})
    rest = render(model, LAYER, [68, 257], **HOW, resume=half)
    np.testing.assert_array_equal(rest.images, whole.images)


def test_alone_and_in_a_batch_a_picture_is_as_good(model):
    """Not the same pixels: cuDNN takes another way for another number of images."""
    many = render(model, LAYER, range(64, 72), size=224, steps=128, progress=False)
    alone = [render(model, LAYER, n, size=224, steps=128, progress=False) for n in (64, 68)]
    for one in alone:
        place = many.neurons.index(one.neurons[0])
        assert one.activation[0] == pytest.approx(many.activation[place], rel=0.15)


def test_a_users_objective_is_called_at_every_step(tiny):
    calls = []

    def mine(activation):
        calls.append(float(activation.mean()))
        return activation[:, 1].mean()

    render(tiny, "3", [1], size=32, steps=24, objective=mine, progress=False)
    assert len(calls) >= 24


def test_a_network_that_cannot_be_captured_is_run_as_written(model, monkeypatch):
    plain = render(model, LAYER, [68], **HOW)

    class Fails(torch.cuda.CUDAGraph):
        def capture_begin(self, *_args, **_kwargs):
            raise RuntimeError("not today")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Fails)
    written = render(model, LAYER, [68], **HOW)
    np.testing.assert_array_equal(written.images, plain.images)


def test_a_merged_network_is_the_network(tiny):
    image = torch.rand((2, 3, 32, 32), device=tiny.device)
    with torch.no_grad(), tiny.reading("3") as read:
        expected = read(image)
    reader = tiny.prepared("3", torch.float32)
    assert reader is not None
    assert reader.serves(2, 32)
    torch.testing.assert_close(reader(image), expected, rtol=5e-3, atol=5e-3)


def test_out_of_memory_halves_the_batch(model):
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    used = total - free
    torch.cuda.set_per_process_memory_fraction(min(1.0, (used + 2.5 * 2**30) / total))
    try:
        sizes = set()
        for now in render_steps(model, LAYER, range(256), size=224, steps=20, batch_size=256):
            sizes.add(len(now.targets))
        assert len(now.result()) == 256
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert max(sizes) < 256


def test_a_stop_takes_effect_within_a_few_steps(gpu):
    """The host waits until all but the last two pieces of work are done."""
    pace, done = Pace(gpu), []
    for _ in range(6):
        torch.cuda._sleep(20_000_000)
        done.append(torch.cuda.Event())
        done[-1].record()
        pace.keep()
        assert all(event.query() for event in done[:-2])


def test_memory_is_given_back(model):
    held = []
    for _ in range(4):
        render(model, LAYER, range(64), size=224, steps=24, progress=False)
        gc.collect()
        torch.cuda.empty_cache()
        held.append(torch.cuda.memory_reserved() / 2**20)
    assert held[-1] - held[0] <= 2, held


@pytest.mark.data
@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_scan_as_on_the_cpu(model, inception_weights, test_data, precision):
    photos = str(test_data / "photos" / "val")
    cpu = load_model("inceptionv1", weights=inception_weights, device="cpu")
    how = {"num_samples": 48, "progress": False}
    here = scan(model, LAYER, photos, precision=precision, **how)
    there = scan(cpu, LAYER, photos, precision="exact", **how)
    same = 0
    for neuron in range(0, 508, 12):
        ours, theirs = here.top(neuron), there.top(neuron)
        scores = [e.score for e in ours], [e.score for e in theirs]
        np.testing.assert_allclose(*scores, rtol=1e-3, atol=1e-3)
        same += {e.path for e in ours} == {e.path for e in theirs}
    assert same >= 40  # of 43; near ties may change places
    np.testing.assert_allclose(here.mean, there.mean, rtol=2e-2, atol=0.05)


def test_two_threads_render_and_scan_on_one_gpu(model, test_data):
    alone = render(model, LAYER, [68, 257], **HOW)
    found: dict[str, object] = {}

    def rendering(name: str) -> None:
        found[name] = render(model, LAYER, [68, 257], **HOW)

    def scanning() -> None:
        found["scan"] = scan(model, LAYER, str(test_data / "photos" / "val"), num_samples=64,
                             progress=False)  # fmt: skip

    threads = [threading.Thread(target=rendering, args=(n,)) for n in ("a", "b")]
    threads.append(threading.Thread(target=scanning))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found["scan"].scanned == 64
    for name in ("a", "b"):
        np.testing.assert_array_equal(found[name].images, alone.images)
