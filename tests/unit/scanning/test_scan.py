"""The scan against a plain loop over all photos, and what it leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from neuron_widget.errors import (
    DatasetError,
    ModelError,
    NeuronOutOfRange,
    StoreError,
    UnknownLayer,
)
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.photos.decode import square
from neuron_widget.scanning import ScanResult, ScanTables, scan, scan_steps
from neuron_widget.scanning.files import save_scan
from neuron_widget.scanning.kinds.images import ListDataset
from neuron_widget.scanning.loading import load_batches, read_in_chunks
from neuron_widget.scanning.receptive import probe_receptive_fields
from neuron_widget.targets import Channel

SIZE, PHOTOS = 32, 23


class Tiny(nn.Module):
    """Two convolutions and a pooling; channel 0 of ``body`` is always negative before its ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU())
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.body = nn.Sequential(nn.Conv2d(8, 6, 3, padding=1), nn.ReLU())
        self.linear = nn.Conv2d(6, 5, 1)
        self.head = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.linear(self.body(self.pool(self.stem(x)))).mean(dim=(2, 3)))


def tiny() -> nn.Module:
    torch.manual_seed(0)
    module = Tiny()
    with torch.no_grad():
        module.body[0].weight[0] = -module.body[0].weight[0].abs()
        module.body[0].bias[0] = -1
    return module


@pytest.fixture
def model() -> VisionModel:
    return load_model(tiny(), preprocess=((0.5,) * 3, (0.2,) * 3), input_size=SIZE)


def photos(count: int = PHOTOS) -> list[Image.Image]:
    random = np.random.default_rng(0)
    return [
        Image.fromarray(random.integers(0, 256, (7, 9, 3), np.uint8)).resize((60, 45))
        for _ in range(count)
    ]


def activations(model: VisionModel, layer: str, images: list[Image.Image]) -> torch.Tensor:
    """(N, C, h, w), one photo at a time."""
    found = []
    with torch.no_grad(), model.reading(layer) as read:
        for image in images:
            pixels = torch.from_numpy(np.array(square(image, SIZE))).permute(2, 0, 1)
            found.append(read(pixels[None].float() / 255))
    return torch.cat(found)


@pytest.mark.parametrize("layer", ["body", "linear"])
@pytest.mark.parametrize(("batch_size", "workers"), [(32, None), (1, 0), (7, 3)])
def test_scan_equals_a_plain_loop(
    model: VisionModel, layer: str, batch_size: int, workers: int | None
) -> None:
    images = photos()
    result = scan(
        model, layer, images, top_k=5, batch_size=batch_size, workers=workers, progress=False
    )
    every = activations(model, layer, images)
    score = every.mean(dim=(2, 3)).numpy()
    np.testing.assert_allclose(result.mean, score.mean(0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(result.std, score.std(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(result.peak, every.amax(dim=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(result.best, score.max(0), rtol=1e-5, atol=1e-7)
    assert (result.scanned, result.skipped) == (PHOTOS, [])
    for neuron in range(every.shape[1]):
        order = np.argsort(-score[:, neuron], kind="stable")
        top, bottom = result.top(neuron), result.bottom(neuron, 3)
        assert [e.index for e in top] == order[:5].tolist()
        ascending = np.argsort(score[:, neuron], kind="stable")
        assert [e.index for e in bottom] == ascending[:3].tolist()
        for rank, example in enumerate(top):
            activation = every[example.index, neuron].numpy()
            assert example.rank == rank
            assert example.score == pytest.approx(activation.mean(), rel=1e-5)
            assert example.peak == pytest.approx(activation.max(), rel=1e-5)
            assert activation[example.position] == pytest.approx(activation.max(), rel=1e-5)
            np.testing.assert_allclose(example.activation_map(), activation, rtol=1e-4, atol=1e-6)
            assert example.image().size == (SIZE, SIZE)
        counts, edges = result.histogram(neuron)
        assert counts.sum() == PHOTOS
        assert edges[0] <= score[:, neuron].min()
        assert edges[-1] >= score[:, neuron].max()
        exact = np.quantile(every[:, neuron].numpy(), 0.99, method="inverted_cdf")
        assert result.quantile(neuron) == pytest.approx(exact, rel=1 / 60, abs=1e-6)


def test_dead_neurons_and_ties(model: VisionModel) -> None:
    result = scan(model, "body", photos(), top_k=4, batch_size=5, progress=False)
    assert 0 in result.dead
    assert [e.index for e in result.top(0)] == [0, 1, 2, 3]
    assert [e.index for e in result.bottom(0)] == [0, 1, 2, 3]


def test_fast_has_the_exact_examples(model: VisionModel) -> None:
    images = photos(60)
    exact = scan(model, "linear", images, top_k=5, progress=False)
    fast = scan(model, "linear", images, top_k=5, progress=False, precision="fast")
    for neuron in range(5):
        for side in ("top", "bottom"):
            a, b = getattr(exact, side)(neuron), getattr(fast, side)(neuron)
            assert [e.index for e in a] == [e.index for e in b]
            assert [e.score for e in a] == pytest.approx([e.score for e in b], rel=1e-5)
            assert [e.position for e in a] == [e.position for e in b]
    np.testing.assert_allclose(fast.mean, exact.mean, rtol=0.05, atol=0.02)


def test_fewer_photos_than_top_k(model: VisionModel) -> None:
    for precision in ("exact", "fast"):
        result = scan(model, "linear", photos(3), progress=False, precision=precision)
        assert len(result.top(1)) == len(result.bottom(1)) == 3


def test_num_samples_is_the_same_for_every_layer(model: VisionModel) -> None:
    def seen(layer: str, **options: int) -> set[int]:
        result = scan(model, layer, photos(), top_k=PHOTOS, progress=False, **options)
        return {e.index for e in result.top(1)}

    first = seen("body", num_samples=8)
    assert len(first) == 8
    assert first == seen("linear", num_samples=8, batch_size=3)
    assert first < seen("body", num_samples=9)
    assert first != seen("body", num_samples=8, seed=1)
    assert len(seen("body", num_samples=1000)) == PHOTOS


# ------------------------------------------------------------------ broken files


def _folder(folder: Path, good: int) -> Path:
    for i, image in enumerate(photos(good)):
        image.save(folder / f"good{i}.png")
    whole = folder / "whole.jpg"
    photos(1)[0].resize((200, 200)).save(whole)
    (folder / "truncated.jpg").write_bytes(whole.read_bytes()[:1500])
    whole.unlink()
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("no image at all")
    return folder


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_broken_files_are_skipped_and_listed(
    tmp_path: Path, model: VisionModel, batch_size: int
) -> None:
    steps = scan_steps(model, "body", _folder(tmp_path, 5), batch_size=batch_size)
    done = [step.done for step in steps]
    assert done == sorted(done)
    assert done[-1] == 8
    result = scan(model, "body", tmp_path, batch_size=batch_size, progress=False)
    assert result.scanned == 5
    names = sorted(Path(path).name for path, _ in result.skipped)
    assert names == ["empty.png", "text.jpg", "truncated.jpg"]
    assert all(reason for _, reason in result.skipped)


def test_nothing_readable_is_an_error(tmp_path: Path, model: VisionModel) -> None:
    with pytest.raises(DatasetError, match="none of the 3 photos"):
        scan(model, "body", _folder(tmp_path, 0), progress=False, batch_size=2)


class Failing(Dataset):
    """A data set in a database that is down, or whose items have one fault."""

    def __init__(self, item: object):
        self.item = item

    def __len__(self) -> int:
        return 3

    def __getitem__(self, i: int) -> object:
        if isinstance(self.item, Exception):
            raise self.item
        return self.item


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (ConnectionError("database is down"), "database is down. The data set's own code raises"),
        (torch.full((3, 9, 9), 200.0), r"in 200\.\.200; expected 0\.\.1\. Divide them by 255"),
        (torch.full((3, 9, 9), -1.5), "without Normalize"),
        ("text", r"expected a PIL image.*\(image, label\)$"),
    ],
)
def test_the_way_out_fits_what_is_wrong(model: VisionModel, item: object, says: str) -> None:
    with pytest.raises(DatasetError, match=says) as caught:
        scan(model, "body", Failing(item), progress=False)
    assert "image files" not in str(caught.value)
    assert "DatasetError" not in str(caught.value)


def test_files_are_told_to_be_checked(tmp_path: Path, model: VisionModel) -> None:
    (tmp_path / "x.jpg").write_bytes(b"no photo")
    with pytest.raises(DatasetError, match="Check that these are complete image files"):
        scan(model, "body", tmp_path, progress=False)


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_memory_is_bounded_by_the_photos(precision: str, model: VisionModel) -> None:
    result = scan(model, "body", photos(), top_k=10**9, progress=False, precision=precision)
    assert [len(result.top(n)) for n in range(6)] == [PHOTOS] * 6
    few = scan(model, "body", photos(), top_k=PHOTOS, progress=False, precision=precision)
    assert [e.index for e in result.top(1)] == [e.index for e in few.top(1)]


class Kept:
    """A checkpoint in memory."""

    def __init__(self, change: Callable[[dict[str, Any], dict[str, Any]], object]):
        self.change, self.saved = change, None

    def load(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        if self.saved is None:
            return None
        facts, arrays = dict(self.saved[0]), dict(self.saved[1])
        self.change(facts, arrays)
        return facts, arrays

    def due(self, done: int) -> bool:
        return done >= 8 and self.saved is None

    def save(self, facts: dict[str, Any], arrays: dict[str, Any]) -> None:
        self.saved = self.saved or (facts, arrays)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts, _: facts.update(scanned=36),
        lambda facts, _: facts.update(scanned=-1, done=-1),
        lambda facts, _: facts.pop("scanned"),
        lambda facts, _: facts.update(skipped=[[1]]),
        lambda _, arrays: arrays.pop("moments.mean", None) or arrays.clear(),
        lambda _, arrays: arrays.update({"top.key": arrays["top.key"][:, :2].copy()}),
        lambda _, arrays: arrays.update({"foreign": np.zeros(3)}),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_passed_over(
    model: VisionModel, change: Callable[[dict[str, Any], dict[str, Any]], object]
) -> None:
    kept = Kept(change)
    how = {"top_k": 4, "batch_size": 4, "progress": False}
    whole = scan(model, "body", photos(), checkpoint=kept, **how)
    assert kept.saved is not None
    again = scan(model, "body", photos(), checkpoint=kept, **how)
    assert again.scanned == whole.scanned
    for name, array in whole.tables.arrays().items():
        assert np.array_equal(array, again.tables.arrays()[name])


def test_a_photo_that_went_away(tmp_path: Path, model: VisionModel) -> None:
    photos(1)[0].save(tmp_path / "a.png")
    example = scan(model, "body", tmp_path, progress=False).top(1)[0]
    (tmp_path / "a.png").unlink()
    for ask in (example.image, example.activation_map, example.crop):
        with pytest.raises(DatasetError, match=r"a\.png .*scan the data set again"):
            ask()


# ------------------------------------------------------------------ stopping, and what is left


def scan_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("neuron-widget-scan")]


def hooks(module: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


def test_closing_keeps_what_was_found(model: VisionModel) -> None:
    steps = scan_steps(model, "body", photos(), batch_size=4, workers=2)
    assert next(steps).done == 0
    progress = next(steps)
    assert (progress.done, progress.total) == (4, PHOTOS)
    assert hooks(model.module) == 0
    steps.close()
    assert scan_threads() == []
    partial = progress.result()
    assert isinstance(partial, ScanResult)
    assert partial.scanned == 4
    assert len(partial.top(1)) == 4


def test_nothing_is_left_after_an_end_or_an_error(model: VisionModel) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("out of something")

    list(scan_steps(model, "body", photos(), batch_size=4))
    assert scan_threads() == []
    handle = model.module.stem.register_forward_hook(failing)
    with pytest.raises(ModelError, match="RuntimeError: out of something"):
        list(scan_steps(model, "body", photos(), batch_size=4))
    handle.remove()
    assert scan_threads() == []
    assert hooks(model.module) == 0


def test_a_user_module_comes_back_as_it_was() -> None:
    module = tiny().train()
    module.body.eval()
    module.stem[0].weight.requires_grad_(False)
    before = [(m.training) for m in module.modules()]
    flags = [p.requires_grad for p in module.parameters()]
    user_module = load_model(module, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=SIZE)
    result = scan(user_module, "body", photos(5), progress=False)
    result.top(1)[0].activation_map()
    assert result.receptive_fields is result.receptive_fields
    assert before == [m.training for m in module.modules()]
    assert flags == [p.requires_grad for p in module.parameters()]
    assert all(p.grad is None for p in module.parameters())
    assert hooks(module) == 0


def test_one_forward_pass_a_batch_and_a_neuron(model: VisionModel) -> None:
    model.layer("body")  # probes the shapes
    calls = []
    handle = model.module.stem.register_forward_hook(lambda *a: calls.append(len(a[1][0])))
    late = []
    after = model.module.linear.register_forward_hook(lambda *_: late.append(1))
    result = scan(model, "body", photos(), top_k=3, batch_size=10, progress=False)
    assert calls == [10, 10, 3]
    calls.clear()
    for example in (*result.top(1), *result.bottom(1), *result.top(1)):
        example.activation_map()
    assert len(calls) == 1
    assert late == []
    handle.remove()
    after.remove()


def test_results_of_a_running_scan_share_what_was_looked_at(
    model: VisionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photos are shown while a scan goes on: each is prepared once, and read once."""
    images = ListDataset(photos())
    loaded: list[int] = []
    passes: list[int] = []
    load = images.load
    monkeypatch.setattr(images, "load", lambda i: (loaded.append(i), load(i))[1])
    steps = scan_steps(model, "body", images, top_k=3, batch_size=5, workers=0)
    handle = model.module.stem.register_forward_hook(lambda *a: passes.append(len(a[1][0])))
    seen: set[int] = set()
    next(steps)
    result = next(steps).result()
    fields = result.receptive_fields
    for step in (*steps, None):
        loaded.clear()
        passes.clear()
        rows = (*result.top(1), *result.bottom(1))
        maps = [example.activation_map() for example in rows]
        pictures = [np.asarray(example.image()) for example in rows]
        new = {example.index for example in rows} - seen
        assert (set(loaded), len(loaded), sum(passes)) == (new, len(new), len(new))
        seen |= {example.index for example in rows}
        expected = activations(model, "body", [images.load(e.index) for e in rows])[:, 1]
        np.testing.assert_allclose(np.stack(maps), expected, rtol=1e-4, atol=1e-6)
        for example, picture in zip(rows, pictures, strict=True):
            assert np.array_equal(picture, np.asarray(square(images.load(example.index), SIZE)))
        assert result.receptive_fields is fields
        result = step.result() if step is not None else result
    handle.remove()


# ------------------------------------------------------------------ results


def test_tables_survive_a_file(tmp_path: Path, model: VisionModel) -> None:
    tables = scan(model, "body", photos(), progress=False).tables
    np.savez(tmp_path / "tables.npz", **tables.arrays())
    with np.load(tmp_path / "tables.npz") as stored:
        again = ScanTables.from_arrays(dict(stored))
    for name, array in tables.arrays().items():
        assert np.array_equal(array, again.arrays()[name])


# Its values, its tables, or bytes that are no tables at all (complex numbers).
REFUSED = r"cannot be loaded as a scan: (not a scan \(|its arrays? .* expected |torn, or not a )"


def _cut(name: str) -> Callable[[dict[str, Any], dict[str, Any]], object]:
    return lambda _, arrays: arrays.update({name: arrays[name][:, :-1].copy()})


@pytest.mark.parametrize(
    "change",
    [
        lambda facts, _: facts.update(batch_size=0),
        lambda facts, _: facts.update(photos=[1]),
        lambda facts, _: facts.update(dataset=3),
        lambda facts, _: facts.update(shape=[7, 8, 8]),
        lambda facts, _: facts.update(skipped=5),
        lambda facts, _: facts["dataset"].update(photos=3),
        lambda _, arrays: arrays.update(mean=arrays["mean"][:3].copy()),
        lambda _, arrays: arrays.update(mean=np.zeros(6, np.complex64)),
        lambda _, arrays: arrays.update(top_index=arrays["top_index"] - 100),
        lambda _, arrays: arrays.update(top_index=arrays["top_index"].astype(np.float32)),
        lambda _, arrays: arrays.pop("edges"),
        _cut("edges"),
        _cut("bottom_score"),
    ],
)
def test_a_file_that_is_no_scan_is_refused(
    tmp_path: Path,
    model: VisionModel,
    change: Callable[[dict[str, Any], dict[str, Any]], object],
) -> None:
    result = scan(model, "body", photos(), progress=False)
    manifest, arrays = result.manifest(), result.tables.arrays()
    path = save_scan(tmp_path / "scan.safetensors", arrays, manifest)
    assert ScanResult.load(path).scanned == PHOTOS
    change(manifest, arrays)
    save_scan(path, arrays, manifest)
    with pytest.raises(StoreError, match=REFUSED):
        ScanResult.load(path)


@pytest.mark.parametrize("layer", ["stem", "body", "linear"])
def test_receptive_fields_cover_the_gradient(model: VisionModel, layer: str) -> None:
    """Every pixel with a gradient is inside, and the field is at most a stride too large."""
    info = model.layer(layer)
    fields = probe_receptive_fields(model, layer)
    reach = {"stem": 5, "body": 2 * (3 - 1) * 2 + 2 * (3 - 1) + 5, "linear": 17}
    stride = SIZE // info.height
    random = torch.rand(16, 3, SIZE, SIZE, requires_grad=True)
    with model.reading(layer) as read:
        activation = read(random)
    for row, column in ((0, 0), (info.height // 2, 1), (info.height - 1, info.width - 1)):
        (gradient,) = torch.autograd.grad(
            activation[:, 2, row, column].sum(), random, retain_graph=True
        )
        seen = gradient.abs().sum(dim=(0, 1)) > 0
        box = fields.box(2, row, column)
        left, top, right, bottom = (round(edge * SIZE) for edge in box)
        outside = seen.clone()
        outside[top:bottom, left:right] = False
        assert not outside.any()
        assert right - left <= reach[layer] + stride
        assert bottom - top <= reach[layer] + stride


@pytest.mark.parametrize(
    ("module", "size", "width"),
    [
        (nn.Conv2d(3, 4, 14, 14), 224, 14),
        (nn.Conv2d(3, 4, 3, 3), 96, 3),
        (nn.Conv2d(3, 4, 7, 5, padding=3), 100, 7),
        (nn.Sequential(*(nn.Conv2d(4 if i else 3, 4, 9) for i in range(12))), 160, 97),
        (nn.Conv2d(3, 4, 32), 32, 32),
    ],
    ids=["patches", "thirds", "fifths", "no padding", "one unit"],
)
def test_receptive_fields_at_any_stride(module: nn.Module, size: int, width: int) -> None:
    net = nn.Sequential(module)
    user_module = load_model(net, preprocess=lambda x: x, input_size=size)
    info = user_module.layer("0")
    left, top, right, bottom = (
        round(edge * size)
        for edge in probe_receptive_fields(user_module, "0").box(
            0, info.height // 2, info.width // 2
        )
    )
    x = torch.rand(1, 3, size, size, requires_grad=True)
    net(x)[0, 0, info.height // 2, info.width // 2].backward()
    rows, columns = (torch.nonzero(x.grad.abs().sum((0, 1, 2 + a))).flatten() for a in (1, 0))
    assert len(rows) == width
    step = size // info.height
    for found, true in (
        ((top, bottom), (int(rows[0]), int(rows[-1]) + 1)),
        ((left, right), (int(columns[0]), int(columns[-1]) + 1)),
    ):
        assert found[0] <= true[0] <= found[0] + step / 2
        assert found[1] >= true[1] >= found[1] - step / 2


def without_padding(*steps: tuple[int, int, int]) -> nn.Sequential:
    """Convolutions of these sizes and strides, each with a pooling behind it (0: none)."""
    parts: list[nn.Module] = []
    for size, stride, pool in steps:
        parts += [nn.Conv2d(4 if parts else 3, 4, size, stride), nn.ReLU()]
        parts += [nn.MaxPool2d(3 if pool == 3 else pool, 2)] if pool else []
    return nn.Sequential(*parts)


@pytest.mark.parametrize(
    ("net", "size", "stride"),
    [
        (without_padding((5, 1, 2), (5, 1, 2)), 32, 4),  # PyTorch's tutorial
        (without_padding((8, 4, 0), (4, 2, 0), (3, 1, 0)), 84, 8),  # Nature's DQN
        (without_padding((11, 4, 3), (5, 1, 3)), 224, 16),  # like AlexNet
        (without_padding(*[(3, 1, 2)] * 3), 64, 8),
        (without_padding((3, 1, 2), (3, 1, 2), (3, 1, 0)), 96, 4),
    ],
    ids=["tutorial", "DQN", "AlexNet", "three times", "wide"],
)
def test_receptive_fields_without_padding(net: nn.Sequential, size: int, stride: int) -> None:
    """Rows whose NaN reaches a unit are inside its box, which is a stride wider at the most."""
    model = load_model(net, preprocess=lambda x: x, input_size=size)
    layer = str(len(net) - 1)
    fields = probe_receptive_fields(model, layer)
    assert fields.stride == (stride, stride)
    x = torch.full((size, 3, size, size), 0.5)
    for row in range(size):
        x[row, :, row] = torch.nan
    with torch.inference_mode():
        reached = net(x).isnan().any(dim=3)[:, 0]
    for unit in range(reached.shape[1]):
        rows = torch.nonzero(reached[:, unit]).flatten()
        _, top, _, bottom = (round(edge * size) for edge in fields.box(0, unit, 0))
        assert top <= rows[0]
        assert bottom > rows[-1]
        assert bottom - top <= len(rows) + stride


def test_a_model_that_sees_everything() -> None:
    class Global(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            return self.pool(x * x.mean(dim=(2, 3), keepdim=True))

    torch.manual_seed(0)
    user_module = load_model(Global(), preprocess=((0.5,) * 3, (0.2,) * 3), input_size=SIZE)
    assert probe_receptive_fields(user_module, "pool").box(0, 3, 3) == (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"layer": "bodi"}, UnknownLayer, "body"),
        ({"top_k": 0}, ValueError, "top_k .* at least 1, got 0"),
        ({"seed": -1}, ValueError, "seed .* at least 0, got -1"),
        ({"batch_size": -1}, ValueError, "batch_size"),
        ({"workers": -1}, ValueError, "workers .* at least 0, got -1"),
        ({"num_samples": 2.5}, TypeError, "num_samples .* at least 1, got 2.5"),
        ({"top_k": "9"}, TypeError, "top_k .* at least 1, got '9'"),
        ({"top_k": True}, TypeError, "top_k .* at least 1, got True"),
        ({"precision": "half"}, ValueError, "precision 'half'; expected 'exact', 'fast'"),
        ({"topk": 3}, TypeError, r"scan\(\) has no setting 'topk'; did you mean 'top_k'"),
        ({"dataset": 3}, DatasetError, "cannot read int"),
    ],
)
def test_bad_arguments(
    model: VisionModel, options: dict[str, object], error: type[Exception], says: str
) -> None:
    arguments = {"layer": "body", "dataset": photos(2), **options}
    with pytest.raises(error, match=says):
        # Said at once, not at the first step.
        scan_steps(model, arguments.pop("layer"), arguments.pop("dataset"), **arguments)


@pytest.mark.parametrize("ask", ["top", "bottom", "maps", "histogram", "quantile"])
def test_a_neuron_out_of_range(model: VisionModel, ask: str) -> None:
    result = scan(model, "body", photos(2), progress=False)
    method: Callable[[int], object] = getattr(result, ask)
    with pytest.raises(NeuronOutOfRange, match="0 to 5"):
        method(6)


def test_progress_bar_is_shown(model: VisionModel, capsys: pytest.CaptureFixture[str]) -> None:
    scan(model, "body", photos(), batch_size=4)
    assert "Scanning" in capsys.readouterr().err


# ------------------------------------------------------------------ loading


@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_are_full_whoever_decodes_them(workers: int, overlap: bool) -> None:
    class Flawed(ListDataset):
        def load(self, i: int) -> Image.Image:
            if i % 5 == 1:
                raise OSError("broken")
            return super().load(i)

    batches = list(load_batches(Flawed(photos()), range(PHOTOS), SIZE, 4, workers, overlap=overlap))
    readable = [i for i in range(PHOTOS) if i % 5 != 1]
    assert [batch.index for batch in batches if batch.index] == [
        readable[i : i + 4] for i in range(0, len(readable), 4)
    ]
    assert sorted(i for batch in batches for i, _ in batch.skipped) == [1, 6, 11, 16, 21]


def test_nothing_is_decoded_while_the_network_has_the_cpu() -> None:
    loaded = []

    class Watched(ListDataset):
        def load(self, i: int) -> Image.Image:
            loaded.append(i)
            return super().load(i)

    batches = load_batches(Watched(photos()), range(PHOTOS), SIZE, 4, 2, overlap=False)
    for seen, _batch in enumerate(batches, start=1):
        assert len(loaded) == min(4 * seen, PHOTOS)


def test_a_neuron_is_named_by_its_target_too(model: VisionModel) -> None:
    result = scan(model, "linear", photos(8), top_k=3, progress=False)
    for text in ("linear:1", ("linear", 1), Channel("linear", 1)):
        assert [e.index for e in result.top(text)] == [e.index for e in result.top(1)]
        assert result.maps(text).keys() == result.maps(1).keys()
        assert result.quantile(text) == result.quantile(1)
    for wrong, says in (("linear:1@0,0", "its neuron is linear:1"), ("linear:99", "no neuron 99")):
        with pytest.raises(ValueError, match=says):
            result.top(wrong)


def test_large_images_go_through_a_network_a_few_at_a_time() -> None:
    """On a CPU; each once, in order, and also none."""
    sizes: list[int] = []

    def read(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return images * 2

    images = torch.arange(10.0).view(10, 1, 1, 1).expand(10, 3, 224, 224)
    assert torch.equal(read_in_chunks(read, images), images * 2)
    assert sizes == [4, 4, 2]
    assert read_in_chunks(read, images[:0]).shape == images[:0].shape
    assert len(read_in_chunks(read, images[:, :, :32, :32])) == sizes[-1] == 10
    large = torch.zeros(2, 3, 600, 600)
    assert len(read_in_chunks(read, large)) == 2
    assert sizes[-2:] == [1, 1]
