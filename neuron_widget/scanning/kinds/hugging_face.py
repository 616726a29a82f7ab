"""Data sets of Hugging Face's ``datasets``, known by what they have: it is never imported here."""

from __future__ import annotations

import io
from functools import cached_property
from typing import Any

from PIL import Image

from neuron_widget.errors import DatasetError
from neuron_widget.scanning.decode import as_image, to_rgb
from neuron_widget.scanning.image_dataset import (
    ImageDataset,
    PicklableLock,
    digest,
    digest_images,
)
from neuron_widget.scanning.items import IMAGE_NAMES, LABEL_NAMES, choose_column, class_name
from neuron_widget.scanning.kinds import DatasetKind

__all__ = ["KIND", "HuggingFaceDataset"]


class HuggingFaceDataset(ImageDataset):
    """A data set of the ``datasets`` library, known by its ``features``; never imported here."""

    def __init__(self, dataset: Any) -> None:
        if not hasattr(dataset, "__len__"):
            raise DatasetError(
                "a streamed Hugging Face data set has no length; expected one loaded with "
                "streaming=False, or list(dataset.take(1000)) of it"
            )
        if len(dataset) == 0:
            raise DatasetError("the Hugging Face data set is empty")
        features = dict(dataset.features or {})
        self._image = choose_column(features, "Image", IMAGE_NAMES)
        if self._image is None:
            raise DatasetError(
                f"no image column in the data set; its columns are {', '.join(features)}. "
                "Cast one with dataset.castchoose_column(name, datasets.Image())"
            )
        self._label = choose_column(features, "ClassLabel", LABEL_NAMES)
        self._names = getattr(features.get(self._label or ""), "names", None)
        self._dataset = dataset
        # Labels alone: reading a row of the whole data set would decode its image.
        self._labels = (
            dataset.select_columns([self._label])
            if self._label is not None and hasattr(dataset, "select_columns")
            else dataset
        )
        self._lock = PicklableLock()
        info = getattr(dataset, "info", None)
        split = getattr(dataset, "split", None)
        title = str(getattr(info, "dataset_name", None) or "huggingface")
        self.name = f"{title}/{split}" if split else title

    def __len__(self) -> int:
        return len(self._dataset)

    def load(self, i: int) -> Image.Image:
        """Return photo ``i``, upright, 8-bit RGB."""
        with self._lock:
            value = self._dataset[i][self._image]
            if isinstance(value, dict):  # Image(decode=False)
                source = value.get("bytes")
                value = Image.open(io.BytesIO(source) if source else str(value["path"]))
            return to_rgb(as_image(value))

    def label(self, i: int) -> str:
        """Return the class name of photo ``i``."""
        if self._label is None:
            return ""
        with self._lock:
            return class_name(self._labels[i][self._label], self._names)

    def path(self, i: int) -> str:
        """Return ``"name[i]"``: the rows of an Arrow table are no files."""
        return f"{self.name}[{i}]"

    @cached_property
    def fingerprint(self) -> str:
        """The library's own fingerprint, else a hash of length and a sample of eight images."""
        own = getattr(self._dataset, "_fingerprint", None)
        return digest([own, len(self)] if own else [self.name, len(self), *digest_images(self)])


KIND = DatasetKind(
    name="hugging face",
    takes="a Hugging Face data set",
    order=40,
    recognises=lambda x: hasattr(x, "features") and hasattr(x, "column_names"),
    open=lambda x, split, download: HuggingFaceDataset(x),
)
