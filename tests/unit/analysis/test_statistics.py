"""Colour statistics, pattern labels, and the figure."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuron_widget.analysis.figures import neuron_figure, save_figure
from neuron_widget.analysis.statistics import colour_statistics, contrast, pattern_labels


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
