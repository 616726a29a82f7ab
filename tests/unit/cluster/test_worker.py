"""One worker, without Ray: pieces whose files are in the store, and what it refuses to work on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from neuron_widget.cluster.connection import pack, unpack
from neuron_widget.cluster.filling import carried
from neuron_widget.cluster.recipes import NetworkRecipe, PhotosRecipe, versions
from neuron_widget.cluster.scans import divided, scan_pieces
from neuron_widget.cluster.worker import Piece, Said, Setup, Worker
from neuron_widget.errors import (
    ClusterError,
    DatasetError,
    ModelError,
    NeuronWidgetError,
    StoreError,
)
from neuron_widget.networks import Dictionary
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.scanning import ScanResult, open_dataset, scan
from neuron_widget.settings import SCAN, check_settings
from neuron_widget.store import Store

# Things are sent in Ray's own way; none of these starts it.
pytestmark = pytest.mark.cluster

BATCH = 4


def setup(store: Store, model: VisionModel, layer: str, given: Any) -> Setup:
    return Setup(
        NetworkRecipe.of(model, layer),
        PhotosRecipe.of(given, "train", open_dataset(given)),
        layer,
        (str(store.own.root),),
        "",
        versions(),
    )


def pieces(given: Any, shards: int, **settings: Any) -> list[Piece]:
    options = check_settings(SCAN, {"top_k": 3, **settings}, what="scan()")
    return scan_pieces(open_dataset(given), options, BATCH, shards)[0]


def last(worker: Worker, piece: Piece) -> Said:
    *_, end = worker.work(piece)
    assert end.ended
    return end


def same(a: ScanResult, b: ScanResult) -> bool:
    ours, theirs = a.tables.arrays(), b.tables.arrays()
    equal = [ours[name].tobytes() == theirs[name].tobytes() for name in theirs]
    return ours.keys() == theirs.keys() and all(equal) and a.skipped == b.skipped


@pytest.mark.parametrize("layer", ["2", "0/mine"])
@pytest.mark.parametrize("by_name", [True, False])
def test_shards_are_parts_in_the_store(
    model: VisionModel, folder: Path, store: Store, layer: str, by_name: bool
) -> None:
    rows = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    model.add_dictionary("0", Dictionary(rows), name="mine")
    given = folder if by_name else open_dataset(folder)
    worker = Worker()
    assert worker.open(setup(store, model, layer, given))
    ends = [last(worker, piece) for piece in pieces(given, 3)]
    assert [end.found for end in ends] == [0, 0, 0]
    assert sum(end.done for end in ends) == 100
    assert not list(store.own.root.glob("v1/checkpoints/*/*"))  # the parts are there
    merged = store.merge_named([end.result for end in ends], model, open_dataset(folder))
    assert same(merged, scan(model, layer, folder, batch_size=BATCH, top_k=3, progress=False))
    # Everything already there by name is not done again.
    again = Worker()
    again.open(setup(store, model, layer, given))
    ends = [last(again, piece) for piece in pieces(given, 3)]
    assert [end.found for end in ends] == [end.done for end in ends]


def test_a_network_with_a_name_is_opened_by_it(store: Store, tmp_path: Path) -> None:
    model = load_model("efficientnet_lite0", weights="random", device="cpu")
    recipe = NetworkRecipe.of(model, "blocks.0")
    assert recipe.module is None
    assert recipe.opened is not None
    assert recipe.opened["weights"] == "random"
    assert recipe.open().identity == model.identity
    # A network that was changed since is not the one of that name.
    with __import__("torch").no_grad():
        next(model.module.parameters()).add_(1)
    with pytest.raises(ModelError, match="expected the same weights on all machines"):
        NetworkRecipe.of(model, "blocks.0").open()


def test_a_weights_file_and_photos_are_named_by_whole_paths(
    model: VisionModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    photos = open_dataset("photos")
    assert PhotosRecipe.of("photos", "train", photos).name == str(folder)
    assert PhotosRecipe.of("photos/*.png", "train", photos).name == f"{folder}/*.png"
    assert PhotosRecipe.of("samples", "train", open_dataset("samples")).name == "samples"
    monkeypatch.chdir("/")
    assert len(PhotosRecipe.of(folder, "train", photos).open()) == 100
    monkeypatch.setenv("NEURON_WIDGET_WEIGHTS", "weights/some.pth")
    model.opened_as, model.name = {"weights": None}, "inceptionv1"
    opened = NetworkRecipe.of(model, "2").opened
    assert opened == {"model": "inceptionv1", "weights": "/weights/some.pth"}


def test_photos_that_images_begin_from_are_sent(
    model: VisionModel, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    how = carried({"start": "03.png", "steps": 2, "size": 32})
    monkeypatch.chdir("/")
    how = unpack(pack(how))
    worker = Worker()
    worker.open(setup(store, model, "2", folder))
    assert last(worker, Piece("images", neurons=(1,), how=how)).result == 1
    assert store.find_render(model, "2", 1, **{**how, "start": folder / "03.png"}) is not None


class Unpicklable(nn.Conv2d):
    def __reduce__(self) -> Any:
        raise TypeError("no pickle of me")


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda s: replace(s, versions={**s.versions, "PyTorch": "1.0"}), ClusterError, "and 1.0"),
        (
            lambda s: replace(s, network=replace(s.network, identity="another")),
            ModelError,
            "expected the same weights on all machines",
        ),
        (
            lambda s: replace(s, network=replace(s.network, module=b"torn")),
            ModelError,
            "importable on all machines",
        ),
        (
            lambda s: replace(s, photos=replace(s.photos, fingerprint="another")),
            DatasetError,
            "holds other photos on this machine",
        ),
        (
            lambda s: replace(s, photos=replace(s.photos, packed=b"torn")),
            DatasetError,
            "importable",
        ),
        (lambda s: replace(s, sign="cluster-0"), StoreError, "a store that all machines see"),
    ],
)
def test_what_is_not_what_was_sent_is_refused(
    model: VisionModel,
    folder: Path,
    store: Store,
    spoil: Callable[[Setup], Setup],
    error: type[NeuronWidgetError],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        Worker().open(spoil(setup(store, model, "2", folder)))


def test_what_cannot_be_sent_is_refused_here(folder: Path) -> None:
    how: dict[str, Any] = {"preprocess": ((0.5,) * 3, (0.2,) * 3), "input_size": 32}
    model = load_model(nn.Sequential(Unpicklable(3, 4, 5)), **how)
    with pytest.raises(ModelError, match="cannot be sent to workers"):
        NetworkRecipe.of(model, "0")
    photos = open_dataset(folder)
    photos.lock = sys.stdout  # type: ignore[attr-defined]
    with pytest.raises(DatasetError, match="cannot be sent to workers"):
        PhotosRecipe.of(photos, "train", photos)


def test_a_worker_that_is_stopped_keeps_a_checkpoint(
    model: VisionModel, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker()
    worker.open(setup(store, model, "2", folder))
    (piece,) = pieces(folder, 1)
    later = iter([False, False, False])
    monkeypatch.setattr(worker._stopped, "is_set", lambda: next(later, True))
    end = last(worker, piece)
    assert end.result is None
    assert list(store.own.root.glob("v1/checkpoints/*/*"))
    again = Worker()
    again.open(setup(store, model, "2", folder))
    assert last(again, piece).result


def test_a_part_that_cannot_be_written_is_an_error(
    model: VisionModel, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = Store(tmp_path / "file", report=lambda _line: None)
    worker = Worker()
    worker.open(setup(store, model, "2", folder))
    with pytest.raises(StoreError):
        last(worker, pieces(folder, 3)[0])


@pytest.mark.parametrize(
    ("photos", "batch_size", "shards"),
    [(5, 32, 1), (100, 32, 3), (1000, 32, 16), (40_000, 32, 40), (10**6, 32, 64), (1000, 999, 1)],
)
def test_the_photos_alone_say_into_how_many_shards(
    photos: int, batch_size: int, shards: int
) -> None:
    assert divided(photos, batch_size) == shards
