"""A scan in parts against the same scan undivided: every bit of every table, and of the file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget.durable import pack_arrays, read_arrays
from neuron_widget.errors import DatasetError, NeuronWidgetError, StoreError
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.scanning import ScanResult, open_dataset, scan, scan_steps
from neuron_widget.scanning.extremes import Moments
from neuron_widget.scanning.order import sample
from neuron_widget.scanning.shards import shard_of

SIZE = 32
CPU = torch.device("cpu")
SHARDS = [1, 3, 17]


def tiny(seed: int = 0) -> VisionModel:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 6, 1))
    with torch.no_grad():
        net[2].weight[5], net[2].bias[5] = 0.0, 1.25  # one score for all photos: ties
    return load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=SIZE)


@pytest.fixture
def model() -> VisionModel:
    return tiny()


def make_photos(folder: Path, count: int = 45) -> Path:
    """Two classes; every ninth is broken, and some are the same."""
    random = np.random.default_rng(0)
    for i in range(count):
        path = folder / f"class{i % 2}" / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if i % 9 == 4:
            path.write_bytes(b"no image")
        elif i % 11 == 3:
            shutil.copy(folder / "class0" / "000.png", path)
        else:
            Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(path)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos")


def in_parts(out: Path, model: Any, layer: str, data: Any, shards: int, **how: Any) -> Path:
    """All parts of a scan, in a folder."""
    out.mkdir(parents=True, exist_ok=True)
    for i in range(shards):
        scan(model, layer, data, shard=(i, shards), progress=False, **how).save(out)
    return out


def assert_same(merged: ScanResult, whole: ScanResult, tmp_path: Path) -> None:
    """Equal in every bit: tables, what was skipped, and the files that they make."""
    ours, theirs = merged.tables.arrays(), whole.tables.arrays()
    assert list(ours) == list(theirs)
    for name in ours:
        assert ours[name].dtype == theirs[name].dtype
        assert ours[name].tobytes() == theirs[name].tobytes(), name
    assert (merged.scanned, merged.skipped) == (whole.scanned, whole.skipped)
    files = [
        one.save(tmp_path / name)
        for one, name in ((merged, "a.safetensors"), (whole, "b.safetensors"))
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


GROUPED = partial(open_dataset, groups=[i // 5 for i in range(45)])
CASES = {
    "exact": (open_dataset, {}),
    "fast": (open_dataset, {"precision": "fast"}),
    "groups": (GROUPED, {}),
    "fast groups": (GROUPED, {"precision": "fast", "top_k": 2}),
    "a sample": (open_dataset, {"num_samples": 31, "seed": 3}),
    "one batch": (open_dataset, {"batch_size": 64}),
    "one photo a batch": (open_dataset, {"batch_size": 1}),
}


@pytest.mark.parametrize("shards", SHARDS)
@pytest.mark.parametrize("case", CASES)
def test_parts_make_the_undivided_scan(
    model: VisionModel, folder: Path, tmp_path: Path, case: str, shards: int
) -> None:
    opened, how = CASES[case]
    data, how = opened(folder), {"top_k": 4, "batch_size": 4, **how}
    whole = scan(model, "2", data, progress=False, **how)
    assert whole.skipped
    out = in_parts(tmp_path / "parts", model, "2", data, shards, **how)
    assert len(list(out.iterdir())) == shards
    assert_same(ScanResult.merge(out, model, data), whole, tmp_path)
    # Without network and photos: what the parts say is enough.
    assert_same(ScanResult.merge(sorted(out.iterdir(), reverse=True)), whole, tmp_path)


def test_results_are_parts_too_and_lead_to_photos_and_maps(
    model: VisionModel, folder: Path, tmp_path: Path
) -> None:
    parts = [
        scan(model, "2", folder, shard=(i, 3), batch_size=4, progress=False) for i in (2, 0, 1)
    ]
    merged = ScanResult.merge(parts, model, folder)
    whole = scan(model, "2", folder, batch_size=4, progress=False)
    assert_same(merged, whole, tmp_path)
    assert merged.top(1) == whole.top(1)
    assert np.array_equal(merged.top(1)[0].activation_map(), whole.top(1)[0].activation_map())
    assert ScanResult.load(merged.save(tmp_path / "c.safetensors"), model, folder).top(
        1
    ) == whole.top(1)


@pytest.mark.parametrize("run", [1, 8])
@pytest.mark.parametrize("photos", [1, 31, 100])
def test_every_photo_is_in_one_shard_in_whole_batches(photos: int, run: int) -> None:
    order = sample(photos, None, 7, run)
    assert sorted(order.tolist()) == list(range(photos))
    batches = {tuple(order[i : i + 8].tolist()) for i in range(0, photos, 8)}
    for shards in SHARDS:
        found: list[tuple[int, ...]] = []
        for i in range(shards):
            own = shard_of(order, (i, shards), 8).tolist()
            found += [tuple(own[j : j + 8]) for j in range(0, len(own), 8)]
        assert set(found) == batches
        assert len(found) == len(batches)
    if run == 8 and photos == 100:
        # Read in order: a shard's photos are neighbours.
        own = shard_of(order, (1, 3), 8)
        assert own.tolist() == list(range(32, 64))


def test_moments_are_exact_and_free_of_the_order() -> None:
    random = np.random.default_rng(0)
    x = (random.standard_normal((500, 4)) * [1, 1e-30, 1e18, 1]).astype(np.float32)
    x[:, 3] = 1e6 + x[:, 3] / 8  # large beside its spread
    x[::7, 1] = np.float32(1e-42)  # not normal
    results = []
    for order in (np.arange(500), random.permutation(500)):
        parts = [Moments(4, CPU) for _ in range(3)]
        for i, rows in enumerate(np.array_split(order, 40)):
            given = torch.from_numpy(x[rows])
            parts[i % 3].update(given, given)
        parts[2].merge(parts[0])
        parts[2].merge(parts[1])
        results.append(parts[2].result())
    for ours, theirs in zip(*results, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    exact = x.astype(np.float64)
    np.testing.assert_allclose(results[0][0], exact.mean(0), rtol=1e-7)
    np.testing.assert_allclose(results[0][1], exact.std(0), rtol=1e-6)


def test_scores_that_are_no_numbers_stay_with_their_neuron() -> None:
    moments = Moments(3, CPU)
    moments.update(torch.tensor([[1.0, 1.0, 1.0], [3.0, torch.inf, torch.nan]]), torch.zeros(2, 3))
    mean, std, _ = moments.result()
    assert mean[:2].tolist() == [2.0, np.inf]
    assert std[0] == 1
    assert np.isnan([mean[2], *std[1:]]).all()


# ------------------------------------------------------------------ what is refused


def _other(model: VisionModel, folder: Path, **how: Any) -> tuple[Any, str, Any, dict[str, Any]]:
    return model, how.pop("layer", "2"), folder, {"batch_size": 4, **how}


OTHERS: dict[str, Callable[[VisionModel, Path], tuple[Any, str, Any, dict[str, Any]]]] = {
    "network": lambda _, f: _other(tiny(1), f),
    "layer": partial(_other, layer="0"),
    "data set": lambda m, f: _other(m, make_photos(f.parent / "others", 44)),
    "top_k": partial(_other, top_k=3),
    "seed": partial(_other, seed=1),
    "num_samples": partial(_other, num_samples=20),
    "batch_size": partial(_other, batch_size=8),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_part_of_another_scan_is_refused_by_name(
    model: VisionModel, folder: Path, tmp_path: Path, what: str
) -> None:
    out = in_parts(tmp_path / "parts", model, "2", folder, 3, batch_size=4)
    foreign, layer, data, how = OTHERS[what](model, folder)
    file = scan(foreign, layer, data, shard=(1, 3), progress=False, **how).save(out)
    assert len(list(out.iterdir())) == 4
    with pytest.raises(StoreError, match=f"of another scan than .*: {what}") as caught:
        ScanResult.merge(out)
    assert str(caught.value).startswith(str(file))  # the one that is not as the others


def test_missing_double_and_differently_divided_parts(
    model: VisionModel, folder: Path, tmp_path: Path
) -> None:
    out = in_parts(tmp_path / "parts", model, "2", folder, 5, batch_size=4)
    files = sorted(out.iterdir())
    with pytest.raises(StoreError, match=r"part 1, 3 of 5 .* are missing; scan with --shard 1/5"):
        ScanResult.merge([files[i] for i in (0, 2, 4)])
    copy = shutil.copy(files[2], out / "again.safetensors")
    with pytest.raises(StoreError, match="are both part 2 of 5") as caught:
        ScanResult.merge(out)
    assert files[2].name in str(caught.value)
    assert Path(copy).name in str(caught.value)
    other = scan(model, "2", folder, shard=(1, 3), batch_size=4, progress=False)
    with pytest.raises(StoreError, match="one of 5 parts, part 1 of 3 one of 3"):
        ScanResult.merge([files[0], other])
    with pytest.raises(StoreError, match="no part to merge"):
        ScanResult.merge([])
    with pytest.raises(StoreError, match="no part in the folder"):
        ScanResult.merge(tmp_path / "photos")
    with pytest.raises(StoreError, match="no shard"):
        ScanResult.merge(scan(model, "2", folder, progress=False))
    with pytest.raises(StoreError, match="same network"):
        ScanResult.merge(files, tiny(1))
    with pytest.raises(StoreError, match="same photos"):
        ScanResult.merge(files, model, make_photos(tmp_path / "others", 3))


def test_a_part_and_a_scan_are_not_taken_for_each_other(
    model: VisionModel, folder: Path, tmp_path: Path
) -> None:
    part = scan(model, "2", folder, shard=(0, 2), progress=False).save(tmp_path / "p.safetensors")
    whole = scan(model, "2", folder, progress=False).save(tmp_path / "w.safetensors")
    with pytest.raises(StoreError, match=r"one part of a scan; .*merge"):
        ScanResult.load(part)
    with pytest.raises(StoreError, match=r"w\.safetensors cannot be merged: it is a whole scan"):
        ScanResult.merge([part, whole])
    with pytest.raises(StoreError, match="safetensors"):
        scan(model, "2", folder, shard=(0, 2), progress=False).save(tmp_path / "part.pkl")


def _with(
    change: Callable[[dict[str, Any], dict[str, Any]], object],
) -> Callable[[bytes, Path], bytes]:
    def changed(_: bytes, path: Path) -> bytes:
        facts, arrays = read_arrays(path)
        facts.pop("sha256")
        change(facts, arrays)
        return pack_arrays(arrays, facts)

    return changed


DAMAGES: dict[str, Callable[[bytes, Path], bytes]] = {
    "torn": lambda data, _: data[:-9],
    "a bit": lambda data, _: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "foreign": lambda *_: b"no part",
    "more neurons": _with(lambda facts, _: facts["scan"].update(shape=[10**9, 8, 8])),
    "more photos": _with(lambda facts, _: facts["scan"]["dataset"].update(photos=10**15)),
    "no shard": _with(lambda facts, _: facts.update(shard=[3, 3])),
    "other photos": _with(lambda facts, _: facts["scan"]["dataset"].update(photos=60)),
    "a bin beyond": _with(lambda _, a: a.update({"sketch.place": a["sketch.place"] + 10**6})),
    "fewer photos": _with(lambda facts, _: facts.update(scanned=facts["scanned"] - 1)),
    "other types": _with(lambda _, a: a.update({"histogram.counts": a["histogram.counts"] * 1.0})),
    "no array": _with(lambda _, a: a.pop("moments.sum")),
    "no photo": _with(lambda facts, _: facts.update(photos=[])),
    "no word": _with(lambda facts, _: facts.pop("scan")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_part_is_an_error_that_names_it(
    model: VisionModel, folder: Path, tmp_path: Path, damage: str
) -> None:
    out = in_parts(tmp_path / "parts", model, "2", folder, 3, batch_size=4)
    file = sorted(out.iterdir())[1]
    file.write_bytes(DAMAGES[damage](file.read_bytes(), file))
    with pytest.raises(StoreError) as caught:
        ScanResult.merge(out)
    said = str(caught.value)
    assert file.name in said or "each photo in one part" in said


@pytest.mark.parametrize(
    ("shard", "says"),
    [
        ((3, 3), "counted from 0"),
        ((-1, 3), "counted from 0"),
        ((0, 0), "at least 1"),
        ((0, 1.5), "integer"),
        ("0/3", "pair"),
        ((1, 2, 3), "pair"),
    ],
)
def test_a_wrong_shard_is_said_at_once(model: VisionModel, shard: Any, says: str) -> None:
    with pytest.raises(NeuronWidgetError, match=says):
        scan_steps(model, "2", "samples", shard=shard)


def test_nothing_readable_is_an_error_of_the_merged_scan_alone(
    model: VisionModel, tmp_path: Path
) -> None:
    for i in range(9):
        (tmp_path / f"{i}.png").write_bytes(b"no image")
    parts = [
        scan(model, "2", tmp_path, shard=(i, 3), batch_size=2, progress=False) for i in range(3)
    ]
    with pytest.raises(DatasetError, match="none of the 9 photos"):
        ScanResult.merge(parts)
