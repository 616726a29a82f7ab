"""What comes with the package: it is whole, it is found, and it is what rendering gives today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from neuron_widget import RenderResult, load_model, open_dataset, render
from neuron_widget.durable import Damaged, read_facts
from neuron_widget.names import EMBEDDED
from neuron_widget.networks.known import KnownNetwork, choose_network
from neuron_widget.rendering.files import image_bytes, lossy_bytes, read_image
from neuron_widget.settings import RENDER
from neuron_widget.store import Store, open_store
from neuron_widget.store.package import PACKAGED
from neuron_widget.targets import Channel

LAYER = "blocks.4"
AGAIN = "it is stale: make it anew with `make prerendered`"


@pytest.fixture(scope="module")
def model():
    return load_model(EMBEDDED, device="cpu")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = open_store(tmp_path / "own")
    assert found is not None
    return found


def test_every_file_is_whole() -> None:
    (checked,) = Store(PACKAGED).verify().values()
    assert not checked.damaged
    assert checked.whole > 112


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> KnownNetwork:
    found = open_store(tmp_path_factory.mktemp("none")).find_network(choose_network(EMBEDDED))
    assert found is not None, AGAIN
    return found


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory, known: KnownNetwork) -> list[RenderResult]:
    store, found = open_store(tmp_path_factory.mktemp("none")), []
    for neuron in range(known.layer(LAYER).channels):
        result = store.find_packaged(known, Channel(LAYER, neuron))
        assert result is not None, f"{LAYER}:{neuron}: {AGAIN}"
        found.append(result)
    return found


def test_everything_of_the_default_view_is_found(
    store: Store, model, known: KnownNetwork, pictures: list[RenderResult], tmp_path: Path
) -> None:
    """The keys are those of today: a change of settings, network or photos makes this fail."""
    assert known.default_layer == model.default_layer == LAYER
    assert len(pictures) == model.layer(LAYER).channels == 112
    assert {result.steps for result in pictures} == {RENDER["steps"].default}
    assert all(result.packaged for result in pictures)
    # What is known of the network is what it says itself, so the keys are the same.
    named = choose_network(EMBEDDED)
    store.put_network(named, model)
    assert not (tmp_path / "own").exists(), f"the network is another than it was: {AGAIN}"
    assert store.find_packaged(model, Channel(LAYER, 111)) is not None, AGAIN
    for network in (known, model):
        assert set(store.find_gallery(network, LAYER, packaged=True)) == set(range(112)), AGAIN
        scan = store.find_scan(network, LAYER, open_dataset("samples"))
        assert scan is not None, AGAIN
    assert store.has_maps(model, scan), AGAIN


def test_the_pictures_make_the_neurons_fire_as_they_say(
    model, pictures: list[RenderResult]
) -> None:
    """Also after what the compression took of them; one forward pass over some of them."""
    some = range(0, 112, 7)
    told = np.array([float(pictures[n].activation[0]) for n in some])
    images = torch.from_numpy(np.concatenate([pictures[n].images for n in some]))
    with torch.inference_mode():
        maps = model.reader(LAYER)(images.permute(0, 3, 1, 2))
    seen = maps.mean(dim=(2, 3)).numpy()[:, list(some)]
    ratio = seen.diagonal() / told
    assert np.median(ratio) > 0.9
    assert (ratio > 0.7).all()
    # Each fires its own neuron more than any other picture does.
    assert (seen.argmax(axis=0) == np.arange(len(some))).all()


def test_three_rendered_anew_take_the_same_path(model, pictures: list[RenderResult]) -> None:
    """The objective on the same augmented images, step for step, as far as that can be compared.

    Processors differ in the last bits, which hundreds of steps make visible in the pixels: the
    first ones tell whether another parameterisation, augmentation or objective is at work.
    """
    neurons, steps = [3, 50, 111], 48
    fresh = render(model, LAYER, neurons, steps=steps, precision="float32", progress=False)
    assert len(fresh.history) > 4
    for i, neuron in enumerate(neurons):
        kept = {step: float(values[0]) for step, values in pictures[neuron].history}
        told = [kept[step] for step, _ in fresh.history]
        assert [float(values[i]) for _, values in fresh.history] == pytest.approx(told, rel=0.05)
        # A setting that came since would be missing.
        assert pictures[neuron].settings.keys() == fresh.settings.keys()


def test_it_is_no_part_of_the_users_store(
    store: Store, model, pictures: list[RenderResult]
) -> None:
    assert store.find_render(model, LAYER, 0) is None
    assert not store.has_render(model, LAYER, 0)
    assert store.find_gallery(model, LAYER) == {}
    assert list(store.entries()) == []
    store.prune(0)
    assert PACKAGED.is_dir()
    assert open_store(False) is None
    # The user's own comes first.
    store.put_render(model, pictures[0], keep_state=False)
    own = store.find_render(model, LAYER, 0, steps=512)
    assert own is not None
    assert not own.packaged


def test_a_lossy_picture_says_so_and_is_distrusted_like_any_other(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC))
    data = lossy_bytes(pixels, {"layer": "x"}, 80)
    file = tmp_path / "one.webp"
    file.write_bytes(data)
    assert read_facts(file)["lossy"] == 80
    assert "lossy" not in _facts(tmp_path, image_bytes(pixels, {"layer": "x"}))
    seen, manifest = read_image(file)
    assert manifest["shape"] == [64, 64]
    assert 0 < np.abs(seen.astype(int) - pixels).mean() < 10
    at = data.index(b"VP8 ") + 200
    file.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(Damaged, match="its picture has changed"):
        read_image(file)
    lossless = bytearray(data.replace(b"VP8 ", b"VP8L"))
    file.write_bytes(bytes(lossless))
    with pytest.raises(Damaged):
        read_image(file)


def _facts(folder: Path, data: bytes) -> dict[str, object]:
    file = folder / "facts.webp"
    file.write_bytes(data)
    return read_facts(file)


COLD = """
import sys, time
from neuron_widget.session import Session, importing
from neuron_widget.session.arguments import check_arguments
importing._VIEW_S = 3600.0  # torch is imported when somebody looks on, and here nobody does
said = []
settings = check_arguments(layer=None, model=None, weights=None, dataset="samples", neuron=5,
                           device=None, store=sys.argv[1])
session = Session(settings, lambda message, buffers: said.append((message, buffers)), lambda: None)
def wait(kind, count=1):
    end = time.monotonic() + 60
    while sum(m["kind"] == kind for m, _ in said) < count:
        assert time.monotonic() < end, [m["kind"] for m, _ in said]
        time.sleep(0.01)
wait("photos")
session.select(neuron=9)
wait("photos", 2)
session.enlarge(session.state.target, "most", 0)
wait("photo")
heavy = [name for name in ("torch", "torchvision", "timm", "skimage") if name in sys.modules]
assert not heavy, heavy
sent = {}
for message, buffers in said:
    sent.setdefault(message["kind"], []).append((message, buffers))
assert sent["opened"][0][0]["network"]["title"] == "EfficientNet-Lite0"
assert "not at hand" in sent["opened"][0][0]["network"]["note"]
assert len(sent["thumbs"][0][1]) == 112 and all(sent["thumbs"][0][0]["finished"])
assert [m["target"]["neuron"] for m, _ in sent["image"]][-1] == 9
assert all(m["packaged"] for m, _ in sent["image"])
assert len(sent["photos"][-1][0]["most"]) == 9 and len(sent["photos"][-1][1]) == 36
assert session.render() is None  # it has to wait, and says so
assert sum(m["kind"] == "opening" for m, _ in said) == 1
session.close()
print("all of it")
"""


def test_a_packaged_layer_is_shown_without_torch(tmp_path: Path) -> None:
    """Gallery, image, photos with maps, another neuron, a photo large: in a new process."""
    clean = {"HOME": str(tmp_path), "PATH": "", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    answer = subprocess.run(
        [sys.executable, "-c", COLD, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=clean,
    )
    assert answer.stdout.strip() == "all of it", answer.stderr
