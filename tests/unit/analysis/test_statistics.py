"""Colour statistics, pattern labels, and the figure."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from neuron_widget.analysis.figures import neuron_figure, save_figure
from neuron_widget.analysis.statistics import colour_statistics, contrast, pattern_labels
from neuron_widget.errors import StoreError


def flat(*rgb: int) -> np.ndarray:
    return np.broadcast_to(np.array(rgb, np.uint8), (8, 6, 3)).copy()


def checkers(low: int, high: int) -> np.ndarray:
    image = flat(low, low, low)
    image[::2, ::2] = image[1::2, 1::2] = high
    return image


def test_colours_are_measured_by_channel() -> None:
    image = flat(10, 20, 30)
    image[:4, :, 0] = 50
    expected = {"mean_rgb": [30, 20, 30], "std_rgb": [20, 0, 0]}
    for form in (image, Image.fromarray(image), image / 255, (image / 255).astype(np.float32)):
        found = colour_statistics(form)
        assert found["mean_rgb"] == pytest.approx(expected["mean_rgb"], abs=1e-4)
        assert found["std_rgb"] == pytest.approx(expected["std_rgb"], abs=1e-4)


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        (checkers(0, 255), ["High contrast/texture"]),
        (checkers(100, 255), ["High contrast/texture", "Bright colors"]),
        (checkers(0, 110), ["High contrast/texture", "Dark colors"]),
        (flat(200, 200, 200), ["Bright colors"]),
        (flat(20, 20, 20), ["Dark colors"]),
        (flat(125, 125, 125), []),
        (flat(150, 150, 150), []),
        (flat(100, 100, 100), []),
        (checkers(75, 175), []),
    ],
)
def test_pattern_labels(image: np.ndarray, labels: list[str]) -> None:
    assert pattern_labels(image) == labels


def test_contrast() -> None:
    assert contrast(checkers(0, 255)) == pytest.approx(127.5)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((8, 6)), r"\(H, W, 3\), got \(8, 6\)"),
        (np.zeros((3, 8, 6)), r"got \(3, 8, 6\)"),
        (np.full((8, 6, 3), -1.5), "0..1 or uint8, got float64 in -1.5"),
    ],
)
def test_what_is_no_image(image: np.ndarray, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        colour_statistics(image)


def rows(count: int, scale: float = 1.0) -> list[tuple[Image.Image, float, np.ndarray]]:
    maps = np.random.default_rng(0).random((count, 5, 4)).astype(np.float32) * scale
    return [(Image.fromarray(flat(9, 9, 9)), float(m.mean()), m) for m in maps]


def titles(figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


@pytest.mark.parametrize("count", [0, 1, 10, 14])
def test_figure_has_a_row_a_photo(count: int) -> None:
    figure = neuron_figure("mixed4a", 68, flat(1, 2, 3) / 255, rows(count))
    shown = [title for title in titles(figure) if title.startswith("mean")]
    assert len(shown) == min(count, 10)


def test_figure_prints_real_values_on_one_scale() -> None:
    pairs = rows(3, scale=200)
    figure = neuron_figure("mixed4a", 68, flat(1, 2, 3) / 255, pairs, labels=["cat"])
    assert "1  cat" in titles(figure)
    assert f"mean {pairs[0][1]:.4g}   max {pairs[0][2].max():.4g}" in titles(figure)
    maps = [axes for axes in figure.axes if axes.get_title(loc="left").startswith("mean")]
    largest = max(activation.max() for _, _, activation in pairs)
    assert len(maps) == 3
    for axes in maps:
        assert axes.images[0].get_clim() == pytest.approx((0, largest))


def test_figure_of_dead_and_negative_maps() -> None:
    dead = [(flat(9, 9, 9), 0.0, np.zeros((5, 4), np.float32))]
    neuron_figure("l", 0, flat(1, 2, 3) / 255, dead)
    figure = neuron_figure("l", 0, flat(1, 2, 3) / 255, rows(2, scale=-3.0))
    low, high = figure.axes[3].images[0].get_clim()
    assert low < 0 == high


def test_figure_is_saved_at_300_dpi_without_pyplot(tmp_path: Path) -> None:
    loaded = "matplotlib.pyplot" in sys.modules
    path = tmp_path / "new" / "figure.png"
    figure = neuron_figure("l", 0, flat(1, 2, 3) / 255, rows(1))
    assert save_figure(figure, path) == path
    with Image.open(path) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert image.width == round(figure.get_figwidth() * 300)
    assert ("matplotlib.pyplot" in sys.modules) == loaded


@pytest.mark.parametrize("name", ["a$_{x$b", "$5", "$x^2$", "50% {of} #1 & \\alpha", "_"])
def test_names_are_drawn_as_they_are(name: str, tmp_path: Path) -> None:
    from matplotlib import rc_context

    def drawn(label: str, parse_math: bool) -> bytes:
        pixels = flat(1, 2, 3) / 255
        figure = neuron_figure("l", 0, pixels, rows(1), labels=[label], notes=[label])
        for text in figure.findobj(Text):
            text.set_parse_math(parse_math and text.get_parse_math())
        path = save_figure(figure, tmp_path / "figure.png", dpi=60)
        return path.read_bytes()

    # The same pixels as where nothing at all is read as a formula.
    assert drawn(name, parse_math=True) == drawn(name, parse_math=False)
    with rc_context({"text.usetex": True}):  # as people set it for their papers
        figure = neuron_figure(name, 0, flat(1, 2, 3) / 255, rows(1), labels=[name], notes=[name])
    ours = [text for text in figure.findobj(Text) if name in text.get_text()]
    assert len(ours) == 3
    assert not any(text.get_usetex() for text in ours)


def test_long_names_stay_within_their_places() -> None:
    long = [
        "golden retriever",
        "x" * 200,
        "a line\nbreak",
        "Wissenschaftliche Hilfskraft beim Bau",
        "",
    ]
    layer = "features.denseblock3.denselayer24.norm1"
    figure = neuron_figure(layer, 1023, flat(1, 2, 3) / 255, rows(5), labels=long)
    figure.canvas.draw()
    drawn = {text.get_text(): text.get_window_extent().width for text in figure.findobj(Text)}
    inch = figure.dpi
    titles = {text: width / inch for text, width in drawn.items() if re.match(r"\d  ", text)}
    assert len(titles) == 5
    assert "3  a line break" in titles
    assert max(titles.values()) < 1.95  # a photo and the gap beside it
    assert drawn[f"{layer} neuron 1023"] / inch < 3.0


def test_a_figure_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = neuron_figure("l", 0, flat(1, 2, 3) / 255, rows(1))
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(StoreError, match=r"the disk is full.*figure\.png.*name another folder"):
        save_figure(figure, tmp_path / "figure.png")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="could not write"):
        save_figure(figure, tmp_path / "file" / "figure.png")


@pytest.mark.parametrize(
    ("name", "says"), [("a.pnq", "did you mean 'png'"), ("a.mp4", "expected one of .*pdf, .*png")]
)
def test_a_figure_in_no_format(name: str, says: str, tmp_path: Path) -> None:
    figure = neuron_figure("l", 0, flat(1, 2, 3) / 255, rows(1))
    with pytest.raises(ValueError, match=says):
        save_figure(figure, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    assert save_figure(figure, tmp_path / "figure").name == "figure.png"
    assert save_figure(figure, tmp_path / "figure.PDF").read_bytes().startswith(b"%PDF")
