"""Pages without a kernel: what is in the file, how large it is, and that nothing gets out of it."""

from __future__ import annotations

import base64
import dataclasses
import errno
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neuron_widget import NeuronWidget, export_html, predictability
from neuron_widget.errors import NeuronOutOfRange, PageTooLarge, StoreError
from neuron_widget.networks.model import VisionModel
from neuron_widget.networks.zoo import load_model
from neuron_widget.page import Contents, plan_page, write_page
from neuron_widget.page.contents import from_results, from_store
from neuron_widget.page.html import bundle_bytes
from neuron_widget.page.pack import _ranges, _short_paths, _thin
from neuron_widget.rendering import RenderResult, render
from neuron_widget.scanning import ScanResult, scan
from neuron_widget.scanning.image_dataset import ImageDataset
from neuron_widget.store import Store
from neuron_widget.store.fill import fill_images, fill_photos
from neuron_widget.targets import Channel

SIZE = 64
EVIL = "<img src=x onerror=alert(1)>"


def network(channels: int = 40) -> VisionModel:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 7, stride=4, padding=3), nn.ReLU(), nn.Conv2d(4, channels, 1)
    )
    return load_model(net, preprocess=((0.5,) * 3, (0.2,) * 3), input_size=SIZE)


def photo(i: int, side: int = SIZE) -> Image.Image:
    """Smooth shapes with a little grain, as photos have."""
    random = np.random.default_rng(i)
    small = random.integers(0, 255, (9, 9, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC))
    grain = random.normal(0, 6, smooth.shape)
    return Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def model() -> VisionModel:
    return network()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("private") / "photos"
    for i in range(24):
        path = root / ("plain" if i % 2 else "<b>class</b>".replace("/", "")) / f"{EVIL}{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(i).save(path)
    return root


@pytest.fixture(scope="module")
def images(model: VisionModel) -> RenderResult:
    return render(model, "2", range(40), steps=3, size=SIZE, progress=False)


@pytest.fixture(scope="module")
def found(model: VisionModel, folder: Path) -> ScanResult:
    return scan(model, "2", folder, top_k=9, progress=False)


def quiet(_line: str) -> None:
    pass


def data_of(path: Path) -> dict[str, Any]:
    text = re.search(r'id="neuron-widget-data">(.*?)</script>', path.read_text(), re.S)
    assert text is not None
    data: dict[str, Any] = json.loads(text[1])
    return data


def test_a_page_tells_how_far_pictures_predict(
    tmp_path: Path, model: VisionModel, images: RenderResult, found: ScanResult
) -> None:
    told = predictability(
        found,
        observer=lambda images: images.mean(dim=(2, 3)),
        references=2,
        questions=4,
        rendered=images,
        store=False,
        progress=False,
    )
    how = {"images": images, "scan": found, "report": quiet}
    path = export_html(tmp_path / "page.html", model, "2", predicted=told, **how)
    (said,) = [m for m in data_of(path)["messages"] if m["kind"] == "predicted"]
    for neuron in range(40):
        share = told.share("image")[neuron]
        assert said["image"][neuron] == (pytest.approx(share, abs=1e-4) if share == share else None)
    plain = export_html(tmp_path / "plain.html", model, "2", **how)
    assert "predicted" not in {m["kind"] for m in data_of(plain)["messages"]}
    with pytest.raises(ValueError, match="is of layer '2'; expected '0'"):
        export_html(tmp_path / "other.html", model, "0", predicted=told, report=quiet)


def test_a_page_holds_everything_once(
    tmp_path: Path, model: VisionModel, images: RenderResult, found: ScanResult
) -> None:
    said: list[str] = []
    path = export_html(
        tmp_path / "page.html", model, "2", images=images, scan=found, report=said.append
    )
    assert path == tmp_path / "page.html"
    assert re.search(r"about .* kB|MB", said[0])
    data = data_of(path)
    assert sorted(map(int, data["neurons"])) == list(range(40))
    assert data["thumbs"]["neurons"] == list(range(40))
    assert all(data["thumbs"]["finished"])
    assert data["filter"] == ""
    one = data["neurons"]["3"]
    assert one["image"]["activation"] == pytest.approx(float(images.activation[3]))
    # Photos are in the page once, whoever they fire.
    named = {shot[0] for n in data["neurons"].values() for shot in n["photos"]["most"]}
    assert named <= data["photos"].keys()
    assert len(data["photos"]) <= 24
    for i, example in enumerate(found.top(3)):
        shot = one["photos"]["most"][i]
        assert int(shot[0]) == example.index
        assert shot[1] == pytest.approx(example.score, rel=1e-4)
        assert tuple(shot[3:5]) == example.position
    picture = base64.b64decode(one["image"]["data"])
    assert picture[8:12] == b"WEBP"


def test_names_cannot_be_markup(
    tmp_path: Path, model: VisionModel, images: RenderResult, found: ScanResult, folder: Path
) -> None:
    path = export_html(
        tmp_path / "page.html",
        model,
        "2",
        images=images,
        scan=found,
        title=f"</title><script>{EVIL}",
        report=quiet,
    )
    text = path.read_text()
    assert "<img src=x" not in text
    assert "<script>" not in text
    assert "<b>class" not in text
    assert "</title><script>" not in text
    # Only the two scripts of the widget, with their hashes in the policy.
    scripts = re.findall(r'<script type="module">(.*?)</script>', text, re.S)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    assert "http" not in policy[1]
    for code in (*scripts, *re.findall(r"<style>(.*?)</style>", text, re.S)):
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy[1]
    assert text.count("<script") == 1 + len(scripts) == 3
    # Names are there as text, and where the photos lie on this machine is not.
    names = {p["path"] for p in data_of(path)["photos"].values()}
    assert f"plain/{EVIL}1.png" in names
    assert str(folder.parent) not in text


def test_photos_left_out(
    tmp_path: Path, model: VisionModel, images: RenderResult, found: ScanResult
) -> None:
    said: list[str] = []
    path = export_html(
        tmp_path / "page.html",
        model,
        "2",
        images=images,
        scan=found,
        photos=False,
        report=said.append,
    )
    assert "photos left out" in said[0]
    data = data_of(path)
    assert {p["data"] for p in data["photos"].values()} == {""}
    assert len(data["neurons"]["0"]["photos"]["most"]) == 9
    assert 'class="no-photos"' in path.read_text()


def test_a_part_of_a_layer(tmp_path: Path, model: VisionModel, images: RenderResult) -> None:
    path = export_html(
        tmp_path / "page.html", model, "2", images=images, neurons=[2, 3, 4, 30], report=quiet
    )
    data = data_of(path)
    assert data["filter"] == "2-4, 30"
    assert data["selected"]["target"]["neuron"] == 2
    assert list(data["neurons"]) == ["2", "3", "4", "30"]
    assert data["photos"] == {}
    assert data["line"]["other"].startswith('NeuronWidget("2", model=model, neuron=NEURON')
    assert "dataset=" not in data["line"]["first"]


@pytest.mark.parametrize("photos", [True, False])
@pytest.mark.parametrize("limit", [None, bundle_bytes() + 345_000])
def test_the_estimate_is_the_size(
    tmp_path: Path,
    model: VisionModel,
    images: RenderResult,
    found: ScanResult,
    photos: bool,
    limit: int | None,
) -> None:
    contents = from_results(model, "2", images, found)
    plan = plan_page(contents, photos=photos, limit=limit)
    for _ in write_page(contents, plan, tmp_path / "page.html"):
        pass
    size = (tmp_path / "page.html").stat().st_size
    assert plan.bytes == pytest.approx(size, rel=0.1)
    assert limit is None or size < limit


class Endless(ImageDataset):
    """As many different photos as a layer can name."""

    name = "endless"

    def __init__(self, photos: int):
        self._photos = photos

    def __len__(self) -> int:
        return self._photos

    def load(self, i: int) -> Image.Image:
        return photo(i, 224)

    def load_square(self, i: int, _input_size: int) -> Image.Image:
        return self.load(i)

    def label(self, i: int) -> str:
        return f"class {i % 1000}"

    def path(self, i: int) -> str:
        return f"{i}.jpg"

    @property
    def fingerprint(self) -> str:
        return "endless"


def test_508_neurons_whose_photos_are_all_different_stay_below_25_mb() -> None:
    """The worst case: 9,144 different photos. Written as planned, the size is known to a tenth."""
    neurons, shots = 508, 18
    model, few = network(neurons), Endless(24)
    small = scan(model, "2", few, top_k=9, progress=False)
    every = np.arange(neurons * shots).reshape(neurons, shots)
    top, bottom = (
        dataclasses.replace(side, index=index)
        for side, index in zip(
            (small.tables.top, small.tables.bottom), np.split(every, 2, axis=1), strict=True
        )
    )
    tables = dataclasses.replace(small.tables, top=top, bottom=bottom)
    result = ScanResult(
        model,
        "2",
        Endless(neurons * shots),
        tables,
        scanned=neurons * shots,
        skipped=[],
        settings=small.settings,
        model_identity=model.identity,
    )
    picture = render(model, "2", 0, steps=2, size=224, progress=False)

    def load(neuron: int) -> RenderResult:
        return dataclasses.replace(picture, targets=(Channel("2", neuron),))

    contents = Contents(model, model.layer("2"), range(neurons), range(neurons), load, scan=result)
    plan = plan_page(contents)
    assert (plan.neurons, plan.images, plan.photos) == (neurons, neurons, neurons * shots)
    assert plan.bytes < 25e6
    print(plan)
    assert plan.photo_px >= 64
    with pytest.raises(PageTooLarge, match=r"photos=False.*--max-size"):
        plan_page(contents, limit=5_000_000)
    assert plan_page(contents, limit=None).photo_px == 224


def test_what_cannot_be_a_page(
    tmp_path: Path, model: VisionModel, images: RenderResult, found: ScanResult
) -> None:
    with pytest.raises(StoreError, match=r"ending in \.html"):
        export_html(tmp_path / "page.pdf", model, "2", images=images)
    with pytest.raises(StoreError, match="nothing to show"):
        export_html(tmp_path / "page.html", model, "2")
    with pytest.raises(ValueError, match="layer '2'; expected '0'"):
        export_html(tmp_path / "page.html", model, "0", images=images)
    with pytest.raises(ValueError, match="two images"):
        export_html(tmp_path / "page.html", model, "2", images=[images, images])
    with pytest.raises(NeuronOutOfRange, match="0 to 39"):
        export_html(tmp_path / "page.html", model, "2", images=images, neurons=[40])
    with pytest.raises(ValueError, match="the scan is of"):
        export_html(tmp_path / "page.html", network(6), "2", scan=found)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_page(
    tmp_path: Path, model: VisionModel, images: RenderResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.html"
    path.write_text("the old one")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match=r"disk is full.*name another file"):
        export_html(path, model, "2", images=images, report=quiet)
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_from_a_store(tmp_path: Path, model: VisionModel, folder: Path) -> None:
    store, how = Store(tmp_path / "store"), {"steps": 3, "size": 32}
    for _ in fill_images(store, model, "2", range(4), **how):
        pass
    for _ in fill_photos(store, model, "2", folder, top_k=3):
        pass
    contents = from_store(store, model, "2", folder, images=how, photos={"top_k": 3})
    assert list(contents.drawn) == [0, 1, 2, 3]
    assert contents.whole
    assert contents.scan is not None
    some = from_store(store, model, "2", None, [1, 9], images=how, photos={})
    assert (some.drawn, some.neurons, some.scan) == ([1], [1, 9], None)
    with pytest.raises(StoreError, match=r"it has 4 with --steps 3 --size 32 --seed 0"):
        from_store(store, model, "2", None, images={"steps": 512, "size": 224}, photos={})
    with pytest.raises(StoreError, match=r"no scan of 2 over photos.*prerender 2 --data"):
        from_store(store, model, "2", folder, images=how, photos={"top_k": 5})
    with pytest.raises(StoreError, match="prerender 0"):
        from_store(store, model, "0", None, images=how, photos={})


def test_from_a_widget(
    tmp_path: Path, model: VisionModel, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "store")
    for _ in fill_images(store, model, "2", [5, 6], steps=3, size=32):
        pass
    widget = NeuronWidget(
        "2",
        model=model,
        dataset=folder,
        neuron=7,
        steps=3,
        size=32,
        previews=False,
        store=tmp_path / "store",
    )
    widget.wait(60)
    path = widget.to_html(tmp_path / "page.html")
    assert re.match(r"page.html: about .* 3 images of 32 px, 24 photos", capsys.readouterr().out)
    data = data_of(path)
    drawn = [int(n) for n, one in data["neurons"].items() if "image" in one]
    assert drawn == [5, 6, 7]
    assert data["selected"]["target"]["neuron"] == 7
    assert len(data["neurons"]) == 40
    with pytest.raises(PageTooLarge):
        widget.to_html(tmp_path / "page.html", max_bytes=1000)
    with pytest.raises(NeuronOutOfRange):
        widget.to_html(tmp_path / "page.html", neurons=[99])
    widget.close()


def test_small_things() -> None:
    assert _ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
    assert _short_paths(["samples[3]", "samples[4]"]) == ["samples[3]", "samples[4]"]
    assert _short_paths(["/a/b/x.png", "/a/c/y.png"]) == ["b/x.png", "c/y.png"]
    assert _short_paths(["/a/b/x.png"]) == ["x.png"]
    curve = _thin([[step, float(step)] for step in range(1, 513)])
    assert len(curve) <= 65
    assert (curve[0][0], curve[-1][0]) == (1, 512)
