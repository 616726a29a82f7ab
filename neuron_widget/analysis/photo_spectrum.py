"""How strong each frequency is in the photos of a data set, for ``render(param="maco")``.

``python -m neuron_widget.analysis.photo_spectrum`` makes the one that comes with the package anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from neuron_widget.errors import WrongValue
from neuron_widget.rendering import natural
from neuron_widget.rendering.natural import Spectrum
from neuron_widget.scanning.datasets import open_dataset

__all__ = ["photo_spectrum"]


def photo_spectrum(photos: Any) -> Spectrum:
    """Take the mean spectrum of a data set's photos.

    Parameters
    ----------
    photos
        What :func:`neuron_widget.open_dataset` takes. A thousand photos are plenty.

    Returns
    -------
    Spectrum
        For ``render(..., param="maco", spectrum=...)``; its ``save(file)`` writes it.

    Raises
    ------
    DatasetError
        For what is no data set.
    ValueError
        If none of its photos can be read.

    Examples
    --------
    >>> from neuron_widget import load_model, render
    >>> from neuron_widget.analysis.photo_spectrum import photo_spectrum
    >>> from PIL import Image
    >>> spectrum = photo_spectrum([Image.effect_noise((128, 128), 60)])
    >>> model = load_model("efficientnet_lite0")
    >>> how = {"param": "maco", "spectrum": spectrum, "progress": False}
    >>> render(model, "blocks.1", 3, steps=2, size=64, **how).alpha.shape
    (1, 64, 64)
    """
    dataset = open_dataset(photos)

    def readable() -> Iterator[Image.Image]:
        for i in range(len(dataset)):
            try:
                yield dataset.load_square(i, natural.SIDE)
            except Exception:  # noqa: BLE001  # a foreign data set raises anything; a scan tells
                continue

    try:
        return Spectrum.of(readable())
    except WrongValue as error:
        raise WrongValue(f"none of the {len(dataset)} photos can be read: {error}") from error


def main() -> None:
    """Write the file that comes with the package."""
    photo_spectrum("samples").save(Path(natural.__file__).with_name("natural.npy"))


if __name__ == "__main__":
    main()
